/** ssh, exit, scp and rsync: everything between the two computers. */
import { type Command, fitting, landing, type World } from "./commands.ts"
import { resolve } from "./computer.ts"
import { at, copyTree, isDirectory, nameOf } from "./filesystem.ts"
import { flagsOf } from "./words.ts"

const say = (world: World, output: string) => ({ output, world })

const unreachable = (host: string): string => `ssh: connect to host ${host} port 22: Connection refused`

/** A command after the host is ignored: the shell stays open. */
const ssh: Command = (args, world) => {
  const { local, remote } = world
  if (world.connected) return say(world, "Error: already connected to the remote host, use 'exit' first")
  const [target] = flagsOf(args, ["-p", "-i", "-o", "-l"]).operands
  if (target === undefined) return say(world, "usage: ssh [user@]hostname")
  const separator = target.indexOf("@")
  const user = separator < 0 ? local.user : target.slice(0, separator)
  const host = target.slice(separator + 1)
  if (host !== remote.host) return say(world, unreachable(host))
  if (user !== remote.user) return say(world, "Permission denied (publickey).")
  return {
    output: `Welcome to Ubuntu 22.04 LTS (${host})`,
    world: { ...world, connected: true, remote: { ...remote, cwd: remote.home } }
  }
}

const exit: Command = (_, world) =>
  world.connected
    ? { output: `Connection to ${world.remote.host} closed.`, world: { ...world, connected: false } }
    : say(world, "")

interface Place {
  /** Undefined on the local computer. */
  readonly host: string | undefined
  readonly path: string
}

/** `user@host:path`; the name of the user is not looked at, and without a path it is the remote home. */
const place = (word: string): Place => {
  const [, host, path] = /^[^@:/\\]*@([^@:/\\]+)(?::(.*))?$/s.exec(word) ?? []
  return host === undefined ? { host, path: word } : { host, path: path ?? "" }
}

/** Copies between the computers: one source, one destination, into the destination where that is a directory. */
const copyOver =
  (name: "scp" | "rsync"): Command =>
  (args, world) => {
    if (world.connected) return say(world, `${name}: must be run on the local machine, use 'exit' first`)
    const { letters, operands } = flagsOf(args, ["-P", "-i", "-e", "-o"])
    const [first, second, ...more] = operands
    if (first === undefined || second === undefined) return say(world, `usage: ${name} [options] source target`)
    if (more.length > 0) return say(world, `${name}: more than one source is not supported`)
    const [source, target] = [place(first), place(second)]
    const host = source.host ?? target.host
    if (host === undefined) return say(world, `${name}: use cp to copy on the local machine`)
    if (source.host !== undefined && target.host !== undefined) {
      return say(world, `${name}: copying between two remote hosts is not supported`)
    }
    const { local, remote } = world
    if (host !== remote.host) return say(world, unreachable(host))
    const isDownload = source.host !== undefined
    const [giver, taker] = isDownload ? [remote, local] : [local, remote]
    const from = resolve(giver, source.path, isDownload ? remote.home : local.cwd)
    if (at(giver.files, from) === undefined) return say(world, `${name}: ${source.path}: No such file or directory`)
    if (isDirectory(giver.files, from) && name === "scp" && !letters.includes("r")) {
      return say(world, `scp: ${source.path}: not a regular file`)
    }
    const to = landing(taker.files, resolve(taker, target.path, isDownload ? local.cwd : remote.home), from)
    const files = fitting(copyTree(giver.files, from, taker.files, to))
    if (typeof files === "string") return say(world, `${name}: ${target.path}: ${files}`)
    return {
      output: `${nameOf(from)}    100%    transferred`,
      world: isDownload ? { ...world, local: { ...local, files } } : { ...world, remote: { ...remote, files } }
    }
  }

export const networkCommands: Readonly<Record<string, Command>> = {
  ssh,
  exit,
  scp: copyOver("scp"),
  rsync: copyOver("rsync")
}
