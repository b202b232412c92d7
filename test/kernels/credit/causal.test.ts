/**
 * What causal credit means. These are decisions:
 *
 * 1. An update episode gets no credit for the task it has just seen.
 * 2. A run votes once in its baseline, with its first experience.
 * 3. What a judge flagged takes part in nothing.
 * 4. Equal runs score exactly 0, whatever their rewards.
 * 5. What no credit can be computed from is refused by name.
 */
import { describe, expect, it } from "vitest"
import { causal, causalDefaults, published, type CausalOptions } from "../../../src/kernels/credit/causal.ts"
import type { Experience } from "../../../src/kernels/credit/estimator.ts"
import { returnRewards } from "../../../src/kernels/credit/return-rewards.ts"

/** A lifecycle of one model call an episode; `own` are the rewards of its updates. */
const lifecycle = (
  run: number,
  taskRewards: ReadonlyArray<number>,
  own: ReadonlyArray<number>,
  tokens = 10
): Array<Experience> =>
  taskRewards.flatMap((reward, index) =>
    (["solve", "update"] as const)
      .filter((kind) => kind === "solve" || index < own.length)
      .map((kind) => ({
        id: `${run}${kind[0]}${index}`,
        pack: "p",
        taskset: 0,
        run,
        kind,
        index,
        step: 0,
        reward: kind === "solve" ? reward : own[index]!,
        taskRewards,
        responseTokens: tokens
      }))
  )

const worked = [...lifecycle(0, [0, 1, 1], [0, 0]), ...lifecycle(1, [0, 0, 1], [0, -0.1])]
const row = (experiences: ReadonlyArray<Experience>, options: Partial<CausalOptions> = {}) =>
  Object.fromEntries(causal(experiences, options).experiences.map(({ id, ...numbers }) => [id, numbers]))

