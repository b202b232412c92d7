/**
 * The specification of causal credit, line by line, slow and plain. It shares no code with the estimator that it checks.
 *
 * Where rounding alone decides, every decision is right: a bisection that meets a sum within its own rounding error may
 * go either way, so a group has a list of acceptable temperatures, nearly always of one.
 */
import type { Experience, RunExperience } from "../estimator.ts"
import type { CausalCase, GrpoCase } from "./generator.ts"

export interface Expected {
  readonly id: string
  readonly return: number
  readonly baseline: number
  readonly score: number
  readonly tokens: number
}

/** Experiences that share a temperature and a shift. */
export interface ExpectedGroup {
  readonly name: string
  readonly members: ReadonlyArray<Expected>
  readonly shift: number
  /** Every temperature that exact or rounded arithmetic may choose; undefined where rounding leaves too many. */
  readonly temperatures: ReadonlyArray<number | null> | undefined
}

export interface Reference {
  readonly dropped: ReadonlyArray<string>
  readonly groups: ReadonlyArray<ExpectedGroup>
}

/** Cases never change, and several laws ask for the same. */
const remember = <K extends object, A>(compute: (key: K) => A) => {
  const known = new WeakMap<K, A>()
  return (key: K): A => {
    if (!known.has(key)) known.set(key, compute(key))
    return known.get(key)!
  }
}

/** Rounding error of a score, given the largest rewards there are. */
export const roundingOf = remember(
  (experiences: ReadonlyArray<RunExperience>): number =>
    1e-14 * experiences.reduce((most, experience) => Math.max(most, magnitude(experience)), 0)
)

const magnitude = ({ reward, totalReward = 0, ...rest }: RunExperience & Partial<Experience>): number =>
  Math.max(Math.abs(reward), Math.abs(totalReward), sum((rest.taskRewards ?? []).map(Math.abs)))

export const causalReference = remember(({ experiences, options }: CausalCase): Reference => {
  // 2. Judge filtering.
  const kept = experiences.filter(({ flag }) => flag === undefined)
  const dropped = experiences.filter(({ flag }) => flag !== undefined).map(({ id }) => id)

  // 3. Returns.
  const returnOf = (experience: Experience): number => {
    const { kind, index, reward, taskRewards } = experience
    const list = kind === "solve" ? taskRewards.slice(index) : [reward, ...taskRewards.slice(index + 1)]
    if (options.returns === "mean") return mean(list)
    if (options.returns === "sliding_window_mean") return mean(list.slice(0, Math.min(options.window, list.length)))
    return list.map((entry, i) => (i === 0 ? 1 : options.gamma ** i) * entry).reduce((a, b) => a + b)
  }

  // 4. Baseline and score.
  const keyOf = ({ pack, kind, index }: Experience): string => JSON.stringify([pack, kind, index])
  const baselines = new Map(
    Array.from(Map.groupBy(kept, keyOf), ([key, members]) => {
      const votes = Array.from(Map.groupBy(members, ({ run }) => run).values(), ([first]) => returnOf(first!))
      return [key, mean(votes)]
    })
  )
  const expect = (experience: Experience): Expected => {
    const value = returnOf(experience)
    const baseline = baselines.get(keyOf(experience))!
    const { id, responseTokens } = experience
    return { id, return: value, baseline, score: value - baseline, tokens: responseTokens }
  }

  // 8. Grouping level.
  const groupOf = ({ pack, taskset }: Experience): string =>
    options.redLevel === "batch" ? "batch" : options.redLevel === "task" ? pack : String(taskset)
  const rounding = roundingOf(experiences)
  const groups = Array.from(Map.groupBy(kept, groupOf), ([name, list]) => {
    const members = list.map(expect)
    // 7. Advantage shift.
    const tokens = sum(members.map((member) => member.tokens))
    const tokenMean = tokens === 0 ? 0 : sum(members.map((member) => member.score * member.tokens)) / tokens
    const shift = options.advantageShift && tokenMean < 0 ? tokenMean : 0
    // 6. Reward-exponential weighting.
    const temperatures = options.redAdaptive ? bisections(members, rounding) : [options.redTemperature || null]
    return { name, members, shift, temperatures }
  })
  return { dropped, groups }
})

/** 5. From score to advantage. */
export const advantageOf = (score: number, temperature: number | null, shift: number): number =>
  (temperature === null ? 1 : Math.exp(score / temperature)) * score - shift

