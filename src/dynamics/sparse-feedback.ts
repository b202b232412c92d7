/** Feedback that stays out now and then. */
import { Schema } from "effect"
import { operator, parameter, probability } from "./operator.ts"
import { retold } from "./retelling.ts"

const SparseFeedback = Schema.Struct({
  rate: parameter(probability, 0, "Probability that there is no feedback on a step; 1 for never any")
})

/**
 * With probability `rate` there is no feedback on a step: it is missing from the observation, from the feedback on the
 * episode and from the trajectory. The rest of the observation, what the end of an episode says besides, outcome, reward
 * and final state stay. Why an answer could not be read is always told.
 */
export const withSparseFeedback = operator(
  "sparseFeedback",
  SparseFeedback,
  ({ rate }) => rate > 0,
  (environment, { rate }, key) =>
    retold(environment, key, ({ event }) => (event.rng.uniform() < rate ? { chat: "", terse: "" } : null))
)
