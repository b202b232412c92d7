/**
 * A simulation in worker threads. Blocks of lifecycles go to the shards in turn, and their texts come back in the order of
 * the blocks, so nothing depends on how many shards there are. A shard that is ahead waits.
 *
 * Shards are watched. One whose event loop stands still, or whose thread ends, is replaced by another that lives again what
 * had not come back. The call into the environment at which it happened is not made a second time: there its lifecycle
 * ends, as a fault, and the others go on.
 */
import { Effect, Queue, Schema } from "effect"
import { Worker } from "node:worker_threads"
import { type Lag, largestLag, noLag } from "./lag.ts"
import { shareOf } from "./rollout.ts"
import { type LifecycleTexts, makeTextDigest, type Simulation, type SimulationOptions } from "./simulate.ts"
import { addTally, countEpisode, emptyTally, type Tally } from "./tally.ts"

/** Lifecycles of a block: enough to make messages cheap, few enough to share small simulations evenly. */
const blockSize = 16
/** Blocks that a shard may have on their way. */
export const blocksAhead = 4

/** How often a shard shows that it lives, and how often that is looked at. */
export const beatMillis = 100
const lookMillis = 250
/** Threads that may be lost before a simulation gives up. */
const mostLost = 100

/** A call into the environment from which a thread did not come back. */
export interface LostCall {
  readonly lifecycle: number
  /** How many calls the lifecycle had made before. */
  readonly calls: number
  readonly outcome: "timeout" | "error"
  readonly why: string
}

/** What a shard is told. */
export interface ShardJob<Setup> {
  /** How it opens environment and policy. */
  readonly setup: Setup
  readonly shard: number
  readonly shards: number
  readonly first: number
  readonly lifecycles: number
  readonly concurrency: number
  /** Blocks of this shard that are known already. */
  readonly blocks: number
  readonly lost: ReadonlyArray<LostCall>
  /** Whether the lines of traces are wanted. */
  readonly traced: boolean
  readonly pulse: Pulse
  /** What earlier threads of this shard have lived. */
  readonly before: Standing
}

/** What a shard writes into memory that its supervisor reads: it may not be able to say anything any more. */
export interface Pulse {
  /** Beats; the lifecycle of the last call into the environment, counted from 1; the calls that it had made before. */
  readonly state: Int32Array
  /** A standing, in the order of its fields. */
  readonly lived: Float64Array
}

export const makePulse = (): Pulse => ({
  state: new Int32Array(new SharedArrayBuffer(12)),
  lived: new Float64Array(new SharedArrayBuffer(40))
})

/** What has been lived so far, whether it is known already or not. */
export interface Standing {
  readonly done: number
  readonly tasks: number
  readonly steps: number
  readonly tokens: number
  readonly lost: number
}

export const standingOf = ({ done, lost, outcomes, steps, tokens }: Tally): Standing => ({
  done,
  tasks: Object.values(outcomes).reduce((sum, n) => sum + n, 0),
  steps,
  tokens,
  lost
})

/** What all shards have lived. */
export const standingOfPulses = (pulses: ReadonlyArray<{ readonly lived: ArrayLike<number> }>): Standing => {
  const sum = (field: number) => pulses.reduce((all, { lived }) => all + lived[field]!, 0)
  return { done: sum(0), tasks: sum(1), steps: sum(2), tokens: sum(3), lost: sum(4) }
}

/** Some of the bytes of a block. */
interface Span {
  readonly start: number
  readonly end: number
}

interface Place extends Pick<LifecycleTexts, "first" | "last" | "places" | "counts"> {
  readonly at: Span
  readonly lines: Span | undefined
}

/** What a shard says, and what is said of it. */
export type ShardMessage =
  | {
      readonly type: "block"
      readonly bytes: Uint8Array<ArrayBuffer>
      readonly texts: ReadonlyArray<Place>
      readonly tally: Tally
      readonly lag: Lag
    }
  | { readonly type: "failed"; readonly reason: string }
  | { readonly type: "lost"; readonly outcome: LostCall["outcome"]; readonly reason: string }

