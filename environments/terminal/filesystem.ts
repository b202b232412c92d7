/**
 * Simulated file systems: values, never changed in place.
 *
 * A path is absolute, its names joined by `/`, with one in front (`/opt/data`); the root is the empty text and always
 * there. On Windows the first name is the drive (`/C:/Users`). What can't be done comes back as the reason, a text.
 */

/** What a file that is an archive holds: contents by entry. Directories are not kept. */
export interface Archive {
  readonly type: "tar" | "tar.gz" | "zip" | "gzip"
  readonly entries: Readonly<Record<string, string>>
  /** What gzip was called with; gunzip makes a file of that name again. */
  readonly name?: string
}

export type Node =
  | { readonly kind: "directory"; readonly mode: string }
  | { readonly kind: "file"; readonly mode: string; readonly content: string; readonly archive?: Archive }

export type File = Extract<Node, { kind: "file" }>

export type Files = Readonly<Record<string, Node>>

const directory: Node = { kind: "directory", mode: "755" }

export const file = (content: string, mode = "644"): File => ({ kind: "file", mode, content })

export const archiveFile = (archive: Archive): File => ({
  ...file(`(${archive.type} archive, ${Object.keys(archive.entries).length} entries)`),
  archive
})

export const at = (files: Files, path: string): Node | undefined =>
  path === "" ? directory : Object.hasOwn(files, path) ? files[path] : undefined

export const isDirectory = (files: Files, path: string): boolean => at(files, path)?.kind === "directory"

export const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")))
export const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/** `inner` is `outer` or lies in it. */
export const isWithin = (inner: string, outer: string): boolean => inner === outer || inner.startsWith(`${outer}/`)

/** Names in a directory, sorted. */
export const list = (files: Files, path: string): Array<string> => {
  const start = path.length + 1
  const names: Array<string> = []
  for (const key in files) {
    if (key.startsWith(`${path}/`) && !key.includes("/", start)) names.push(key.slice(start))
  }
  return names.sort()
}

/** Everything at and under a path, sorted. */
export const walk = (files: Files, path: string): Array<string> =>
  Object.keys(files)
    .filter((key) => isWithin(key, path))
    .sort()

/** Replaces what is there. The directory it goes into must exist. */
export const write = (files: Files, path: string, node: Node): Files | string => {
  if (isDirectory(files, path) && node.kind === "file") return "Is a directory"
  const parent = at(files, parentOf(path))
  if (parent === undefined) return "No such file or directory"
  return parent.kind === "directory" ? { ...files, [path]: node } : "Not a directory"
}

export const makeDirectory = (files: Files, path: string): Files | string =>
  at(files, path) === undefined ? write(files, path, directory) : "File exists"

/** With all directories above it; nothing happens where it is there. */
export const makeDirectories = (files: Files, path: string): Files | string => {
  const missing: Array<string> = []
  let above = path
  while (at(files, above) === undefined) {
    missing.push(above)
    above = parentOf(above)
  }
  if (!isDirectory(files, above)) return above === path ? "File exists" : "Not a directory"
  const made: Record<string, Node> = { ...files }
  for (const path of missing.reverse()) made[path] = directory
  return made
}

export const remove = (files: Files, path: string): Files =>
  Object.fromEntries(Object.entries(files).filter(([key]) => !isWithin(key, path)))

/** Copies a file or a whole directory, from one file system into another or the same, to a path that is not there yet. */
export const copyTree = (from: Files, source: string, to: Files, target: string): Files | string => {
  const written = write(to, target, at(from, source)!)
  if (typeof written === "string" || !isDirectory(from, source)) return written
  const made: Record<string, Node> = { ...written }
  for (const path of walk(from, source)) made[target + path.slice(source.length)] = from[path]!
  return made
}

/** Characters that all names and contents take up. */
export const size = (files: Files): number => {
  let sum = 0
  for (const path in files) {
    const node = files[path]!
    sum += path.length
    if (node.kind === "directory") continue
    sum += node.content.length
    for (const entry in node.archive?.entries) sum += entry.length + node.archive.entries[entry]!.length
  }
  return sum
}

/** A command that would need more fails: a program could otherwise copy itself into any amount of memory. */
export const capacity = 50_000
