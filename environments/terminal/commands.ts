/**
 * The commands of the simulated shells (specification of environments, section 4.4) that work on one computer.
 *
 * A command takes its words and the world and gives its output and the world after it. It has failed when its output says
 * so in the usual way, see `shell.ts`; there is no exit code.
 */
import { type Computer, resolve, show } from "./computer.ts"
import {
  at,
  capacity,
  copyTree,
  file,
  type Files,
  isDirectory,
  isWithin,
  list,
  makeDirectories,
  makeDirectory,
  nameOf,
  type Node,
  remove,
  size,
  walk,
  write
} from "./filesystem.ts"
import { flagsOf } from "./words.ts"

/** Both computers, and which of them the shell runs on. */
export interface World {
  readonly local: Computer
  readonly remote: Computer
  readonly connected: boolean
}

export interface Result {
  readonly output: string
  readonly world: World
}

export type Command = (args: ReadonlyArray<string>, world: World) => Result

export const here = ({ connected, local, remote }: World): Computer => (connected ? remote : local)

/** Changes the computer of the shell. */
export const changeHere = (world: World, change: Partial<Computer>): World =>
  world.connected
    ? { ...world, remote: { ...world.remote, ...change } }
    : { ...world, local: { ...world.local, ...change } }

/** Files that fit, or the reason why there are none. */
export const fitting = (files: Files | string): Files | string =>
  typeof files !== "string" && size(files) > capacity ? "No space left on device" : files

const say = (world: World, output: string): Result => ({ output, world })

/** Goes through operands one by one; a failure is told and the others go on. */
export const each = (
  operands: ReadonlyArray<string>,
  world: World,
  change: (files: Files, path: string, operand: string) => Files | string,
  complain: (operand: string, reason: string) => string
): Result => {
  const computer = here(world)
  const complaints: Array<string> = []
  let { files } = computer
  for (const operand of operands) {
    const changed = fitting(change(files, resolve(computer, operand), operand))
    if (typeof changed === "string") complaints.push(complain(operand, changed))
    else files = changed
  }
  return { output: complaints.join("\n"), world: changeHere(world, { files }) }
}

const missing = "No such file or directory"

/** Home, the current directory and what holds them stay: a shell needs a place to be. */
const isNeeded = ({ cwd, home }: Computer, path: string): boolean => isWithin(cwd, path) || isWithin(home, path)

const longest = 50

const ls: Command = (args, world) => {
  const { letters, operands } = flagsOf(args)
  const computer = here(world)
  const outputs = (operands.length > 0 ? operands : ["."]).map((operand) => {
    const path = resolve(computer, operand)
    const node = at(computer.files, path)
    if (node === undefined) return `ls: cannot access '${operand}': ${missing}`
    if (node.kind === "file") return letters.includes("l") ? longEntry(computer, node, nameOf(path)) : nameOf(path)
    return listing(computer, path, letters)
  })
  return say(world, outputs.join("\n"))
}

const listing = (computer: Computer, path: string, letters: string): string => {
  const all = list(computer.files, path).filter((name) => letters.includes("a") || !name.startsWith("."))
  const names = all.slice(0, longest)
  const node = (name: string): Node => computer.files[`${path}/${name}`]!
  const more = all.length > longest ? [`... (${all.length - longest} more entries)`] : []
  if (computer.os === "windows") {
    const rows = names.map((name) => {
      const entry = node(name)
      const column = entry.kind === "directory" ? "<DIR>         " : `${entry.content.length}`.padStart(14)
      return `01/15/2024  10:30 AM    ${column} ${name}`
    })
    return [` Directory of ${show(computer, path)}`, "", ...rows, ...more].join("\n")
  }
  if (letters.includes("l")) return [...names.map((name) => longEntry(computer, node(name), name)), ...more].join("\n")
  const marked = names.map((name) => (node(name).kind === "directory" ? `${name}/` : name))
  return [marked.join("  "), ...more].join("\n")
}

const longEntry = ({ user }: Computer, node: Node, name: string): string => {
  const rights = [...node.mode].map((digit) => ["---", "--x", "-w-", "-wx", "r--", "r-x", "rw-", "rwx"][Number(digit)])
  const [type, bytes, mark] = node.kind === "directory" ? ["d", 4096, "/"] : ["-", node.content.length, ""]
  return `${type}${rights.join("")} 1 ${user} ${user} ${`${bytes}`.padStart(6)} Jan 15 10:30 ${name}${mark}`
}

const cd: Command = ([operand], world) => {
  const computer = here(world)
  if (operand === undefined) {
    return computer.os === "windows"
      ? say(world, show(computer, computer.cwd))
      : say(changeHere(world, { cwd: computer.home }), "")
  }
  const path = resolve(computer, operand)
  const node = at(computer.files, path)
  if (node?.kind === "directory") return say(changeHere(world, { cwd: path }), "")
  if (computer.os === "windows") return say(world, "The system cannot find the path specified.")
  return say(world, `cd: ${operand}: ${node === undefined ? missing : "Not a directory"}`)
}

