/** Faults of a simulation: each is counted under its own name, its lifecycle ends there, and the others go on. */
import { Effect, type FileSystem, PlatformError } from "effect"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { runCommandLine, runOnDisk } from "../fixtures/command-line.ts"

const folder = mkdtempSync(join(tmpdir(), "constellate-faults-"))
afterAll(() => rmSync(folder, { recursive: true }))

const simulate = ["simulate", "--env", "./test/fixtures/guess.ts", "--policy", "scripted:careful"]

/** Twenty lifecycles, one of which meets the flaw: at its second task, which is its eighth call or later. */
const flawed = (flaw: string, ...args: ReadonlyArray<string>) => {
  const size = ["--lifecycles", "20", "--pack-size", "3", "--environment.doors", "30"]
  const where = ["--environment.flaw", flaw, "--environment.flawBehind", "19", "--environment.flawAt", "1"]
  return runCommandLine(...simulate, ...size, ...where, "--json", ...args)
}

const lines = (file: string): ReadonlyArray<Record<string, unknown>> =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))

/** All but the lifecycle that meets the flaw, without their times. */
const others = (file: string) => {
  const all = lines(file)
  const lost = "eval-0000-0000018/0"
  return all.flatMap(({ checksum: _sum, plan: _plan, timing: _timing, ...episode }) =>
    episode["lifecycle"] === lost ? [] : [episode]
  )
}

/** What they live where there is no flaw. */
const soundly = async () => {
  const file = join(folder, "sound.jsonl")
  if (!existsSync(file)) await flawed("none", "--out", file)
  return others(file)
}

const none = {
  hungEnvironment: 0,
  brokenEnvironment: 0,
  silentPolicy: 0,
  failedPolicy: 0,
  lostThread: 0,
  unreadableAnswers: 0,
  unreadableContexts: 0,
  emptyReplies: 0,
  cutReplies: 0
}

describe("a thread of a simulation", () => {
  it("that does not come back from an environment is ended and replaced, and the lifecycle is named", async () => {
    const file = join(folder, "hangs.jsonl")
    const limit = ["--lifecycle.environmentSeconds", "0.2"]
    const { code, stdout } = await flawed("hangs", "--isolation", "worker", ...limit, "--out", file)
    expect(code).toBe(0)
    const result = JSON.parse(stdout)
    expect(result).toMatchObject({ shards: 1, isolation: "worker", lost: 1, deterministic: false })
    expect(result.faults).toEqual({ ...none, hungEnvironment: 1 })
    expect(Object.values<number>(result.outcomes).reduce((sum, n) => sum + n, 0)).toBe(19 * 3 + 2)
    const lost = lines(file).filter(({ outcome }) => outcome === "timeout")
    expect(lost).toMatchObject([{ kind: "solve", index: 1, lostBy: "thread", steps: [] }])
    expect(lost[0]!.why).toBe("the environment did not come back in 2200 ms, and its thread was ended")

    expect(others(file)).toEqual(await soundly())
    const verified = await runCommandLine("runs", "verify", file)
    expect(verified.code).toBe(0)
  }, 60_000)

  it("that ends is replaced too, and what the other shard lives is not touched", async () => {
    const file = join(folder, "exits.jsonl")
    const { stdout } = await flawed("exits", "--shards", "2", "--out", file)
    expect(JSON.parse(stdout)).toMatchObject({
      shards: 2,
      isolation: "worker",
      lost: 1,
      deterministic: true,
      faults: { ...none, lostThread: 1 }
    })
    expect(lines(file).filter(({ outcome }) => outcome === "error")).toMatchObject([
      { kind: "solve", index: 1, lostBy: "thread", why: "the thread ended with code 7" }
    ])
    expect(others(file)).toEqual(await soundly())
  }, 60_000)

  it("that ends before anything was lived ends the simulation", async () => {
    const exits = ["simulate", "--env", "./test/fixtures/exits-in-a-thread.ts", "--policy", "scripted:careful"]
    const { code, stderr } = await runCommandLine(...exits, "--lifecycles", "3", "--isolation", "worker")
    expect(stderr).toBe("constellate: shard 1 of the simulation: the thread ended with code 9\n")
    expect(code).toBe(2)
  })
})

