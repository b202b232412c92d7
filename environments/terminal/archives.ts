/** tar, zip, unzip, gzip and gunzip. Entries of an archive are named from the directory that was packed onwards. */
import { changeHere, type Command, each, fitting, here, type World } from "./commands.ts"
import { type Computer, resolve } from "./computer.ts"
import {
  type Archive,
  archiveFile,
  at,
  file,
  type Files,
  isDirectory,
  makeDirectories,
  nameOf,
  parentOf,
  remove,
  walk,
  write
} from "./filesystem.ts"
import { flagsOf } from "./words.ts"

const missing = "No such file or directory"

const fail = (world: World, output: string) => ({ output, world })

/** Contents by entry of what is packed; the operand that is not there otherwise. */
const pack = (computer: Computer, operands: ReadonlyArray<string>): Readonly<Record<string, string>> | string => {
  const entries: Array<readonly [string, string]> = []
  for (const operand of operands) {
    const path = resolve(computer, operand)
    if (at(computer.files, path) === undefined) return operand
    for (const inside of walk(computer.files, path)) {
      const node = computer.files[inside]!
      if (node.kind === "file") entries.push([nameOf(path) + inside.slice(path.length), node.content])
    }
  }
  return Object.fromEntries(entries)
}

/** Writes every entry below a directory, and the directories it needs. */
const unpack = (files: Files, { entries }: Archive, path: string): Files | string => {
  let written: Files | string = files
  for (const [entry, content] of Object.entries(entries)) {
    const to = resolve({ os: "linux", cwd: path }, entry)
    written = makeDirectories(written, parentOf(to))
    if (typeof written !== "string") written = write(written, to, file(content))
    if (typeof written === "string") return written
  }
  return fitting(written)
}

const archiveAt = (computer: Computer, operand: string): Archive | string => {
  const node = at(computer.files, resolve(computer, operand))
  if (node === undefined) return missing
  return (node.kind === "file" ? node.archive : undefined) ?? "Not an archive"
}

/** `-C` and its directory are ignored without a word, as is every flag but create, extract, list, gzip and file. */
const tar: Command = (args, world) => {
  // The first word needs no dash: `tar xf logs.tar`.
  const [first = "", ...rest] = args
  const dashed = /^[cxtzvjf]+$/.test(first) ? [`-${first}`, ...rest] : args
  const spread = dashed.flatMap((word) => {
    if (word.startsWith("--file=")) return ["-f", word.slice(7)]
    if (word === "--file") return ["-f"]
    return /^-\w+$/.test(word) && word.includes("f") ? [word.replace("f", "v"), "-f"] : [word]
  })
  const { letters, operands, values } = flagsOf(spread, ["-f", "-C"])
  const archive = values.get("-f")
  if (archive === undefined) return fail(world, "tar: Refusing to read archive contents from terminal")
  const computer = here(world)
  if (letters.includes("c")) {
    if (operands.length === 0) return fail(world, "tar: Cowardly refusing to create an empty archive")
    const entries = pack(computer, operands)
    if (typeof entries === "string") return fail(world, `tar: ${entries}: Cannot stat: ${missing}`)
    const made = archiveFile({ type: letters.includes("z") ? "tar.gz" : "tar", entries })
    const files = fitting(write(computer.files, resolve(computer, archive), made))
    if (typeof files === "string") return fail(world, `tar: ${archive}: Cannot open: ${files}`)
    return { output: "", world: changeHere(world, { files }) }
  }
  if (!/[xt]/.test(letters)) return fail(world, "tar: You must specify one of the '-ctx' options")
  const found = archiveAt(computer, archive)
  if (typeof found === "string") return fail(world, `tar: ${archive}: Cannot open: ${found}`)
  if (found.type === "zip" || found.type === "gzip") {
    return fail(world, `tar: ${archive}: This does not look like a tar archive`)
  }
  if (letters.includes("t")) return { output: Object.keys(found.entries).join("\n"), world }
  const files = unpack(computer.files, found, computer.cwd)
  if (typeof files === "string") return fail(world, `tar: ${archive}: Cannot extract: ${files}`)
  return { output: "", world: changeHere(world, { files }) }
}

