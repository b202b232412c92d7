/** A thread that lives one shard of a simulation: it opens environment and policy by name, as the command does. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { type Cause, Effect, Exit, Queue } from "effect"
import { parentPort, workerData } from "node:worker_threads"
import { emptyTally, simulateRange } from "../actors/simulate.ts"
import { blocksAhead, makeBlock, type ShardJob, type ShardMessage, shardRange } from "../actors/simulation-shards.ts"
import { outcome } from "./failure.ts"
import { openSimulation, type SimulationSetup } from "./simulation.ts"

const job = workerData as ShardJob<SimulationSetup>
const port = parentPort!

const post = (message: ShardMessage): void => port.postMessage(message)

const lived = Effect.gen(function* () {
  const { layer, living, taskSet } = yield* openSimulation(job.setup, 1)
  const { count, endsBlock, numberOf } = shardRange(job)
  const free = yield* Queue.unbounded<void>()
  const release = () => Queue.offerUnsafe(free, undefined)
  for (let block = 0; block < blocksAhead; block++) release()
  port.on("message", release)
  const tally = emptyTally()
  const block = makeBlock()
  const send = Effect.sync(() => {
    const message = block.take(structuredClone(tally))
    port.postMessage(message, [message.bytes.buffer as ArrayBuffer])
  })
  yield* simulateRange(taskSet, {
    ...living,
    count,
    numberOf,
    concurrency: job.concurrency,
    tally,
    onTexts: (texts, place) => {
      block.add(texts)
      return texts.last && endsBlock(place) ? Effect.andThen(Queue.take(free), send) : undefined
    }
  }).pipe(Effect.provide(layer))
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

Effect.runPromiseExit(lived).then((exit) => {
  if (Exit.isFailure(exit)) {
    post({
      type: "failed",
      reason: outcome(exit.cause as Cause.Cause<unknown>)
        .lines.join(" ")
        .replace(/^constellate: /, "")
    })
  }
  port.unref()
})
