/** The Ralph strategies, from the command line to the trace: one task over and over, in every environment. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, it } from "vitest"
import { environmentIds } from "../../src/cli/environments.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

const folder = mkdtempSync(join(tmpdir(), "constellate-ralph-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const tasksOf = async (env: string, strategy: string): Promise<ReadonlyArray<ReadonlyArray<string>>> => {
  const out = join(folder, `${env}-${strategy}.jsonl`)
  const few = ["--lifecycles", "2", "--pack-size", "2", "--strategy", strategy, "--out", out]
  const { code, stdout } = await runCommandLine(
    "simulate",
    "--env",
    env,
    "--policy",
    "scripted:careful",
    ...few,
    "--json"
  )
  expect([code, JSON.parse(stdout).lost]).toEqual([0, 0])
  const lines = readFileSync(out, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
  const solves = lines.filter(({ kind }) => kind === "solve")
  return [...Map.groupBy(solves, ({ lifecycle }) => lifecycle).values()].map((own) =>
    own.map(({ task }) => JSON.stringify(task))
  )
}

it.each(environmentIds)("%s gives the same task at every position, and another one in the next pack", async (env) => {
  for (const strategy of ["ralph-sample", "ralph-full"]) {
    const packs = await tasksOf(env, strategy)
    expect(packs.map((tasks) => [tasks.length, new Set(tasks).size])).toEqual([
      [2, 1],
      [2, 1]
    ])
  }
})

it("attempts at one task get better with what the last one taught", async () => {
  const args = ["--env", "alchemy", "--packs", "60", "--pack-size", "3", "--strategy", "ralph-sample", "--json"]
  const { stdout } = await runCommandLine("eval", "scripted:careful", ...args)
  const { positions, strategy } = JSON.parse(stdout)
  expect(strategy).toBe("ralph-sample")
  expect(positions[2].reward.mean).toBeGreaterThan(positions[0].reward.mean)
})
