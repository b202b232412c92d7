/** One step of the warm start: imitate demonstrated lifecycles, and measure how well looking up goes. */
import { Effect } from "effect"
import type { CourseSnapshot } from "../machines/learner.ts"
import type { Demonstration } from "./demonstrations.ts"
import { learn, type Learner } from "./learner.ts"
import type { ModelWorkers } from "./model-workers.ts"
import type { TrainingConfig } from "./training-config.ts"

/** Linear rise, then constant during the drill, then a cosine down to the floor. */
export const warmStartRate = ({ value, context }: CourseSnapshot, { warmStart }: TrainingConfig): number => {
  const { floor, learningRate, settle, warmUp } = warmStart
  if (value === "drilling") return learningRate * Math.min(1, (context.step + 1) / Math.max(1, warmUp))
  return learningRate * (floor + ((1 - floor) * (1 + Math.cos((Math.PI * context.step) / settle))) / 2)
}

/** The loss is the mean of -logprob over all tokens that the demonstrators said. */
export const imitate = Effect.fnUntraced(function* (
  learner: Learner,
  workers: ModelWorkers,
  demonstrations: ReadonlyArray<Demonstration>,
  config: TrainingConfig,
  learningRate: number
) {
  const spoken = demonstrations.reduce((sum, { positions }) => sum + positions.length, 0)
  const rows = demonstrations.map((row) => ({ ...row, weights: row.positions.map(() => -1 / spoken) }))
  const { gradientNorm, logprobs } = yield* learn(learner, workers, rows, {
    ...config.optimizer,
    learningRate,
    temperature: 1,
    budgetTokens: config.learner.budgetTokens
  })
  let loss = 0
  let recall = 0
  let recalled = 0
  for (const row of rows) {
    const own = logprobs.get(row)!
    for (const logprob of own) loss -= logprob / spoken
    for (const i of row.recalled) recall += Math.exp(own[i]!)
    recalled += row.recalled.length
  }
  return {
    loss,
    recall: recalled === 0 ? 0 : recall / recalled,
    gradientNorm,
    tokens: rows.reduce((sum, { tokens }) => sum + tokens.length, 0)
  }
})
