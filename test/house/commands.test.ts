/** What the pages tell a reader to type: every option exists, every training resolves, and what needs nothing runs. */
import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "../..")
const pages = execFileSync("git", ["ls-files", "README.md", "docs/*.md"], { cwd: root, encoding: "utf8" })
  .trim()
  .split("\n")

/** The words of a line of shell, with quotes and without the comment; lines that go on are one. */
const words = (line: string): ReadonlyArray<string> =>
  Array.from(line.replace(/\s#\s.*$/, "").matchAll(/"([^"]*)"|[^\s"]+/g), ([word, quoted]) => quoted ?? word)

const documented = pages.flatMap((page) =>
  Array.from(readFileSync(join(root, page), "utf8").matchAll(/^```(?:sh|text)\n([\s\S]*?)^```$/gm))
    .flatMap(([, block]) => block!.replaceAll(/\\\n\s*/g, "").split("\n"))
    .filter((line) => /^(?:\w+=\S+ )?npx constellate /.test(line))
    .map((line) => ({ page, line, args: words(line.slice(line.indexOf("constellate ") + 12)) }))
)

const folder = mkdtempSync(join(tmpdir(), "constellate-pages-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
for (const name of ["bench", "docs", "test"]) symlinkSync(join(root, name), join(folder, name))

const run = (args: ReadonlyArray<string>) =>
  new Promise<{ readonly code: number; readonly text: string }>((resolve) => {
    execFile(process.execPath, [join(root, "src/cli/main.ts"), ...args], { cwd: folder }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : 1, text: stdout + stderr })
    )
  })

/** `eval`, or `env check`: commands of which each has options of its own. */
const commandOf = (args: ReadonlyArray<string>): string =>
  args.slice(0, ["env", "credit", "runs"].includes(args[0]!) ? 2 : 1).join(" ")

/** A command that neither writes for others nor waits for a server, a model or what an earlier one has made. */
const alone = [
  /^env (?:list|show)/,
  /^env tasks .*--packs 2 /,
  /^doctor/,
  /^credit score/,
  /^eval scripted:\w+ --env frozen-lake --packs 2$/,
  /^simulate .*--lifecycles 200 --concurrency 1$/
]

describe.concurrent("commands of the pages", { timeout: 120_000 }, () => {
  it("are many, on most pages", () => {
    expect(documented.length).toBeGreaterThan(80)
    expect(new Set(documented.map(({ page }) => page)).size).toBeGreaterThan(12)
  })

  it.each(
    [...Map.groupBy(documented, ({ args }) => commandOf(args)).entries()].filter(([name]) => !name.startsWith("--"))
  )("%s has every option that they name", async (name, lines) => {
    const { code, text } = await run([...name.split(" "), "--help"])
    expect(code, text).toBe(0)
    for (const { args, line, page } of lines) {
      for (const option of args.filter((word) => /^--[a-z-]+$/.test(word))) {
        expect(text, `${page}: ${line}`).toMatch(new RegExp(`${option}\\b`))
      }
    }
  })

  const trainings = documented.filter(
    ({ args }) => args[0] === "train" && !/--resume|--policy|my-lake/.test(args.join(" "))
  )
  it.each(trainings)("$line resolves", async ({ args }) => {
    const { code, text } = await run([...args.filter((word) => word !== "--dry-run"), "--dry-run"])
    expect(code, text).toBe(0)
  })

  const short = new Map(documented.map(({ args }) => [args.join(" "), args]))
  it.each([...short].filter(([line]) => alone.some((pattern) => pattern.test(line))))(
    "constellate %s runs",
    async (_, args) => {
      const { code, text } = await run(args)
      expect(code, text).toBe(0)
    }
  )
})
