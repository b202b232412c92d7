/**
 * Run folders: everything that a run leaves behind, and what it is resumed from.
 *
 * `run.json` (what this is, in which format), `config.yaml` (resolved), `journal/`, `metrics.jsonl` (one line an update,
 * no times), `timing.jsonl`, `traces/`, `checkpoints/<update>/`, `report.html`, `curve.svg`, `logs/`. One process writes
 * to a run at a time: it holds an exclusive lock of the operating system on `lock`, which ends with the process however
 * that ends. (The lock is SQLite's, since Node offers no other that a killed process gives back.)
 */
import { DateTime, Effect, FileSystem, Option, Result, Schema, type PlatformError, type Scope } from "effect"
import { nanoid } from "nanoid"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { lastCheckpoint, publishCheckpoint, type Checkpoint } from "./checkpoint.ts"
import { flush, writeDurably } from "./durable-file.ts"

/** Counts up when a run folder of an older constellate can't be read any more. */
export const runFormat = 1

/** What a folder says of itself in `run.json`. */
export const RunRecord = Schema.Struct({
  format: Schema.Literal(runFormat),
  id: Schema.String,
  /** UTC, ISO 8601. */
  created: Schema.String,
  /** Absent until the run has reached its end. */
  finished: Schema.optionalKey(Schema.String),
  environments: Schema.Array(Schema.String),
  policy: Schema.String
})
export type RunRecord = typeof RunRecord.Type

/** A folder that is not a run, not one we can read, or not ours to write to. */
export class RunFolderError extends Schema.TaggedError<RunFolderError>()("RunFolderError", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
}

/** A run that this process may write to. */
export interface RunFolder {
  readonly path: string
  readonly record: RunRecord
  /** Where a file of the run lies: `at("journal")`. */
  readonly at: (...names: ReadonlyArray<string>) => string
  /** Replaces a file's content at once. */
  readonly write: (name: string, content: string | Uint8Array) => Effect.Effect<void, PlatformError.PlatformError>
  /** Adds one line of JSON to a file. It outlives the process at once, and a power cut after the next `flush`. */
  readonly append: (name: string, line: object) => Effect.Effect<void, PlatformError.PlatformError>
  /** Waits until all lines are on the disk. */
  readonly flush: Effect.Effect<void, PlatformError.PlatformError>
  /** Keeps the leading lines that `keep` accepts and drops the rest, and with it what was torn by a kill. */
  readonly rewind: (name: string, keep: (line: any) => boolean) => Effect.Effect<void, PlatformError.PlatformError>
  /** Writes a checkpoint into the folder given to `write` and puts it in its place at once. */
  readonly publish: <E, R>(
    update: number,
    write: (folder: string) => Effect.Effect<unknown, E, R>
  ) => Effect.Effect<Checkpoint, E | PlatformError.PlatformError, R>
  /** The last checkpoint that is intact; damaged ones are named in warnings. */
  readonly lastCheckpoint: Effect.Effect<Option.Option<Checkpoint>, PlatformError.PlatformError>
  /** Marks the run as finished. */
  readonly finish: Effect.Effect<void, PlatformError.PlatformError>
}

/**
 * Makes a new run folder with its configuration, `runs/<UTC time>-<id>` unless a place is given. It is this process's
 * until the scope closes. A place that holds anything already is refused and left as it is.
 */
export const createRun = Effect.fnUntraced(function* (
  options: Pick<RunRecord, "environments" | "policy"> & {
    readonly path?: string | undefined
    /** The resolved configuration as YAML. */
    readonly config: string
  }
) {
  const files = yield* FileSystem.FileSystem
  const now = yield* DateTime.now
  const created = DateTime.formatIso(now)
  const id = `${created.slice(0, 19).replaceAll(/[-:]/g, "")}Z-${nanoid(6)}`
  const path = options.path ?? join("runs", id)
  if ((yield* files.exists(path)) && (yield* files.readDirectory(path)).length > 0) {
    const isRun = yield* files.exists(join(path, recordFile))
    const reason = isRun ? "holds a run already; continue it with --resume" : "is not empty and not a run"
    return yield* new RunFolderError({ path, reason })
  }
  const record: RunRecord = {
    format: runFormat,
    id,
    created,
    environments: options.environments,
    policy: options.policy
  }
  yield* files.makeDirectory(join(path, "checkpoints"), { recursive: true })
  yield* lock(path)
  yield* writeDurably(join(path, "config.yaml"), options.config)
  // Last, since it is what makes the folder a run.
  yield* writeDurably(join(path, recordFile), encodeRecord(record))
  return yield* hold(path, record)
})

