/** The published training runs by name: their numbers, and what they refuse. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Exit, Schema } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { publishedPresets } from "../../src/actors/published-presets.ts"
import { TrainingConfig } from "../../src/actors/training-config.ts"
import { checkRoom } from "../../src/cli/room.ts"
import { runCommandLine } from "../fixtures/command-line.ts"
import { longer } from "../fixtures/language-model.ts"

const root = mkdtempSync(join(tmpdir(), "constellate-presets-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const names = Object.keys(publishedPresets)
const resolved = async (name: string) => {
  const args = ["train", "--preset", name, "--policy", "models/any", "--dry-run", "--json"]
  const { code, stderr, stdout } = await runCommandLine(...args)
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  return JSON.parse(stdout)
}

describe("published training runs", () => {
  it.each(names)("%s: what all have in common", async (name) => {
    expect(await resolved(name)).toMatchObject({
      style: "chat",
      thinking: false,
      rollout: { packs: 8, groupSize: 8, packSize: 4, temperature: 1, updatePenalty: 0.1, compression: "keep_all" },
      credit: { estimator: "causal" },
      optimizer: { learningRate: 1e-6, beta1: 0.9, beta2: 0.999, weightDecay: 0.01, finalShare: 1, clipNorm: 1 },
      async: { staleness: 20, syncInterval: 4, uses: 1 },
      evaluation: { packs: 500, packSize: 8 }
    })
  })

  it.each([
    ["8b-a", ["frozen-lake-obscure"], 2000, 1000, "runtime", 100, 0, 1562],
    ["8b-b", ["frozen-lake-obscure", "alchemy"], 2000, 1000, "runtime", 100, 0, 1562],
    ["8b-alchemy-unweighted", ["alchemy"], 2000, 1000, "runtime", 100, 0, 1562],
    ["8b-alchemy-importance", ["alchemy"], 2000, 1000, "runtime", 100, 0, 1562],
    ["8b-grid", ["grid-navigation"], 2000, 1000, "runtime", 100, 10, 1562],
    ["27b-grid", ["grid-navigation:27b"], 3999, 4000, "runtime", 20, 10, 1562],
    ["27b-control", ["optimal-control"], 4000, 4000, "stable", 100, 0, 1562],
    ["27b-pde", ["pde-discovery"], 4000, 4000, "stable", 25, 0, 600]
  ])("%s: its own", async (name, environments, maxTokens, tokenLimit, packSeeds, checkpointEvery, warmUp, updates) => {
    expect(await resolved(name)).toMatchObject({
      environments,
      rollout: { maxTokens, tokenLimit, packSeeds },
      optimizer: { warmUp },
      checkpointEvery,
      updates
    })
  })

  it("weight by what scores say, but for the ablations", async () => {
    expect((await resolved("8b-b")).credit.options).toEqual({})
    expect((await resolved("8b-alchemy-unweighted")).credit.options).toEqual({ redAdaptive: false })
    expect(await resolved("8b-alchemy-importance")).toMatchObject({
      credit: { options: { redAdaptive: false } },
      loss: { weight: "importance_sampling" }
    })
  })

  it.each(names)("%s: needs a policy", async (name) => {
    const { code, stderr } = await runCommandLine("train", "--preset", name, "--dry-run")
    expect(code).toBe(2)
    expect(stderr).toMatch(
      /^constellate: --policy is missing, expected the folder of a policy to start from, .*Qwen3.*\n$/
    )
  })
})

describe("a policy that is too large for the machine", () => {
  const config = (more: object = {}) =>
    Schema.decodeSync(TrainingConfig)({ policy: longer(root, "llama-tied"), ...more } as never)
  const room = (memory: number, more: object = {}) =>
    Effect.runPromiseExit(Effect.provide(checkRoom(config(more), memory), NodeServices.layer))
  const reason = (exit: Exit.Exit<unknown, unknown>) => (Exit.isFailure(exit) ? String(exit.cause) : "")

  it("is refused before its weights are read, with what it would take", async () => {
    expect(Exit.isSuccess(await room(1e9))).toBe(true)
    const refused = reason(await room(20_000))
    expect(refused).toMatch(/billion parameters take at least .* GB, and this machine has 0\.0000200 GB/)
    expect(refused).not.toContain("--lora.rank")
  })

  it("may fit with adapters", async () => {
    const whole = await room(100_000)
    expect(reason(whole)).toContain("; adapters (--lora.rank 16) would fit")
    expect(Exit.isSuccess(await room(100_000, { lora: { rank: 16 } }))).toBe(true)
  })
})