const cat: Command = (args, world) => {
  const computer = here(world)
  if (args.length === 0) return say(world, "cat: missing operand")
  const outputs = args.map((operand) => {
    const node = at(computer.files, resolve(computer, operand))
    if (node === undefined) return `cat: ${operand}: ${missing}`
    return node.kind === "directory" ? `cat: ${operand}: Is a directory` : node.content
  })
  return say(world, outputs.join("\n"))
}

const mkdir: Command = (args, world) => {
  const { letters, operands } = flagsOf(args)
  if (operands.length === 0) return say(world, "mkdir: missing operand")
  const make = letters.includes("p") ? makeDirectories : makeDirectory
  return each(operands, world, make, (operand, reason) => `mkdir: cannot create directory '${operand}': ${reason}`)
}

const touch: Command = (args, world) => {
  const { operands } = flagsOf(args)
  if (operands.length === 0) return say(world, "touch: missing file operand")
  return each(
    operands,
    world,
    (files, path) => (at(files, path) === undefined ? write(files, path, file("")) : files),
    (operand, reason) => `touch: cannot touch '${operand}': ${reason}`
  )
}

const rm: Command = (args, world) => {
  const { letters, operands } = flagsOf(args)
  if (operands.length === 0) return say(world, "rm: missing operand")
  const remover = (files: Files, path: string): Files | string => {
    if (at(files, path) === undefined) return letters.includes("f") ? files : missing
    if (isDirectory(files, path) && !/[rR]/.test(letters)) return "Is a directory"
    return isNeeded(here(world), path) ? "Device or resource busy" : remove(files, path)
  }
  return each(operands, world, remover, (operand, reason) => `rm: cannot remove '${operand}': ${reason}`)
}

const chmod: Command = (args, world) => {
  const operands = args.filter((word) => word !== "-R" && word !== "--recursive")
  const [mode, ...paths] = operands
  if (mode === undefined || paths.length === 0) return say(world, "chmod: missing operand")
  if (!/^[0-7]{3}$/.test(mode)) return say(world, `chmod: invalid mode: '${mode}'`)
  const change = (files: Files, path: string): Files | string => {
    const node = at(files, path)
    if (node === undefined) return missing
    const changed = operands.length < args.length ? walk(files, path) : [path]
    return { ...files, ...Object.fromEntries(changed.map((path) => [path, { ...files[path]!, mode }])) }
  }
  return each(paths, world, change, (operand, reason) => `chmod: cannot access '${operand}': ${reason}`)
}

/** Copies or moves: one source, one destination, into the destination where that is a directory. */
const transfer =
  (name: "cp" | "mv"): Command =>
  (args, world) => {
    const { letters, operands } = flagsOf(args)
    const [source, target, ...more] = operands
    if (source === undefined || target === undefined) return say(world, `${name}: missing destination operand`)
    if (more.length > 0) return say(world, `${name}: more than one source is not supported`)
    const computer = here(world)
    const { files } = computer
    const from = resolve(computer, source)
    if (at(files, from) === undefined) return say(world, `${name}: cannot stat '${source}': ${missing}`)
    const isWhole = isDirectory(files, from)
    if (isWhole && name === "cp" && !/[rRa]/.test(letters)) {
      return say(world, `cp: -r not specified; omitting directory '${source}'`)
    }
    const to = landing(files, resolve(computer, target), from)
    const refusal =
      from === to
        ? "Source and destination are the same"
        : isWhole && isWithin(to, from)
          ? "Cannot be put into itself"
          : isWhole && at(files, to) !== undefined && (name === "mv" || !isDirectory(files, to))
            ? "File exists"
            : name === "mv" && isNeeded(computer, from)
              ? "Device or resource busy"
              : undefined
    const copied = refusal ?? fitting(copyTree(files, from, files, to))
    if (typeof copied === "string") return say(world, `${name}: cannot create '${target}': ${copied}`)
    return say(changeHere(world, { files: name === "mv" ? remove(copied, from) : copied }), "")
  }

/** Where a source ends up that is sent to a path: in it, where that is a directory. */
export const landing = (files: Files, path: string, source: string): string =>
  isDirectory(files, path) ? `${path}/${nameOf(source)}` : path

export const fileCommands: Readonly<Record<string, Command>> = {
  ls,
  cd,
  pwd: (_, world) => say(world, show(here(world), here(world).cwd)),
  cat,
  mkdir,
  chmod,
  cp: transfer("cp"),
  mv: transfer("mv"),
  rm,
  touch,
  echo: (args, world) => say(world, args.join(" ")),
  whoami: (_, world) => say(world, here(world).user)
}
