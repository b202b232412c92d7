/**
 * A simulation in several worker threads. Blocks of lifecycles go to the shards in turn, and their texts come back in the
 * order of the blocks, so nothing depends on how many shards there are. A shard that is ahead waits.
 */
import { Effect, Queue, Schema } from "effect"
import { Worker } from "node:worker_threads"
import type { EpisodePlace } from "./episode-text.ts"
import { shareOf } from "./rollout.ts"
import {
  addTally,
  emptyTally,
  type EpisodeTexts,
  makeTextDigest,
  type SimulationOptions,
  type Tally
} from "./simulate.ts"

/** Lifecycles of a block: enough to make messages cheap, few enough to share small simulations evenly. */
const blockSize = 16
/** Blocks that a shard may have on their way. */
export const blocksAhead = 4

/** What a shard is told. */
export interface ShardJob<Setup> {
  /** How it opens environment and policy. */
  readonly setup: Setup
  readonly shard: number
  readonly shards: number
  readonly first: number
  readonly lifecycles: number
  readonly concurrency: number
}

interface Place extends Pick<EpisodeTexts, "first" | "last"> {
  readonly at: number
  readonly places: ReadonlyArray<EpisodePlace>
}

/** What a shard says. */
export type ShardMessage =
  | { readonly type: "block"; readonly bytes: Uint8Array; readonly texts: ReadonlyArray<Place>; readonly tally: Tally }
  | { readonly type: "failed"; readonly reason: string }

/** A worker thread of a simulation ended before its time. */
export class ShardFailure extends Schema.TaggedError<ShardFailure>()("ShardFailure", {
  shard: Schema.Int,
  reason: Schema.String
}) {
  override get message() {
    return `shard ${this.shard + 1} of the simulation: ${this.reason}`
  }
}

/** The lifecycles of one shard: how many, the number of each, and which of them end a block. */
export const shardRange = ({ first, lifecycles, shard, shards }: Omit<ShardJob<unknown>, "setup" | "concurrency">) => {
  const total = lifecycles - first
  const numberOf = (place: number): number =>
    first + (Math.floor(place / blockSize) * shards + shard) * blockSize + (place % blockSize)
  const blocks = shareOf(Math.ceil(total / blockSize), shards, shard)
  const count =
    blocks === 0
      ? 0
      : Math.min(blocks * blockSize, lifecycles - numberOf((blocks - 1) * blockSize) + (blocks - 1) * blockSize)
  return { count, numberOf, endsBlock: (place: number) => place % blockSize === blockSize - 1 || place === count - 1 }
}

/** Collects the texts of a block in the shard, to be posted at once. */
export const makeBlock = () => {
  let bytes = Buffer.allocUnsafe(1 << 20)
  let length = 0
  let texts: Array<Place> = []
  return {
    add: (given: EpisodeTexts): void => {
      if (length + given.bytes.length > bytes.length) {
        const larger = Buffer.allocUnsafe(2 * (length + given.bytes.length))
        bytes.copy(larger, 0, 0, length)
        bytes = larger
      }
      bytes.set(given.bytes, length)
      texts.push({ at: length, places: given.places, first: given.first, last: given.last })
      length += given.bytes.length
    },
    take: (tally: Tally): Extract<ShardMessage, { type: "block" }> => {
      const message = { type: "block", bytes: new Uint8Array(bytes.subarray(0, length)), texts, tally } as const
      length = 0
      texts = []
      return message
    }
  }
}

/** Lives lifecycles in worker threads of `entry`, each told by its job how. */
export const simulateInShards = Effect.fnUntraced(function* <Setup, E = never, R = never>(
  { entry, setup, shards }: { readonly entry: URL; readonly setup: Setup; readonly shards: number },
  options: Omit<SimulationOptions<E, R>, "packSize" | "seed" | "settings">
) {
  const { concurrency, digest = makeTextDigest(), first = 0, lifecycles, onTexts, tally = emptyTally() } = options
  const opened = yield* Effect.forEach(
    Array.from({ length: shards }, (_, shard) => shard),
    (shard) =>
      open(entry, {
        setup,
        shard,
        shards,
        first,
        lifecycles,
        concurrency: Math.max(1, shareOf(concurrency, shards, shard))
      })
  )
  const before = structuredClone(tally)
  const told = opened.map(emptyTally)
  const blocks = Math.ceil((lifecycles - first) / blockSize)
  for (let block = 0; block < blocks; block++) {
    const shard = block % shards
    const { messages, worker } = opened[shard]!
    const message = yield* Queue.take(messages)
    if (message.type === "failed") return yield* new ShardFailure({ shard, reason: message.reason })
    worker.postMessage("taken")
    told[shard] = message.tally
    Object.assign(tally, structuredClone(before))
    for (const one of told) addTally(tally, one)
    for (const { at, first, last, places } of message.texts) {
      const bytes = message.bytes.subarray(at, at + places.at(-1)!.end)
      digest.add(bytes, places)
      const wait = onTexts?.({ bytes, places, first, last })
      if (wait !== undefined) yield* wait
    }
  }
  return { ...tally, digest: digest.hex() }
}, Effect.scoped)

const open = (entry: URL, job: ShardJob<unknown>) =>
  Effect.gen(function* () {
    const messages = yield* Queue.unbounded<ShardMessage>() // Bounded by what a shard may have on its way.
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(entry, { workerData: job })),
      (worker) => Effect.promise(() => worker.terminate())
    )
    const failed = (reason: string) => Queue.offerUnsafe(messages, { type: "failed", reason })
    worker.on("message", (message: ShardMessage) => Queue.offerUnsafe(messages, message))
    worker.on("error", (error) => failed(error instanceof Error ? error.message : String(error)))
    worker.on("exit", (code) => failed(`its thread ended with code ${code}`))
    return { worker, messages }
  })
