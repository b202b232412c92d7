import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { environmentIds } from "../../src/cli/environments.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

const root = mkdtempSync(join(tmpdir(), "constellate-tasks-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const json = async (...args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await runCommandLine(...args, "--json")
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  return JSON.parse(stdout)
}
const exported = async (name: string, env: string, ...args: ReadonlyArray<string>) => {
  const file = join(root, `${name}.jsonl`)
  expect(await runCommandLine("env", "tasks", env, ...args, "--out", file)).toEqual({ code: 0, stdout: "", stderr: "" })
  return file
}
const linesOf = (file: string) =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
const written = (name: string, lines: ReadonlyArray<unknown>) => {
  const file = join(root, name)
  writeFileSync(file, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"))
  return file
}
/** The maps of the first task of each pack, and how many tasks its lifecycle had: what a trace says of packing. */
const packsOf = (trace: string) =>
  [
    ...Map.groupBy(
      linesOf(trace).filter(({ kind }) => kind === "solve"),
      ({ pack }) => pack
    ).values()
  ].map((solves) => solves.map(({ task }) => task.map.join("")))
const simulate = async (name: string, file: string, ...args: ReadonlyArray<string>) => {
  const out = join(root, name)
  await json("simulate", "--tasks", file, "--policy", "scripted:random", ...args, "--out", out)
  return out
}

describe("the tasks of env tasks, read back", () => {
  it.each(environmentIds)(
    "give the digest of drawn ones: %s",
    async (id) => {
      const size = ["--pack-size", "2"]
      const file = await exported(`round-${id}`, id, ...size, "--packs", "2", "--seed", "9")
      const policy = ["--policy", "scripted:careful", "--seed", "9"]
      const drawn = await json("simulate", "--env", id, ...policy, ...size, "--lifecycles", "2")
      expect(await json("simulate", "--tasks", file, ...policy)).toMatchObject({
        environment: id,
        lifecycles: 2,
        digest: drawn.digest,
        outcomes: drawn.outcomes
      })
    },
    30_000
  )

  it("give the evaluation of drawn ones, and replay", async () => {
    const file = await exported("evaluated", "grid-navigation", "--packs", "5", "--pack-size", "3", "--seed", "4")
    const same = ["scripted:careful", "--seed", "4"]
    const drawn = await json("eval", ...same, "--env", "grid-navigation", "--packs", "5", "--pack-size", "3")
    expect(await json("eval", ...same, "--tasks", file)).toEqual(drawn)
    const trace = join(root, "grid.jsonl")
    await json("simulate", "--tasks", file, "--policy", "scripted:careful", "--shards", "2", "--out", trace)
    expect(await json("replay", trace)).toMatchObject({ lifecycles: 5, differences: [] })
    const again = await json("simulate", "--tasks", file, "--policy", "scripted:careful", "--resume", "--out", trace)
    expect(again.resumedAt).toBe(5)
  })

  it("may be of several environments, which eval tells apart", async () => {
    const files = [
      await exported("mixed-a", "frozen-lake", "--packs", "3", "--pack-size", "2"),
      await exported("mixed-b", "alchemy:hard", "--packs", "2", "--pack-size", "2")
    ]
    const file = written("mixed.jsonl", files.flatMap(linesOf))
    const list = await json("eval", "scripted:random", "--tasks", file)
    expect(
      list.map((one: { environment: string; packs: number; packSize: number }) => [
        one.environment,
        one.packs,
        one.packSize
      ])
    ).toEqual([
      ["frozen-lake", 3, 2],
      ["alchemy", 2, 2]
    ])
    expect(await runCommandLine("simulate", "--tasks", file, "--policy", "scripted:random")).toMatchObject({
      code: 2,
      stderr: `constellate: ${file}:7: "environment" is "alchemy", expected "frozen-lake" as before: a simulation has one environment\n`
    })
  })
})

describe("packing", () => {
  const maps = ["a", "b", "c", "d", "e", "f"].map((_, i) => {
    const map = ["SFFF", "FFFF", "FFFF", "FFFG"]
    return map.with(1, `${"F".repeat(i % 4)}H${"F".repeat(3 - (i % 4))}`).with(2, i < 4 ? "FFFF" : "HFFF")
  })
  const [a, b, c, d, e, f] = maps.map((map) => map.join(""))
  const six = maps.map((map) => ({ environment: "frozen-lake", task: { map } }))
  /** Of another task set: other options. */
  const two = maps.slice(0, 2).map((map) => ({ environment: "frozen-lake", options: { stepCap: 9 }, task: { map } }))

  it("fills the last pack of a task set from its beginning, and drops one that is too small", async () => {
    const file = written("padded.jsonl", [...six, ...two])
    expect(packsOf(await simulate("padded-trace.jsonl", file))).toEqual([
      [a, b, c, d],
      [e, f, a, b]
    ])
    expect(packsOf(await simulate("dropped-trace.jsonl", file, "--pad", "false"))).toEqual([[a, b, c, d]])
  })

  it("repeats the first task of a pack, or every task", async () => {
    const file = written("ralph.jsonl", [...six, ...two])
    const ralph = ["--strategy", "ralph-sample"]
    expect(packsOf(await simulate("sample-trace.jsonl", file, ...ralph))).toEqual([Array(4).fill(a), Array(4).fill(e)])
    const trace = await simulate("full-trace.jsonl", file, "--strategy", "ralph-full")
    expect(packsOf(trace)).toEqual([a, b, c, d, e, f, a, b].map((map) => Array(4).fill(map)))
    const plans = linesOf(trace).flatMap(({ plan }) => (plan === undefined ? [] : [plan]))
    expect(plans.map(({ environmentPositions: [first] }) => first)).toEqual([0, 1, 2, 3, 0, 1, 0, 1])
    expect(plans.map(({ options }) => options.stepCap)).toEqual([8, 8, 8, 8, 8, 8, 9, 9])
  })

  it("has stable seeds from the places of its tasks, whatever the base seed", async () => {
    const file = written("stable.jsonl", [...six, ...two])
    const seeds = async (seed: string, packSeeds: string) => {
      const trace = await simulate(`${packSeeds}-${seed}.jsonl`, file, "--seed", seed, "--pack-seeds", packSeeds)
      return [...new Set(linesOf(trace).map((line) => line.seed))]
    }
    // The specification's value for (0,0)(0,1)(0,2)(0,3).
    const stable = await seeds("1", "stable")
    expect(stable[0]).toBe("15069623396018555611")
    expect(await seeds("2", "stable")).toEqual(stable)
    expect(await seeds("2", "runtime")).not.toEqual(await seeds("1", "runtime"))
  })

  it("never mixes hidden knowledge", async () => {
    const file = await exported("knowing", "frozen-lake-obscure", "--packs", "2", "--pack-size", "4", "--seed", "2")
    const [first, ...rest] = linesOf(file)
    // Without numbers of packs, what is hidden tells them apart.
    const bare = [first, ...rest].map(({ environment, knowledge, task }) => ({ environment, knowledge, task }))
    const trace = await simulate(
      "bare.jsonl",
      written(
        "bare-tasks.jsonl",
        bare.toSorted(() => -1)
      ),
      "--pack-size",
      "3"
    )
    const mappings = linesOf(trace).flatMap(({ plan }) => (plan === undefined ? [] : [plan.given.length]))
    expect(mappings).toEqual([1, 1, 1, 1])
    const torn = written("torn.jsonl", [first, { ...rest[0], knowledge: rest[5].knowledge }])
    expect((await runCommandLine("eval", "scripted:random", "--tasks", torn)).stderr).toMatch(
      /torn\.jsonl:2: "knowledge" is .*, expected that of line 1, since both are of pack 0/
    )
  })
})

describe("a task file that cannot be used", () => {
  const good = { environment: "frozen-lake", task: { map: ["SF", "HG"] } }
  it.each([
    ["no JSON", [good, "{"], ':2: "file" is "', "expected a readable JSON document"],
    ["no object", [[1]], ':1: "environment" is missing, expected the id of an environment', ""],
    ["a stranger", [good, { ...good, environment: "lake" }], "", 'unknown environment "lake"'],
    ["no environment", [{ task: good.task }], ':1: "environment" is missing', "expected the id of an environment"],
    ["a wrong field", [good, good, { ...good, task: { map: ["SX", "HG"] } }], ':3: "task.map" is ', "expected"],
    ["a field too many", [{ ...good, tsk: 1 }], ":1: unknown key", '"tsk"'],
    ["memory", [{ ...good, memory: { a: 1 } }], ':1: "memory" is {"a":1}', "expected none, as it has no memory"],
    ["nothing", ["", " "], '--tasks is "', "expected a file with tasks; it has none"]
  ])("is refused with file, line and field: %s", async (name, lines, where, expected) => {
    const file = written(`bad ${name}.jsonl`, lines)
    const { code, stderr, stdout } = await runCommandLine("eval", "scripted:random", "--tasks", file)
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain(where.startsWith(":") ? `${file}${where}` : where)
    expect(stderr).toContain(expected)
    expect(stderr.trimEnd()).not.toContain("\n")
  })

  it.each([
    ['"packs" is 9, expected at most 2', ["eval", "scripted:random"], ["--packs", "9"]],
    ['"packSize" is 3, expected at most the tasks', ["eval", "scripted:random"], ["--pack-size", "3"]],
    [
      '"environment.stepCap" is 3, expected nothing beside',
      ["eval", "scripted:random"],
      ["--environment.stepCap", "3"]
    ],
    ['"lifecycles" is 9, expected at most 2', ["simulate", "--policy", "scripted:random"], ["--lifecycles", "9"]]
  ])("is refused where settings do not fit it: %s", async (message, command, more) => {
    const file = await exported(
      `fits-${Math.abs(message.length)}-${command.length}`,
      "frozen-lake",
      "--packs",
      "2",
      "--pack-size",
      "2"
    )
    const { code, stderr } = await runCommandLine(...command, "--tasks", file, ...more)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })

  it("is what --pad is for", async () => {
    const { code, stderr } = await runCommandLine("eval", "scripted:random", "--env", "frozen-lake", "--pad", "true")
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'constellate: "pad" is true, expected nothing without --tasks: drawn packs are full\n'
    })
  })
})
