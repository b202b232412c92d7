/**
 * Scripted agents of Terminal. They read the chat prompts as a language model would.
 *
 * Nothing is hidden and the tasks of a pack are independent, so all but `random` are the same expert, who knows how the
 * simulated shells behave, takes a step for each command, and has nothing to write down.
 */
import { type Agent, type Agents, answerBlock, hintsBlock, type Prompt } from "../../src/environment.ts"

const nothingLearnt = hintsBlock.write("null")

interface Reading {
  readonly instruction: string
  /** What stands between single quotes in it. */
  readonly quoted: ReadonlyArray<string>
  /** `user@host`. */
  readonly login: string
  readonly commands: ReadonlyArray<string>
  readonly stepsTaken: number
}

const read = ({ messages }: Prompt): Reading => {
  const text = messages[0]!.content
  const instruction = /^## Task\n(.*)$/m.exec(text)![1]!
  const [, host, user] = /^- Remote server: .* host (\S+), user (\S+) /m.exec(text)!
  return {
    instruction,
    quoted: Array.from(instruction.matchAll(/'([^']*)'/g), ([, path]) => path!),
    login: `${user}@${host}`,
    commands: /^## Commands\n(.*)$/m.exec(text)![1]!.split(", "),
    stepsTaken: messages.filter(({ role }) => role === "assistant").length
  }
}

/** The parts of a path on either system. */
const split = (path: string): { readonly parent: string; readonly name: string; readonly separator: string } => {
  const end = Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\"))
  return { parent: path.slice(0, end), name: path.slice(end + 1), separator: path[end]! }
}

/** The path of an address: what stands after the first colon. */
const remotePath = (address: string): string => address.slice(address.indexOf(":") + 1)

const pack = (archive: string, name: string): string =>
  archive.endsWith(".zip")
    ? `zip -r ${archive} ${name}`
    : `tar -c${archive.endsWith("z") ? "z" : ""}f ${archive} ${name}`

const unpack = (archive: string): string => (archive.endsWith(".zip") ? `unzip ${archive}` : `tar -xf ${archive}`)

/** By the words that an instruction begins with, the most special first: its commands, one a step. */
const recipes: ReadonlyArray<readonly [RegExp, (quoted: ReadonlyArray<string>, reading: Reading) => Array<string>]> = [
  [
    /^Pack .* upload that into .* extract/,
    ([folder, archive, to]) => [
      ...packing(folder!, archive!),
      `scp ${archive} ${to}`,
      `ssh ${to!.slice(0, to!.indexOf(":"))}`,
      `cd ${remotePath(to!)}`,
      unpack(archive!)
    ]
  ],
  [/^Pack .* upload/, ([folder, archive, to]) => [...packing(folder!, archive!), `scp ${archive} ${to}`]],
  [/^Pack/, ([folder, archive]) => packing(folder!, archive!)],
  [/^Download the archive/, ([from, to]) => [`cd ${to}`, `scp ${from} .`, unpack(split(remotePath(from!)).name)]],
  [/^Download .* rename/, ([from, to, name]) => [`scp ${from} ${to}${split(to!).separator}${name}`]],
  [/^Download/, ([from, to]) => [`scp ${from} ${to}`]],
  [
    /^Upload .* permissions/,
    ([from, to, mode], { login }) => [
      `scp ${from} ${to}`,
      `ssh ${login}`,
      `chmod ${mode} ${remotePath(to!)}/${split(from!).name}`
    ]
  ],
  [/^Upload .* delete/, ([from, to]) => [`scp ${from} ${to}`, `rm ${from}`]],
  [/^Upload/, ([from, to]) => [`scp ${from} ${to}`]],
  [
    /^Create .* then upload/,
    ([to, from], { login }) => [`ssh ${login}`, `mkdir -p ${to}`, "exit", `scp ${from} ${login}:${to}`]
  ],
  [
    /^On the remote server rename/,
    ([path, , from], { login }) => [`ssh ${login}`, `mv ${path} ${path}.bak`, "exit", `scp ${from} ${login}:${path}`]
  ],
  [/^Create/, ([path]) => [`mkdir -p ${path}`]],
  [/^Rename/, ([path, name]) => [`mv ${path} ${split(path!).parent}${split(path!).separator}${name}`]],
  [/^Move/, ([path, to]) => [`mv ${path} ${to}`]],
  [/^Copy/, ([path, to]) => [`cp ${path} ${to}`]],
  [/^Delete/, ([path]) => [`rm ${path}`]],
  [/^Set the permissions/, ([path, mode]) => [`chmod ${mode} ${path}`]]
]

const packing = (folder: string, archive: string): Array<string> => {
  const { name, parent } = split(folder)
  return [`cd ${parent}`, pack(archive, name)]
}

/** What an expert types, step by step; empty for an instruction of another kind. */
const plan = (reading: Reading): ReadonlyArray<string> => {
  const { instruction, login, quoted } = reading
  const commands = recipes.find(([pattern]) => pattern.test(instruction))?.[1](quoted, reading) ?? []
  return instruction.endsWith("on the remote server.") ? [`ssh ${login}`, ...commands] : commands
}

const expert: Agent = (prompt) => {
  if (prompt.kind === "update") return nothingLearnt
  const reading = read(prompt)
  return answerBlock.write(plan(reading)[reading.stepsTaken] ?? "ls")
}

/** A command on two of the names that the instruction tells of. */
const random: Agent = (prompt, _, rng) => {
  if (prompt.kind === "update") return nothingLearnt
  const { commands, login, quoted } = read(prompt)
  const words = [login, ...quoted]
  return answerBlock.write(`${rng.pick(commands)} ${rng.pick(words)} ${rng.pick(words)}`)
}

export const agents: Agents<null> = { random, oracle: expert, careful: expert, amnesiac: expert }
