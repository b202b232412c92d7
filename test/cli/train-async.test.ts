/**
 * Rollouts that run ahead of the learner. Decisions that are pinned here:
 * 1. which policy samples what is arithmetic: neither load, nor concurrency, nor a kill changes a byte;
 * 2. no token that is learnt from is older than the bound, and nothing is older than it has to be.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { args, bytesOf, linesOf, main, root, run } from "./small-training.ts"

const ahead = { "async.staleness": 2 }
const reusing = { "async.staleness": 3, "async.syncInterval": 2, "async.uses": 2, "async.noise": 2 }

const metricsOf = (folder: string) =>
  readFileSync(join(folder, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))

describe.concurrent("asynchronous training", { timeout: 240_000 }, () => {
  const whole = (name: string, settings: Record<string, unknown>) =>
    (async () => {
      const folder = join(root, name)
      const ended = await run(args(folder, settings))
      return { folder, ended }
    })()
  const runs = { ahead: whole("ahead", ahead), reusing: whole("reusing", reusing) }

  it("samples each batch with a policy as old as the bound, the first ones excepted", async () => {
    const { ended, folder } = await runs.ahead
    expect(ended.code, ended.stderr).toBe(0)
    expect(metricsOf(folder).map(({ staleness }) => staleness)).toEqual([0, 1, 2, 2, 2])
    for (const line of metricsOf(folder)) expect(line.logprobGap).toBeLessThan(1e-4)
    for (const file of readdirSync(join(folder, "journal"))) {
      const versions = readFileSync(join(folder, "journal", file), "utf8")
        .trim()
        .split("\n")
        .flatMap((line) => JSON.parse(line).calls.map((call: { policyVersion: number }) => call.policyVersion))
      const batch = Number.parseInt(file, 10)
      const warm = metricsOf(folder)[0].policyVersion - 1
      expect(new Set(versions)).toEqual(new Set([warm + Math.max(0, batch - 2)]))
    }
  })

  it("learns from groups again, none more often or older than allowed", async () => {
    const { ended, folder } = await runs.reusing
    expect(ended.code, ended.stderr).toBe(0)
    const staleness = metricsOf(folder).map((line) => line.staleness)
    expect(Math.max(...staleness)).toBeLessThanOrEqual(3)
    expect(Math.max(...staleness)).toBeGreaterThan(1)
  })

  it.each([
    ["ahead", ahead],
    ["reusing", reusing]
  ] as const)("%s: gives the same bytes one by one on one worker", async (name, settings) => {
    const folder = join(root, `${name}-alone`)
    const ended = await run(args(folder, { ...settings, concurrency: 1, shards: 1 }))
    expect(ended.code, ended.stderr).toBe(0)
    expect(bytesOf(folder)).toEqual(bytesOf((await runs[name]).folder))
  })

  it.each([
    ["ahead", ahead],
    ["reusing", reusing]
  ] as const)("%s: resumes to the same bytes when killed in an update", async (name, settings) => {
    const folder = join(root, `${name}-killed`)
    const killed = await run(args(folder, settings), () => linesOf(join(folder, "journal", "4.jsonl")) >= 2)
    expect(killed.code).toBe(null)
    const resumed = await run([main, "train", "--resume", "--run", folder])
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(bytesOf(folder)).toEqual(bytesOf((await runs[name]).folder))
  })

  it.each([
    ["async.staleness=1 async.ahead=2", '"async.staleness" is 1, expected at least 2'],
    ["async.syncInterval=4", '"async.staleness" is 0, expected at least 3'],
    ["async.staleness=1 async.noise=1", '"async.noise" is 1, expected 0 where every group is learnt from once']
  ])("refuses %s", async (settings, message) => {
    const words = settings.split(" ").flatMap((setting) => ["--set", setting])
    const { code, stderr } = await run([main, "train", "--dry-run", ...words])
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })
})
