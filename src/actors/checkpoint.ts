/**
 * Checkpoints of a run: `checkpoints/<update>/`, each a policy folder with what training needs besides.
 *
 * One is written into a hidden folder, gets the digests of its files (`checksums.json`, written last), and is renamed to
 * its place: a folder with a number for a name was complete when it got it. The digests tell what happened to it since.
 */
import { Effect, FileSystem, Option, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import { join } from "node:path"
import { flush, writeDurably } from "./durable-file.ts"

export interface Checkpoint {
  /** Policy updates that went into it; 0 is the policy that training began with. */
  readonly update: number
  readonly path: string
}

/** Of a checkpoint's files, SHA-256 by name. */
const Checksums = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))
const checksumsFile = "checksums.json"

/**
 * Writes a checkpoint and puts it in its place at once, instead of an earlier one of the same update.
 *
 * @param checkpoints the folder of all of them
 * @param write fills the folder it is given; subfolders are not expected
 */
export const publishCheckpoint = Effect.fnUntraced(function* <E, R>(
  checkpoints: string,
  update: number,
  write: (folder: string) => Effect.Effect<unknown, E, R>
) {
  const files = yield* FileSystem.FileSystem
  const partial = join(checkpoints, `.${update}`)
  const path = join(checkpoints, String(update))
  yield* files.remove(partial, { recursive: true, force: true })
  yield* files.makeDirectory(partial, { recursive: true })
  yield* write(partial)
  const names = (yield* files.readDirectory(partial)).toSorted()
  const checksums: Record<string, string> = {}
  for (const name of names) {
    checksums[name] = yield* digest(join(partial, name))
    yield* flush(join(partial, name))
  }
  yield* writeDurably(join(partial, checksumsFile), `${JSON.stringify(checksums, null, 2)}\n`)
  // A folder can't be renamed over another. Killed in between, the run goes on from the checkpoint before.
  yield* files.remove(path, { recursive: true, force: true })
  yield* files.rename(partial, path)
  yield* flush(checkpoints)
  return { update, path } satisfies Checkpoint
})

/** All checkpoints in a folder, the earliest first, whether intact or not. */
export const listCheckpoints = Effect.fnUntraced(function* (checkpoints: string) {
  const files = yield* FileSystem.FileSystem
  if (!(yield* files.exists(checkpoints))) return []
  return (yield* files.readDirectory(checkpoints))
    .filter((name) => /^\d+$/.test(name))
    .map((name): Checkpoint => ({ update: Number(name), path: join(checkpoints, name) }))
    .toSorted((a, b) => a.update - b.update)
})

/** The last checkpoint that is intact. Damaged ones after it are named in warnings and passed over. */
export const lastCheckpoint = Effect.fnUntraced(function* (checkpoints: string) {
  for (const checkpoint of (yield* listCheckpoints(checkpoints)).toReversed()) {
    const damage = yield* damageOf(checkpoint)
    if (Option.isNone(damage)) return Option.some(checkpoint)
    yield* Effect.logWarning(`${checkpoint.path} is damaged (${damage.value}), falling back to the one before`)
  }
  return Option.none<Checkpoint>()
})

/** What is wrong with a checkpoint's files, if anything. */
export const damageOf = Effect.fnUntraced(function* (checkpoint: Checkpoint) {
  const files = yield* FileSystem.FileSystem
  const listed = yield* files
    .readFileString(join(checkpoint.path, checksumsFile))
    .pipe(Effect.flatMap(Schema.decodeUnknownEffect(Checksums)), Effect.option)
  if (Option.isNone(listed)) return Option.some(`${checksumsFile} is missing or unreadable`)
  for (const [name, expected] of Object.entries(listed.value)) {
    const found = yield* Effect.option(digest(join(checkpoint.path, name)))
    if (Option.isNone(found)) return Option.some(`${name} is missing`)
    if (found.value !== expected) return Option.some(`${name} has another checksum than it was written with`)
  }
  return Option.none<string>()
})

const digest = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const hash = createHash("sha256")
  yield* Stream.runForEach(files.stream(path), (bytes) => Effect.sync(() => hash.update(bytes)))
  return hash.digest("hex")
})
