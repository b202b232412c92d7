/**
 * Draws tasks: one scene for each type, in the order of the specification (environments, section 4.1).
 *
 * The scripted agents read the instructions, see `agents.ts`: every path stands between single quotes.
 */
import type { Rng } from "../../src/environment.ts"
import { newComputer, type Os, show, systems } from "./computer.ts"
import type { Archive } from "./filesystem.ts"
import { localHost, type Side, type Task } from "./tasks.ts"

export const singleTypes = ["upload", "download", "rename", "move", "chmod", "delete", "copy", "pack", "mkdir"] as const
export const compositeTypes = [
  "pack_upload",
  "download_extract",
  "mkdir_upload",
  "upload_chmod",
  "upload_delete_source",
  "pack_upload_extract",
  "download_rename",
  "backup_replace"
] as const
export const types = [...singleTypes, ...compositeTypes]
export type TaskType = (typeof types)[number]

const fileNames =
  "report.txt summary.md notes.txt data.csv table.tsv config.json settings.yaml main.py app.js index.html style.css query.sql server.log access.log photo.jpg logo.png diagram.svg paper.pdf budget.xlsx slides.pptx backup.db start.sh deploy.sh Makefile todo.org".split(
    " "
  )
const directoryNames =
  "projects documents downloads backups config data logs workspace reports media scripts output staging archive tmp src build dist assets uploads".split(
    " "
  )
const modes = ["644", "755", "600", "700", "664", "640", "444", "750"]
const formats = ["tar", "tar.gz", "zip"] as const
const remoteUsers = ["admin", "deploy", "user", "webmaster", "devops", "ops", "ubuntu"]

type Scene = Pick<Task, "instruction" | "files" | "goal"> & Partial<Pick<Task, "directories">>
type StartingFile = Task["files"][number]

/** What all scenes draw with. Paths are written as the side's system writes them. */
const stage = (rng: Rng, seed: number, os: Os, remoteHost: string, remoteUser: string) => {
  const local = newComputer(os, localHost, "user")
  const remote = newComputer("linux", remoteHost, remoteUser)
  const homes: Record<Side, string> = { local: show(local, local.home), remote: show(remote, remote.home) }
  const separators: Record<Side, string> = { local: os === "windows" ? "\\" : "/", remote: "/" }

  const join = (on: Side, ...parts: ReadonlyArray<string>): string => parts.join(separators[on])
  const otherThan = (drawn: string, draw: () => string): string => {
    let other = draw()
    while (other === drawn) other = draw()
    return other
  }
  const directory = (on: Side): string => {
    const name = rng.pick(directoryNames)
    if (on === "local") return join(on, homes.local, name)
    return rng.pick([join(on, homes.remote, name), "/var/www/html", `/opt/${name}`, homes.remote])
  }
  const contentOf = (name: string, version = 0): string => `Contents of ${name} (seed ${seed + version}, size 1024)`
  const startingFile = (on: Side, folder: string, name: string): StartingFile => ({
    on,
    path: join(on, folder, name),
    content: contentOf(name)
  })

  return {
    rng,
    canChmod: os !== "windows",
    homes,
    join,
    directory,
    contentOf,
    startingFile,
    fileName: (): string => rng.pick(fileNames),
    otherFileName: (name: string): string => otherThan(name, () => rng.pick(fileNames)),
    otherDirectory: (on: Side, folder: string): string => otherThan(folder, () => directory(on)),
    side: (): Side => rng.pick(["local", "remote"]),
    nested: (low: number, high: number): ReadonlyArray<string> =>
      rng.shuffle(directoryNames).slice(0, rng.int(low, high)),
    /** A format that the side can pack and unpack. */
    format: (on: Side): (typeof formats)[number] => {
      const format = rng.pick(formats)
      return on === "local" && os === "windows" ? "zip" : format
    },
    /** A directory of two to four files: its name, and their contents by entry of an archive of it. */
    bundle: () => {
      const name = rng.pick(directoryNames)
      const names = rng.shuffle(fileNames).slice(0, rng.int(2, 4))
      return { name, names, entries: Object.fromEntries(names.map((file) => [`${name}/${file}`, contentOf(file)])) }
    },
    /** Up to three files beside the ones that matter. */
    distractors: (on: Side, folder: string, ...taken: ReadonlyArray<string>): Array<StartingFile> => {
      const names = new Set([1, 2, 3].map(() => rng.pick(fileNames)))
      return [...names].flatMap((name, i) =>
        taken.includes(name) ? [] : [{ on, path: join(on, folder, name), content: contentOf(name, i + 1) }]
      )
    },
    address: (path: string): string => `${remoteUser}@${remoteHost}:${path}`
  }
}
type Stage = ReturnType<typeof stage>

const where = (on: Side): string => (on === "remote" ? " on the remote server" : "")

