/** Batches of groups, sampled ahead of the learner in fibers of their own and handed over in their order. */
import { Effect, Fiber } from "effect"
import { type Overlap, sampledAfter } from "../machines/overlap.ts"

/**
 * Starts a batch as soon as the policy that is to sample it is there, in the surrounding scope. Batches are to be taken one
 * after the other, each when as many updates are done as its number says.
 *
 * @param first the batch to begin with
 * @param total batches of the whole run: none is sampled that nobody will take
 */
export const makeBatches = Effect.fnUntraced(function* <A, E, R>(
  overlap: Overlap,
  first: number,
  total: number,
  sample: (batch: number, after: number) => Effect.Effect<A, E, R>
) {
  const scope = yield* Effect.scope
  const underWay: Array<Fiber.Fiber<A, E>> = []
  let next = first
  return {
    take: Effect.fnUntraced(function* (batch: number) {
      for (; next < total && next <= batch + overlap.ahead; next++) {
        underWay.push(yield* Effect.forkIn(sample(next, sampledAfter(next, overlap)), scope))
      }
      return yield* Fiber.join(underWay.shift()!)
    })
  }
})
