/** The fuzzer against GRPO with one planted fault each, around an estimator written from the specification. */
import { expect, it } from "vitest"
import type { RunExperience } from "../../../src/kernels/credit/estimator.ts"
import { fuzzOne, type FuzzOptions } from "../../../src/kernels/credit/fuzz/fuzz.ts"
import type { GrpoOptions } from "../../../src/kernels/credit/grpo.ts"

const faults = [
  "the first reward counts",
  "rewards are summed",
  "always the own reward",
  "every experience votes",
  "mean of the call",
  "a run alone is measured against itself",
  "population deviation",
  "epsilon under the root",
  "batch deviation for all levels",
  "epsilon without a deviation",
  "a run alone is kept",
  "threshold is above",
  "threshold of groups only",
  "steps of the pack",
  "step norm always",
  "packs ignore case"
] as const

const grpo = (fault?: (typeof faults)[number]) => (all: ReadonlyArray<RunExperience>, o: GrpoOptions) => {
  const is = (name: typeof fault) => fault === name
  const sum = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0)
  const mean = (values: ReadonlyArray<number>) => sum(values) / values.length
  const packOf = ({ pack }: RunExperience) => (is("packs ignore case") ? pack.toLowerCase() : pack)
  const field = is("always the own reward") ? "reward" : o.rewardField
  const rewardOf = (list: ReadonlyArray<RunExperience>): number =>
    is("rewards are summed")
      ? sum(list.map((each) => each[field]!))
      : list.at(is("the first reward counts") ? 0 : -1)![field]!
  const deviation = (values: ReadonlyArray<number>): number => {
    const squares = sum(values.map((value) => (value - mean(values)) ** 2))
    const variance = squares / (values.length - (is("population deviation") ? 0 : 1))
    return Math.sqrt(variance + (is("epsilon under the root") ? o.epsilon : 0))
  }
  const packs = Array.from(Map.groupBy(all, packOf).values(), (members) =>
    Array.from(Map.groupBy(members, ({ run }) => run).values())
  )
  const everyone = packs.flat().map(rewardOf)
  const ofCall = everyone.length > 1 ? deviation(everyone) : 1
  const dropped: Array<string> = []
  const experiences = packs.flatMap((runs) => {
    const rewards = runs.flatMap((list) =>
      is("every experience votes") ? list.map(() => rewardOf(list)) : [rewardOf(list)]
    )
    const alone = runs.length === 1
    const center =
      alone && !is("a run alone is measured against itself") ? 0 : mean(is("mean of the call") ? everyone : rewards)
    const own = alone ? 1 : deviation(rewards)
    const spread = o.stdLevel === "batch" || is("batch deviation for all levels") ? ofCall : own
    const divisor = o.stdLevel === "none" ? (is("epsilon without a deviation") ? 1 + o.epsilon : 1) : spread + o.epsilon
    const low = is("threshold is above") ? own < o.stdThreshold! : own <= o.stdThreshold!
    const asked = o.stdThreshold !== null && !(is("threshold of groups only") && o.stdLevel !== "group")
    if (asked && ((alone && !is("a run alone is kept")) || low)) {
      dropped.push(...runs.flat().map(({ id }) => id))
      return []
    }
    return runs.flatMap((list) => {
      const score = (rewardOf(list) - center) / divisor
      const steps = is("steps of the pack") ? runs.flat().length : list.length
      const advantage = o.stepNorm || is("step norm always") ? score / steps : score
      return list.map(({ id }) => ({ id, score, advantage }))
    })
  })
  return { experiences, dropped }
}

const options: FuzzOptions = { mode: "grpo", claimed: true, hostile: false, seed: 1 }
const found = (fault?: (typeof faults)[number]): boolean =>
  Array.from({ length: 300 }).some((_, number) => fuzzOne(number, grpo(fault), options) !== undefined)

it("none", () => expect(found()).toBe(false))
it.each(faults)("%s", (fault) => expect(found(fault)).toBe(true))