/** Opens a run to continue it. It is this process's until the scope closes. */
export const openRun = Effect.fnUntraced(function* (path: string) {
  const record = yield* readRecord(path)
  yield* lock(path)
  return yield* hold(path, record)
})

/** A folder's `run.json`. Fails where there is none, or one of another format. */
export const readRecord = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const file = join(path, recordFile)
  if (!(yield* files.exists(file)))
    return yield* new RunFolderError({ path, reason: `is not a run: it has no ${recordFile}` })
  const text = yield* files.readFileString(file)
  const json = Result.getOrUndefined(Result.try(() => JSON.parse(text) as { readonly format?: unknown } | null))
  const format = json?.format
  if (json !== undefined && format !== runFormat) {
    const reason = `"format" is ${JSON.stringify(format) ?? "missing"}, expected ${runFormat}: the run is of another version of constellate`
    return yield* new RunFolderError({ path: file, reason })
  }
  return yield* Schema.decodeUnknownEffect(RunRecord)(json, { errors: "first" }).pipe(
    Effect.mapError((error) => new RunFolderError({ path: file, reason: error.message }))
  )
})

/** True where the folder holds a run, of whatever format. */
export const isRun = (path: string) =>
  Effect.flatMap(FileSystem.FileSystem, (files) => files.exists(join(path, recordFile)))

/** The policy folder that a path means: of a run its last checkpoint, otherwise the path itself. */
export const policyFolderOf = Effect.fnUntraced(function* (path: string) {
  if (!(yield* isRun(path))) return path
  yield* readRecord(path)
  const last = yield* lastCheckpoint(join(path, "checkpoints"))
  if (Option.isNone(last)) return yield* new RunFolderError({ path, reason: "has no intact checkpoint yet" })
  return last.value.path
})

/** True while a process writes to the run. */
export const isBeingWritten = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  if (!(yield* files.exists(join(path, lockFile)))) return false
  return yield* Effect.scoped(lock(path, 0)).pipe(
    Effect.as(false),
    Effect.catchTag("RunFolderError", () => Effect.succeed(true))
  )
})

const recordFile = "run.json"
const lockFile = "lock"

const encodeRecord = (record: RunRecord): string => `${JSON.stringify(record, null, 2)}\n`

const hold = Effect.fnUntraced(function* (path: string, record: RunRecord) {
  const files = yield* FileSystem.FileSystem
  const provided = Effect.provideService(FileSystem.FileSystem, files)
  const at = (...names: ReadonlyArray<string>) => join(path, ...names)
  const appended = new Set<string>()
  const folder: RunFolder = {
    path,
    record,
    at,
    write: (name, content) => provided(writeDurably(at(name), content)),
    append: (name, line) => {
      appended.add(name)
      return files.writeFileString(at(name), `${JSON.stringify(line)}\n`, { flag: "a" })
    },
    flush: Effect.suspend(() =>
      Effect.andThen(
        Effect.forEach(appended, (name) => provided(flush(at(name))), { discard: true }),
        Effect.sync(() => appended.clear())
      )
    ),
    rewind: Effect.fnUntraced(function* (name, keep) {
      if (!(yield* files.exists(at(name)))) return
      const lines = (yield* files.readFileString(at(name))).split("\n")
      const complete = lines.slice(0, -1)
      const end = complete.findIndex(
        (line) =>
          !Result.getOrElse(
            Result.try(() => keep(JSON.parse(line))),
            () => false
          )
      )
      const kept = end < 0 ? complete : complete.slice(0, end)
      yield* provided(writeDurably(at(name), kept.map((line) => `${line}\n`).join("")))
    }),
    publish: (update, write) =>
      Effect.provideService(publishCheckpoint(at("checkpoints"), update, write), FileSystem.FileSystem, files),
    lastCheckpoint: provided(lastCheckpoint(at("checkpoints"))),
    finish: Effect.flatMap(DateTime.now, (now) =>
      provided(writeDurably(at(recordFile), encodeRecord({ ...record, finished: DateTime.formatIso(now) })))
    )
  }
  return folder
})

const lock = (path: string, waitMillis = 1_000): Effect.Effect<void, RunFolderError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => {
        const database = new DatabaseSync(join(path, lockFile), { timeout: waitMillis })
        database.exec("pragma journal_mode = memory; begin exclusive")
        return database
      },
      catch: (error) => {
        const { errcode, message } = error as { readonly errcode?: number; readonly message: string }
        const busy = 5 // SQLITE_BUSY
        const reason = errcode === busy ? "another process is writing to this run" : `can't be locked: ${message}`
        return new RunFolderError({ path, reason })
      }
    }),
    (database) => Effect.sync(() => database.close())
  )
