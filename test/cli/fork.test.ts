/** `simulate --fork`: the same state, other futures. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { readTraceLine, type TraceLine } from "../../src/actors/trace.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

const folder = mkdtempSync(join(tmpdir(), "constellate-fork-"))
afterAll(() => rmSync(folder, { recursive: true }))

const trace = join(folder, "traces.jsonl")
const id = "eval-0000-0000002/0"
const random = ["--env", "frozen-lake-obscure", "--policy", "scripted:random"]
const fork = (at: string, ...args: ReadonlyArray<string>) => runCommandLine("simulate", "--fork", at, ...args)

const linesIn = (file: string): ReadonlyArray<TraceLine> =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((text) => readTraceLine(text)!.line)

const bare = ({ lifecycle: _lifecycle, plan: _plan, timing: _timing, ...episode }: TraceLine) => episode

beforeAll(async () => {
  const made = await runCommandLine("simulate", ...random, "--lifecycles", "3", "--out", trace)
  expect(made.code, made.stderr).toBe(0)
})

describe("simulate --fork", () => {
  it("goes on from the recorded state in other ways, the same at any concurrency, other with another seed", async () => {
    const documents: Array<{ digest: string; steps: number }> = []
    for (const [name, ...args] of [["a"], ["b", "--concurrency", "1"], ["c", "--seed", "2"]]) {
      const out = join(folder, `${name}.jsonl`)
      const { code, stderr, stdout } = await fork(
        `${trace}:${id}:2`,
        "--branches",
        "5",
        "--out",
        out,
        "--json",
        ...args
      )
      expect(code, stderr).toBe(0)
      documents.push(JSON.parse(stdout))
    }
    const [a, b, c] = documents
    expect(a).toMatchObject({
      environment: "frozen-lake-obscure",
      policy: "scripted:random",
      fork: { lifecycle: id, position: 2 },
      lifecycles: 5,
      lost: 0,
      deterministic: true
    })
    expect(b!.digest).toBe(a!.digest)
    expect(c!.digest).not.toBe(a!.digest)

    const recorded = linesIn(trace).filter(({ lifecycle }) => lifecycle === id)
    const branches = [...Map.groupBy(linesIn(join(folder, "a.jsonl")), ({ lifecycle }) => lifecycle)]
    expect(branches.map(([name]) => name)).toEqual([1, 2, 3, 4, 5].map((branch) => `${id}~solve2.${branch}`))
    for (const [, lines] of branches) {
      expect(lines.slice(0, 4).map(bare)).toEqual(recorded.slice(0, 4).map(bare))
      expect(lines[4]!.contextBefore).toBe(recorded[4]!.contextBefore)
      expect(lines[4]!.steps[0]!.prompt).toBe(recorded[4]!.steps[0]!.prompt)
    }
    const futures = branches.map(([, lines]) => JSON.stringify(lines.slice(4).map(({ steps }) => steps)))
    expect(new Set(futures).size).toBeGreaterThan(1)
    // What is counted is what the branches have lived themselves.
    const own = branches.flatMap(([, lines]) => lines.slice(4).flatMap(({ steps }) => steps))
    expect(a!.steps).toBe(own.length)
  })

  it("leaves traces that replay, and that can be forked again", async () => {
    const out = join(folder, "again.jsonl")
    const forked = await fork(`${join(folder, "a.jsonl")}:${id}~solve2.3:3`, "--branches", "2", "--out", out)
    expect(forked.code, forked.stderr).toBe(0)
    expect(forked.stdout).toContain(`2 branches of ${id}~solve2.3 before task 3`)
    for (const [file, count] of [
      [join(folder, "a.jsonl"), 5],
      [out, 2]
    ] as const) {
      const { code, stderr, stdout } = await runCommandLine("replay", file, "--json")
      expect(code, stderr).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ lifecycles: count, altered: [], differences: [] })
    }
    expect(linesIn(out)[0]!.lifecycle).toBe(`${id}~solve2.3~solve3.1`)
    expect((await runCommandLine("runs", "verify", out)).code).toBe(0)
  })

  it("takes another policy for the future", async () => {
    const out = join(folder, "oracle.jsonl")
    const { code, stderr, stdout } = await fork(
      `${trace}:${id}:1`,
      "--policy",
      "scripted:oracle",
      "--out",
      out,
      "--json"
    )
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ lifecycles: 1, policy: "scripted:oracle", outcomes: { success: 3 } })
    expect(linesIn(out)[0]!.plan).toMatchObject({ policy: "scripted:oracle", forks: [{ kind: "solve", position: 1 }] })
  })

  it("refuses what cannot be forked with one clear line", async () => {
    const altered = join(folder, "altered.jsonl")
    writeFileSync(altered, readFileSync(trace, "utf8").replace(/"reply":"([^"]*)"/, `"reply":"$1!"`))
    const torn = join(folder, "torn.jsonl")
    writeFileSync(torn, readFileSync(trace, "utf8"))
    appendFileSync(torn, "{}\n")
    const empty = join(folder, "empty.jsonl")
    writeFileSync(empty, "")
    const cases: ReadonlyArray<readonly [at: string, said: string, ...args: ReadonlyArray<string>]> = [
      [`${trace}:${id}:4`, "a position that eval-0000-0000002/0 has reached, 0 to 3"],
      [`${trace}:eval-0000-0000007/0:1`, `such as eval-0000-0000000/0`],
      [`${join(folder, "nowhere.jsonl")}:${id}:1`, "expected a trace file"],
      [`${trace}:${id}`, "TRACE:LIFECYCLE:POSITION"],
      [`${trace}:${id}:-1`, "TRACE:LIFECYCLE:POSITION"],
      [`${trace}:${id}:1.5`, "TRACE:LIFECYCLE:POSITION"],
      [`${empty}:${id}:1`, "a trace that is not empty"],
      [`${torn}:${id}:1`, "torn.jsonl:22"],
      [`${altered}:eval-0000-0000000/0:1`, "altered.jsonl:1"],
      [`${trace}:${id}:1`, `"lifecycles" is 4`, "--lifecycles", "4"],
      [`${trace}:${id}:1`, `"packSize" is 4`, "--pack-size", "4"],
      [`${trace}:${id}:1`, `"environment.size" is 5`, "--set", "environment.size=5"],
      [`${trace}:${id}:1`, "--env", "--env", "alchemy"],
      [`${trace}:${id}:1`, "--resume", "--resume", "--out", join(folder, "new.jsonl")],
      [`${trace}:${id}:1`, "--branches is 0", "--branches", "0"],
      [`${trace}:${id}:1`, "exists already", "--out", trace]
    ]
    for (const [at, said, ...args] of cases) {
      const { code, stderr, stdout } = await fork(at, ...args)
      expect(code, `${at} ${args.join(" ")}: ${stderr}`).toBe(2)
      expect(stderr).toContain(said)
      expect(stderr.trim().split("\n")).toHaveLength(1)
      expect(stdout).toBe("")
    }
    const lonely = await runCommandLine("simulate", ...random, "--branches", "2")
    expect([lonely.code, lonely.stderr]).toEqual([2, expect.stringContaining("--branches is 2, expected nothing")])
  })

  it("refuses a trace whose environment is not the one that is there", async () => {
    // The same lifecycle as if it had been recorded with another reward: every line with a checksum of its own.
    const { checkedLine } = await import("../../src/actors/checked-lines.ts")
    const other = join(folder, "other.jsonl")
    const lines = linesIn(trace).map((line) =>
      line.lifecycle === id && line.index === 1 ? { ...line, reward: line.reward + 1 } : line
    )
    writeFileSync(other, lines.map((line) => checkedLine(JSON.stringify(line))).join(""))
    const { code, stderr } = await fork(`${other}:${id}:3`)
    expect(code).toBe(2)
    expect(stderr).toContain(`${id}, solve 1, reward`)
    expect(stderr).toContain("differs from that of the trace")
  })
})
