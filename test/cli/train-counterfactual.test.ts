/**
 * Training on counterfactual rollouts. Decisions that are pinned here:
 * 1. branches are journaled like anything else: concurrency, workers and kills change no byte, with rollouts ahead too;
 * 2. their tokens are counted once, and settings under which branches would be pointless are refused.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { runCommandLine } from "../fixtures/command-line.ts"
import { args, bytesOf, linesOf, main, root, run } from "./small-training.ts"

const branching = {
  "rollout.packs": 2,
  "rollout.groupSize": 2,
  "rollout.packSize": 3,
  "rollout.counterfactual.alternatives": 3,
  "rollout.counterfactual.horizon": 1,
  "credit.estimator": "counterfactual",
  "evaluation.packs": 0
}
/** Two lifecycles of two packs and two updates, with two branches each, and the two of each update: 4 + 16. */
const entries = 20

describe.concurrent("training on counterfactual rollouts", { timeout: 240_000 }, () => {
  /** A little of a policy, for all runs to begin with. */
  const policy = (async () => {
    const folder = join(root, "start")
    const warm = { "warmStart.minimum": 60, "warmStart.maximum": 60, "evaluation.packs": 0, updates: 0 }
    const ended = await run(args(folder, warm))
    expect(ended.code, ended.stderr).toBe(0)
    return folder
  })()
  const words = async (folder: string, more: Record<string, unknown> = {}) =>
    args(folder, { ...branching, policy: await policy, ...more })
  const whole = (async () => {
    const folder = join(root, "branching")
    const ended = await run(await words(folder))
    return { folder, ended }
  })()

  it("journals every branch, its own replies only, and counts its tokens", async () => {
    const { ended, folder } = await whole
    expect(ended.code, ended.stderr).toBe(0)
    const metrics = readFileSync(join(folder, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    expect(metrics.map(({ update }) => update)).toEqual([1, 2, 3, 4, 5])
    expect(metrics.filter(({ gradNorm }) => gradNorm > 0).length).toBeGreaterThan(2)
    const lived = readFileSync(join(folder, "journal", "4.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { lifecycle: string; calls: ReadonlyArray<{ tokens: ReadonlyArray<number> }> })
    expect(lived).toHaveLength(entries)
    expect(lived.filter(({ lifecycle }) => /\/[01]~update[01]\.[12]$/.test(lifecycle))).toHaveLength(16)
    const tokens = lived.flatMap(({ calls }) => calls.map((call) => call.tokens.length)).reduce((a, b) => a + b)
    expect(metrics[4].sampledTokens).toBe(tokens)
    expect(metrics[4].logprobGap).toBeLessThan(1e-4)
    const replayed = await run([main, "replay", folder, "--json"])
    expect(replayed.code, replayed.stderr).toBe(0)
  })

  it("gives the same bytes one by one on one worker", async () => {
    const folder = join(root, "branching-alone")
    const ended = await run(await words(folder, { concurrency: 1, shards: 1 }))
    expect(ended.code, ended.stderr).toBe(0)
    expect(bytesOf(folder)).toEqual(bytesOf((await whole).folder))
  })

  it("resumes to the same bytes when killed among the branches", async () => {
    const folder = join(root, "branching-killed")
    const killed = await run(await words(folder), () => linesOf(join(folder, "journal", "3.jsonl")) >= 9)
    expect(killed.code).toBe(null)
    const resumed = await run([main, "train", "--resume", "--run", folder])
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(bytesOf(folder)).toEqual(bytesOf((await whole).folder))
  })

  it("goes together with rollouts ahead of the learner", async () => {
    const settings = { "async.staleness": 1 }
    const [one, many] = [join(root, "branching-ahead-1"), join(root, "branching-ahead-2")]
    const ended = await run(await words(one, settings))
    const alone = await run(await words(many, { ...settings, concurrency: 1, shards: 1 }))
    expect([ended.code, alone.code], ended.stderr + alone.stderr).toEqual([0, 0])
    expect(bytesOf(many)).toEqual(bytesOf(one))
  })

  it("refuses what would be pointless", async () => {
    const cases: ReadonlyArray<readonly [said: string, settings: Record<string, unknown>]> = [
      ["at least 2, siblings to compare", { "credit.estimator": "counterfactual" }],
      ["0 where there are no branches", { "rollout.counterfactual.horizon": 1 }],
      ["would pay branches for their past", { "rollout.counterfactual.alternatives": 2, "credit.estimator": "grpo" }],
      [
        "packs of one task have no updates",
        { ...branching, "rollout.counterfactual.horizon": 0, "rollout.packSize": 1 }
      ],
      ["at most 2, or 0", { ...branching, "rollout.counterfactual.horizon": 3 }],
      ["rollout.counterfactual.alternatives", { ...branching, "rollout.counterfactual.alternatives": 0 }],
      ["credit.options.windw", { ...branching, "credit.options.windw": 3 }]
    ]
    for (const [said, settings] of cases) {
      const set = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${String(value)}`])
      const { code, stderr, stdout } = await runCommandLine("train", "--dry-run", ...set)
      expect(code, stderr).toBe(2)
      expect(stderr).toContain(said)
      expect(stderr.trim().split("\n")).toHaveLength(1)
      expect(stdout).toBe("")
    }
  })
})
