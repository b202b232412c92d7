import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Schema } from "effect"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { openTaskSet } from "../../src/cli/environments.ts"
import { type SuiteName, suiteNames, suites } from "../../src/cli/suites.ts"
import { makeSpark } from "../../src/actors/spark.ts"
import { TrainingConfig } from "../../src/actors/training-config.ts"
import { writeCheckpoint } from "../../src/policies/checkpoint.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

const root = mkdtempSync(join(tmpdir(), "constellate-suite-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const run = (...args: ReadonlyArray<string>) => runCommandLine("eval", ...args)
const json = async (...args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await run(...args, "--json")
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  return JSON.parse(stdout)
}
const curve = (evaluation: { positions: ReadonlyArray<{ success: { mean: number } }> }) =>
  evaluation.positions.map(({ success }) => success.mean)
const small = ["--packs", "3", "--seeds", "1"]

describe("the published suites", () => {
  it("have the environments, packs and limits of the specification", async () => {
    const opened = Object.fromEntries(
      await Promise.all(
        suiteNames.map(async (name) => {
          const parts = suites[name].parts.map(({ env }) =>
            Effect.runPromise(Effect.provide(openTaskSet(env, 0), NodeServices.layer))
          )
          return [name, await Promise.all(parts)] as const
        })
      )
    )
    const options = (name: SuiteName, part: number) => opened[name]![part]!.options
    expect(options("8b-a", 0)).toMatchObject({ size: [6, 7], p: [0.6, 0.7], pathBound: 8, stepCap: 10 })
    expect(options("8b-a", 1)).toMatchObject({ stepCap: 8, materialMode: "unlimited", baseElements: [3, 4] })
    expect(options("8b-a", 2)).toMatchObject({ stepCap: 12, compositeRatio: 0.5 })
    expect(options("8b-b", 0)).toEqual(options("8b-a", 0))
    expect(options("8b-b", 1)).toMatchObject({ stepCap: 15, materialMode: "limited", baseElements: [4, 6] })
    expect(options("8b-b", 2)).toEqual(options("8b-a", 2))
    expect(options("27b", 0)).toMatchObject({
      family: "full_eval_4000",
      maxSteps: 6,
      pointBudget: 6,
      terms: [1, 3],
      stateLimit: 3
    })
    expect(options("27b", 1)).toMatchObject({ horizon: 12, x0: [-2, 2], v0: [-1.5, 1.5], xTarget: [-8, 8] })
    expect(options("27b", 2)).toMatchObject({
      size: [10, 14],
      hills: 5,
      scale: [0.15, 0.45],
      rounds: [3, 5],
      revealRadius: 1
    })
    for (const name of suiteNames) {
      expect(suites[name]).toMatchObject({ packs: 500, packSize: 8, temperature: 1 })
    }
    expect(suites["8b-a"]).toMatchObject({ maxTokens: 2000, tokenLimit: 1500, packSeeds: "runtime" })
    expect(suites["27b"]).toMatchObject({ maxTokens: 4000, tokenLimit: 4000, packSeeds: "stable" })
    expect(suites["27b"].parts[0].turns.values).toHaveLength(25)
    expect(suites["27b-api"]).toEqual({
      ...suites["27b"],
      title: expect.any(String),
      maxTokens: 8000,
      tokenLimit: 8000,
      compression: "remove_think",
      thinking: true
    })
    expect(suites.ralph.parts.map(({ env, strategy }) => `${env} ${strategy}`)).toEqual([
      "alchemy:easy ralph-sample",
      "terminal:eval ralph-sample"
    ])
  })

  it("are lived under every control; the first position is the same without a context of one's own", async () => {
    const document = await json("scripted:careful", "--suite", "8b-a", "--packs", "6", "--seeds", "2")
    expect(document).toMatchObject({ suite: "8b-a", packs: 6, seeds: 2, packSize: 8, reduced: true, maxTokens: 2000 })
    for (const { evaluations } of document.parts) {
      expect(evaluations.map(({ context }: { context: string }) => context)).toEqual([
        "own",
        "none",
        "foreign",
        "oracle"
      ])
      const [own, none, foreign] = evaluations
      expect(own).toMatchObject({ packs: 12, seeds: 2 })
      expect(none.positions[0]).toEqual(own.positions[0])
      expect(foreign.positions[0]).toEqual(own.positions[0])
    }
    const [own, none] = document.parts[0].evaluations
    expect(own.gain.success.mean).toBeGreaterThan(none.gain.success.mean)
    // The same as the evaluation on its own.
    const same = "--packs 6 --pack-size 8 --seeds 2 --lifecycle.tokenLimit 1500 --context foreign"
    const alone = await json("scripted:careful", "--env", "frozen-lake-obscure:hard", ...same.split(" "))
    expect(document.parts[0].evaluations[2].positions).toEqual(alone.positions)
  })

  it("meet the same packs with every seed where seeds of packs are stable, and other replies", async () => {
    const of = async (seed: string) =>
      (await json("scripted:oracle", "--suite", "27b", "--packs", "2", "--seeds", "1", "--seed", seed)).parts
    const [one, two] = [await of("1"), await of("2")]
    // The oracle of Optimal Control draws nothing: equal packs give equal rewards.
    expect(two[1].evaluations[0].positions).toEqual(one[1].evaluations[0].positions)
    expect(one.map(({ environment }: { environment: string }) => environment)).toEqual([
      "pde-discovery",
      "optimal-control",
      "grid-navigation"
    ])
  }, 60_000)

  it("repeat one task in ralph", async () => {
    const { parts } = await json("scripted:careful", "--suite", "ralph", ...small)
    expect(parts[0].evaluations[0]).toMatchObject({ strategy: "ralph-sample", environment: "alchemy" })
  })
})

describe("a policy that cannot read an environment", () => {
  it("is not applicable there, with the reason, and measured where it can", async () => {
    const folder = join(root, "spark")
    mkdirSync(folder)
    const { environment } = await Effect.runPromise(
      Effect.provide(openTaskSet("frozen-lake-obscure", 0), NodeServices.layer)
    )
    const model = { hiddenSize: 8, innerSize: 8, layers: 1, heads: 1, keyValueHeads: 1, headSize: 8 }
    const config = Schema.decodeSync(TrainingConfig)({ model } as never)
    await Effect.runPromise(
      Effect.provide(writeCheckpoint(folder, makeSpark(config, [environment])), NodeServices.layer)
    )
    const page = join(root, "spark.html")
    const { parts } = await json(folder, "--suite", "8b-a", "--packs", "2", "--seeds", "1", "--out", page)
    expect(parts[0].evaluations[0].positions[0].episodes).toBe(2)
    expect(parts[1]).toEqual({
      environment: "alchemy",
      preset: "easy",
      evaluations: [],
      notApplicable: expect.stringMatching(/^trained on frozen-lake-obscure; the policy has no word /)
    })
    expect(parts[2]).toMatchObject({
      environment: "terminal",
      evaluations: [],
      notApplicable: "trained on frozen-lake-obscure; it has no terse style"
    })
    expect(readFileSync(page, "utf8")).toContain(
      "Not applicable: trained on frozen-lake-obscure; it has no terse style"
    )
  }, 60_000)
})

describe("what a suite leaves", () => {
  it("is a page, the numbers and the finished parts; they are not lived again", async () => {
    const folder = join(root, "kept")
    const args = ["scripted:amnesiac", "--suite", "ralph", ...small, "--out", folder]
    const document = await json(...args)
    expect(JSON.parse(readFileSync(join(folder, "suite.json"), "utf8"))).toEqual(document)
    const page = readFileSync(join(folder, "report.html"), "utf8")
    expect(page.match(/<svg xmlns/g)).toHaveLength(2)
    expect(page).not.toMatch(/NaN|undefined|(src|href)=/)
    expect(page).toContain("Reduced: the suite has 500 packs and at least 3 seeds.")
    const parts = readdirSync(join(folder, "parts"))
    expect(parts.toSorted()).toEqual(["alchemy-easy-1.json", "terminal-eval-1.json"])
    // A part that says otherwise is believed: it was not lived again.
    const file = join(folder, "parts/terminal-eval-1.json")
    const part = JSON.parse(readFileSync(file, "utf8"))
    for (const life of part.lives.own)
      for (const solve of life.solves) Object.assign(solve, { success: true, reward: 1 })
    writeFileSync(file, JSON.stringify(part))
    expect(curve((await json(...args)).parts[1].evaluations[0])).toEqual([1, 1, 1, 1, 1, 1, 1, 1])
    // One seed more is lived beside it.
    await json(...args.with(6, "2"))
    expect(readdirSync(join(folder, "parts"))).toHaveLength(4)
  })

  it("refuses a folder of something else, and writes nothing", async () => {
    const folder = join(root, "kept")
    const { code, stderr } = await run("scripted:random", "--suite", "ralph", ...small, "--out", folder)
    expect(code).toBe(2)
    expect(stderr).toContain("expected a folder of this policy and these settings")
  })

  it("is a page for an evaluation without a suite, too", async () => {
    const page = join(root, "one.html")
    await json("scripted:random", "--env", "frozen-lake", "--packs", "3", "--pack-size", "2", "--out", page)
    expect(readFileSync(page, "utf8")).toContain("constellate eval scripted:random --env frozen-lake --packs 3")
    const refused = await run("scripted:random", "--env", "frozen-lake", "--out", join(root, "nowhere"))
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("a name that ends in .html") })
    expect(existsSync(join(root, "nowhere"))).toBe(false)
  })
})

it.each([
  ['unknown suite "8b", did you mean "8b-a"?', "--suite", "8b"],
  ['--env is "given", expected nothing beside --suite', "--suite", "8b-a", "--env", "alchemy"],
  ['"packSize" is "given", expected nothing beside --suite', "--suite", "8b-a", "--pack-size", "4"],
  ['"lifecycle.maxTokens" is "given", expected nothing beside', "--suite", "27b", "--lifecycle.maxTokens", "9"],
  ['"environment.stepCap" is "given", expected nothing beside', "--suite", "27b", "--environment.stepCap", "9"],
  ['"packs" is 1, expected at least 2', "--suite", "8b-a", "--packs", "1"],
  ['unknown scripted agent "carfull"', "--suite", "8b-a"],
  ["--env is missing, expected an environment, --tasks or --suite"]
])("refuses: %s", async (message, ...args) => {
  const agent = message.includes("carfull") ? "scripted:carfull" : "scripted:careful"
  const { code, stderr, stdout } = await run(agent, ...args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
  expect(stderr).toContain(message)
})
