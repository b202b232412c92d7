/** One digest, whoever lives the lifecycles: any window, any number of threads, any machine, and after any kill. */
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { stream } from "../../src/kernels/random.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

const folder = mkdtempSync(join(tmpdir(), "constellate-digest-"))
afterAll(() => rmSync(folder, { recursive: true }))

describe("the digest of a simulation", () => {
  const lakes = ["simulate", "--env", "frozen-lake-obscure", "--policy", "scripted:careful", "--pack-size", "4"]

  it("is the same in any window and any number of shards, and on any machine", async () => {
    const run = async (...args: ReadonlyArray<string>) =>
      JSON.parse((await runCommandLine(...lakes, "--lifecycles", "200", "--seed", "7", "--json", ...args)).stdout)
    const windows = ["1", "64", "200"].map((concurrency) => ["--concurrency", concurrency])
    for (const args of [...windows, ["--shards", "2"]]) {
      // Changes whenever a prompt, a reward, a stream or a scripted agent does; nothing else may change it.
      expect((await run(...args)).digest, args.join(" ")).toBe(
        "202826e019832d6bd7850641f364072fbed5592d9ccec4ae1b23ce3f1144da26"
      )
    }
  }, 60_000)
})

describe("a simulation that is killed", () => {
  const lifecycles = 1_200
  const args = ["simulate", "--env", "./test/fixtures/guess.ts", "--policy", "scripted:careful", "--json"]
  const file = join(folder, "killed.jsonl")

  /** Lives on until the file has so many bytes, and not a moment longer. */
  const killedAt = (bytes: number, ...more: ReadonlyArray<string>) =>
    new Promise<NodeJS.Signals | null>((resolve) => {
      const command = [...args, "--lifecycles", String(lifecycles), "--out", file, ...more]
      const child = spawn(process.execPath, ["src/cli/main.ts", ...command], { stdio: "ignore" })
      const look = setInterval(() => {
        if (existsSync(file) && statSync(file).size >= bytes) child.kill("SIGKILL")
      }, 1)
      child.once("exit", (_code, signal) => {
        clearInterval(look)
        resolve(signal)
      })
    })

  it("five times, in one thread and in two, and resumed, has each lifecycle once and the digest of one that was not", async () => {
    const whole = join(folder, "whole.jsonl")
    const many = ["--lifecycles", String(lifecycles)]
    const { digest, outcomes, steps } = JSON.parse((await runCommandLine(...args, ...many, "--out", whole)).stdout)
    const { size } = statSync(whole)
    const rng = stream("kill")
    const moments = Array.from({ length: 5 }, () => 0.9 * size * rng.uniform()).toSorted((a, b) => a - b)
    for (const [kill, bytes] of moments.entries()) {
      const resumed = kill === 0 ? [] : ["--resume"]
      const signal = await killedAt(bytes, "--shards", kill % 2 === 0 ? "1" : "2", ...resumed)
      expect(signal).toBe("SIGKILL")
      expect(statSync(file).size).toBeLessThan(size)
    }
    const resumed = JSON.parse((await runCommandLine(...args, ...many, "--out", file, "--resume")).stdout)
    expect(resumed).toMatchObject({ digest, outcomes, steps })
    expect(resumed.resumedAt).toBeGreaterThan(0)
    const episodes = readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { lifecycle: string; kind: string; index: number })
      .map(({ index, kind, lifecycle }) => `${lifecycle} ${kind} ${index}`)
    expect(new Set(episodes).size).toBe(lifecycles * 7)
    expect(episodes).toHaveLength(lifecycles * 7)
    expect((await runCommandLine("runs", "verify", file)).code).toBe(0)
  }, 120_000)
})
