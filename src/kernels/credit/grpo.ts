/**
 * Standard multi-step GRPO (specification, section 10): one score a run, given to all of its experiences.
 *
 * A pack's runs are compared by the reward of their last experience in arrival order, divided by a standard deviation
 * where asked. Whole-lifecycle credit with the total reward is the coarse alternative to causal credit.
 */
import { flag, oneOf, refuse, resolve, type Credit, type Rules, type RunExperience } from "./estimator.ts"

export interface GrpoOptions {
  /** What runs are compared by: the last episode's own reward, or the lifecycle's. */
  readonly rewardField: "reward" | "totalReward"
  /** Deviation that scores are divided by: of the pack's runs, of all runs of the call, or none. */
  readonly stdLevel: "group" | "batch" | "none"
  /** Added to the deviation; above 0. */
  readonly epsilon: number
  /** Packs with one run, or with a deviation at or below it, are dropped. Null keeps all. */
  readonly stdThreshold: number | null
  /** Spread a run's score over its experiences: the advantage is the score divided by their number. */
  readonly stepNorm: boolean
}

export const grpoRules: Rules<GrpoOptions> = {
  rewardField: oneOf("reward", "totalReward"),
  stdLevel: oneOf("group", "batch", "none"),
  epsilon: ["a number above 0", (value: number) => Number.isFinite(value) && value > 0],
  stdThreshold: [
    "a number, at least 0, or null",
    (value: number | null) => value === null || (Number.isFinite(value) && value >= 0)
  ],
  stepNorm: flag
}

export const grpoDefaults: GrpoOptions = {
  rewardField: "reward",
  stdLevel: "group",
  epsilon: 1e-6,
  stdThreshold: null,
  stepNorm: false
}

interface Run {
  experiences: number
  last: RunExperience
}

export const grpo = (experiences: ReadonlyArray<RunExperience>, given: Partial<GrpoOptions> = {}): Credit => {
  const options = resolve(grpoRules, grpoDefaults, given)
  const rewardOf = (experience: RunExperience): number => {
    const reward = experience[options.rewardField]
    return Number.isFinite(reward) ? reward! : refuse(experience.id, options.rewardField, reward, "a finite number")
  }
  const dropped: Array<string> = []
  const kept: Array<RunExperience> = []
  const packs = new Map<string, Map<number, Run>>()
  for (const experience of experiences) {
    if (experience.flag !== undefined) {
      dropped.push(experience.id)
      continue
    }
    if (!Number.isFinite(experience.reward)) refuse(experience.id, "reward", experience.reward, "a finite number")
    rewardOf(experience)
    kept.push(experience)
    let runs = packs.get(experience.pack)
    if (runs === undefined) packs.set(experience.pack, (runs = new Map()))
    const run = runs.get(experience.run)
    if (run === undefined) runs.set(experience.run, { experiences: 1, last: experience })
    else {
      run.experiences++
      run.last = experience
    }
  }
  const flagged = dropped.length

  const everyRun = Array.from(packs.values(), (runs) => Array.from(runs.values(), ({ last }) => rewardOf(last))).flat()
  const batchDeviation = everyRun.length > 1 ? spread(everyRun).deviation : 1
  const groups = new Map(
    Array.from(packs, ([pack, runs]) => {
      const rewards = Array.from(runs.values(), ({ last }) => rewardOf(last))
      const { mean, deviation } = rewards.length === 1 ? { mean: 0, deviation: 1 } : spread(rewards)
      const { stdLevel, epsilon, stdThreshold } = options
      const divisor = stdLevel === "none" ? 1 : (stdLevel === "group" ? deviation : batchDeviation) + epsilon
      const skipped = stdThreshold !== null && (rewards.length === 1 || deviation <= stdThreshold)
      return [pack, { runs, mean, divisor, skipped }] as const
    })
  )

  const scored = kept.flatMap(({ id, pack, run }) => {
    const { runs, mean, divisor, skipped } = groups.get(pack)!
    if (skipped) {
      dropped.push(id)
      return []
    }
    const { last, experiences } = runs.get(run)!
    const score = (rewardOf(last) - mean) / divisor
    if (!Number.isFinite(score)) refuse(id, "score", score, "a finite number: the rewards are too large to compare")
    const advantage = options.stepNorm ? score / experiences : score
    return [{ id, return: advantage, baseline: mean, score, advantage }]
  })

  const skipped = Array.from(groups.values()).filter((group) => group.skipped).length
  const own = Array.from(packs.values(), (runs) => spread(Array.from(runs.values(), ({ last }) => last.reward)))
  return {
    experiences: scored,
    dropped,
    temperatures: [],
    metrics: {
      experience_count: scored.length,
      filtered_count: dropped.length - flagged,
      skipped_group_ratio: packs.size === 0 ? 0 : skipped / packs.size,
      judge_format_error_count: flagged,
      ...summary(
        "group_advantages/reward_mean",
        own.map(({ mean }) => mean)
      ),
      ...summary(
        "group_advantages/reward_std",
        own.map(({ deviation }) => deviation)
      )
    }
  }
}

/** Mean and sample standard deviation (divisor n - 1; 0 for one value), in two passes: equal values have exactly none. */
const spread = (values: ReadonlyArray<number>): { readonly mean: number; readonly deviation: number } => {
  const first = values[0]!
  const mean = first + values.reduce((sum, value) => sum + (value - first), 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, deviation: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0 }
}

const summary = (name: string, values: ReadonlyArray<number>): Record<string, number> => {
  if (values.length === 0) return {}
  return {
    [`${name}/mean`]: values.reduce((a, b) => a + b) / values.length,
    [`${name}/max`]: values.reduce((a, b) => Math.max(a, b)),
    [`${name}/min`]: values.reduce((a, b) => Math.min(a, b))
  }
}