describe("causal", () => {
  it("has the specification's defaults, and what all published runs use", () => {
    expect(causalDefaults).toEqual({
      returns: "mean",
      window: -1,
      gamma: 1,
      redTemperature: null,
      redAdaptive: false,
      redLevel: "batch",
      advantageShift: false,
      baseline: "group-mean",
      redStrict: false,
      dropZeroScores: false
    })
    expect(published).toEqual({ ...causalDefaults, redAdaptive: true })
  })

  it("computes the worked example of the specification", () => {
    const rows = row(worked)
    const table = Object.entries(rows).map(([id, { return: value, baseline, score }]) => [id, value, baseline, score])
    const expected: typeof table = [
      ["0s0", 2 / 3, 1 / 2, 1 / 6],
      ["0u0", 2 / 3, 1 / 2, 1 / 6],
      ["0s1", 1, 3 / 4, 1 / 4],
      ["0u1", 0.5, 0.475, 0.025],
      ["0s2", 1, 1, 0],
      ["1s0", 1 / 3, 1 / 2, -1 / 6],
      ["1u0", 1 / 3, 1 / 2, -1 / 6],
      ["1s1", 1 / 2, 3 / 4, -1 / 4],
      ["1u1", 0.45, 0.475, -0.025],
      ["1s2", 1, 1, 0]
    ]
    table.forEach(([id, ...numbers], i) => {
      expect(id).toBe(expected[i]![0])
      numbers.forEach((value, j) => expect(value, `${id}`).toBeCloseTo(expected[i]![j + 1] as number, 12))
    })
  })

  it("gives an update no credit for the task it has just seen", () => {
    const better = [...lifecycle(0, [1, 1, 1], [0, 0]), ...lifecycle(1, [0, 0, 1], [0, -0.1])]
    expect(row(better)["0u0"]).toEqual(row(worked)["0u0"])
    expect(row(better)["0s0"]).not.toEqual(row(worked)["0s0"])
  })

  it("counts a run once, by its first experience, however many it has", () => {
    const twice = { ...worked[3]!, id: "again", reward: 5, step: 1 }
    const rows = row([...worked, twice])
    expect(rows["1u1"]).toEqual(row(worked)["1u1"])
    expect(rows["again"]!.baseline).toBe(rows["1u1"]!.baseline)
    expect(rows["again"]!.return).toBe(3)
  })

  it("drops what a judge flagged before anything else", () => {
    const flagged = worked.map((each) =>
      each.run === 1 ? { ...each, flag: "trajectory" as const, reward: NaN } : each
    )
    const credit = causal(flagged)
    expect(credit.dropped).toEqual(["1s0", "1u0", "1s1", "1u1", "1s2"])
    expect(credit.experiences.every(({ score }) => score === 0)).toBe(true)
    expect(credit.metrics).toMatchObject({ experience_count: 10, judge_format_error_count: 5 })
  })

  it("scores equal runs exactly 0 and weights none of them", () => {
    const equal = [0, 1, 2].flatMap((run) => lifecycle(run, [0.1, 1 / 3, 0.7], [-0.1, 0.3], 10 ** run))
    const credit = causal(equal, { ...published, dropZeroScores: true })
    expect(credit.experiences).toEqual([])
    expect(credit.dropped).toHaveLength(15)
    expect(credit.metrics).toMatchObject({ zero_score_count: 15, judge_format_error_count: 0 })
    expect(credit.temperatures).toEqual([{ group: "batch", temperature: null }])
  })

  it("drops scores of exactly 0 where asked, and no others", () => {
    const flagged = worked.map((each) => (each.id === "0u0" ? { ...each, flag: "own" as const } : each))
    const { dropped, experiences, metrics } = causal(flagged, { dropZeroScores: true })
    // The update without its sibling, and the last task, which both runs did.
    expect(dropped).toEqual(["0u0", "0s2", "1u0", "1s2"])
    expect(experiences).toHaveLength(6)
    expect(metrics).toMatchObject({ zero_score_count: 3, judge_format_error_count: 1 })
  })

  it("has no temperature for nobody", () => {
    expect(causal([], { redTemperature: 2 })).toEqual({
      experiences: [],
      dropped: [],
      temperatures: [{ group: "batch", temperature: null }],
      metrics: { experience_count: 0, judge_format_error_count: 0, active_weight_temp_mean: 0 }
    })
  })

  it("leaves the run out of its baseline where asked", () => {
    const three = [0, 1, 5].flatMap((reward, run) => lifecycle(run, [reward], []))
    expect(Object.values(row(three, { baseline: "leave-one-out" })).map(({ baseline }) => baseline)).toEqual([
      3, 2.5, 0.5
    ])
    expect(row(lifecycle(0, [4], []), { baseline: "leave-one-out" })["0s0"]!.score).toBe(0)
  })

  it("keeps the side of the bisection that is not negative where asked", () => {
    const groups = [
      [...lifecycle(0, [1], [], 10), ...lifecycle(1, [0], [], 12)],
      [...lifecycle(0, [1], [], 10), ...lifecycle(1, [0], [], 13), ...lifecycle(2, [0.5], [], 40)],
      [...lifecycle(0, [1.5], [], 10), ...lifecycle(1, [0], [], 19)]
    ]
    for (const group of groups) {
      const tokens = new Map(group.map(({ id, responseTokens }) => [id, responseTokens]))
      const sum = (options: Partial<CausalOptions>) =>
        causal(group, options).experiences.reduce((all, { id, advantage }) => all + advantage * tokens.get(id)!, 0)
      expect(sum({})).toBeLessThan(0)
      expect(sum({ redAdaptive: true, redStrict: true })).toBeGreaterThanOrEqual(0)
      const [loose, strict] = [false, true].map(
        (redStrict) => causal(group, { redAdaptive: true, redStrict }).temperatures[0]!.temperature!
      )
      expect(Math.abs(loose! - strict!)).toBeLessThan(0.05)
    }
  })

  it("keeps huge weights finite", () => {
    const huge = [...lifecycle(0, [1e6], [], 1), ...lifecycle(1, [-1e6], [], 2)]
    for (const options of [{ redAdaptive: true }, { redTemperature: 1e-3 }]) {
      const credit = causal(huge, options)
      expect(credit.experiences.map(({ advantage }) => Number.isFinite(advantage))).toEqual([true, true])
      expect(credit.experiences[0]!.advantage).toBeGreaterThan(1e300)
    }
  })

  it.each([
    ["a reward", { reward: NaN }, '"reward" is NaN, expected a finite number'],
    ["a task reward", { taskRewards: [0, Infinity, 1] }, '"taskRewards[1]" is Infinity, expected a finite number'],
    ["a position", { index: 3 }, '"index" is 3, expected an integer in [0, 3)'],
    ["tokens", { responseTokens: -1 }, '"responseTokens" is -1, expected an integer, at least 0'],
    ["half a position", { index: 0.5 }, '"index" is 0.5, expected an integer in [0, 3)'],
    ["a position before the first", { index: -1 }, '"index" is -1, expected an integer in [0, 3)'],
    ["half a token", { responseTokens: 0.5 }, '"responseTokens" is 0.5, expected an integer, at least 0'],
    ["a kind", { kind: "judge" }, '"kind" is "judge", expected solve or update'],
    ["rewards that are none", { taskRewards: "101" }, '"taskRewards" is "101", expected a list of numbers'],
    ["rewards that overflow", { taskRewards: [1.7e308, 1.7e308, 0] }, '"return" is Infinity, expected a finite number']
  ] as ReadonlyArray<readonly [string, object, string]>)("refuses %s by name", (_, wrong, message) => {
    expect(() => causal(worked.map((each, i) => (i === 0 ? { ...each, ...wrong } : each)))).toThrow(
      `experience "0s0": ${message}`
    )
  })

  it("throws what the error channel can tell apart", () => {
    const wrong = worked.map((each) => ({ ...each, reward: NaN }))
    expect(() => causal(wrong)).toThrow(
      expect.objectContaining({ _tag: "CreditError", experience: "0s0", field: "reward" })
    )
  })

  it("refuses shared rewards in the name of the first, and what overflows later on", () => {
    const shared = lifecycle(0, [0, NaN], [])
    expect(() => causal(shared.map((each) => ({ ...each, reward: 0 })))).toThrow('experience "0s0": "taskRewards[1]"')
    const apart = [...lifecycle(0, [1.7e308], []), ...lifecycle(1, [-1.7e308], [])]
    expect(() => causal(apart)).toThrow(
      'experience "0s0": "score" is Infinity, expected a finite number: the rewards are too large to compare'
    )
    const heavy = [...lifecycle(0, [1e300], [], 1), ...lifecycle(1, [-1e300], [], 2)]
    expect(() => causal(heavy, { redTemperature: 1, advantageShift: true })).toThrow(
      'experience "0s0": "advantage" is Infinity, expected a finite number'
    )
  })

  it.each([
    ...[0, -2, 1.5, NaN].map(
      (window) =>
        [{ window }, `options: "window" is ${window}, expected an integer, at least 1 or -1 for unset`] as const
    ),
    ...[-0.1, 1.1, NaN, -Infinity].map(
      (gamma) => [{ gamma }, `options: "gamma" is ${gamma}, expected a number in [0, 1]`] as const
    ),
    [{ gamma: "1" }, 'options: "gamma" is "1", expected a number in [0, 1]'],
    ...[-1, NaN, Infinity].map(
      (redTemperature) =>
        [
          { redTemperature },
          `options: "redTemperature" is ${redTemperature}, expected a number above 0, or null`
        ] as const
    ),
    ...(["redAdaptive", "advantageShift", "redStrict", "dropZeroScores"] as const).map(
      (field) => [{ [field]: 1 }, `options: "${field}" is 1, expected true or false`] as const
    ),
    [{ baseline: "median" }, 'options: "baseline" is "median", expected group-mean, leave-one-out'],
    [{ redLevel: "all" }, 'options: "redLevel" is "all", expected batch, task, taskset'],
    [{ returns: "max" }, 'options: "returns" is "max", expected mean, sliding_window_mean, discounted'],
    [{ gamma: 1.5 }, 'options: "gamma" is 1.5, expected a number in [0, 1]'],
    [{ returns: "sliding_window_mean" }, 'options: "window" is -1, expected an integer, at least 1'],
    [{ returns: "sum" }, 'options: "returns" is "sum", expected'],
    [{ redTemperature: -1 }, 'options: "redTemperature" is -1, expected a number above 0, or null'],
    [{ redLevel: "pack" }, 'options: "redLevel" is "pack", expected'],
    [{ lambda: 1 }, 'options: "lambda" is 1, expected one of the options returns, window, gamma, ']
  ] as ReadonlyArray<readonly [object, string]>)("refuses the options %j", (options, message) => {
    expect(() => causal(worked, options as never)).toThrow(message)
  })

  it.each([
    { returns: "sliding_window_mean", window: 1 },
    { returns: "discounted", gamma: 0 },
    { returns: "discounted", gamma: 1 },
    { redTemperature: 0 },
    { redTemperature: null }
  ] as const)("accepts the bounds %j", (options) => {
    expect(causal(worked, options).experiences).toHaveLength(10)
  })
})

describe("returnRewards", () => {
  it("replaces rewards by returns and leaves everything else alone", () => {
    const flagged = worked.map((each, i) => (i === 0 ? { ...each, flag: "own" as const } : each))
    const replaced = returnRewards(flagged, causal(flagged))
    expect(replaced.map(({ id }) => id)).not.toContain("0s0")
    expect(replaced[0]).toEqual({ ...worked[1], reward: 2 / 3 })
  })
})
