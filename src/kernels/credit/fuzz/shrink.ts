/**
 * Shrinking: the smallest case that still breaks the same law, found by trying simpler ones until none of them does.
 *
 * `shrink` is a coroutine: it yields candidates and is told whether they break the law, so that the same search serves
 * estimators that answer at once and those that have to be waited for.
 */
import { causalDefaults } from "../causal.ts"
import type { Experience } from "../estimator.ts"
import { grpoDefaults } from "../grpo.ts"
import type { FuzzCase } from "./generator.ts"

/** Yields simpler and simpler cases; each answer says whether the last one is still a counterexample. */
export function* shrink(given: FuzzCase): Generator<FuzzCase, FuzzCase, boolean> {
  let smallest = given
  for (let improved = true; improved;) {
    improved = false
    for (const simpler of simplifications) {
      // What was taken away at one place leaves the places after it to be tried.
      for (let at = 0; ;) {
        const candidate = simpler(smallest, at)
        if (candidate === undefined) break
        if (candidate !== smallest && (yield candidate)) {
          smallest = candidate
          improved = true
        } else at++
      }
    }
  }
  return smallest
}

/** The `at`-th way to make a case simpler; undefined when there are no more; the case itself for a way that changes nothing. */
type Simplification = (given: FuzzCase, at: number) => FuzzCase | undefined

const withExperiences = (given: FuzzCase, experiences: ReadonlyArray<any>): FuzzCase =>
  ({ ...given, experiences }) as FuzzCase

const mapped = (given: FuzzCase, change: (experience: any) => any): FuzzCase => {
  const experiences = (given.experiences as ReadonlyArray<any>).map(change)
  return experiences.every((each, i) => each === given.experiences[i]) ? given : withExperiences(given, experiences)
}

/** Takes away all experiences that share a name. */
const without =
  (nameOf: (experience: any) => string): Simplification =>
  (given, at) => {
    const names = [...new Set((given.experiences as ReadonlyArray<any>).map(nameOf))]
    return at >= names.length || names.length < 2
      ? undefined
      : withExperiences(
          given,
          (given.experiences as ReadonlyArray<any>).filter((experience) => nameOf(experience) !== names[at])
        )
  }

const withoutPack = without(({ pack }) => pack)
const withoutRun = without(({ pack, run }) => JSON.stringify([pack, run]))
const withoutEpisode = without(({ pack, run, kind, index }) => JSON.stringify([pack, run, kind, index]))
const withoutExperience: Simplification = (given, at) =>
  at >= given.experiences.length ? undefined : withExperiences(given, given.experiences.toSpliced(at, 1))

/** Takes a position out of every lifecycle, closing the gap. */
const withoutPosition: Simplification = (given, at) => {
  if (given.mode === "grpo") return undefined
  const longest = given.experiences.reduce((most, { taskRewards }) => Math.max(most, taskRewards.length), 0)
  if (at >= longest || longest < 2) return undefined
  const kept = given.experiences.filter(({ index, kind, taskRewards }) => {
    const left = taskRewards.length > at ? taskRewards.length - 1 : taskRewards.length
    return index !== at && left > 0 && !(kind === "update" && index > at && index - 1 >= left)
  })
  return withExperiences(
    given,
    kept.map((each) => ({
      ...each,
      index: each.index > at ? each.index - 1 : each.index,
      taskRewards: each.taskRewards.toSpliced(at, 1)
    }))
  )
}

/** Sets one option to its default. */
const plainOption: Simplification = (given, at) => {
  const names = Object.keys(given.options)
  const name = names[at]
  if (name === undefined) return undefined
  const defaults = (given.mode === "causal" ? causalDefaults : grpoDefaults) as unknown as Record<string, unknown>
  const options = given.options as unknown as Record<string, unknown>
  if (options[name] === defaults[name] || (name === "window" && options["returns"] === "sliding_window_mean"))
    return given
  const changed = { ...options, [name]: defaults[name] }
  // A window means nothing to other returns.
  if (name === "returns") changed["window"] = defaults["window"]
  return { ...given, options: changed } as unknown as FuzzCase
}

/** One run's reward of one task, or one own reward, made a simpler number. */
const rewardTo =
  (simple: (reward: number) => number): Simplification =>
  (given, at) => {
    if (given.mode === "grpo") {
      const target = given.experiences[Math.floor(at / 2)]
      const field = at % 2 === 0 ? "reward" : "totalReward"
      return target && mapped(given, (each) => (each === target ? replaced(each, field, simple(each[field])) : each))
    }
    const places = given.experiences.flatMap(({ pack, run, taskRewards }) =>
      taskRewards.map((_, position) => JSON.stringify([pack, run, position]))
    )
    const distinct = [...new Set(places)]
    if (at < distinct.length) {
      const [pack, run, position] = JSON.parse(distinct[at]!)
      return mapped(given, (each: Experience) => {
        if (each.pack !== pack || each.run !== run || position >= each.taskRewards.length) return each
        const reward = simple(each.taskRewards[position]!)
        if (reward === each.taskRewards[position]) return each
        const taskRewards = each.taskRewards.with(position, reward)
        return { ...each, taskRewards, reward: each.kind === "solve" && each.index === position ? reward : each.reward }
      })
    }
    const target = given.experiences[at - distinct.length]
    return (
      target &&
      mapped(given, (each) =>
        each === target && each.kind === "update" ? replaced(each, "reward", simple(each.reward)) : each
      )
    )
  }

const replaced = (experience: any, field: string, value: unknown) =>
  Object.is(experience[field], value) ? experience : { ...experience, [field]: value }

/** Makes a count of one experience smaller. */
const countTo =
  (field: "responseTokens" | "step", count: number): Simplification =>
  (given, at) => {
    const target = given.experiences[at]
    return (
      target && mapped(given, (each) => (each === target ? replaced(each, field, Math.min(each[field], count)) : each))
    )
  }

const withoutFlag: Simplification = (given, at) => {
  const target = given.experiences[at]
  return (
    target &&
    mapped(given, (each) => {
      const { flag, ...rest } = each
      return each === target && flag !== undefined ? rest : each
    })
  )
}

/** Renames all packs, runs, task sets, steps and ids in arrival order, at once. */
const renamed: Simplification = (given, at) => {
  if (at > 0) return undefined
  const numbering = () => {
    const seen = new Map<unknown, number>()
    return (name: unknown) => seen.get(name) ?? (seen.set(name, seen.size), seen.size - 1)
  }
  const [packs, runs, tasksets] = [numbering(), numbering(), numbering()]
  let count = 0
  return mapped(given, (each) => {
    const plain = {
      id: `e${count++}`,
      pack: `p${packs(each.pack)}`,
      run: runs(each.run),
      ...("taskset" in each ? { taskset: tasksets(each.taskset) } : {})
    }
    return Object.entries(plain).every(([field, value]) => each[field] === value) ? each : { ...each, ...plain }
  })
}

const simplifications: ReadonlyArray<Simplification> = [
  withoutPack,
  withoutRun,
  withoutPosition,
  withoutEpisode,
  withoutExperience,
  plainOption,
  withoutFlag,
  rewardTo(() => 0),
  rewardTo((reward) => (reward === 0 ? 0 : 1)),
  rewardTo((reward) => Math.round(reward)),
  rewardTo((reward) => Number(reward.toPrecision(1))),
  rewardTo((reward) => Number(reward.toPrecision(2))),
  countTo("responseTokens", 1),
  countTo("responseTokens", 2),
  countTo("responseTokens", 10),
  countTo("step", 0),
  renamed
]
