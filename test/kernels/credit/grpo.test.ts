/** Standard multi-step GRPO by hand. */
import { describe, expect, it } from "vitest"
import type { RunExperience } from "../../../src/kernels/credit/estimator.ts"
import { grpo, grpoDefaults, type GrpoOptions } from "../../../src/kernels/credit/grpo.ts"

/** A run of one pack, with the rewards of its experiences in arrival order. */
const run = (pack: string, number: number, rewards: ReadonlyArray<number>, totalReward = 0): Array<RunExperience> =>
  rewards.map((reward, step) => ({
    id: `${pack}${number}.${step}`,
    pack,
    run: number,
    step,
    reward,
    totalReward,
    responseTokens: 5
  }))

// Last rewards 1 and 0 (deviation sqrt 1/2), 3 and 3 (none), 2 alone.
const three = [
  ...run("a", 0, [7, 1], 10),
  ...run("a", 1, [0], 20),
  ...run("b", 0, [3], 5),
  ...run("b", 1, [3], 5),
  ...run("c", 0, [2], 1)
]
const scores = (options: Partial<GrpoOptions>, experiences = three) =>
  Object.fromEntries(grpo(experiences, options).experiences.map(({ id, score }) => [id, score]))
const expectScores = (found: Record<string, number>, expected: Record<string, number>) => {
  expect(Object.keys(found)).toEqual(Object.keys(expected))
  for (const [id, score] of Object.entries(expected)) expect(found[id], id).toBeCloseTo(score, 12)
}

