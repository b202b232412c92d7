import { describe, expect, it } from "vitest"
import { runCommandLine } from "../fixtures/command-line.ts"

const evaluate = (...args: ReadonlyArray<string>) => runCommandLine("eval", ...args)
const json = async (...args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await evaluate(...args, "--json")
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  return JSON.parse(stdout)
}
const curve = (evaluation: { positions: ReadonlyArray<{ success: { mean: number } }> }) =>
  evaluation.positions.map(({ success }) => success.mean)

const obscure = ["--env", "frozen-lake-obscure"]

describe("eval", () => {
  // Curves of independent agents on 2,000 packs; what 200 packs of ours may differ by is three standard errors.
  it.each([
    ["random", [0.153, 0.165, 0.161, 0.15]],
    ["oracle", [1, 1, 1, 1]],
    ["careful", [0.608, 0.927, 0.991, 0.999]],
    ["amnesiac", [0.627, 0.609, 0.595, 0.633]]
  ])("of scripted:%s is near its reference curve", async (agent, reference) => {
    const means = curve(await json(`scripted:${agent}`, ...obscure, "--packs", "200", "--pack-size", "4"))
    for (const [position, mean] of means.entries()) {
      const expected = reference[position]!
      expect(Math.abs(mean - expected)).toBeLessThanOrEqual(3 * Math.sqrt((expected * (1 - expected)) / 200) + 0.005)
    }
  })

  it("prints what was asked for and nothing of the clock", async () => {
    const args = ["scripted:careful", ...obscure, "--packs", "10", "--pack-size", "2", "--seed", "5"]
    const evaluation = await json(...args)
    expect(evaluation).toMatchObject({
      environment: "frozen-lake-obscure",
      preset: "train",
      policy: "scripted:careful",
      packs: 10,
      packSize: 2,
      strategy: "cod",
      context: "own",
      seed: 5,
      positions: [
        { position: 0, episodes: 10 },
        { position: 1, episodes: 10 }
      ],
      updates: { episodes: 10, parsed: 10, meanTokens: 0 }
    })
    expect(await json(...args, "--concurrency", "1")).toEqual(evaluation)
    expect(Object.keys(evaluation.positions[0].outcomes)).toEqual([
      "success",
      "failure",
      "truncated",
      "malformed",
      "timeout",
      "error"
    ])
  })

  it("is a list when several environments are asked for", async () => {
    const list = await json("scripted:random", "--env", "frozen-lake", ...obscure, "--packs", "3", "--pack-size", "1")
    expect(list.map(({ environment }: { environment: string }) => environment)).toEqual([
      "frozen-lake",
      "frozen-lake-obscure"
    ])
  })

  it("takes settings of the environment, a preset, and an environment of one's own", async () => {
    const small = ["--packs", "20", "--pack-size", "1"]
    const one = await json("scripted:oracle", "--env", "./test/fixtures/guess.ts:hard", ...small)
    expect(one).toMatchObject({ environment: "guess", preset: "hard" })
    const hopeless = await json(
      "scripted:random",
      "--env",
      "test/fixtures/guess.ts",
      ...small,
      "--environment.doors",
      "100000"
    )
    expect(curve(hopeless)).toEqual([0])
    const certain = await json(
      "scripted:random",
      "--env",
      "test/fixtures/guess.ts",
      ...small,
      "--set",
      "environment.doors=1"
    )
    expect(curve(certain)).toEqual([1])
  })

  it("draws a table for people", async () => {
    const { stdout } = await evaluate("scripted:oracle", ...obscure, "--packs", "5", "--pack-size", "2", "--seeds", "2")
    const lines = stdout.split("\n")
    expect(lines[0]).toBe("scripted:oracle on frozen-lake-obscure: 10 packs of 2 (cod), context own, seeds 1 to 2")
    expect(lines[3]).toMatch(/^ +0 +1\.000 +1\.000 to 1\.000 +0\.\d+ +0\.\d+ to 0\.\d+ +█{20}$/)
    expect(stdout).toContain("outcomes: 20 success\nupdates: 10 of 10 could be read\n")
  })

  it.each([
    ['unknown environment "frozen-lke", did you mean "frozen-lake"?', "scripted:random", "--env", "frozen-lke"],
    ['unknown preset of frozen-lake "hrad", did you mean "hard"?', "scripted:random", "--env", "frozen-lake:hrad"],
    ['unknown scripted agent "carefull", did you mean "careful"?', "scripted:carefull", ...obscure],
    ['"packs" is 0, expected a value greater than 0', "scripted:random", ...obscure, "--packs", "0"],
    ['"packSize" is "x", expected a number', "scripted:random", ...obscure, "--pack-size", "x"],
    [
      '"context" is "oracl", expected "own" or "none" or "foreign" or "oracle"',
      "scripted:random",
      ...obscure,
      "--context",
      "oracl"
    ],
    [
      '"packs" is 1, expected at least 2, to have another pack',
      "scripted:random",
      ...obscure,
      "--context",
      "foreign",
      "--packs",
      "1"
    ],
    [
      '"style" is "terse", expected "chat", which scripted agents speak',
      "scripted:random",
      ...obscure,
      "--style",
      "terse"
    ],
    [
      'unknown key "environment.stepcap", did you mean "environment.stepCap"?',
      "scripted:random",
      ...obscure,
      "--environment.stepcap",
      "3"
    ],
    [
      '--env is "./nowhere", expected a module, or a folder with index.ts or index.mts or index.js or index.mjs',
      "scripted:random",
      "--env",
      "./nowhere"
    ],
    [
      '--env is "./vitest.config.ts", expected a module whose default export is made by defineEnvironment',
      "scripted:random",
      "--env",
      "./vitest.config.ts"
    ],
    ["--env is missing, expected an environment, --tasks or --suite", "scripted:random"]
  ])("refuses: %s", async (message, ...args) => {
    expect(await evaluate(...args)).toEqual({ code: 2, stdout: "", stderr: `constellate: ${message}\n` })
  })
})
