/**
 * What grows with lifecycles in flight, against its limits: a hundred thousand alive at once, and a million that pass
 * through a window of ten thousand. Takes about ten minutes; each simulation is a process of its own.
 */
import { spawnSync } from "node:child_process"

const simulate = (environment: string, ...args: ReadonlyArray<string>) => {
  const command = ["simulate", "--env", environment, "--policy", "scripted:random", "--json", ...args]
  const { stderr, stdout } = spawnSync(process.execPath, [`${import.meta.dirname}/../src/cli/main.ts`, ...command], {
    encoding: "utf8"
  })
  if (stdout === "") throw new Error(stderr)
  return JSON.parse(stdout) as {
    readonly cpuSeconds: number
    readonly peakRssBytes: number
    readonly digest: string
    readonly rssBytesByTenth: ReadonlyArray<number>
    readonly eventLoopLagMillis: { readonly p50: number; readonly p99: number; readonly max: number }
  }
}

const say = (what: string, value: number, wanted: number): void => {
  const holds = value <= wanted
  if (!holds) process.exitCode = 1
  console.log(`${what}: ${value.toPrecision(3)}, wanted at most ${wanted}${holds ? "" : " (MISSED)"}`)
}

const all = 100_000
const alive = ["--lifecycles", String(all), "--concurrency"]
const [few, many] = [1_000, all].map((concurrency) =>
  simulate("frozen-lake-obscure", ...alive, String(concurrency))
) as [ReturnType<typeof simulate>, ReturnType<typeof simulate>]
if (few.digest !== many.digest) throw new Error("digests differ")
say("GiB of peak memory, 100,000 alive", many.peakRssBytes / 2 ** 30, 1.8)
say("KiB for each lifecycle more in flight", (many.peakRssBytes - few.peakRssBytes) / (all - 1_000) / 1024, 16)
say("processor time with 100,000 in flight against 1,000", many.cpuSeconds / few.cpuSeconds, 1.2)
const { max, p50, p99 } = many.eventLoopLagMillis
console.log(`the event loop was late by ${p50} ms (median), ${p99} ms (99 of 100), ${max} ms (at most)`)

const window = ["--lifecycles", "1000000", "--concurrency", "10000", "--pack-size", "1"]
const passing = simulate("frozen-lake", ...window)
const tenths = passing.rssBytesByTenth
say("memory in the last tenth of a million lifecycles against the second", tenths[9]! / tenths[1]!, 1.05)
