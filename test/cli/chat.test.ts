/** Language models from folders: evaluated, simulated and trained in chat style, with models small enough for a test. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Schema } from "effect"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { makeSpark } from "../../src/actors/spark.ts"
import { TrainingConfig } from "../../src/actors/training-config.ts"
import { writeCheckpoint } from "../../src/policies/checkpoint.ts"
import { runCommandLine } from "../fixtures/command-line.ts"
import { guess } from "../fixtures/guess.ts"
import { longer } from "../fixtures/language-model.ts"

const root = mkdtempSync(join(tmpdir(), "constellate-chat-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const parrot = ["--env", "./test/fixtures/parrot.ts"]
const short = ["--lifecycle.maxTokens", "6"]
const linesOf = (file: string) =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))

describe("a checkpoint folder that speaks chat", () => {
  it("is evaluated", async () => {
    const { code, stderr, stdout } = await runCommandLine(
      "eval",
      longer(root, "llama-tied"),
      ...parrot,
      ...short,
      "--packs",
      "1",
      "--pack-size",
      "2",
      "--json"
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    const { positions, updates } = JSON.parse(stdout)
    expect(positions[1].episodes).toBe(1)
    expect(positions[1].outcomes).toMatchObject({ timeout: 0, error: 0 })
    expect(updates.meanTokens).toBeGreaterThan(1)
  })

  it("is simulated, the same at any concurrency; a step goes on from the tokens before it", async () => {
    const folder = longer(root, "qwen3-untied")
    const simulate = async (concurrency: string, ...more: ReadonlyArray<string>) => {
      const { code, stderr, stdout } = await runCommandLine(
        "simulate",
        "--policy",
        folder,
        ...parrot,
        ...short,
        "--lifecycles",
        "6",
        "--pack-size",
        "1",
        "--concurrency",
        concurrency,
        "--json",
        ...more
      )
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      return JSON.parse(stdout)
    }
    const out = join(root, "traces.jsonl")
    const together = await simulate("6", "--out", out)
    expect(together).toMatchObject({ lost: 0, steps: 6 * 2 })
    expect(together.tokens).toBeGreaterThan(24)
    expect((await simulate("1")).digest).toBe(together.digest)
    const solves = linesOf(out).filter(({ kind }) => kind === "solve")
    expect(solves).toHaveLength(6)
    for (const { steps } of solves) {
      const known = [...steps[0].promptTokens, ...steps[0].tokens]
      expect(steps[1].promptTokens.slice(0, known.length)).toEqual(known)
      expect(steps[1].promptTokens.length).toBeGreaterThan(known.length + 10)
    }
    expect(await runCommandLine("replay", out, ...parrot)).toMatchObject({ code: 0 })
  })

  it("cuts an episode off where the conversation outgrows the model", async () => {
    const out = join(root, "long.jsonl")
    const { code, stdout } = await runCommandLine(
      "simulate",
      "--policy",
      longer(root, "qwen2-tied", 64),
      ...parrot,
      "--lifecycles",
      "2",
      "--pack-size",
      "1",
      "--out",
      out,
      "--json"
    )
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ lost: 0, outcomes: { truncated: 2 } })
    expect(linesOf(out).map(({ outcome, why }) => [outcome, why])).toEqual(
      linesOf(out).map(() => ["truncated", "there was no room for a reply"])
    )
  })

  it("is trained, all its parameters, and comes out as the same kind of folder", async () => {
    const folder = longer(root, "qwen2-untied")
    writeFileSync(join(folder, "generation_config.json"), JSON.stringify({ eos_token_id: [299, 297] }))
    const template = JSON.parse(readFileSync(join(folder, "tokenizer_config.json"), "utf8")).chat_template
    writeFileSync(join(folder, "chat_template.jinja"), template)
    const train = (run: string, shards: number) =>
      runCommandLine(
        "train",
        "--policy",
        folder,
        "--style",
        "chat",
        ...parrot,
        "--updates",
        "2",
        "--run",
        run,
        "--rollout.maxTokens",
        "8",
        "--rollout.packs",
        "2",
        "--rollout.groupSize",
        "3",
        "--rollout.packSize",
        "1",
        "--evaluation.packs",
        "2",
        "--evaluation.packSize",
        "1",
        "--shards",
        `${shards}`,
        "--json"
      )
    const [run, other] = [join(root, "run"), join(root, "other")]
    const { code, stderr, stdout } = await train(run, 2)
    expect({ code, stderr }).toMatchObject({ code: 0 })
    expect(JSON.parse(stdout)).toMatchObject({ updates: 2, before: { packs: 2 }, after: { packs: 2 } })
    for (const line of linesOf(join(run, "metrics.jsonl"))) {
      expect(line.gradNorm).toBeGreaterThan(0)
      // What was trained is what was sampled: the same tokens after the same tokens.
      expect(line.logprobGap).toBeLessThan(1e-4)
    }
    expect((await train(other, 1)).code).toBe(0)
    const bytes = (of: string) => readFileSync(join(of, "checkpoints", "2", "model.safetensors")).toString("base64")
    expect(bytes(other)).toBe(bytes(run))

    const last = join(run, "checkpoints", "2")
    expect(readdirSync(last)).toContain("chat_template.jinja")
    expect(JSON.parse(readFileSync(join(last, "generation_config.json"), "utf8")).eos_token_id).toEqual([299, 297])
    expect(JSON.parse(readFileSync(join(last, "constellate.json"), "utf8"))).toMatchObject({ style: "chat" })
    const again = await runCommandLine("eval", run, ...parrot, ...short, "--packs", "1", "--pack-size", "1", "--json")
    expect(again.code, again.stderr).toBe(0)
  })
})

describe("a checkpoint folder that speaks terse", () => {
  it("is simulated in its own style", async () => {
    const folder = join(root, "terse")
    mkdirSync(folder)
    const small = { hiddenSize: 8, innerSize: 8, layers: 1, heads: 1, keyValueHeads: 1, headSize: 8 }
    const config = Schema.decodeUnknownSync(TrainingConfig)({ environments: ["guess"], model: small })
    await Effect.runPromise(
      writeCheckpoint(folder, makeSpark(config, [guess])).pipe(Effect.provide(NodeServices.layer))
    )
    const out = join(root, "terse.jsonl")
    const doors = ["--env", "./test/fixtures/guess.ts", "--lifecycles", "2", "--pack-size", "2"]
    const { code, stderr } = await runCommandLine("simulate", "--policy", folder, ...doors, "--out", out)
    expect(code, stderr).toBe(0)
    expect(linesOf(out)[0].steps[0].prompt).toMatch(/^<solve> \|/)
  })
})

describe("refused in one line:", () => {
  const chat = longer(root, "llama-untied")
  const thrower = join(root, "thrower")
  cpSync(chat, thrower, { recursive: true })
  writeFileSync(join(thrower, "chat_template.jinja"), "{{ raise_exception('only in Latin') }}")

  it.each([
    [["eval", thrower, ...parrot], "thrower/chat_template.jinja is not usable (only in Latin), expected a template"],
    [
      ["eval", chat, "--env", "./test/fixtures/guess.ts", "--style", "terse"],
      '"style" is "terse", expected "chat", the'
    ],
    [["eval", chat, ...parrot, "--thinking", "false"], '"thinking" is false, expected nothing: the chat template of'],
    [["eval", "scripted:random", ...parrot, "--thinking", "true"], '"thinking" is true, expected nothing'],
    [["train", "--style", "chat"], '"style" is "chat", expected "terse", or a policy to start from'],
    [["train", "--policy", chat, "--env", "frozen-lake"], '"style" is "terse", expected "chat", the style that'],
    [["train", "--policy", chat, ...parrot], "expected environments with a terse style, or --style chat"]
  ])("%s", async (args, message) => {
    const { code, stderr, stdout } = await runCommandLine(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain(message)
    expect(stderr.trimEnd().split("\n")).toHaveLength(1)
  })
})