describe("grpo", () => {
  it("has the specification's defaults", () => {
    expect(grpoDefaults).toEqual({
      rewardField: "reward",
      stdLevel: "group",
      epsilon: 1e-6,
      stdThreshold: null,
      stepNorm: false
    })
  })

  it("compares the last rewards of a pack's runs, by their own deviation", () => {
    const unit = 0.5 / (Math.SQRT1_2 + 1e-6)
    // A run alone has the mean 0 and the deviation 1.
    expectScores(scores({}), { "a0.0": unit, "a0.1": unit, "a1.0": -unit, "b0.0": 0, "b1.0": 0, "c0.0": 2 / 1.000001 })
  })

  it("by the deviation of all runs of the call, or by none", () => {
    // 1, 0, 3, 3, 2: mean 1.8, squares 6.8.
    const divisor = Math.sqrt(6.8 / 4) + 0.5
    const batch = { "a0.0": 0.5 / divisor, "a0.1": 0.5 / divisor, "a1.0": -0.5 / divisor, "b0.0": 0, "b1.0": 0 }
    expectScores(scores({ stdLevel: "batch", epsilon: 0.5 }), { ...batch, "c0.0": 2 / divisor })
    expectScores(scores({ stdLevel: "batch", epsilon: 1 }, run("c", 0, [2])), { "c0.0": 2 / 2 })
    const none = { "a0.0": 0.5, "a0.1": 0.5, "a1.0": -0.5, "b0.0": 0, "b1.0": 0, "c0.0": 2 }
    expectScores(scores({ stdLevel: "none", epsilon: 9 }), none)
  })

  it("by the reward of the whole lifecycle", () => {
    const found = scores({ rewardField: "totalReward", stdLevel: "none" })
    expectScores(found, { "a0.0": -5, "a0.1": -5, "a1.0": 5, "b0.0": 0, "b1.0": 0, "c0.0": 1 })
  })

  it("spreads a score over the experiences of its run where asked", () => {
    const { experiences } = grpo(three, { stepNorm: true, stdLevel: "none" })
    expect(
      experiences.map(({ score, advantage, return: value, baseline }) => [score, advantage, value, baseline])
    ).toEqual([
      [0.5, 0.25, 0.25, 0.5],
      [0.5, 0.25, 0.25, 0.5],
      [-0.5, -0.5, -0.5, 0.5],
      [0, 0, 0, 3],
      [0, 0, 0, 3],
      [2, 2, 2, 0]
    ])
  })

  it("drops packs of one run, and those whose deviation is at or below the threshold", () => {
    const { experiences, dropped, metrics } = grpo(three, { stdThreshold: 0 })
    expect(experiences.map(({ id }) => id)).toEqual(["a0.0", "a0.1", "a1.0"])
    expect(dropped).toEqual(["b0.0", "b1.0", "c0.0"])
    expect(metrics).toMatchObject({
      experience_count: 3,
      filtered_count: 3,
      skipped_group_ratio: 2 / 3,
      judge_format_error_count: 0
    })
    const wide = [...run("p", 0, [0]), ...run("p", 1, [2])]
    expect(grpo(wide, { stdThreshold: Math.SQRT2 }).dropped).toHaveLength(2)
    expect(grpo(wide, { stdThreshold: 1.41 }).dropped).toHaveLength(0)
    expect(grpo(three).metrics).toMatchObject({ filtered_count: 0, skipped_group_ratio: 0 })
  })

  it("drops what a judge flagged before anything else", () => {
    const flagged = three.map((each) => (each.id === "a0.1" ? { ...each, flag: "own" as const, reward: NaN } : each))
    const { dropped, metrics, temperatures } = grpo(flagged, { stdLevel: "none" })
    expect([dropped, temperatures]).toEqual([["a0.1"], []])
    expect(metrics).toMatchObject({ experience_count: 5, filtered_count: 0, judge_format_error_count: 1 })
    expect(scores({ stdLevel: "none" }, flagged)["a0.0"]).toBe(3.5)
  })

  it("measures the own rewards of each pack", () => {
    const { metrics } = grpo(three, { rewardField: "totalReward" })
    const [mean, deviation] = ["reward_mean", "reward_std"].map((name) =>
      ["mean", "max", "min"].map((of) => metrics[`group_advantages/${name}/${of}`]!)
    )
    mean!.forEach((value, i) => expect(value).toBeCloseTo([5.5 / 3, 3, 0.5][i]!, 12))
    deviation!.forEach((value, i) => expect(value).toBeCloseTo([Math.SQRT1_2 / 3, Math.SQRT1_2, 0][i]!, 12))
    expect(grpo([]).metrics).toEqual({
      experience_count: 0,
      filtered_count: 0,
      skipped_group_ratio: 0,
      judge_format_error_count: 0
    })
  })

  it("gives equal rewards no score at all, whatever their rounding", () => {
    const equal = [0, 1, 2].flatMap((number) => run("p", number, [0.1]))
    expect(Object.values(scores({}, equal))).toEqual([0, 0, 0])
  })

  it.each([
    [{ reward: NaN }, {}, '"reward" is NaN, expected a finite number'],
    [{ reward: NaN }, { rewardField: "totalReward" }, '"reward" is NaN, expected a finite number'],
    [{ totalReward: undefined }, { rewardField: "totalReward" }, '"totalReward" is missing, expected a finite number'],
    [
      { reward: 1.7e308 },
      { stdLevel: "none" },
      '"score" is Infinity, expected a finite number: the rewards are too large to compare'
    ]
  ] as ReadonlyArray<readonly [object, Partial<GrpoOptions>, string]>)(
    "refuses %j under %j",
    (wrong, given, message) => {
      const pair = [...run("p", 0, [0]), ...run("p", 1, [-1.7e308])]
      expect(() => grpo([{ ...pair[0]!, ...wrong }, pair[1]!], given)).toThrow(`experience "p0.0": ${message}`)
    }
  )

  it("refuses a reward that it would not have read", () => {
    const early = three.map((each) => (each.id === "a0.0" ? { ...each, totalReward: NaN } : each))
    expect(() => grpo(early, { rewardField: "totalReward" })).toThrow('experience "a0.0": "totalReward" is NaN')
  })

  it.each([
    ...[0, -1, NaN, Infinity].map((value) => ["epsilon", value, "a number above 0"] as const),
    ...[-0.1, NaN, Infinity].map((value) => ["stdThreshold", value, "a number, at least 0, or null"] as const),
    ["rewardField", "total", "reward, totalReward"],
    ["stdLevel", "pack", "group, batch, none"],
    ["stepNorm", 1, "true or false"],
    ["std", 1, "one of the options rewardField, stdLevel, epsilon, stdThreshold, stepNorm"]
  ] as const)("refuses the option %s %s", (field, value, expected) => {
    expect(() => grpo(three, { [field]: value } as never)).toThrow(
      `options: "${field}" is ${typeof value === "number" ? value : JSON.stringify(value)}, expected ${expected}`
    )
  })
})