describe("a poison task", () => {
  it("is counted, and the others go on", async () => {
    const result = JSON.parse((await flawed("throws")).stdout)
    expect(result).toMatchObject({ lost: 1, deterministic: true, faults: { ...none, brokenEnvironment: 1 } })
    expect(result.isolation).toBe("inline")
    const { stdout } = await runCommandLine(...simulate, "--lifecycles", "5", "--environment.flaw", "throws")
    expect(stdout).toContain("outcomes: 5 error\n5 lifecycles lost to an environment that failed\n")
  })
})

describe("a full disk", () => {
  /** Takes so many bytes and no more. */
  const disk =
    (room: number) =>
    (files: FileSystem.FileSystem): FileSystem.FileSystem => ({
      ...files,
      open: (path, options) =>
        Effect.map(files.open(path, options), (file) =>
          Object.assign(Object.create(file) as FileSystem.File, {
            writeAll: (bytes: Uint8Array) => {
              room -= bytes.length
              if (room >= 0) return file.writeAll(bytes)
              const torn = bytes.subarray(0, Math.max(0, bytes.length + room))
              const full = PlatformError.systemError({
                _tag: "Unknown",
                module: "FileSystem",
                method: "writeAll",
                pathOrDescriptor: path,
                description: "ENOSPC: no space left on device, write"
              })
              return Effect.andThen(file.writeAll(torn), Effect.fail(full))
            }
          })
        )
    })

  it.each([["1"], ["2"]])(
    "ends the traces and not the simulation, in %s shards, and can be resumed",
    async (shards) => {
      const file = join(folder, `full-${shards}.jsonl`)
      const args = [...simulate, "--lifecycles", "300", "--out", file, "--json"]
      const whole = JSON.parse((await runCommandLine(...simulate, "--lifecycles", "300", "--json")).stdout)
      const { code, stderr, stdout } = await runOnDisk(disk(700_000), [...args, "--shards", shards])
      const { digest, outcomes, untraced } = JSON.parse(stdout)
      expect({ digest, outcomes }).toEqual({ digest: whole.digest, outcomes: whole.outcomes })
      expect(untraced.lifecycles).toBeGreaterThan(0)
      expect(untraced.lifecycles).toBeLessThanOrEqual(300)
      const why = `${file}: ENOSPC: no space left on device, write`
      expect(untraced.why).toBe(why)
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: `constellate: ${why}: ${untraced.lifecycles} lifecycles have no traces; --resume goes on behind the others\n`
      })
      const resumed = JSON.parse((await runCommandLine(...args, "--resume")).stdout)
      expect(resumed).toMatchObject({ digest, outcomes })
      expect(new Set(lines(file).map(({ lifecycle }) => lifecycle)).size).toBe(300)
    }
  )
})

describe("settings that cannot hold are refused at start", () => {
  it.each([
    ['"concurrency" is 0, expected a value greater than 0', "--concurrency", "0"],
    ['"shards" is 65, expected a value between 1 and 64', "--shards", "65"],
    ['"shards" is "two", expected a number', "--shards", "two"],
    ['"isolation" is "inline", expected "worker" where shards are 2', "--isolation", "inline", "--shards", "2"],
    ['"isolation" is "fiber", expected "inline" or "worker"', "--isolation", "fiber"]
  ])("%s", async (message, ...args) => {
    expect(await runCommandLine(...simulate, ...args)).toEqual({
      code: 2,
      stdout: "",
      stderr: `constellate: ${message}\n`
    })
  })

  it("a window larger than the memory, but not lifecycles without end", async () => {
    const many = ["--lifecycles", "900000000000"]
    const { code, stderr, stdout } = await runCommandLine(...simulate, ...many, "--concurrency", "900000000000")
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toMatch(
      /^constellate: "concurrency" is 900000000000, expected at most \d+: a lifecycle of 4 tasks takes 12 KiB or more, and [\d.]+ GiB of memory are free\n$/
    )
  })
})
