/**
 * The trace file of a simulation: written in the order of the packs, so that what a kill leaves behind is a beginning.
 * Whoever resumes takes over the lifecycles that are whole, drops the rest and goes on behind them.
 *
 * A trace may be rotated: it goes on in `traces.0001.jsonl`, `traces.0002.jsonl` and so on beside `traces.jsonl`, each of
 * whole lifecycles, so a part alone is a trace too. Whoever reads the first reads them all.
 */
import { Effect, Exit, Fiber, FileSystem, Latch, type PlatformError, Schema, Scope, Stream } from "effect"
import { parse } from "node:path"
import { type FileLine, linesOf } from "./checked-lines.ts"
import { canonicalJson, untimed } from "./episode-text.ts"
import { type LifecycleTexts, makeTextDigest } from "./simulate.ts"
import { countEpisode, countsOf, emptyTally, isLast } from "./tally.ts"
import { type RecordedPlan, readTraceLine, type TraceLine, traceLine } from "./trace.ts"

/** A trace file that cannot be continued. */
export class TraceFileError extends Schema.TaggedError<TraceFileError>()("TraceFileError", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
}

/** What is written at once, about. */
const chunkBytes = 1 << 18
/** What may wait for the disk before the simulation has to. */
const mostBytes = 1 << 25

/** Where a part of a trace lies; part 0 is the file itself. */
export const partOf = (path: string, part: number): string => {
  const { dir, ext, name } = parse(path)
  return part === 0 ? path : `${dir === "" ? "" : `${dir}/`}${name}.${String(part).padStart(4, "0")}${ext}`
}

/** The files that a trace consists of, in their order; at least the first, whether it exists or not. */
export const partsOf = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const parts = [path]
  while (yield* files.exists(partOf(path, parts.length))) parts.push(partOf(path, parts.length))
  return parts
})

/** The lines of a trace and of its parts, read as they are asked for. */
export const traceFileLines = (path: string) =>
  Stream.unwrap(Effect.map(partsOf(path), (parts) => Stream.flatMap(Stream.fromIterable(parts), linesOf)))

/** The lines of some episodes; the first of a lifecycle has the plan. */
export const linesOfTexts = (
  { bytes, first, places }: Pick<LifecycleTexts, "bytes" | "first" | "places">,
  plan: RecordedPlan
): Buffer => Buffer.concat(places.map((place, i) => traceLine(bytes, place, first && i === 0 ? plan : undefined)))

/** What a trace holds already. */
export interface Known {
  readonly lifecycles: number
  /** Where its whole lifecycles end. */
  readonly part: number
  readonly bytes: number
  readonly tally: ReturnType<typeof emptyTally>
  readonly digest: ReturnType<typeof makeTextDigest>
}

/**
 * Appends whole lifecycles to a trace, which stays open until the scope closes; then all of them are in it. A fiber of its
 * own writes, so whoever hands lines over goes on at once, unless the disk is 32 MiB behind.
 *
 * @param rotateBytes a part that has reached this size is followed by another; undefined for a single file
 */
