import { spawn } from "node:child_process"
import { once } from "node:events"
import { text } from "node:stream/consumers"
import { describe, expect, it } from "vitest"
import { commandNames } from "../../src/cli/commands.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

const start = (script: string, ...args: ReadonlyArray<string>) =>
  spawn(process.execPath, [script, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" }
  })

const run = async (script: string, ...args: ReadonlyArray<string>) => {
  const child = start(script, ...args)
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")])
  return { stdout, stderr, code: code as number }
}

const constellate = (...args: ReadonlyArray<string>) => run("src/cli/main.ts", ...args)
const ending = (name: string) => run("test/fixtures/shell-endings.ts", name)

describe("constellate", () => {
  it("is a process that exits with 2 and one line when it is called wrongly", async () => {
    const stderr = 'constellate: unknown command "doctr", did you mean "doctor"?\n'
    expect(await constellate("doctr")).toEqual({ code: 2, stderr, stdout: "" })
  })

  it("--help names every command on stdout", async () => {
    const { code, stderr, stdout } = await constellate("--help")
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    for (const name of commandNames) expect(stdout).toMatch(new RegExp(`^  ${name} +\\S`, "m"))
  })

  it("--version is that of the package", async () => {
    const { version } = (await import("../../package.json", { with: { type: "json" } })).default
    expect(await runCommandLine("--version")).toEqual({ code: 0, stderr: "", stdout: `constellate ${version}\n` })
  })

  it.each([
    [["doctor", "--jsn"], 'constellate: unknown option "--jsn" of constellate doctor, did you mean "--json"?'],
    [["doctor", "--zzz"], 'constellate: unknown option "--zzz" of constellate doctor, see constellate doctor --help'],
    [
      ["doctor", "--training.lr", "3"],
      "constellate: constellate doctor takes no settings (--set a.b=value or --a.b value)"
    ],
    [["doctor", "now"], 'constellate: unexpected argument "now"'],
    [["runs", "show"], "constellate: argument run is missing"],
    [["runs", "show", "gone"], 'constellate: "run" is "gone", expected a run folder, or the name of one in ./runs'],
    [["runs", "show", "src"], "constellate: src: is not a run: it has no run.json"]
  ])("%j is wrong input: one line on stderr, exit code 2", async (args, line) => {
    expect(await runCommandLine(...args)).toEqual({ code: 2, stderr: `${line}\n`, stdout: "" })
  })

  it("without a command shows help on stderr, exit code 2", async () => {
    const { code, stderr, stdout } = await runCommandLine()
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain("USAGE")
  })
})

describe("a command ends", () => {
  it("well: its document alone on stdout, logs on stderr, 0", async () => {
    const { code, stderr, stdout } = await ending("done")
    expect({ code, stderr, document: JSON.parse(stdout) }).toEqual({
      code: 0,
      stderr: "warning: be careful\n",
      document: { fine: true }
    })
  })

  it("with something found: 1", async () => {
    expect(await ending("found")).toEqual({ code: 1, stderr: "constellate: two of three differ\n", stdout: "" })
  })

  it("with wrong input: 2", async () => {
    const stderr = 'constellate: recipe.yaml:3: "training.lr" is "fast", expected a number\n'
    expect(await ending("wrong")).toEqual({ code: 2, stderr, stdout: "" })
  })

  it("with a defect of ours: 3, with the cause and a hint", async () => {
    const { code, stderr, stdout } = await ending("defect")
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" })
    expect(stderr).toMatch(/please report it[^]*a promise of ours was broken[^]*shell-endings\.ts/)
  })

  it("on Ctrl-C, sent twice at once as npm does, after a clean stop: 130", async () => {
    const child = start("test/fixtures/shell-endings.ts", "working")
    child.stderr.once("data", () => {
      child.kill("SIGINT")
      child.kill("SIGINT")
    })
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, "exit")])
    expect(code).toBe(130)
    expect(stderr).toMatch(/training: update 1\/9.*\nstopping.*\ncleaned up\ninterrupted\n$/)
  })

  it("at a second Ctrl-C, however long the clean stop takes", async () => {
    const child = start("test/fixtures/shell-endings.ts", "stubborn")
    child.stderr.once("data", () => {
      child.kill("SIGINT")
      setTimeout(() => child.kill("SIGINT"), 1_300)
    })
    expect((await once(child, "exit"))[0]).toBe(130)
  })
})
