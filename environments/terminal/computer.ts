/** A simulated computer: its system, who is logged in where, and its files. */
import { type Files, makeDirectories } from "./filesystem.ts"

export type Os = "windows" | "macos" | "linux"

export const systems: ReadonlyArray<Os> = ["windows", "macos", "linux"]

export interface Computer {
  readonly os: Os
  readonly host: string
  readonly user: string
  /** Path of the user's own directory, and of the current one. */
  readonly home: string
  readonly cwd: string
  readonly files: Files
}

const homes: Record<Os, string> = { windows: "/C:/Users", macos: "/Users", linux: "/home" }

/** With nothing but the home of its user, who is there. */
export const newComputer = (os: Os, host: string, user: string): Computer => {
  const home = `${homes[os]}/${user}`
  return { os, host, user, home, cwd: home, files: makeDirectories({}, home) as Files }
}

/** The path that a text means: absolute or relative to `from` (the current directory), `.` and `..` resolved. */
export const resolve = ({ os, cwd }: Pick<Computer, "os" | "cwd">, text: string, from = cwd): string => {
  const onWindows = os === "windows"
  const names = (onWindows ? text.replaceAll("\\", "/") : text).split("/")
  const drive = onWindows && /^[A-Za-z]:$/.test(names[0]!) ? names.shift()!.toUpperCase() : undefined
  const isAbsolute = drive !== undefined || (names[0] === "" && names.length > 1)
  // Without a drive, an absolute path on Windows is on the current one.
  const base = isAbsolute ? (onWindows ? [drive ?? from.split("/")[1]!] : []) : from.split("/").slice(1)
  const path = [...base]
  for (const name of names) {
    if (name === "..") {
      if (path.length > (onWindows ? 1 : 0)) path.pop()
    } else if (name !== "" && name !== ".") path.push(name)
  }
  return path.map((name) => `/${name}`).join("")
}

/** A path as its system writes it. */
export const show = ({ os }: Pick<Computer, "os">, path: string): string => {
  if (os !== "windows") return path === "" ? "/" : path
  const [drive, ...names] = path.slice(1).split("/")
  return `${drive}\\${names.join("\\")}`
}

/** `~` for home on Unix. */
const place = (computer: Computer): string => {
  const { cwd, home, os } = computer
  if (os === "windows" || !(cwd === home || cwd.startsWith(`${home}/`))) return show(computer, cwd)
  return `~${cwd.slice(home.length)}`
}

/** What the shell shows when it waits for a command. */
export const shellPrompt = (computer: Computer): string => {
  const { host, os, user } = computer
  if (os === "windows") return `${place(computer)}>`
  return os === "macos" ? `${user}@${host} ${place(computer)} %` : `${user}@${host}:${place(computer)}$`
}

/**
 * Replaces variables, before quotes are looked at; unknown ones stay. On Unix `~` means home as a word of its own or before
 * a slash, but not after a colon.
 */
export const expand = (computer: Computer, line: string): string => {
  const { cwd, home, os, user } = computer
  if (os === "windows") {
    const values = { USERPROFILE: show(computer, home), USERNAME: user, CD: show(computer, cwd) }
    return line.replace(/%(USERPROFILE|USERNAME|CD)%/gi, (_, name) => values[name.toUpperCase() as keyof typeof values])
  }
  const values = { HOME: show(computer, home), USER: user, PWD: show(computer, cwd) }
  return line
    .replace(/(?<=^|[\s;&"'])~(?=$|[\s;&"'/])/g, () => values.HOME)
    .replace(/\$(?:\{(HOME|USER|PWD)\}|(HOME|USER|PWD)(?!\w))/g, (_, braced, bare) => {
      return values[(braced ?? bare) as keyof typeof values]
    })
}
