/**
 * The trace file of a simulation: written in the order of the packs, so that what a kill leaves behind is a beginning.
 * Whoever resumes takes over the lifecycles that are whole, drops the rest and goes on behind them.
 */
import { Effect, FileSystem, Schema, Stream } from "effect"
import { canonicalJson, untimed } from "./episode-text.ts"
import { countEpisode, emptyTally, type EpisodeTexts, isLast, makeTextDigest } from "./simulate.ts"
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

const chunkBytes = 1 << 18

/** What a trace file holds already. */
export interface Known {
  readonly lifecycles: number
  /** Of its whole lifecycles. */
  readonly bytes: number
  readonly tally: ReturnType<typeof emptyTally>
  readonly digest: ReturnType<typeof makeTextDigest>
}

/** Appends to a file, which stays open until the scope closes; then everything is in it. */
export const openTraceFile = Effect.fnUntraced(function* (path: string, plan: RecordedPlan, known?: Known) {
  const files = yield* FileSystem.FileSystem
  const file = yield* files.open(path, { flag: known === undefined ? "wx" : "r+" })
  if (known !== undefined) {
    yield* file.truncate(known.bytes)
    yield* file.seek(BigInt(known.bytes), "start")
  }
  let waiting: Array<Buffer> = []
  let bytes = 0
  const flush = Effect.suspend(() => {
    const lines = Buffer.concat(waiting)
    waiting = []
    bytes = 0
    return lines.length === 0 ? Effect.void : file.writeAll(lines)
  }).pipe(Effect.uninterruptible)
  yield* Effect.addFinalizer(() => Effect.orDie(flush))
  const write = ({ bytes: text, first, last, places }: EpisodeTexts) => {
    for (const [i, place] of places.entries()) {
      const line = traceLine(text, place, first && i === 0 ? plan : undefined)
      waiting.push(line)
      bytes += line.length
    }
    // Between lifecycles only: what is written are whole ones.
    return last && bytes >= chunkBytes ? flush : undefined
  }
  return { write, flush }
})

/** The whole lifecycles at the beginning of a trace file that was written by this very plan, in this order. */
export const readKnown = Effect.fnUntraced(function* (
  path: string,
  expected: {
    readonly plan: RecordedPlan
    readonly environment: string
    readonly packSize: number
    readonly most: number
  }
) {
  const files = yield* FileSystem.FileSystem
  const tally = emptyTally()
  const digest = makeTextDigest()
  const fail = (reason: string) => new TraceFileError({ path, reason })
  const planned = canonicalJson(expected.plan)
  let lifecycles = 0
  let bytes = 0
  let read = 0
  let number = 0
  let torn: number | undefined
  let episodes: Array<TraceLine> = []
  yield* Stream.runForEach(
    wholeLines(files.stream(path)),
    Effect.fnUntraced(function* (text) {
      number++
      if (torn !== undefined) return yield* fail(`line ${torn} was altered`)
      read += Buffer.byteLength(text) + 1
      const found = readTraceLine(text)
      if (found === undefined || !found.intact) {
        torn = number
        return
      }
      const { line } = found
      if (episodes.length === 0) {
        if (line.environment !== expected.environment || canonicalJson(line.plan) !== planned) {
          return yield* fail(`line ${number} belongs to another simulation`)
        }
        if (Number(line.pack.slice(-7)) !== lifecycles)
          return yield* fail(`line ${number} is not of lifecycle ${lifecycles}`)
        if (lifecycles === expected.most) return yield* fail(`holds more than ${expected.most} lifecycles`)
      }
      episodes.push(line)
      if (!isLast(line, expected.packSize)) return
      for (const { plan: _plan, ...episode } of episodes) {
        countEpisode(tally, expected.packSize, episode)
        const text = Buffer.from(canonicalJson(untimed(episode)))
        digest.add(text, [{ start: 0, end: text.length }])
      }
      episodes = []
      lifecycles++
      bytes = read
    })
  )
  return { lifecycles, bytes, tally, digest } satisfies Known
})

/** Lines that end, and with a line feed: other separators may stand in texts. The last one may be torn. */
const wholeLines = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) => {
  let rest = ""
  return bytes.pipe(
    Stream.decodeText,
    Stream.map((text) => {
      const lines = (rest + text).split("\n")
      rest = lines.pop()!
      return lines
    }),
    Stream.flatMap(Stream.fromIterable)
  )
}
