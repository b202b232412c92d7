/**
 * The learner: holds the newest weights and the optimiser's moments, turns weighted sequences into a gradient with all
 * model workers, takes a step and publishes the next policy version by handing over its buffer.
 */
import { Effect, Queue, Runtime, Schema } from "effect"
import { type AdamWOptions, type AdamWState, adamWStep } from "../kernels/adamw.ts"
import type { GradientRow, ScoreRow } from "../kernels/model.ts"
import { microBatches, shareStems } from "../kernels/sequences.ts"
import type { ModelFailure, ModelWorker, ModelWorkers } from "./model-workers.ts"

/** A gradient that is not finite never reaches the weights. */
export class GradientNotFinite extends Schema.TaggedError<GradientNotFinite>()("GradientNotFinite", {
  policyVersion: Schema.Int
}) {
  override get message() {
    return `the gradient at policy version ${this.policyVersion} is not finite; lower the learning rate or clip more`
  }
  override readonly [Runtime.errorExitCode] = 1
}

export interface Learner {
  /** Optimiser steps taken, by which the weights are known to the workers. */
  policyVersion: number
  weights: Float32Array
  /** Where the next weights go: a buffer that no version in use has. */
  readonly buffer: () => Float32Array
  /** Begun anew where training enters another stage. */
  moments: AdamWState
}

interface BatchOptions {
  readonly temperature: number
  /** Padded tokens of a micro-batch: how sequences are cut changes their sum by rounding only. */
  readonly budgetTokens: number
}

/**
 * Micro-batches are dealt to this many lanes, each of them summed by one worker. A constant, so that the order of the sum,
 * and with it its rounding, does not depend on how many workers there are.
 */
const lanes = 4

/**
 * The gradient of the sum over all rows of weight times log-probability, and the log-probabilities row by row. What long
 * prompts have in common is computed once for those that fit into one micro-batch. Lanes go to
 * whichever worker is free and are added up in their own order.
 */
export const batchGradient = Effect.fnUntraced(function* <Row extends GradientRow>(
  workers: ModelWorkers,
  version: number,
  rows: ReadonlyArray<Row>,
  { budgetTokens, temperature }: BatchOptions
) {
  const shared = shareStems(rows, budgetTokens).map((shared) => ({ ...shared, tokens: shared.row.tokens }))
  const batches = microBatches(shared, budgetTokens)
  const dealt = Array.from({ length: Math.min(lanes, batches.length) }, (_, lane) =>
    batches.filter((_, i) => i % lanes === lane)
  )
  const results = yield* dealOut(workers, dealt, (worker, lane) =>
    worker.call({
      type: "gradient",
      version,
      rows: lane.map((batch) => batch.map(({ row }) => bare(row))),
      temperature
    })
  )
  const [sum, ...others] = results.map(({ gradient }) => gradient)
  for (const gradient of others) for (let i = 0; i < gradient.length; i++) sum![i]! += gradient[i]!
  const logprobs = new Map(
    dealt.flatMap((lane, l) =>
      lane.flatMap((batch, b) =>
        batch.flatMap(({ members }, i) => {
          let from = 0
          const all = results[l]!.logprobs[b]![i]!
          return members.map((row) => [row, all.slice(from, (from += row.positions.length))] as const)
        })
      )
    )
  )
  return { gradient: sum, logprobs }
})

/** The log-probabilities that a policy version gives to the tokens at the positions of each row. */
export const batchLogprobs = Effect.fnUntraced(function* <Row extends ScoreRow>(
  workers: ModelWorkers,
  version: number,
  rows: ReadonlyArray<Row>,
  { budgetTokens, temperature }: BatchOptions
) {
  const batches = microBatches(rows, budgetTokens)
  const results = yield* dealOut(workers, batches, (worker, batch) =>
    worker.call({
      type: "score",
      version,
      rows: batch.map(({ positions, tokens }) => ({ positions, tokens })),
      temperature
    })
  )
  return new Map(batches.flatMap((batch, b) => batch.map((row, i) => [row, results[b]![i]!] as const)))
})

/** Each part goes to whichever worker is free; the results in the order of the parts. */
const dealOut = Effect.fnUntraced(function* <Part, A, E>(
  { workers }: ModelWorkers,
  parts: ReadonlyArray<Part>,
  carryOut: (worker: ModelWorker, part: Part) => Effect.Effect<A, E>
) {
  const free = yield* Queue.bounded<ModelWorker>(workers.length)
  yield* Queue.offerAll(free, workers)
  return yield* Effect.forEach(
    parts,
    (part) =>
      Effect.acquireUseRelease(
        Queue.take(free),
        (worker) => carryOut(worker, part),
        (worker) => Queue.offer(free, worker)
      ),
    { concurrency: workers.length }
  )
})

/** What crosses to a worker: a row may carry more than a gradient needs. */
const bare = ({ branching, positions, tokens, weights }: GradientRow): GradientRow => ({
  positions,
  tokens,
  weights,
  branching
})

/**
 * One step of the optimiser on weighted sequences; rows whose weights are all 0 should be left out. Without rows nothing
 * is learnt and the version stays.
 */
export const learn = Effect.fnUntraced(function* <Row extends GradientRow>(
  learner: Learner,
  workers: ModelWorkers,
  rows: ReadonlyArray<Row>,
  options: AdamWOptions & BatchOptions
): Effect.fn.Return<
  { readonly gradientNorm: number; readonly logprobs: ReadonlyMap<Row, ReadonlyArray<number>> },
  ModelFailure | GradientNotFinite
> {
  const { gradient, logprobs } = yield* batchGradient(workers, learner.policyVersion, rows, options)
  if (gradient === undefined) return { gradientNorm: 0, logprobs }
  const next = learner.buffer()
  const gradientNorm = adamWStep(learner.weights, gradient, learner.moments, options, next)
  if (!Number.isFinite(gradientNorm)) return yield* new GradientNotFinite({ policyVersion: learner.policyVersion })
  learner.weights = next
  learner.policyVersion++
  yield* workers.publish(learner.policyVersion, next)
  return { gradientNorm, logprobs }
})