const mean = (list: ReadonlyArray<number>): number => sum(list) / list.length
const sum = (list: ReadonlyArray<number>): number => list.reduce((a, b) => a + b, 0)

/** More than these, and nothing is left to be checked. */
const most = 64

/** Every temperature that the bisection may end with. */
const bisections = (members: ReadonlyArray<Expected>, rounding: number): ReadonlyArray<number | null> | undefined => {
  const weightAt = (score: number, temperature: number) => Math.exp(Math.min(score / temperature, 700))
  /** F(T), and the error that it may have come by. */
  const sumAt = (temperature: number) => {
    const terms = members.map(({ score, tokens }) => {
      const weight = weightAt(score, temperature)
      return { value: score * tokens * weight, error: rounding * weight * tokens * (1 + Math.abs(score) / temperature) }
    })
    const absolute = sum(terms.map(({ value }) => Math.abs(value)))
    return {
      value: sum(terms.map(({ value }) => value)),
      error: sum(terms.map(({ error }) => error)) + 1e-12 * absolute + 1e-290
    }
  }
  const unweighted = sum(members.map(({ score, tokens }) => score * tokens))
  const absolute = sum(members.map(({ score, tokens }) => Math.abs(score) * tokens))
  const error = rounding * sum(members.map(({ tokens }) => tokens)) + 1e-12 * absolute
  const threshold = -1e-9 * absolute
  const found = new Set<number | null>()
  if (unweighted >= threshold - error - 0.2e-9 * absolute) found.add(null)
  if (unweighted < threshold + error + 0.2e-9 * absolute) {
    const search = (low: number, high: number, round: number): void => {
      if (found.size > most) return
      const middle = (low + high) / 2
      const { value, error } = sumAt(middle)
      const next = (low: number, high: number) =>
        high - low < 0.05 || round === 20 ? void found.add(middle) : search(low, high, round + 1)
      if (value < error) next(low, middle)
      if (value >= -error) next(middle, high)
    }
    search(0.8, 100, 1)
  }
  return found.size > most ? undefined : Array.from(found)
}

/** What standard GRPO gives a pack, or null for a pack that is dropped; undefined where rounding decides which. */
export interface ExpectedPack {
  readonly pack: string
  readonly scores: ReadonlyMap<number, { readonly score: number; readonly advantage: number; readonly error: number }>
  readonly skipped: boolean | undefined
}

/** 10. Standard multi-step GRPO, for experiences that no judge flagged. */
export const grpoReference = ({ experiences, options }: GrpoCase): ReadonlyArray<ExpectedPack> => {
  const packs = Map.groupBy(experiences, ({ pack }) => pack)
  const lastRewards = (pack: string) =>
    Array.from(
      Map.groupBy(packs.get(pack)!, ({ run }) => run),
      ([run, list]) => ({
        run,
        reward: list.at(-1)![options.rewardField]!,
        experiences: list.length
      })
    )
  const all = Array.from(packs.keys()).flatMap(lastRewards)
  const rounding = 10 * roundingOf(experiences)
  return Array.from(packs.keys(), (pack) => {
    const runs = lastRewards(pack)
    const rewards = runs.map(({ reward }) => reward)
    const center = runs.length === 1 ? 0 : mean(rewards)
    const deviation = runs.length === 1 ? 1 : deviationOf(rewards)
    const batch = all.length <= 1 ? 1 : deviationOf(all.map(({ reward }) => reward))
    const divisor = { group: deviation + options.epsilon, batch: batch + options.epsilon, none: 1 }[options.stdLevel]
    const threshold = options.stdThreshold
    // Equal eighths have the deviation 0 in any arithmetic.
    const exact = rewards.every((reward) => reward === rewards[0] && Number.isInteger(8 * reward))
    const near = threshold !== null && Math.abs(deviation - threshold) <= rounding + 1e-12
    const close = near && runs.length > 1 && !exact
    return {
      pack,
      skipped: close ? undefined : threshold !== null && (runs.length === 1 || deviation <= threshold),
      scores: new Map(
        runs.map(({ run, reward, experiences }) => {
          const score = (reward - center) / divisor
          const error = (rounding / divisor) * (1 + Math.abs(score)) + 1e-9 * Math.abs(score)
          return [run, { score, advantage: options.stepNorm ? score / experiences : score, error }]
        })
      )
    }
  })
}

const deviationOf = (values: ReadonlyArray<number>): number => {
  const center = mean(values)
  return Math.sqrt(sum(values.map((value) => (value - center) ** 2)) / (values.length - 1))
}
