/**
 * Training from the command line, small enough for a test. Decisions that are pinned here:
 * 1. concurrency and the number of model workers change no byte of metrics and checkpoints;
 * 2. a run killed at any moment and resumed ends with the bytes of one that was never interrupted.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { args, bytesOf, linesOf, main, root, run } from "./small-training.ts"

describe.concurrent("train", { timeout: 240_000 }, () => {
  const whole = (async () => {
    const folder = join(root, "whole")
    const ended = await run([...args(folder), "--json"])
    return { folder, ended }
  })()

  it("ends with evaluations, a picture and a page", async () => {
    const { ended, folder } = await whole
    expect(ended.code, ended.stderr).toBe(0)
    const document = JSON.parse(ended.stdout)
    expect(document).toMatchObject({ run: folder, updates: 5, before: { packs: 4 }, after: { packs: 4 } })
    expect(readFileSync(join(folder, "curve.svg"), "utf8")).toMatch(/^<svg/)
    expect(existsSync(join(folder, "report.html"))).toBe(true)
    const metrics = readFileSync(join(folder, "metrics.jsonl"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    expect(metrics.map(({ update }) => update)).toEqual([1, 2, 3, 4, 5])
    for (const line of metrics) {
      expect(line.logprobGap).toBeLessThan(1e-4)
      expect(line.staleness).toBe(0)
    }
    expect(metrics.filter(({ gradNorm }) => gradNorm > 0).length).toBeGreaterThan(2)
  })

  it.each([
    { concurrency: 1, shards: 1 },
    { concurrency: 8, shards: 2 },
    { concurrency: 64, shards: 1 }
  ])("gives the same bytes at concurrency $concurrency with $shards workers", async (options) => {
    const folder = join(root, `c${options.concurrency}`)
    const ended = await run(args(folder, options))
    expect(ended.code, ended.stderr).toBe(0)
    expect(bytesOf(folder)).toEqual(bytesOf((await whole).folder))
  })

  it.each([
    ["in the warm start", (folder: string) => linesOf(join(folder, "warm-start.jsonl")) >= 60],
    ["right after the warm start", (folder: string) => existsSync(join(folder, "checkpoints", "0"))],
    ["in an update", (folder: string) => linesOf(join(folder, "journal", "3.jsonl")) >= 2]
  ])("resumes to the same bytes when killed %s", async (when, reached) => {
    const folder = join(root, when)
    const killed = await run(args(folder), () => reached(folder))
    expect(killed.code).toBe(null)
    const resumed = await run([main, "train", "--resume", "--run", folder])
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(bytesOf(folder)).toEqual(bytesOf((await whole).folder))
  })

  it("stops cleanly on Ctrl-C, says how to go on, and goes on from where it was", async () => {
    const folder = join(root, "stopped")
    const reached = () => linesOf(join(folder, "metrics.jsonl")) >= 3
    const stopped = await run(args(folder), reached, "SIGINT")
    expect(stopped.code, stopped.stderr).toBe(130)
    expect(stopped.stderr).toContain(`constellate train --resume --run ${folder}`)
    const kept = readdirSync(join(folder, "checkpoints")).map(Number)
    expect(Math.max(...kept)).toBe(linesOf(join(folder, "metrics.jsonl")))
    const resumed = await run([main, "train", "--resume", "--run", folder])
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(bytesOf(folder)).toEqual(bytesOf((await whole).folder))
  })

  it("leaves a policy that eval takes by its run folder", async () => {
    const { folder } = await whole
    const words = (context: string) => [
      main,
      "eval",
      folder,
      "--env",
      "frozen-lake-obscure",
      "--packs",
      "6",
      "--pack-size",
      "2",
      "--context",
      context,
      "--json"
    ]
    const [own, none] = await Promise.all([run(words("own")), run(words("none"))])
    expect(own!.code, own!.stderr).toBe(0)
    const [with_, without] = [JSON.parse(own!.stdout), JSON.parse(none!.stdout)]
    expect(with_).toMatchObject({ environment: "frozen-lake-obscure", policy: folder, packs: 6, packSize: 2 })
    expect(without.positions[0]).toEqual(with_.positions[0])
  })

  it("refuses what cannot be", async () => {
    const refused = await Promise.all([
      run([main, "train", "--set", "optimizer.lerningRate=1"]),
      run([main, "train", "--env", "frozen-lke"]),
      run([main, "train", "--set", "credit.options.windw=3"]),
      run([main, "train", "--resume", "--run", join(root, "nowhere")]),
      run([main, "train", "--policy", join(root, "nowhere")]),
      run([main, "train", "--set", "loss.clipMode=onesided"]),
      run([main, "train", "--set", "model.keyValueHeads=3"])
    ])
    expect(refused.map(({ code }) => code)).toEqual([2, 2, 2, 2, 2, 2, 2])
    const [key, env, option, resume, policy, loss, model] = refused.map(({ stderr }) => stderr.trim())
    expect(key).toContain(`did you mean "optimizer.learningRate"?`)
    expect(env).toContain(`did you mean "frozen-lake"`)
    expect(option).toContain("credit.options.windw")
    expect(resume).toContain("nowhere")
    expect(policy).toContain("nowhere")
    expect(loss).toContain(`"loss.clipMode" is "onesided"`)
    expect(model).toContain(`"model.keyValueHeads" is 3`)
    for (const { stderr, stdout } of refused) {
      expect(stdout).toBe("")
      expect(stderr.trim().split("\n")).toHaveLength(1)
    }
  })
})
