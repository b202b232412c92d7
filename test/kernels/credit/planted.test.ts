/** Planted credit: that what is called true is true, and that it tells estimators apart. */
import { describe, expect, it } from "vitest"
import { causal } from "../../../src/kernels/credit/causal.ts"
import { counterfactual } from "../../../src/kernels/credit/counterfactual.ts"
import { grpo } from "../../../src/kernels/credit/grpo.ts"
import {
  families,
  measure,
  plant,
  tokensOfRun,
  trueCredit,
  type PlantedOptions
} from "../../../src/kernels/credit/planted.ts"
import { stream } from "../../../src/kernels/random.ts"

const options: PlantedOptions = { family: "chain", groupSize: 8, packSize: 4, noise: 0.5 }
const streamOf = (group: number) => stream(1, "planted test", group)

describe("trueCredit", () => {
  // In the family decoy one choice follows another, so a difference of means is no effect.
  it.each(families.filter((family) => family !== "decoy"))(
    "is half the effect of choosing well in the family %s, as rewards show it",
    (family) => {
      const given = { ...options, family, noise: 0, groupSize: 4000 }
      const planted = plant(stream(1, "planted effect", family), given)
      for (const kind of ["solve", "update"] as const) {
        for (const index of [0, 1]) {
          const truth = trueCredit(given, kind, index)
          const later = planted
            .filter((each) => each.kind === kind && each.index === index)
            .map(({ reward, taskRewards, truth }) => ({
              good: truth > 0,
              sum: [reward, ...taskRewards.slice(index + 1)].reduce((a, b) => a + b)
            }))
          const mean = (good: boolean) => {
            const sums = later.filter((each) => each.good === good).map(({ sum }) => sum)
            return sums.reduce((a, b) => a + b, 0) / sums.length
          }
          if (truth !== 0) expect((mean(true) - mean(false)) / 2).toBeCloseTo(truth, 1)
        }
      }
    }
  )

  it("sums the effects on all later rewards", () => {
    expect(trueCredit(options, "update", 1)).toBeCloseTo((0.6 + 0.6 * 0.8) / 2)
    expect(trueCredit({ ...options, family: "delayed" }, "update", 1)).toBe(0.5)
    expect(trueCredit({ ...options, family: "delayed" }, "update", 2)).toBe(0)
    expect(trueCredit({ ...options, family: "decoy" }, "update", 1)).toBe(-0.15)
    expect(trueCredit({ ...options, family: "discovery" }, "solve", 2)).toBeCloseTo((1 + 0.9) / 2)
    expect(trueCredit({ ...options, family: "costly" }, "update", 1)).toBeCloseTo((-0.3 + 0.6 + 0.6 * 0.8) / 2)
  })
})

describe("branches", () => {
  const forked = { ...options, groupSize: 2, alternatives: 3, horizon: 1 }
  const planted = plant(streamOf(0), forked)
  const byRun = [...Map.groupBy(planted, ({ run }) => run).values()]

  it("cost what they are said to, whatever the horizon", () => {
    for (const horizon of [0, 1, 2, 9]) {
      const given = { ...forked, horizon }
      expect(plant(streamOf(0), given)).toHaveLength(2 * tokensOfRun(given))
    }
    expect(tokensOfRun(options)).toBe(7)
    expect(tokensOfRun(forked)).toBe(7 + 3 * 2 * 2)
  })

  it("share the rewards of their past with the run that they leave, and an update with its siblings", () => {
    const states = Map.groupBy(
      planted.filter(({ fork }) => fork !== undefined),
      ({ fork }) => fork!
    )
    expect(states.size).toBe(2 * 3)
    for (const siblings of states.values()) {
      expect(siblings.map(({ kind, index }) => [kind, index])).toEqual(
        siblings.map(() => ["update", siblings[0]!.index])
      )
      expect(new Set(siblings.map(({ run }) => run)).size).toBe(3)
      const past = (each: (typeof siblings)[number]) => each.taskRewards.slice(0, each.index + 1)
      for (const each of siblings) expect(past(each)).toEqual(past(siblings[0]!))
      expect(siblings.map(({ taskRewards }) => taskRewards.length)).toEqual([
        4,
        siblings[0]!.index + 2,
        siblings[0]!.index + 2
      ])
    }
  })

  it("live the update, then the tasks of their horizon", () => {
    expect(byRun.map((episodes) => episodes.length)).toEqual([7, 7, ...Array.from({ length: 12 }, () => 2)])
  })
})

describe("measure", () => {
  const plain = { returns: "discounted", gamma: 1 } as const

  it("finds an estimator that knows the truth without a fault", () => {
    const knowing = (experiences: any) => ({
      experiences: experiences.map(({ id, truth }: any) => ({
        id,
        return: 0,
        baseline: 0,
        score: 3 * truth,
        advantage: 0
      })),
      dropped: [],
      temperatures: [],
      metrics: {}
    })
    const accuracy = measure(options, 20, streamOf, knowing)
    expect(accuracy.bias).toBeCloseTo(0)
    expect(accuracy.variance).toBeCloseTo(0)
    expect(accuracy).toMatchObject({ signErrors: 0 })
    expect(accuracy.correlation).toBeCloseTo(1)
  })

  it("shows that plain sums are unbiased, and that causal credit varies less than the whole lifecycle's", () => {
    const sums = measure(options, 300, streamOf, (experiences) => causal(experiences, plain))
    const whole = measure(options, 300, streamOf, (experiences) =>
      grpo(experiences, { rewardField: "totalReward", stdLevel: "none" })
    )
    expect(sums.bias).toBeLessThan(0.15)
    expect(sums.variance).toBeLessThan(0.8 * whole.variance)
    expect(sums.signErrors).toBeLessThan(whole.signErrors)
  })

  it("shows that siblings say more of an update than runs with other pasts, at no more tokens", () => {
    const updates = (given: Partial<PlantedOptions>, estimate: typeof causal) =>
      measure({ ...options, family: "discovery", ...given }, 300, streamOf, (each) => estimate(each), "update")
    const runs = updates({ groupSize: 8 }, causal)
    const siblings = updates({ groupSize: 2, alternatives: 4, horizon: 1 }, counterfactual)
    expect(siblings.tokensPerScore).toBeLessThan(runs.tokensPerScore)
    expect(siblings.variance).toBeLessThan(runs.variance)
    expect(siblings.signErrors).toBeLessThan(runs.signErrors)
  })

  it("shows that more runs and less noise help", () => {
    const correlation = (changed: Partial<PlantedOptions>) =>
      measure({ ...options, ...changed }, 150, streamOf, (experiences) => causal(experiences)).correlation
    expect(correlation({ groupSize: 16 })).toBeGreaterThan(correlation({ groupSize: 2 }))
    expect(correlation({ noise: 0 })).toBeGreaterThan(correlation({ noise: 2 }))
  })
})