const zip: Command = (args, world) => {
  const { letters, operands } = flagsOf(args)
  const [archive, ...sources] = operands
  if (archive === undefined || sources.length === 0) return fail(world, "zip: missing archive name or files")
  const computer = here(world)
  const packed = sources.filter(
    (source) => /[rR]/.test(letters) || !isDirectory(computer.files, resolve(computer, source))
  )
  const entries = pack(computer, packed)
  if (typeof entries === "string") return fail(world, `zip: ${entries}: ${missing}`)
  const path = resolve(computer, archive)
  const parents = makeDirectories(computer.files, parentOf(path))
  const files =
    typeof parents === "string" ? parents : fitting(write(parents, path, archiveFile({ type: "zip", entries })))
  if (typeof files === "string") return fail(world, `zip: ${archive}: ${files}`)
  const added = [...Object.keys(entries), ...sources.filter((source) => !packed.includes(source))]
  return { output: added.map((name) => `  adding: ${name}`).join("\n"), world: changeHere(world, { files }) }
}

const unzip: Command = (args, world) => {
  const { operands, values } = flagsOf(args, ["-d"])
  const [archive] = operands
  if (archive === undefined) return fail(world, "unzip: missing archive name")
  const computer = here(world)
  const found = archiveAt(computer, archive)
  if (typeof found === "string") return fail(world, `unzip: cannot open ${archive}: ${found}`)
  if (found.type !== "zip") return fail(world, `unzip: ${archive}: Not a zip archive`)
  const files = unpack(computer.files, found, resolve(computer, values.get("-d") ?? "."))
  if (typeof files === "string") return fail(world, `unzip: ${archive}: ${files}`)
  const names = Object.keys(found.entries).map((name) => `  extracting: ${name}`)
  return { output: [`Archive:  ${archive}`, ...names].join("\n"), world: changeHere(world, { files }) }
}

/** A packed tar stays one to look into, and is a tar again when it is unpacked. */
const gzip: Command = (args, world) => {
  const { letters, operands } = flagsOf(args)
  if (letters.includes("d")) return gunzip(operands, world)
  if (operands.length === 0) return fail(world, "gzip: missing file operand")
  const compress = (files: Files, path: string, name: string): Files | string => {
    const node = at(files, path)
    if (node === undefined) return missing
    if (node.kind === "directory") return "Is a directory"
    const { archive, content } = node
    const packed: Archive =
      archive?.type === "tar"
        ? { type: "tar.gz", entries: archive.entries, name }
        : { type: "gzip", entries: { [name]: content }, name }
    return write(remove(files, path), `${path}.gz`, archiveFile(packed))
  }
  return each(operands, world, compress, (operand, reason) => `gzip: ${operand}: ${reason}`)
}

/** The name that gzip was called with is resolved against the current directory, wherever the file is now. */
const gunzip: Command = (args, world) => {
  const { operands } = flagsOf(args)
  if (operands.length === 0) return fail(world, "gunzip: missing file operand")
  const computer = here(world)
  const decompress = (files: Files, path: string, operand: string): Files | string => {
    const node = at(files, path)
    if (node === undefined) return missing
    const archive = node.kind === "file" ? node.archive : undefined
    if (archive?.type !== "gzip" && archive?.type !== "tar.gz") return "Not in gzip format"
    const { entries, name = operand.replace(/\.gz$/, ""), type } = archive
    const content = type === "gzip" ? file(Object.values(entries)[0] ?? "") : archiveFile({ type: "tar", entries })
    return write(remove(files, path), resolve(computer, name), content)
  }
  return each(operands, world, decompress, (operand, reason) => `gunzip: ${operand}: ${reason}`)
}

export const archiveCommands: Readonly<Record<string, Command>> = { tar, zip, unzip, gzip, gunzip }