const scenes: Record<TaskType, (stage: Stage) => Scene> = {
  upload: ({ address, contentOf, directory, distractors, fileName, join, startingFile }) => {
    const name = fileName()
    const [from, to] = [directory("local"), directory("remote")]
    const [source, target] = [join("local", from, name), join("remote", to, name)]
    return {
      instruction: `Upload '${source}' to '${address(target)}'.`,
      files: [startingFile("local", from, name), ...distractors("local", from, name)],
      directories: [{ on: "remote", path: to }],
      goal: [{ check: "file", on: "remote", path: target, content: contentOf(name) }]
    }
  },

  download: ({ address, contentOf, directory, distractors, fileName, join, startingFile }) => {
    const name = fileName()
    const [to, from] = [directory("local"), directory("remote")]
    const [source, target] = [join("remote", from, name), join("local", to, name)]
    return {
      instruction: `Download '${address(source)}' to '${target}'.`,
      files: [
        startingFile("remote", from, name),
        ...distractors("local", to, name),
        ...distractors("remote", from, name)
      ],
      directories: [{ on: "local", path: to }],
      goal: [{ check: "file", on: "local", path: target, content: contentOf(name) }]
    }
  },

  rename: ({ contentOf, directory, distractors, fileName, join, otherFileName, side, startingFile }) => {
    const on = side()
    const name = fileName()
    const next = otherFileName(name)
    const folder = directory(on)
    return {
      instruction: `Rename '${join(on, folder, name)}' to '${next}'${where(on)}.`,
      files: [startingFile(on, folder, name), ...distractors(on, folder, name, next)],
      goal: [
        { check: "gone", on, path: join(on, folder, name) },
        { check: "file", on, path: join(on, folder, next), content: contentOf(name) }
      ]
    }
  },

  move: ({ contentOf, directory, distractors, fileName, join, otherDirectory, side, startingFile }) => {
    const on = side()
    const name = fileName()
    const from = directory(on)
    const to = otherDirectory(on, from)
    return {
      instruction: `Move '${join(on, from, name)}' into the directory '${to}'${where(on)}.`,
      files: [startingFile(on, from, name), ...distractors(on, from, name)],
      directories: [{ on, path: to }],
      goal: [
        { check: "gone", on, path: join(on, from, name) },
        { check: "file", on, path: join(on, to, name), content: contentOf(name) }
      ]
    }
  },

  chmod: ({ canChmod, directory, distractors, fileName, join, rng, side, startingFile }) => {
    const drawn = side()
    const on = canChmod ? drawn : "remote"
    const name = fileName()
    const mode = rng.pick(modes)
    const next = rng.pick(modes.filter((other) => other !== mode))
    const folder = directory(on)
    return {
      instruction: `Set the permissions of '${join(on, folder, name)}' to '${next}'${where(on)}.`,
      files: [{ ...startingFile(on, folder, name), mode }, ...distractors(on, folder, name)],
      goal: [{ check: "permissions", on, path: join(on, folder, name), mode: next }]
    }
  },

  delete: ({ directory, distractors, fileName, join, side, startingFile }) => {
    const on = side()
    const name = fileName()
    const folder = directory(on)
    return {
      instruction: `Delete the file '${join(on, folder, name)}'${where(on)}.`,
      files: [startingFile(on, folder, name), ...distractors(on, folder, name)],
      goal: [{ check: "gone", on, path: join(on, folder, name) }]
    }
  },

  copy: ({ contentOf, directory, fileName, join, otherDirectory, side, startingFile }) => {
    const on = side()
    const name = fileName()
    const from = directory(on)
    const to = otherDirectory(on, from)
    const content = contentOf(name)
    return {
      instruction: `Copy '${join(on, from, name)}' into the directory '${to}'${where(on)}.`,
      files: [startingFile(on, from, name)],
      directories: [{ on, path: to }],
      goal: [
        { check: "file", on, path: join(on, from, name), content },
        { check: "file", on, path: join(on, to, name), content }
      ]
    }
  },

  pack: ({ bundle, directory, format, join, side, startingFile }) => {
    const on = side()
    const { entries, name, names } = bundle()
    const archive = `${name}.${format(on)}`
    const parent = directory(on)
    const folder = join(on, parent, name)
    return {
      instruction: `Pack the directory '${folder}' into the archive '${archive}' next to it${where(on)}.`,
      files: names.map((file) => startingFile(on, folder, file)),
      goal: [{ check: "archive", on, path: join(on, parent, archive), entries }]
    }
  },

  mkdir: ({ homes, join, nested, side }) => {
    const on = side()
    const path = join(on, homes[on], ...nested(2, 4))
    return {
      instruction: `Create the directory '${path}'${where(on)}.`,
      files: [],
      goal: [{ check: "directory", on, path }]
    }
  },

  pack_upload: ({ address, bundle, directory, format, join, startingFile }) => {
    const { entries, name, names } = bundle()
    const archive = `${name}.${format("local")}`
    const folder = join("local", directory("local"), name)
    const to = directory("remote")
    return {
      instruction: `Pack the directory '${folder}' into the archive '${archive}' and upload that into '${address(to)}'.`,
      files: names.map((file) => startingFile("local", folder, file)),
      directories: [{ on: "remote", path: to }],
      goal: [{ check: "archive", on: "remote", path: join("remote", to, archive), entries }]
    }
  },

  download_extract: ({ address, bundle, directory, format, join }) => {
    const { entries, name } = bundle()
    const type: Archive["type"] = format("local")
    const [to, from] = [directory("local"), directory("remote")]
    const path = join("remote", from, `${name}.${type}`)
    return {
      instruction: `Download the archive '${address(path)}' and extract it into the directory '${to}'.`,
      files: [{ on: "remote", path, archive: { type, entries } }],
      directories: [{ on: "local", path: to }],
      goal: Object.entries(entries).map(([entry, content]) => {
        return { check: "file", on: "local", path: join("local", to, ...entry.split("/")), content } as const
      })
    }
  },

  mkdir_upload: ({ contentOf, directory, distractors, fileName, homes, join, nested, startingFile }) => {
    const name = fileName()
    const from = directory("local")
    const to = join("remote", homes.remote, ...nested(2, 3))
    return {
      instruction: `Create the directory '${to}' on the remote server, then upload '${join("local", from, name)}' into it.`,
      files: [startingFile("local", from, name), ...distractors("local", from, name)],
      goal: [
        { check: "directory", on: "remote", path: to },
        { check: "file", on: "remote", path: join("remote", to, name), content: contentOf(name) }
      ]
    }
  },

  upload_chmod: ({ address, contentOf, directory, fileName, join, rng, startingFile }) => {
    const name = fileName()
    const [from, to] = [directory("local"), directory("remote")]
    const mode = rng.pick(["755", "700", "600", "444"])
    const path = join("remote", to, name)
    return {
      instruction: `Upload '${join("local", from, name)}' into '${address(to)}' and set its permissions there to '${mode}'.`,
      files: [startingFile("local", from, name)],
      directories: [{ on: "remote", path: to }],
      goal: [
        { check: "file", on: "remote", path, content: contentOf(name) },
        { check: "permissions", on: "remote", path, mode }
      ]
    }
  },

  upload_delete_source: ({ address, contentOf, directory, distractors, fileName, join, startingFile }) => {
    const name = fileName()
    const [from, to] = [directory("local"), directory("remote")]
    return {
      instruction: `Upload '${join("local", from, name)}' into '${address(to)}', then delete the local copy.`,
      files: [startingFile("local", from, name), ...distractors("local", from, name)],
      directories: [{ on: "remote", path: to }],
      goal: [
        { check: "file", on: "remote", path: join("remote", to, name), content: contentOf(name) },
        { check: "gone", on: "local", path: join("local", from, name) }
      ]
    }
  },

  pack_upload_extract: ({ address, bundle, directory, format, join, startingFile }) => {
    const { entries, name, names } = bundle()
    const archive = `${name}.${format("local")}`
    const folder = join("local", directory("local"), name)
    const to = directory("remote")
    return {
      instruction: `Pack the directory '${folder}' into the archive '${archive}', upload that into '${address(to)}' and extract it there.`,
      files: names.map((file) => startingFile("local", folder, file)),
      directories: [{ on: "remote", path: to }],
      goal: Object.entries(entries).map(([entry, content]) => {
        return { check: "file", on: "remote", path: join("remote", to, entry), content } as const
      })
    }
  },

  download_rename: ({ address, contentOf, directory, fileName, join, otherFileName, startingFile }) => {
    const name = fileName()
    const next = otherFileName(name)
    const [to, from] = [directory("local"), directory("remote")]
    return {
      instruction: `Download '${address(join("remote", from, name))}' into the directory '${to}' and rename it to '${next}'.`,
      files: [startingFile("remote", from, name)],
      directories: [{ on: "local", path: to }],
      goal: [
        { check: "file", on: "local", path: join("local", to, next), content: contentOf(name) },
        { check: "gone", on: "local", path: join("local", to, name) }
      ]
    }
  },

  backup_replace: ({ contentOf, directory, fileName, join, startingFile }) => {
    const name = fileName()
    const [from, to] = [directory("local"), directory("remote")]
    const [source, path] = [join("local", from, name), join("remote", to, name)]
    const content = contentOf(name, 99_999)
    return {
      instruction: `On the remote server rename '${path}' to '${name}.bak' as a backup, then upload the new version '${source}' in its place.`,
      files: [{ on: "local", path: source, content }, startingFile("remote", to, name)],
      goal: [
        { check: "file", on: "remote", path: `${path}.bak`, content: contentOf(name) },
        { check: "file", on: "remote", path, content }
      ]
    }
  }
}

export const sampleTask = (
  rng: Rng,
  { compositeRatio, type }: { readonly compositeRatio: number; readonly type: TaskType | null }
): Task => {
  const seed = rng.int(0, 9_999_999)
  const os = rng.pick(systems)
  const remoteHost = `192.168.1.${rng.int(10, 99)}`
  const remoteUser = rng.pick(remoteUsers)
  const isComposite = rng.uniform() < compositeRatio
  const drawn = rng.pick<TaskType>(isComposite ? compositeTypes : singleTypes)
  const chosen = type ?? drawn
  return {
    os,
    remoteHost,
    remoteUser,
    ...scenes[chosen](stage(rng, seed, os, remoteHost, remoteUser)),
    type: chosen,
    seed
  }
}