/** A worker thread of a simulation could not do its work. */
export class ShardFailure extends Schema.TaggedError<ShardFailure>()("ShardFailure", {
  shard: Schema.Int,
  reason: Schema.String
}) {
  override get message() {
    return `shard ${this.shard + 1} of the simulation: ${this.reason}`
  }
}

/** The lifecycles that a shard has left: how many, the number of each, and which of them end a block. */
export const shardRange = ({ blocks: known, first, lifecycles, shard, shards }: Omit<ShardJob<unknown>, "setup">) => {
  const total = lifecycles - first
  const numberOf = (place: number): number => {
    const block = known + Math.floor(place / blockSize)
    return first + (block * shards + shard) * blockSize + (place % blockSize)
  }
  const blocks = shareOf(Math.ceil(total / blockSize), shards, shard) - known
  const before = Math.max(0, blocks - 1) * blockSize
  const count = blocks <= 0 ? 0 : before + Math.min(blockSize, lifecycles - numberOf(before))
  return { count, numberOf, endsBlock: (place: number) => place % blockSize === blockSize - 1 || place === count - 1 }
}

/** Bytes that are collected, and handed over all at once. */
const makeHeap = () => {
  let bytes = new Uint8Array(1 << 20)
  let length = 0
  const spare: Array<ArrayBuffer> = []
  return {
    /** Where they lie. */
    add: (given: Uint8Array): Span => {
      if (length + given.length > bytes.length) {
        const larger = new Uint8Array(2 * (length + given.length))
        larger.set(bytes.subarray(0, length))
        bytes = larger
      }
      const start = length
      bytes.set(given, start)
      length += given.length
      return { start, end: length }
    },
    take: (): Uint8Array<ArrayBuffer> => {
      const taken = bytes
      const again = spare.pop()
      bytes = again === undefined ? new Uint8Array(taken.length) : new Uint8Array(again)
      length = 0
      return taken
    },
    reuse: (given: ArrayBuffer): void => void spare.push(given)
  }
}

/** Collects the texts of a block in the shard, to be posted at once. */
export const makeBlock = () => {
  const heap = makeHeap()
  let texts: Array<Place> = []
  let tally = emptyTally()
  return {
    add: ({ bytes, counts, first, last, lines, places }: LifecycleTexts): void => {
      for (const [i, own] of counts.entries()) countEpisode(tally, own, last && i === counts.length - 1)
      const at = heap.add(bytes)
      texts.push({ at, lines: lines === undefined ? undefined : heap.add(lines), places, counts, first, last })
    },
    /** To be posted with its bytes handed over. */
    take: (lag: Lag) => {
      const message = { type: "block", bytes: heap.take(), texts, tally, lag } as const
      texts = []
      tally = emptyTally()
      return message
    },
    /** Memory of an earlier block, which is no longer read: new memory for each would keep the collectors busy. */
    reuse: heap.reuse
  }
}

export interface ShardedOptions<Setup, E, R> extends Omit<SimulationOptions<E, R>, "packSize" | "seed" | "settings"> {
  /** The module that worker threads run, and what it is told of how to open environment and policy. */
  readonly entry: URL
  readonly setup: Setup
  /** One for each shard. */
  readonly pulses: ReadonlyArray<Pulse>
  readonly traced: boolean
  /** A thread whose event loop stands still for so long is ended. */
  readonly stillMillis: number
  readonly tally: Tally
}

