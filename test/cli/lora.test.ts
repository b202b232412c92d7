/**
 * Language models trained by adapters, small enough for a test. Decisions that are pinned here:
 * 1. the base model is never written; a checkpoint is a folder of adapters that names it;
 * 2. a run killed and resumed ends with the bytes of one that was never interrupted, on any number of model workers;
 * 3. memory settings (`learner.recompute`) change no byte either.
 */
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { runCommandLine } from "../fixtures/command-line.ts"
import { longer } from "../fixtures/language-model.ts"
import { linesOf, main, root, run } from "./small-training.ts"

const parrot = ["--env", "./test/fixtures/parrot.ts"]
const tiny = {
  "rollout.maxTokens": 8,
  "rollout.packs": 2,
  "rollout.groupSize": 3,
  "rollout.packSize": 1,
  "evaluation.packs": 2,
  "evaluation.packSize": 1,
  checkpointEvery: 1,
  updates: 3
}
const words = (policy: string, into: string, more: Record<string, unknown> = {}) => [
  "train",
  "--policy",
  policy,
  "--style",
  "chat",
  "--run",
  into,
  ...Object.entries({ ...tiny, ...more }).flatMap(([key, value]) => ["--set", `${key}=${String(value)}`])
]
const digest = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex")
const digests = (folder: string) =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, digest(join(folder, name))]))
const metrics = (folder: string) =>
  readFileSync(join(folder, "metrics.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
const ended = (result: { readonly code: number | null; readonly stderr: string }) =>
  expect(result.code, result.stderr).toBe(0)

describe.each(["qwen3-tied", "qwen2-untied", "llama-untied"])("%s", (name) => {
  const policy = longer(root, name)
  const before = digests(policy)
  const into = join(root, `run-${name}`)
  const last = join(into, "checkpoints", "3")

  it("is trained by adapters, which are all that is written", async () => {
    ended(await runCommandLine(...words(policy, into, { "lora.rank": 4 }), ...parrot))
    expect(digests(policy)).toEqual(before)
    expect(readdirSync(last)).not.toContain("model.safetensors")
    const { base_model_name_or_path, lora_alpha, r } = JSON.parse(
      readFileSync(join(last, "adapter_config.json"), "utf8")
    )
    expect({ base_model_name_or_path, lora_alpha, r }).toEqual({ base_model_name_or_path: policy, lora_alpha: 8, r: 4 })
    const adapters = [1, 2, 3].map((update) =>
      digest(join(into, "checkpoints", `${update}`, "adapter_model.safetensors"))
    )
    expect(new Set(adapters).size).toBeGreaterThan(1)
    const learnt = metrics(into).filter(({ gradNorm }) => gradNorm > 0)
    expect(learnt.length).toBeGreaterThan(0)
    for (const line of learnt) expect(line.logprobGap).toBeLessThan(1e-4)
  })

  it("is evaluated with its adapters, and the same merged", async () => {
    const merged = join(root, `merged-${name}`)
    ended(await runCommandLine("runs", "merge", into, "--out", merged))
    expect(readdirSync(merged)).toContain("model.safetensors")
    expect(readdirSync(merged)).not.toContain("adapter_config.json")
    const evaluated = async (policy: string) => {
      const packs = ["--packs", "2", "--pack-size", "1", "--lifecycle.maxTokens", "6", "--json"]
      const result = await runCommandLine("eval", policy, ...parrot, ...packs)
      ended(result)
      return JSON.parse(result.stdout)
    }
    const [adapted, whole] = [await evaluated(last), await evaluated(merged)]
    expect({ ...whole, policy: last }).toEqual(adapted)
  })
})

describe("a run of adapters", () => {
  const policy = longer(root, "qwen3-untied")
  const lora = { "lora.rank": 2, "lora.alpha": 3, "lora.targets": "[v_proj, down_proj]" }
  const whole = (async () => {
    const folder = join(root, "adapted")
    return { folder, result: await run([main, ...words(policy, folder, lora), ...parrot]) }
  })()
  const same = async (folder: string) => {
    const { folder: expected, result } = await whole
    ended(result)
    expect(digests(join(folder, "checkpoints", "3"))).toEqual(digests(join(expected, "checkpoints", "3")))
    expect(digest(join(folder, "metrics.jsonl"))).toBe(digest(join(expected, "metrics.jsonl")))
  }

  it("resumes to the same bytes when killed", async () => {
    const folder = join(root, "killed")
    const reached = () =>
      existsSync(join(folder, "checkpoints", "1")) && linesOf(join(folder, "journal", "1.jsonl")) >= 1
    const killed = await run([main, ...words(policy, folder, lora), ...parrot], reached)
    expect(killed.code).toBe(null)
    ended(await run([main, "train", "--resume", "--run", folder]))
    await same(folder)
  })

  it("gives the same bytes on one model worker, with layers made anew", async () => {
    const folder = join(root, "thrifty")
    const thrifty = { ...lora, shards: 1, "learner.recompute": true }
    ended(await run([main, ...words(policy, folder, thrifty), ...parrot]))
    await same(folder)
  })

  it("is gone on with by another run, with the same adapters only", async () => {
    const { folder, result } = await whole
    ended(result)
    const further = join(root, "further")
    ended(await runCommandLine(...words(folder, further, { updates: 1 }), ...parrot))
    const config = JSON.parse(readFileSync(join(further, "checkpoints", "1", "adapter_config.json"), "utf8"))
    expect(config).toMatchObject({ r: 2, lora_alpha: 3, base_model_name_or_path: policy })
    const refused = await runCommandLine(...words(folder, join(root, "no"), { "lora.rank": 4 }), ...parrot)
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain(`"lora.rank" is 4, expected 2, as in the adapters of ${folder}`)
  })
})

it("the environment of the first steps is trained on in chat style", { timeout: 120_000 }, async () => {
  const into = join(root, "lake")
  const lake = ["--env", "frozen-lake-obscure"]
  ended(await runCommandLine(...words(longer(root, "llama-tied"), into, { "lora.rank": 16, updates: 2 }), ...lake))
  expect(readdirSync(join(into, "checkpoints", "2"))).toContain("adapter_model.safetensors")
})

describe("refused in one line:", () => {
  const policy = longer(root, "qwen2-tied")
  const start = ["train", "--policy", policy, "--style", "chat", ...parrot]
  it.each([
    [[...start, "--set", "lora.rank=0"], '"lora.rank" is 0, expected a value greater than or equal to 1'],
    [[...start, "--set", "lora.rank=1.5"], '"lora.rank" is 1.5, expected'],
    [[...start, "--set", "lora.alpha=2"], '"lora.rank" is missing, expected a value'],
    [
      [...start, "--set", "lora.rank=2", "--set", "lora.alpha=-1"],
      '"lora.alpha" is -1, expected a value greater than 0'
    ],
    [
      [...start, "--set", "lora.rank=2", "--set", "lora.targets=[q_proj, lm_head]"],
      '"lora.targets.1" is "lm_head", expected'
    ],
    [[...start, "--set", "lora.rank=2", "--set", "lora.targets=[]"], '"lora.targets'],
    [[...start, "--set", "lora.rnk=2"], 'did you mean "lora.rank"'],
    [[...start, "--set", "learner.budgetTokens=0"], '"learner.budgetTokens" is 0, expected'],
    [["train", "--set", "lora.rank=2"], '"lora" is {"rank":2'],
    [["runs", "merge", policy, "--out", join(root, "new")], "expected a folder of adapters"],
    [["runs", "merge", policy, "--out", policy], "expected a folder that is not there yet"]
  ])("%s", async (args, message) => {
    const { code, stderr, stdout } = await runCommandLine(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain(message)
    expect(stderr.trimEnd().split("\n")).toHaveLength(1)
  })
})
