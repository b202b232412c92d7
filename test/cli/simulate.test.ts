import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { runCommandLine } from "../fixtures/command-line.ts"

const folder = mkdtempSync(join(tmpdir(), "constellate-simulate-"))
afterAll(() => rmSync(folder, { recursive: true }))

const doors = ["--env", "./test/fixtures/guess.ts"]
const simulate = (...args: ReadonlyArray<string>) =>
  runCommandLine(
    "simulate",
    ...doors,
    "--policy",
    "scripted:careful",
    ...(args.includes("--lifecycles") ? [] : ["--lifecycles", "12"]),
    ...args
  )

describe("simulate", () => {
  it("prints a digest that does not depend on concurrency", async () => {
    const results: Array<Record<string, unknown>> = []
    for (const concurrency of ["1", "8", "64"]) {
      const { code, stdout } = await simulate("--concurrency", concurrency, "--json")
      expect(code).toBe(0)
      results.push(JSON.parse(stdout))
    }
    expect(results[0]).toMatchObject({
      environment: "guess",
      policy: "scripted:careful",
      lifecycles: 12,
      concurrency: 1,
      shards: 1,
      seed: 1,
      tokens: 0,
      lost: 0,
      deterministic: true
    })
    for (const key of ["seconds", "lifecyclesPerSecond", "stepsPerSecond", "tokensPerSecond", "peakRssBytes"]) {
      expect(results[0]![key]).toEqual(expect.any(Number))
    }
    for (const key of ["digest", "steps", "outcomes"]) {
      expect(results.map((result) => result[key])).toEqual(results.map(() => results[0]![key]))
    }
    const other = JSON.parse((await simulate("--seed", "2", "--json")).stdout)
    expect(other.digest).not.toBe(results[0]!.digest)
  })

  it("leaves traces that replay to the letter, and in which an altered reply is found and named", async () => {
    const file = join(folder, "traces.jsonl")
    expect((await simulate("--out", file)).code).toBe(0)
    const text = readFileSync(file, "utf8")
    expect(text.trimEnd().split("\n")).toHaveLength(12 * 7)

    const replay = (...args: ReadonlyArray<string>) => runCommandLine("replay", file, ...doors, ...args)
    expect(await replay("--json")).toMatchObject({ code: 0, stdout: expect.stringContaining('"lifecycles": 12') })

    const [line, lifecycle] = [text.split("\n")[9]!, "eval-0000-0000001/0"]
    const reply = (/"reply":"<answer>(\d)<\/answer>"/.exec(line) ?? [])[1]!
    const altered = line.replace(`"reply":"<answer>${reply}<`, `"reply":"<answer>${(Number(reply) + 1) % 4}<`)
    writeFileSync(file, text.replace(line, altered))
    const found = await replay()
    expect(found.code).toBe(1)
    expect(found.stdout).toContain(`${file}:10 was altered: ${lifecycle}, solve 1`)
    expect(found.stdout).toMatch(
      new RegExp(`^${lifecycle}, solve 1, step 0, feedback: recorded "\\w+", replayed "\\w+"$`, "m")
    )
    expect(found.stderr).toBe("constellate: 1 of 12 lifecycles differ, 1 lines were altered\n")
    expect((await replay("--lifecycle", "eval-0000-0000002/0")).code).toBe(0)

    appendFileSync(file, '{"half')
    expect(await replay()).toEqual({
      code: 2,
      stdout: "",
      stderr: `constellate: ${file}:85: "line" is "{\\"half", expected an episode with its checksum\n`
    })
  })

  it("gives the same digest and traces in one thread and in several", async () => {
    const [one, three] = [join(folder, "one.jsonl"), join(folder, "three.jsonl")]
    const run = async (file: string, ...args: ReadonlyArray<string>) =>
      JSON.parse((await simulate("--lifecycles", "40", "--out", file, "--json", ...args)).stdout)
    const [alone, shared] = [await run(one), await run(three, "--shards", "3")]
    expect(shared).toMatchObject({ shards: 3, digest: alone.digest, steps: alone.steps, outcomes: alone.outcomes })
    const untimed = (file: string) => readFileSync(file, "utf8").replaceAll(/"timing":\{[^}]*\}|"checksum":"\w+"/g, "")
    expect(untimed(three)).toBe(untimed(one))
  })

  it("goes on behind what a kill at any byte has left, to the digest of the uninterrupted one", async () => {
    const [whole, cut] = [join(folder, "whole.jsonl"), join(folder, "cut.jsonl")]
    const { digest, outcomes, steps } = JSON.parse((await simulate("--out", whole, "--json")).stdout)
    const bytes = readFileSync(whole)
    for (const share of [0, 0.01, 0.33, 0.5, 0.87, 1]) {
      writeFileSync(cut, bytes.subarray(0, Math.floor(share * bytes.length)))
      const resumed = await simulate("--out", cut, "--resume", "--json")
      expect(JSON.parse(resumed.stdout)).toMatchObject({ digest, outcomes, steps })
      const lines = readFileSync(cut, "utf8").trimEnd().split("\n")
      const episodes = lines
        .map((line) => JSON.parse(line))
        .map(({ index, kind, lifecycle }) => [lifecycle, kind, index])
      expect(new Set(episodes.map(String)).size).toBe(12 * 7)
      expect(episodes).toHaveLength(12 * 7)
    }
  })

  it("goes on in a next part when one is full, each a trace of whole lifecycles, and resumes from any of them", async () => {
    const [whole, parts] = [join(folder, "single.jsonl"), join(folder, "parts.jsonl")]
    const { digest } = JSON.parse((await simulate("--out", whole, "--json")).stdout)
    const rotate = ["--rotate-mb", "0.03"]
    const rotated = JSON.parse((await simulate("--out", parts, "--json", ...rotate)).stdout)
    expect(rotated.digest).toBe(digest)
    const names = () => [parts, ...[1, 2, 3, 4, 5, 6, 7, 8].map((n) => parts.replace(".jsonl", `.000${n}.jsonl`))]
    const existing = names().filter((name) => existsSync(name))
    expect(existing.length).toBeGreaterThan(3)
    const untimed = (text: string) => text.replaceAll(/"timing":\{[^}]*\}|"checksum":"\w+"/g, "")
    const textOf = (name: string) => untimed(readFileSync(name, "utf8"))
    expect(existing.map(textOf).join("")).toBe(textOf(whole))
    for (const name of existing) {
      expect((await runCommandLine("replay", name, ...doors, "--json")).code).toBe(0)
      if (name !== existing.at(-1)) expect(statSync(name).size).toBeGreaterThanOrEqual(30_000)
    }
    expect((await runCommandLine("replay", parts, ...doors)).stdout).toContain("12 lifecycles replayed")
    expect((await runCommandLine("runs", "verify", parts)).stdout).toContain("84 lines of traces")

    // A kill in the middle of the third part.
    const third = readFileSync(existing[2]!)
    for (const name of existing.slice(3)) rmSync(name)
    writeFileSync(existing[2]!, third.subarray(0, Math.floor(third.length / 2)))
    const resumed = JSON.parse((await simulate("--out", parts, "--resume", "--json", ...rotate)).stdout)
    expect(resumed.digest).toBe(digest)
    expect(existing.map(textOf).join("")).toBe(textOf(whole))

    // A new trace does not write over parts of an old one.
    rmSync(parts)
    expect(await simulate("--out", parts)).toMatchObject({ code: 2, stderr: expect.stringContaining("exists already") })
    const damaged = readFileSync(existing[1]!, "utf8").replace("door", "gate")
    writeFileSync(existing[1]!, damaged)
    expect((await runCommandLine("runs", "verify", existing[1]!)).stdout).toMatch(/parts\.0001\.jsonl:\d+: was altered/)
  })

  it("resumes nothing that is not the beginning of this very simulation", async () => {
    const file = join(folder, "other.jsonl")
    await simulate("--out", file)
    const refused = async (...args: ReadonlyArray<string>) =>
      (await simulate("--out", file, "--resume", ...args)).stderr
    expect(await refused("--seed", "2")).toBe(`constellate: ${file}: line 1 belongs to another simulation\n`)
    expect(await refused("--lifecycles", "5")).toBe(`constellate: ${file}: holds more than 5 lifecycles\n`)
    const lines = readFileSync(file, "utf8").split("\n")
    writeFileSync(file, [...lines.slice(0, 9), lines[9]!.replace("door", "gate"), ...lines.slice(10)].join("\n"))
    expect(await refused()).toBe(`constellate: ${file}: line 10 was altered\n`)
    expect((await simulate("--resume")).stderr).toBe(`constellate: --out is missing, expected the file to resume\n`)
  })

  it("leaves traces in which torn and altered lines are found", async () => {
    const file = join(folder, "checked.jsonl")
    await simulate("--out", file)
    const verify = () => runCommandLine("runs", "verify", file)
    expect(await verify()).toMatchObject({
      code: 0,
      stdout: `0 checkpoints, 84 lines of traces and 0 of journals checked, 0 damaged\n`
    })
    const lines = readFileSync(file, "utf8").split("\n")
    const damaged = [...lines.slice(0, 6), lines[6]!.replace("door", "gate"), "{}", ...lines.slice(8, 84)].join("\n")
    writeFileSync(file, damaged.slice(0, -20))
    expect(await verify()).toEqual({
      code: 1,
      stdout: [
        `${file}:7: was altered`,
        `${file}:8: is not an episode with its checksum`,
        `${file}:84: is torn: it has no end`,
        `0 checkpoints, 84 lines of traces and 0 of journals checked, 3 damaged`,
        ""
      ].join("\n"),
      stderr: `constellate: 3 damaged in ${file}\n`
    })
    const without = async (from: number, to: number) => {
      writeFileSync(file, lines.toSpliced(from, to - from).join("\n"))
      return (await verify()).stdout.split("\n")[0]
    }
    expect(await without(9, 10)).toBe(`${file}:10: does not follow the line before it: lines are missing`)
    expect(await without(12, 14)).toContain(`${file}:13: begins a lifecycle, but the end of eval-0000-0000001/0`)
    expect(await without(14, 28)).toBe(`${file}:15: begins a lifecycle, but 2 before it are missing`)
    expect(await without(82, 84)).toBe(`${file}: ends within lifecycle eval-0000-0000011/0`)
  })

  it("does not write over a file", async () => {
    const file = join(folder, "taken.jsonl")
    writeFileSync(file, "mine")
    expect(await simulate("--out", file)).toEqual({
      code: 2,
      stdout: "",
      stderr: `constellate: ${file}: exists already\n`
    })
    expect(readFileSync(file, "utf8")).toBe("mine")
  })

  it.each([
    ['"lifecycles" is 0, expected a value greater than 0', "--lifecycles", "0"],
    ['"concurrency" is 0, expected a value greater than 0', "--concurrency", "0"],
    ['"shards" is 0, expected a value between 1 and 64', "--shards", "0"],
    ['--env is ["./test/fixtures/guess.ts","frozen-lake"], expected one environment', "--env", "frozen-lake"]
  ])("refuses: %s", async (message, ...args) => {
    expect(await simulate(...args)).toEqual({ code: 2, stdout: "", stderr: `constellate: ${message}\n` })
  })
})
