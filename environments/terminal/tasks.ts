/** A task of Terminal: two computers, an instruction, and a goal that is checked against their files. */
import { Schema } from "effect"
import type { World } from "./commands.ts"
import { type Computer, newComputer, resolve } from "./computer.ts"
import { archiveFile, at, file, makeDirectories, parentOf, write } from "./filesystem.ts"

const Side = Schema.Literals(["local", "remote"])
export type Side = typeof Side.Type

const Mode = Schema.String.check(Schema.isPattern(/^[0-7]{3}$/))
const Entries = Schema.Record(Schema.String, Schema.String).annotate({ description: "Content by entry" })

const Check = Schema.Union([
  Schema.Struct({
    check: Schema.Literal("file"),
    on: Side,
    path: Schema.String,
    content: Schema.optionalKey(Schema.String)
  }),
  Schema.Struct({ check: Schema.Literal("gone"), on: Side, path: Schema.String }),
  Schema.Struct({ check: Schema.Literal("directory"), on: Side, path: Schema.String }),
  Schema.Struct({ check: Schema.Literal("permissions"), on: Side, path: Schema.String, mode: Mode }),
  Schema.Struct({ check: Schema.Literal("archive"), on: Side, path: Schema.String, entries: Entries })
])
export type Check = typeof Check.Type

const StartingFile = Schema.Struct({
  on: Side,
  path: Schema.String,
  content: Schema.optionalKey(Schema.String),
  mode: Schema.optionalKey(Mode),
  archive: Schema.optionalKey(
    Schema.Struct({ type: Schema.Literals(["tar", "tar.gz", "zip", "gzip"]), entries: Entries })
  )
})

/** Paths are absolute, as the computer's system writes them. Directories above a file are made, and so are both homes. */
export const Task = Schema.Struct({
  os: Schema.Literals(["windows", "macos", "linux"]).annotate({ description: "System of the local computer" }),
  remoteHost: Schema.String,
  remoteUser: Schema.String.check(Schema.isPattern(/^[\w-]{1,32}$/)),
  instruction: Schema.String,
  files: Schema.Array(StartingFile).annotate({ description: "What is there at the start" }),
  directories: Schema.optionalKey(Schema.Array(Schema.Struct({ on: Side, path: Schema.String }))),
  goal: Schema.Array(Check).check(Schema.isMinLength(1)).annotate({ description: "All of it must hold" }),
  type: Schema.optionalKey(Schema.String),
  seed: Schema.optionalKey(Schema.Int)
})
export type Task = typeof Task.Type

/** The local computer knows nothing of its network but the remote host. */
export const localHost = "localhost"

/** Both computers at the start. Throws when a file is where a directory must be. */
export const worldOf = ({ os, remoteHost, remoteUser, files, directories = [] }: Task): World => {
  const world: Record<Side, Computer> = {
    local: newComputer(os, localHost, "user"),
    remote: newComputer("linux", remoteHost, remoteUser)
  }
  const change = (on: Side, text: string, changed: Computer["files"] | string) => {
    if (typeof changed === "string") throw new Error(`${on} ${text}: ${changed}`)
    world[on] = { ...world[on], files: changed }
  }
  for (const { on, path } of directories) {
    change(on, path, makeDirectories(world[on].files, resolve(world[on], path)))
  }
  for (const { archive, content = "", mode = "644", on, path: text } of files) {
    const path = resolve(world[on], text)
    change(on, text, makeDirectories(world[on].files, parentOf(path)))
    const node = archive === undefined ? file(content) : archiveFile(archive)
    change(on, text, write(world[on].files, path, { ...node, mode }))
  }
  return { ...world, connected: false }
}

/** The goal with its paths resolved, as it is checked again and again. */
export const resolved = (goal: ReadonlyArray<Check>, world: World): ReadonlyArray<Check> =>
  goal.map((check) => ({ ...check, path: resolve(world[check.on], check.path) }))

const holds = (check: Check, world: World): boolean => {
  const node = at(world[check.on].files, check.path)
  switch (check.check) {
    case "gone":
      return node === undefined
    case "directory":
      return node?.kind === "directory"
    case "permissions":
      return node?.mode === check.mode
    case "file":
      return node?.kind === "file" && (check.content === undefined || node.content === check.content)
    case "archive": {
      // Of any type: only the entries are looked at, and there may be more of them.
      const entries = node?.kind === "file" ? node.archive?.entries : undefined
      return (
        entries !== undefined &&
        Object.entries(check.entries).every(
          ([entry, content]) => Object.hasOwn(entries, entry) && entries[entry] === content
        )
      )
    }
  }
}

/** Whether all of a goal with resolved paths holds. */
export const isMet = (goal: ReadonlyArray<Check>, world: World): boolean => goal.every((check) => holds(check, world))
