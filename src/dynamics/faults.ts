/** Faults on purpose, to test what engines, policies and people make of them. */
import { Schema } from "effect"
import type { Environment } from "../environment.ts"
import { beside, operator, ownOf, parameter, probability, type World } from "./operator.ts"

const Faults = Schema.Struct({
  throws: parameter(probability, 0, "Probability, at each answer, that the environment throws"),
  hangs: parameter(probability, 0, "Probability that it does nothing for hangMillis"),
  garbles: parameter(probability, 0, "Probability that the next observation comes back to front"),
  hangMillis: parameter(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 600_000 })),
    60_000,
    "How long it hangs; the engine's limit on a call of an environment is lifecycle.environmentSeconds"
  )
}).check(
  Schema.makeFilter(({ garbles, hangs, throws }) =>
    throws + hangs + garbles <= 1 ? undefined : "Expected throws, hangs and garbles that add up to at most 1"
  )
)

/**
 * At each answer at most one fault, after the environment has taken it: it throws, blocks its thread for `hangMillis`
 * (either ends the lifecycle, as `error` or `timeout`, and the engine tries again), or gives an observation whose characters
 * stand in reverse order. Not for training: for tests.
 */
export const withFaults = operator(
  "faults",
  Faults,
  ({ garbles, hangs, throws }) => throws + hangs + garbles > 0,
  (environment, { garbles, hangMillis, hangs, throws }, key): Environment => {
    const { chat, terse } = environment
    const told = (world: World, text: string): string =>
      ownOf<{ readonly garbled: boolean }>(world, key)?.garbled ? [...text].toReversed().join("") : text
    return {
      ...environment,
      machine: beside(environment.machine, key, {
        begin: () => ({ garbled: false }),
        after: (_, { event }) => {
          const drawn = event.type === "answer" ? event.rng.uniform() : 1
          if (drawn < throws) throw new Error("a fault on purpose (faults.throws)")
          if (drawn < throws + hangs) block(hangMillis)
          return { garbled: drawn >= throws + hangs && drawn < throws + hangs + garbles }
        }
      }),
      chat: { ...chat, user: (world) => told(world, chat.user(world)) },
      ...(terse === undefined ? {} : { terse: { ...terse, user: (world) => told(world, terse.user(world)) } })
    }
  }
)

/** Holds the thread, as an endless computation would, and yet ends. */
const block = (millis: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
