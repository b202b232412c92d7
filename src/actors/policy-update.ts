/**
 * One policy update on finished lifecycles: credit for every model call, a loss over every sampled token, a gradient, a
 * step. What was sampled is trained as it is; an experience is one model call (credit assignment, section 1).
 */
import { Effect } from "effect"
import type { EpisodeKind } from "../environment.ts"
import type { Credit, Experience } from "../kernels/credit/estimator.ts"
import { policyLoss } from "../kernels/credit/loss.ts"
import { mergeCalls, type Sequence } from "../kernels/sequences.ts"
import type { Episode, Lifecycle } from "../machines/episode.ts"
import { isFlagged } from "../machines/episode.ts"
import { branchName, ownEpisodes } from "../machines/fork.ts"
import { batchLogprobs, learn, type Learner } from "./learner.ts"
import type { ModelWorkers } from "./model-workers.ts"
import type { TrainingConfig } from "./training-config.ts"

const callId = ({ index, kind, lifecycle }: Episode, step: number): string => `${lifecycle}/${kind}/${index}/${step}`

/**
 * The model calls of all lifecycles, in order, as an estimator takes them. What a branch continues stands with the lifecycle
 * that lived it; a branch is one more run of its pack, and the updates that were sampled from one state name it.
 */
export const experiencesOf = (
  lifecycles: ReadonlyArray<Lifecycle>,
  taskSetOf: (environment: string) => number
): Array<Experience> => {
  const states = new Set(lifecycles.flatMap((lifecycle) => forkedState(lifecycle) ?? []))
  const nextRun = new Map<string, number>()
  for (const { pack, run } of lifecycles) nextRun.set(pack, Math.max(nextRun.get(pack) ?? 0, run + 1))
  const runOf = ({ forks, pack, run }: Lifecycle): number => {
    if (forks === undefined) return run
    const next = nextRun.get(pack)!
    nextRun.set(pack, next + 1)
    return next
  }
  return lifecycles.flatMap((lifecycle) => {
    const { episodes, id, pack, totalReward } = lifecycle
    const run = runOf(lifecycle)
    const flagged = isFlagged(episodes)
    const taskRewards = episodes.filter(({ kind }) => kind === "solve").map(({ reward }) => reward)
    return ownEpisodes(lifecycle).flatMap((episode) => {
      const { index, kind } = episode
      const forked = lifecycle.forks?.at(-1)
      const isAlternative = forked?.kind === kind && forked.position === index
      const state = isAlternative ? forkedState(lifecycle)! : stateBefore(id, kind, index)
      return episode.steps.map((call, step) => ({
        id: callId(episode, step),
        pack,
        run,
        taskset: taskSetOf(episode.environment),
        kind,
        index,
        step,
        reward: episode.reward,
        taskRewards,
        totalReward,
        responseTokens: call.tokens.length,
        ...(flagged ? { flag: call.judgement === null ? ("own" as const) : ("trajectory" as const) } : {}),
        ...(kind === "update" && states.has(state) ? { fork: state } : {})
      }))
    })
  })
}

/** The state from which a branch sampled its first episode, named as a state of the lifecycle that it continues. */
const forkedState = ({ forks, id }: Lifecycle): string | undefined => {
  const last = forks?.at(-1)
  return last === undefined ? undefined : stateBefore(id.slice(0, -branchName(last).length), last.kind, last.position)
}

const stateBefore = (lifecycle: string, kind: EpisodeKind, index: number): string => `${lifecycle}/${kind}/${index}`

interface Credited extends Sequence {
  /** One for each sampled token. */
  readonly advantages: ReadonlyArray<number>
  /** That sampled the tokens. */
  readonly policyVersion: number
}

/** Sequences with the advantage of each sampled token. Calls that the estimator dropped are left out. */
const credited = (lifecycles: ReadonlyArray<Lifecycle>, credit: Pick<Credit, "experiences">): Array<Credited> => {
  const advantages = new Map(credit.experiences.map(({ advantage, id }) => [id, advantage]))
  return lifecycles.flatMap((lifecycle) =>
    ownEpisodes(lifecycle).flatMap((episode) => {
      const policyVersion = episode.steps[0]?.policyVersion ?? 0
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
            advantages: kept.map((i) => worth[sequence.calls[i]!]!),
            policyVersion
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
 * What was sampled from the learner's own version has the current log-probabilities that it was sampled with, up to
 * rounding, and needs no scoring pass before the loss; what an older version sampled is scored. The gradient's pass returns
 * current log-probabilities anew; `logprobGap` is the largest difference found.
 */
export const updatePolicy = Effect.fnUntraced(function* (
  learner: Learner,
  workers: ModelWorkers,
  lifecycles: ReadonlyArray<Lifecycle>,
  credit: Pick<Credit, "experiences">,
  config: TrainingConfig,
  learningRate: number
) {
  const { temperature } = config.rollout
  const { budgetTokens } = config.learner
  const sequences = credited(lifecycles, credit)
  const stale = sequences.filter(({ policyVersion }) => policyVersion !== learner.policyVersion)
  const scored = yield* batchLogprobs(workers, learner.policyVersion, stale, { budgetTokens, temperature })
  const current = (sequence: Credited) => scored.get(sequence) ?? sequence.behaviourLogprobs
  const loss = policyLoss(
    sequences.map((sequence) => ({
      logprobs: current(sequence),
      behaviourLogprobs: sequence.behaviourLogprobs,
      mask: sequence.advantages.map(() => 1),
      advantages: sequence.advantages
    })),
    config.loss
  )
  const rows = sequences
    .map((sequence, i) => ({
      ...sequence,
      current: current(sequence),
      weights: Array.from(loss.gradient[i]!)
    }))
    .filter(({ weights }) => weights.some((weight) => weight !== 0))
  const { gradientNorm, logprobs } = yield* learn(learner, workers, rows, {
    ...config.optimizer,
    learningRate,
    temperature,
    budgetTokens
  })
  let logprobGap = 0
  for (const row of rows) {
    logprobs.get(row)!.forEach((logprob, i) => {
      logprobGap = Math.max(logprobGap, Math.abs(logprob - row.current[i]!))
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
