/** Runs a command line in the world (specification of environments, section 4.4). */
import { archiveCommands } from "./archives.ts"
import { type Command, fileCommands, here, type Result, type World } from "./commands.ts"
import { expand } from "./computer.ts"
import { networkCommands } from "./network.ts"
import { chain, plumbing, words } from "./words.ts"

const commands = new Map<string, Command>(Object.entries({ ...fileCommands, ...archiveCommands, ...networkCommands }))

const aliases = new Map([
  ["dir", "ls"],
  ["type", "cat"],
  ["copy", "cp"],
  ["move", "mv"],
  ["del", "rm"],
  ["ren", "mv"],
  ["rename", "mv"]
])

/** For the prompt: everything that runs somewhere. */
export const commandNames: ReadonlyArray<string> = [...commands.keys(), ...aliases.keys()]

const notOnWindows = new Set(["touch", "chmod", "tar", "gzip", "gunzip", "rsync"])

const longestLine = 4_096
const longestOutput = 20_000

/** What runs after it with `&&` goes by this: a marker of an error, or the name of a command and a colon, at the start. */
export const isError = (output: string): boolean => {
  if (/^(Error:|bash:|zsh:|'|The system)/.test(output)) return true
  const name = /^(\w+):/.exec(output)?.[1]
  return name !== undefined && commands.has(name)
}

const notFound = (world: World, name: string): string => {
  const { os } = here(world)
  if (os === "linux") return `bash: ${name}: command not found`
  return os === "macos"
    ? `zsh: command not found: ${name}`
    : `'${name}' is not recognized as an internal or external command,\noperable program or batch file.`
}

const runOne = (text: string, world: World): Result => {
  const onWindows = here(world).os === "windows"
  const found = words(text, onWindows)
  if (found === undefined) return { output: "Error: a quote is not closed", world }
  const [written, ...args] = found
  if (written === undefined) return { output: "", world }
  const lower = written.toLowerCase()
  const name = aliases.get(lower) ?? lower
  const command = onWindows && notOnWindows.has(name) ? undefined : commands.get(name)
  return command === undefined ? { output: notFound(world, written), world } : command(args, world)
}

/** An error ends the line where `&&` follows it. */
export const run = (line: string, world: World): Result => {
  if (line.length > longestLine) return { output: `Error: a command line has ${longestLine} characters at most`, world }
  const expanded = expand(here(world), line)
  const pipe = plumbing(expanded)
  if (pipe === "|") return { output: "Error: pipes (|) are not supported", world }
  if (pipe !== undefined) return { output: "Error: redirections (<, >, >>) are not supported", world }
  const outputs: Array<string> = []
  let failed = false
  for (const { conditional, text } of chain(expanded)) {
    if (conditional && failed) break
    const result = runOne(text, world)
    world = result.world
    failed = isError(result.output)
    if (result.output !== "") outputs.push(result.output)
  }
  const output = outputs.join("\n")
  const isLong = output.length > longestOutput
  return { output: isLong ? `${output.slice(0, longestOutput)}\n... (cut off)` : output, world }
}
