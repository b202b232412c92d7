/** A thread that lives one shard of a simulation: it opens environment and policy by name, as the command does. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { type Cause, Effect, Exit, Queue } from "effect"
import { parentPort, workerData } from "node:worker_threads"
import { measureLag } from "../actors/lag.ts"
import { Lost } from "../actors/lifecycle.ts"
import { simulateRange } from "../actors/simulate.ts"
import {
  beatMillis,
  blocksAhead,
  makeBlock,
  type ShardJob,
  type ShardMessage,
  shardRange,
  standingOf
} from "../actors/simulation-shards.ts"
import { emptyTally } from "../actors/tally.ts"
import { linesOfTexts } from "../actors/trace-file.ts"
import { Policy } from "../policies/policy.ts"
import { outcome } from "./failure.ts"
import { openSimulation, type SimulationSetup } from "./simulation.ts"

const job = workerData as ShardJob<SimulationSetup>
const port = parentPort!

const post = (message: ShardMessage): void => port.postMessage(message)

/** Shows the supervisor that this thread lives, and what it has lived, until the scope closes. */
const beat = (tally: ReturnType<typeof emptyTally>) => {
  const { lived, state } = job.pulse
  const show = () => {
    const now = Object.values(standingOf(tally))
    for (const [field, before] of Object.values(job.before).entries()) lived[field] = before + now[field]!
    Atomics.add(state, 0, 1)
  }
  return Effect.acquireRelease(
    Effect.sync(() => {
      show() // From here on it may hang at any moment.
      return setInterval(show, beatMillis)
    }),
    (timer) => Effect.sync(() => clearInterval(timer))
  )
}

/** Marks each call into the environment before it is made, and refuses one from which a thread did not come back. */
const beforeCall = (number: number, calls: number): Lost | undefined => {
  const { state } = job.pulse
  state[1] = number + 1
  state[2] = calls
  if (job.lost.length === 0) return undefined
  const lost = job.lost.find((call) => call.lifecycle === number && call.calls === calls)
  return lost && new Lost("thread", lost.outcome, lost.why)
}

const lived = Effect.gen(function* () {
  const { policyOptions } = job.setup
  const devices = policyOptions.devices && [policyOptions.devices[job.shard % policyOptions.devices.length]!]
  const setup = { ...job.setup, policyOptions: { ...policyOptions, devices } }
  const { living, planAt, policy, taskSet } = yield* openSimulation(setup, 1)
  const { count, endsBlock, numberOf } = shardRange(job)
  const free = yield* Queue.unbounded<void>()
  const release = () => Queue.offerUnsafe(free, undefined)
  for (let block = 0; block < blocksAhead; block++) release()
  const tally = emptyTally()
  const lag = measureLag()
  const block = makeBlock()
  port.on("message", (memory: ArrayBuffer) => {
    block.reuse(memory)
    release()
  })
  const send = Effect.sync(() => {
    const message = block.take(lag())
    port.postMessage(message, [message.bytes.buffer])
  })
  yield* beat(tally)
  yield* simulateRange(taskSet, {
    ...living,
    count,
    numberOf,
    concurrency: job.concurrency,
    tally,
    beforeCall,
    onTexts: (texts, place) => {
      block.add(job.traced ? { ...texts, lines: linesOfTexts(texts, planAt(numberOf(place))) } : texts)
      return texts.last && endsBlock(place) ? Effect.andThen(Queue.take(free), send) : undefined
    }
  }).pipe(Effect.provideService(Policy, policy!))
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
