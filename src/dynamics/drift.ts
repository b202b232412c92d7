/** The world does not stay as it was: the hidden knowledge of a pack is drawn anew on the way. */
import { Schema } from "effect"
import { operator, parameter, probability } from "./operator.ts"

/** Knowledge and the position from which on it holds; the first from 0, the others later and later. */
interface Phase {
  readonly from: number
  readonly knowledge: unknown
}

const Drift = Schema.Struct({
  rate: parameter(probability, 0, "Probability, at each position after the first, that the knowledge changes there"),
  at: parameter(
    Schema.Array(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
    [],
    "Positions, 1 or more, at which it changes for certain"
  )
})

/**
 * Before a task whose position is in `at`, and with probability `rate` before any task but the first, the environment's
 * knowledge is drawn anew, from the stream of the pack: all runs of a group live through the same changes. Tasks are
 * drawn, played and judged with the knowledge of their position; the environment's own memory, a record of a world that
 * is no more, begins anew, and the agent's context does not. Nothing tells the agent. The oracle knows. A repeated task
 * keeps the position that its environment is told, so under the `ralph` strategies nothing drifts.
 */
export const withDrift = operator(
  "drift",
  Drift,
  ({ at, rate }) => rate > 0 || at.length > 0,
  (environment, { at, rate }) => {
    const { knowledge: inner } = environment
    if (inner.schema?.ast._tag === "Null") {
      throw new RangeError(`expected an environment that hides something, which ${environment.id} does not`)
    }
    return {
      ...environment,
      knowledge: {
        ...inner,
        sample: (rng, drawn): ReadonlyArray<Phase> => {
          const phases: Array<Phase> = [{ from: 0, knowledge: inner.sample(rng, drawn) }]
          // What comes anew has no place in the order of a data set.
          const { number: _number, ...anew } = drawn
          for (let position = 1; position < drawn.packSize; position++) {
            const changes = rng.uniform() < rate || at.includes(position)
            if (changes) phases.push({ from: position, knowledge: inner.sample(rng, anew) })
          }
          return phases
        },
        at: (phases: ReadonlyArray<Phase>, position: number) => {
          const { knowledge } = phases.findLast(({ from }) => from <= position)!
          return inner.at === undefined ? knowledge : inner.at(knowledge, position)
        }
      }
    }
  }
)
