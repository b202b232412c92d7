/** The questions of `docs/traces.md`, put to traces and to the Parquet that is made of them. */
import { DuckDBInstance } from "@duckdb/node-api"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { runCommandLine } from "./fixtures/command-line.ts"

const questions = Array.from(readFileSync("docs/traces.md", "utf8").matchAll(/^duckdb -c "(.*)"$/gm), ([, sql]) => sql!)
const root = mkdtempSync(join(tmpdir(), "constellate-questions-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const trace = join(root, "t.jsonl")
beforeAll(async () => {
  // Two environments in one folder: a glob reads both, and the parts of the first.
  const simulate = (env: string, out: string, ...more: ReadonlyArray<string>) =>
    runCommandLine("simulate", "--env", env, "--policy", "scripted:random", "--lifecycles", "40", "--out", out, ...more)
  expect((await simulate("frozen-lake-obscure", trace, "--rotate-mb", "0.5")).code).toBe(0)
  expect((await simulate("alchemy", join(root, "u.jsonl"))).code).toBe(0)
  for (const name of ["t", "u"]) {
    const out = join(root, `${name}.parquet`)
    const exported = await runCommandLine(
      "runs",
      "export",
      join(root, `${name}.jsonl`),
      "--format",
      "parquet",
      "--out",
      out
    )
    expect(exported.code, exported.stderr).toBe(0)
  }
})

const ask = async (sql: string, files: string): Promise<ReadonlyArray<Record<string, any>>> => {
  const connection = await (await DuckDBInstance.create(":memory:", { threads: "1" })).connect()
  try {
    const from = `'${join(root, files)}'`
    const rows = (await connection.runAndReadAll(sql.replace("'traces.jsonl'", from))).getRowObjectsJS()
    // Whole numbers are wider in lines than in Parquet.
    const plain = (value: unknown) => (typeof value === "bigint" ? Number(value) : value)
    return rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, plain(value)])))
  } finally {
    connection.closeSync()
  }
}

it("are three, and have the same answers from lines and from Parquet", async () => {
  expect(questions).toHaveLength(3)
  for (const sql of questions) {
    const [lines, parquet] = [await ask(sql, "*.jsonl"), await ask(sql, "*.parquet")]
    expect(parquet, sql).toEqual(lines)
  }
})

it("have the answers that counting by hand has", async () => {
  const [success, longest, malformed] = questions
  const episodes = readdirSync(root)
    .filter((name) => /^t.*\.jsonl$/.test(name))
    .flatMap((name) =>
      readFileSync(join(root, name), "utf8")
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
    )
  const solves = episodes.filter(({ index, kind }) => kind === "solve" && index === 2)
  const rows = await ask(success!, "t*.jsonl")
  expect(rows).toHaveLength(4)
  expect(rows[2]).toMatchObject({ environment: "frozen-lake-obscure", position: 2, episodes: 40 })
  expect(rows[2]!["success"]).toBeCloseTo(solves.filter(({ success }) => success).length / 40)
  expect(new Set((await ask(success!, "*.parquet")).map(({ environment }) => environment)).size).toBe(2)
  const lifecycles = Map.groupBy(episodes, ({ lifecycle }) => lifecycle)
  const steps = [...lifecycles.values()].map((own) => own.reduce((sum, episode) => sum + episode.steps.length, 0))
  expect((await ask(longest!, "t*.jsonl"))[0]!["steps"]).toBe(Math.max(...steps))
  const unread = episodes.filter(({ outcome }) => outcome === "malformed").length
  expect((await ask(malformed!, "t*.jsonl")).length).toBe(Math.min(20, unread))
})