/** Lives lifecycles in worker threads, each told by its job how. */
export const simulateInShards = Effect.fnUntraced(function* <Setup, E = never, R = never>(
  options: ShardedOptions<Setup, E, R>
) {
  const { digest = makeTextDigest(), first = 0, lifecycles, onTexts, pulses, tally } = options
  const shards = pulses.length
  const tallies = pulses.map(emptyTally)
  const lags = pulses.map(() => noLag)
  const open = (shard: number, blocks: number, lost: ReadonlyArray<LostCall>) =>
    openShard(options.entry, options.stillMillis, {
      setup: options.setup,
      shard,
      shards,
      first,
      lifecycles,
      concurrency: Math.max(1, shareOf(options.concurrency, shards, shard)),
      blocks,
      lost,
      traced: options.traced,
      pulse: pulses[shard]!,
      before: standingOf(tallies[shard]!)
    } satisfies ShardJob<Setup>)
  const opened = yield* Effect.forEach(pulses, (_, shard) => open(shard, 0, []))
  const blocks = Math.ceil((lifecycles - first) / blockSize)
  for (let block = 0; block < blocks;) {
    const shard = block % shards
    const { job, messages, worker } = opened[shard]!
    const message = yield* Queue.take(messages)
    if (message.type === "failed") return yield* new ShardFailure({ shard, reason: message.reason })
    if (message.type === "lost") {
      const lost = yield* lostCall(job, message)
      opened[shard] = yield* open(shard, Math.floor(block / shards), [...job.lost, lost])
      continue
    }
    block++
    lags[shard] = message.lag
    addTally(tallies[shard]!, message.tally)
    addTally(tally, message.tally)
    for (const { at, lines, ...texts } of message.texts) {
      const bytes = message.bytes.subarray(at.start, at.end)
      digest.add(bytes, texts.places)
      const made = lines === undefined ? {} : { lines: message.bytes.subarray(lines.start, lines.end) }
      const wait = onTexts?.({ ...texts, ...made, bytes })
      if (wait !== undefined) yield* wait
    }
    // Nobody keeps texts, so the shard may write over them.
    worker.postMessage(message.bytes.buffer, [message.bytes.buffer])
  }
  const simulation: Simulation = { ...tally, digest: digest.hex() }
  return { ...simulation, lag: largestLag(lags) }
}, Effect.scoped)

/** The call at which a shard was lost. */
const lostCall = Effect.fnUntraced(function* (
  { lost, pulse, shard }: ShardJob<unknown>,
  { outcome, reason: why }: Extract<ShardMessage, { type: "lost" }>
) {
  const [, number, calls] = pulse.state
  const call: LostCall = { lifecycle: number! - 1, calls: calls!, outcome, why }
  const again = lost.some(({ calls, lifecycle }) => lifecycle === call.lifecycle && calls === call.calls)
  if (number === 0 || again) return yield* new ShardFailure({ shard, reason: why })
  if (lost.length === mostLost) {
    return yield* new ShardFailure({ shard, reason: `${why}, the last of ${mostLost} threads that were lost` })
  }
  return call
})

/** Longer than any thread takes to load what it needs. */
const mostBeginMillis = 20_000

const openShard = Effect.fnUntraced(function* (entry: URL, stillMillis: number, job: ShardJob<unknown>) {
  const { state } = job.pulse
  state.fill(0)
  const messages = yield* Queue.unbounded<ShardMessage>() // Bounded by what a shard may have on its way.
  let over = false
  // A thread that is ended while it loads the runtime aborts the process, so one that has not begun yet is waited for.
  const begun = Effect.sleep(10).pipe(
    Effect.repeat({ times: mostBeginMillis / 10, until: () => over || Atomics.load(state, 0) > 0 })
  )
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(entry, { workerData: job })),
    (worker) =>
      Effect.andThen(
        begun,
        Effect.promise(() => worker.terminate())
      )
  )
  const end = (outcome: LostCall["outcome"], reason: string): void => {
    if (!over) Queue.offerUnsafe(messages, { type: "lost", outcome, reason })
    over = true
  }
  worker.on("message", (message: ShardMessage) => Queue.offerUnsafe(messages, message))
  worker.on("error", (error) =>
    end("error", `the thread ended: ${error instanceof Error ? error.message : String(error)}`)
  )
  worker.on("exit", (code) => end("error", `the thread ended with code ${code}`))
  yield* Effect.gen(function* () {
    let [beats, stillFor] = [0, 0]
    while (!over) {
      yield* Effect.sleep(lookMillis)
      const now = Atomics.load(state, 0)
      // Looks are counted, not the time between them: a machine that slept has not hung.
      stillFor = now === beats && now > 0 ? stillFor + lookMillis : 0
      beats = now
      if (stillFor < stillMillis) continue
      end("timeout", `the environment did not come back in ${stillMillis} ms, and its thread was ended`)
      yield* Effect.promise(() => worker.terminate())
    }
  }).pipe(Effect.forkScoped({ startImmediately: true }))
  return { job, messages, worker }
})
