/** All dynamics operators, by hand and by the names that configurations give them. */
import type { Environment, Operation } from "../environment.ts"
import { withBudget } from "./budget.ts"
import { withDelayedReward } from "./delayed-reward.ts"
import { withDistractors } from "./distractors.ts"
import { withDrift } from "./drift.ts"
import { withFaults } from "./faults.ts"
import { withNoisyFeedback } from "./noisy-feedback.ts"
import type { Operator } from "./operator.ts"
import { withSparseFeedback } from "./sparse-feedback.ts"

export { withBudget, withDelayedReward, withDistractors, withDrift, withFaults, withNoisyFeedback, withSparseFeedback }

export const operators: Readonly<Record<string, Operator>> = {
  drift: withDrift,
  noisyFeedback: withNoisyFeedback,
  sparseFeedback: withSparseFeedback,
  delayedReward: withDelayedReward,
  distractors: withDistractors,
  budget: withBudget,
  faults: withFaults
}

/** The environment with the operations around it, the first one innermost. Throws where one of them can't be. */
export const withDynamics = (environment: Environment, operations: ReadonlyArray<Operation>): Environment =>
  operations.reduce((inner, operation) => {
    const [[name, parameters]] = Object.entries(operation) as [[string, object]]
    return operators[name]!(inner, parameters)
  }, environment)
