/** Whatever the README, the docs and the help texts tell a reader to type is a command that exists and takes it. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import { existsSync, globSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { describe, expect, it } from "vitest"
import { commandNames, loadCommand } from "../src/cli/commands.ts"
import { shortenLongForms } from "../src/cli/config.ts"
import { outcome } from "../src/cli/failure.ts"
import { runCommandLine } from "./fixtures/command-line.ts"

type AnyCommand = Command.Command<any, any, any, unknown, NodeServices.NodeServices>

const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { readonly scripts: Record<string, string> }
const pages = ["README.md", ...globSync("docs/**/*.md")]

/** The lines of a page's shell blocks, prompts and comments left out. */
const commandsIn = (markdown: string): ReadonlyArray<string> =>
  Array.from(markdown.matchAll(/^```(?:sh|bash|console)\n(.*?)^```/gms), ([, block]) => block!)
    .flatMap((block) => block.replaceAll(/\\\n\s*/g, "").split("\n"))
    .flatMap((line) =>
      line
        .replace(/^\$ /, "")
        .replace(/\s+#.*$/, "")
        .split(" && ")
    )
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))

/** Splits as a shell does, as far as these pages need. */
const words = (line: string): ReadonlyArray<string> =>
  Array.from(line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g), ([, single, double, plain]) => single ?? double ?? plain!)

/** The command that the first words name, and the words that are left for it. */
const leafOf = async (args: ReadonlyArray<string>): Promise<readonly [AnyCommand, ReadonlyArray<string>]> => {
  const [name, ...rest] = args
  if (!commandNames.includes(name!)) throw new Error(`there is no command ${JSON.stringify(name)}`)
  let command = await Effect.runPromise(loadCommand(name!))
  while (command.subcommands.length > 0) {
    const next = command.subcommands.flatMap(({ commands }) => commands).find(({ name }) => name === rest[0])
    if (next === undefined) break
    command = next as AnyCommand
    rest.shift()
  }
  return [command, rest]
}

/** Why a command line would be refused; undefined where it would be taken. Nothing is done but what `--dry-run` does. */
const refusal = async (args: ReadonlyArray<string>): Promise<string | undefined> => {
  if (args[0] === "--help" || args[0] === "--version") return undefined
  const [leaf, rest] = await leafOf(args)
  // What is resumed is not there to be looked at.
  if (!args.includes("--resume") && (await runCommandLine(...args, "--help")).stdout.includes("--dry-run")) {
    const dry = args.includes("--dry-run") ? args : [...args, "--dry-run"]
    const { code, stderr } = await runCommandLine(...dry)
    return code === 0 ? undefined : stderr
  }
  const parsed = await Command.runWith(
    Command.withHandler(leaf, () => Effect.void),
    { version: "" }
  )(shortenLongForms(rest)).pipe(
    Effect.provide(NodeServices.layer),
    Effect.provideService(CliConfig.CliConfig, { builtIns: [] }),
    Effect.provideService(CliOutput.Presenter, { present: () => Effect.void }),
    Effect.runPromiseExit
  )
  return parsed._tag === "Success" ? undefined : outcome(parsed.cause).lines.join("\n")
}

/** Why a line of a page can't be typed as it stands. */
const problem = async (line: string): Promise<string | undefined> => {
  const [program, ...args] = words(line)
  switch (program) {
    case "npx":
      return args[0] === "constellate" ? refusal(args.slice(1)) : undefined
    case "constellate":
      return refusal(args)
    case "npm": {
      const script = args[0] === "run" ? args[1] : ["start", "test"].includes(args[0]!) ? args[0] : undefined
      return script === undefined || script in scripts ? undefined : `there is no npm script ${script}`
    }
    case "node":
      return existsSync(args[0]!) ? undefined : `there is no file ${args[0]}`
    default:
      return undefined
  }
}

describe.each(pages)("%s", (page) => {
  const markdown = readFileSync(page, "utf8")

  it.each(commandsIn(markdown))("%s", async (line) => {
    expect(await problem(line)).toBe(undefined)
  })

  it("links to what is there", () => {
    const broken = Array.from(markdown.matchAll(/\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g), ([, link]) => link!).filter(
      (link) => !existsSync(join(dirname(page), link))
    )
    expect(broken).toEqual([])
  })
})

describe("help", () => {
  it.each(commandNames)("%s: its examples can be typed", async (name) => {
    const command = await Effect.runPromise(loadCommand(name))
    const all = [command, ...command.subcommands.flatMap(({ commands }) => commands)]
    expect(all.flatMap(({ examples }) => examples).length).toBeGreaterThan(0)
    for (const { command } of all.flatMap(({ examples }) => examples))
      expect([command, await problem(command)]).toEqual([command, undefined])
  })
})

it("constellate --help: its examples can be typed", async () => {
  const { stdout } = await runCommandLine("--help")
  const lines = Array.from(stdout.matchAll(/^ +(constellate [a-z].*)$/gm), ([, line]) => line!).slice(1)
  expect(lines.length).toBeGreaterThan(1)
  for (const line of lines) expect([line, await problem(line)]).toEqual([line, undefined])
})

describe("the pages", () => {
  it("are all reached from the README", () => {
    const readme = readFileSync("README.md", "utf8")
    expect(globSync("docs/*.md").filter((page) => !readme.includes(`(${page})`))).toEqual([])
  })

  it("give the two commands verbatim", () => {
    const readme = readFileSync("README.md", "utf8")
    expect(readme).toContain("npm ci && npm start")
    expect(readme).toContain("npm ci && npm test")
  })

  it("are read by this test", async () => {
    expect(commandsIn("```sh\n$ npx constellate x \\\n  --y 'a b' && npm test # why\n```\n```ts\nno\n```\n")).toEqual([
      "npx constellate x --y 'a b'",
      "npm test"
    ])
    expect(await problem("npx constellate runs list --jsn")).toContain("--jsn")
    expect(await problem("constellate credit score")).toContain("file")
    expect(await problem("npm run nothing")).toBe("there is no npm script nothing")
  })
})