export const openTraceFile = Effect.fnUntraced(function* (
  path: string,
  planAt: (lifecycle: number) => RecordedPlan,
  { known, rotateBytes = Infinity }: { readonly known?: Known | undefined; readonly rotateBytes?: number | undefined }
) {
  const files = yield* FileSystem.FileSystem
  let { bytes: size, part } = known ?? { bytes: 0, part: 0 }
  const open = Effect.fnUntraced(function* (flag: FileSystem.OpenFlag) {
    const scope = yield* Scope.make()
    const file = yield* Scope.provide(files.open(partOf(path, part), { flag }), scope)
    return { file, scope }
  })
  if (known === undefined && (yield* files.exists(partOf(path, 1)))) {
    return yield* new TraceFileError({ path: partOf(path, 1), reason: "exists already" })
  }
  let current = yield* open(known === undefined ? "wx" : "r+")
  if (known !== undefined) {
    yield* current.file.truncate(size)
    yield* current.file.seek(BigInt(size), "start")
    for (const torn of (yield* partsOf(path)).slice(part + 1)) yield* files.remove(torn)
  }

  /** Lines of the lifecycle at hand, and lifecycles that wait for the disk. */
  let lines: Array<Uint8Array> = []
  let lifecycle = known?.lifecycles ?? 0
  let written = lifecycle
  let ready: Array<Buffer> = []
  let waiting = 0
  let failure: PlatformError.PlatformError | undefined
  let closing = false
  const due = yield* Latch.make(false)
  const room = yield* Latch.make(true)

  const rotate = Effect.gen(function* () {
    yield* current.file.sync
    yield* Scope.close(current.scope, Exit.void)
    part++
    size = 0
    current = yield* open("wx")
  })
  const writeReady = Effect.gen(function* () {
    const taken = ready
    ready = []
    for (let from = 0; from < taken.length;) {
      if (size >= rotateBytes) yield* rotate
      let to = from
      let bytes = 0
      while (to < taken.length && size + bytes < rotateBytes) bytes += taken[to++]!.length
      yield* current.file.writeAll(Buffer.concat(taken.slice(from, to)))
      size += bytes
      written += to - from
      waiting -= bytes
      from = to
    }
    room.openUnsafe()
  })
  const writer = yield* Effect.gen(function* () {
    for (let last = false; !last;) {
      yield* due.await
      due.closeUnsafe()
      last = closing
      yield* writeReady
    }
    yield* current.file.sync
  }).pipe(
    Effect.catch((error) =>
      Effect.sync(() => {
        failure = error
        room.openUnsafe()
      })
    ),
    Effect.ensuring(Effect.suspend(() => Scope.close(current.scope, Exit.void))),
    Effect.uninterruptible,
    Effect.forkDetach({ startImmediately: true })
  )
  const fault = Effect.suspend(() => (failure === undefined ? Effect.void : Effect.fail(failure)))
  /** Waits until everything is on the disk. Nothing can be written after it. */
  const close = Effect.suspend(() => {
    closing = true
    due.openUnsafe()
    return Effect.andThen(Fiber.await(writer), fault)
  })
  yield* Effect.addFinalizer(() => Effect.ignore(close))

  const write = (texts: LifecycleTexts) => {
    lines.push(texts.lines ?? linesOfTexts(texts, planAt(lifecycle)))
    if (!texts.last) return undefined
    lifecycle++
    const whole = Buffer.concat(lines)
    lines = []
    ready.push(whole)
    waiting += whole.length
    if (waiting >= chunkBytes) due.openUnsafe()
    if (failure === undefined && waiting < mostBytes) return undefined
    room.closeUnsafe()
    if (failure !== undefined) room.openUnsafe()
    return Effect.andThen(room.await, fault)
  }
  /** How many whole lifecycles are in the file by now. */
  return { write, close, written: () => written }
})

/** The whole lifecycles at the beginning of a trace that was written by this very plan, in this order. */
export const readKnown = Effect.fnUntraced(function* (
  path: string,
  expected: {
    readonly planAt: (lifecycle: number) => RecordedPlan
    readonly environment: string
    readonly packSize: number
    readonly most: number
  }
) {
  const tally = emptyTally()
  const digest = makeTextDigest()
  const parts = yield* partsOf(path)
  let plan: RecordedPlan | undefined
  let planned = ""
  let lifecycles = 0
  let [part, bytes] = [0, 0]
  let read = { file: path, bytes: 0 }
  let torn: FileLine | undefined
  let episodes: Array<TraceLine> = []
  const fail = ({ file }: FileLine, reason: string) => new TraceFileError({ path: file, reason })
  yield* Stream.runForEach(
    traceFileLines(path),
    Effect.fnUntraced(function* (at) {
      const { file, number, text, whole } = at
      if (torn !== undefined) return yield* fail(torn, `line ${torn.number} was altered`)
      read = { file, bytes: (read.file === file ? read.bytes : 0) + Buffer.byteLength(text) + 1 }
      const found = readTraceLine(text)
      if (!whole || found === undefined || !found.intact) {
        torn = at
        return
      }
      const { line } = found
      if (episodes.length === 0) {
        const next = expected.planAt(lifecycles)
        if (plan !== next) planned = canonicalJson((plan = next))
        if (line.environment !== expected.environment || canonicalJson(line.plan) !== planned) {
          return yield* fail(at, `line ${number} belongs to another simulation`)
        }
        if (Number(line.pack.slice(-7)) !== lifecycles)
          return yield* fail(at, `line ${number} is not of lifecycle ${lifecycles}`)
        if (lifecycles === expected.most) return yield* fail(at, `holds more than ${expected.most} lifecycles`)
      }
      episodes.push(line)
      if (!isLast(line, expected.packSize)) return
      for (const { plan: _plan, ...episode } of episodes) {
        countEpisode(tally, countsOf(episode), isLast(episode, expected.packSize))
        const text = Buffer.from(canonicalJson(untimed(episode)))
        digest.add(text, [{ start: 0, end: text.length }])
      }
      episodes = []
      lifecycles++
      ;[part, bytes] = [parts.indexOf(file), read.bytes]
    })
  )
  return { lifecycles, part, bytes, tally, digest } satisfies Known
})
