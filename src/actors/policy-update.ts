/**
 * One policy update on finished lifecycles: credit for every model call, a loss over every sampled token, a gradient, a
 * step. What was sampled is trained as it is; an experience is one model call (credit assignment, section 1).
 */
import { Effect } from "effect"
import type { Credit, Experience } from "../kernels/credit/estimator.ts"
import { recLoss, recPublished, type RecOptions } from "../kernels/credit/rec-loss.ts"
import { mergeCalls, type Sequence } from "../kernels/sequences.ts"
import type { Episode, Lifecycle } from "../machines/episode.ts"
import { learn, type Learner } from "./learner.ts"
import type { ModelWorkers } from "./model-workers.ts"
import type { TrainingConfig } from "./training-config.ts"

const callId = ({ index, kind, lifecycle }: Episode, step: number): string => `${lifecycle}/${kind}/${index}/${step}`

/** The model calls of all lifecycles, in order, as an estimator takes them. */
export const experiencesOf = (
  lifecycles: ReadonlyArray<Lifecycle>,
  taskSetOf: (environment: string) => number
): Array<Experience> =>
  lifecycles.flatMap(({ episodes, pack, run, totalReward }) => {
    const taskRewards = episodes.filter(({ kind }) => kind === "solve").map(({ reward }) => reward)
    return episodes.flatMap((episode) =>
      episode.steps.map((call, step) => ({
        id: callId(episode, step),
        pack,
        run,
        taskset: taskSetOf(episode.environment),
        kind: episode.kind,
        index: episode.index,
        step,
        reward: episode.reward,
        taskRewards,
        totalReward,
        responseTokens: call.tokens.length
      }))
    )
  })

interface Credited extends Sequence {
  /** One for each sampled token. */
  readonly advantages: ReadonlyArray<number>
}

/** Sequences with the advantage of each sampled token. Calls that the estimator dropped are left out. */
const credited = (lifecycles: ReadonlyArray<Lifecycle>, credit: Credit): Array<Credited> => {
  const advantages = new Map(credit.experiences.map(({ advantage, id }) => [id, advantage]))
  return lifecycles.flatMap(({ episodes }) =>
    episodes.flatMap((episode) => {
      const worth = episode.steps.map((_, step) => advantages.get(callId(episode, step)))
      return mergeCalls(episode.steps).flatMap((sequence) => {
        const kept = sequence.calls.flatMap((call, i) => (worth[call] === undefined ? [] : [i]))
        if (kept.length === 0) return []
        return [
          {
            tokens: sequence.tokens,
            positions: kept.map((i) => sequence.positions[i]!),
            behaviourLogprobs: kept.map((i) => sequence.behaviourLogprobs[i]!),
            calls: kept.map((i) => sequence.calls[i]!),
            advantages: kept.map((i) => worth[sequence.calls[i]!]!)
          }
        ]
      })
    })
  )
}

/** Constant after a linear rise, falling by a cosine to its final share. */
export const updateRate = (update: number, { optimizer, updates }: TrainingConfig): number => {
  const { finalShare, learningRate, warmUp } = optimizer
  const rise = Math.min(1, (update + 1) / Math.max(1, warmUp))
  const fall = finalShare + ((1 - finalShare) * (1 + Math.cos((Math.PI * update) / Math.max(1, updates)))) / 2
  return learningRate * rise * fall
}

/**
 * Everything was sampled from the learner's own version, so a token's current log-probability is the one it was sampled
 * with, up to rounding: the loss needs no scoring pass. The gradient's pass returns it anew; `logprobGap` is the largest
 * difference found.
 */
export const updatePolicy = Effect.fnUntraced(function* (
  learner: Learner,
  workers: ModelWorkers,
  lifecycles: ReadonlyArray<Lifecycle>,
  credit: Credit,
  config: TrainingConfig,
  learningRate: number
) {
  const sequences = credited(lifecycles, credit)
  const loss = recLoss(
    sequences.map(({ advantages, behaviourLogprobs }) => ({
      logprobs: behaviourLogprobs,
      behaviourLogprobs,
      mask: advantages.map(() => 1),
      advantages
    })),
    { ...recPublished, ...(config.loss as Partial<RecOptions>) }
  )
  const rows = sequences
    .map((sequence, i) => ({ ...sequence, weights: Array.from(loss.gradient[i]!) }))
    .filter(({ weights }) => weights.some((weight) => weight !== 0))
  const { gradientNorm, logprobs } = yield* learn(learner, workers, rows, {
    ...config.optimizer,
    learningRate,
    temperature: config.rollout.temperature
  })
  let logprobGap = 0
  for (const row of rows) {
    logprobs.get(row)!.forEach((logprob, i) => {
      logprobGap = Math.max(logprobGap, Math.abs(logprob - row.behaviourLogprobs[i]!))
    })
  }
  return {
    loss: loss.loss,
    clipFraction: loss.clipFraction,
    gradNorm: gradientNorm,
    logprobGap,
    tokens: rows.reduce((sum, { tokens }) => sum + tokens.length, 0)
  }
})
