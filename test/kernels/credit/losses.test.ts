/** Policy losses: gradients against central differences, and what must not change them. */
import { describe, expect, it } from "vitest"
import { distillationAdvantages, distillationLoss } from "../../../src/kernels/credit/distillation.ts"
import { klOf } from "../../../src/kernels/credit/kl.ts"
import {
  aggregations,
  sequenceRatio,
  type PolicyLoss,
  type TokenSequence
} from "../../../src/kernels/credit/policy-loss.ts"
import { gspoDefaults, gspoLoss, ppoDefaults, ppoLoss } from "../../../src/kernels/credit/ppo-loss.ts"
import { recDefaults, recLoss, type RecOptions } from "../../../src/kernels/credit/rec-loss.ts"
import { stream } from "../../../src/kernels/random.ts"

/** Ragged sequences with log ratios up to about 1, some tokens masked. */
const draw = (name: string): Array<TokenSequence & { logprobs: Array<number> }> => {
  const rng = stream(1, "losses", name)
  return [3, 1, 6].map((length) => {
    const advantage = rng.normal()
    const behaviourLogprobs = Array.from({ length }, () => -3 * rng.uniform())
    return {
      logprobs: behaviourLogprobs.map((logprob) => logprob + 0.4 * rng.normal()),
      behaviourLogprobs,
      mask: behaviourLogprobs.map((_, t) => (t === 1 ? 0 : 1)),
      advantages: behaviourLogprobs.map(() => advantage)
    }
  })
}

/** Central differences of a loss by every logprob. */
const differences = (
  sequences: ReturnType<typeof draw>,
  loss: (sequences: ReadonlyArray<TokenSequence>) => number
): Array<Array<number>> =>
  sequences.map((sequence, row) =>
    sequence.logprobs.map((logprob, t) => {
      const at = (value: number) =>
        loss(sequences.with(row, { ...sequence, logprobs: sequence.logprobs.with(t, value) }))
      return (at(logprob + 1e-6) - at(logprob - 1e-6)) / 2e-6
    })
  )

const expectClose = ({ gradient }: PolicyLoss, expected: ReadonlyArray<ReadonlyArray<number>>) =>
  gradient.forEach((row, i) => row.forEach((value, t) => expect(value, `${i}/${t}`).toBeCloseTo(expected[i]![t]!, 6)))

describe("recLoss", () => {
  const modes = ["none", "one-side", "two-side", "ring", "gspo-one-side"] as const
  const weights = [
    "none",
    "importance_sampling",
    "truncated_importance_sampling",
    "gspo_importance_sampling",
    "advantage"
  ] as const
  const every = modes.flatMap((clipMode) =>
    weights.flatMap((weight) =>
      (["none", "k2", "forward-kl"] as const).flatMap((regularizer) =>
        aggregations.map((aggregation) => ({ clipMode, weight, regularizer, regularizerCoef: 0.3, aggregation }))
      )
    )
  )
  it("has the gradient of a loss whose ratios and weights are constants", () => {
    for (const some of every) {
      if (some.weight === "gspo_importance_sampling" && some.clipMode !== "gspo-one-side") {
        expect(() => recLoss(draw("rec"), some)).toThrow("gspo-one-side")
        continue
      }
      for (const fixDistillAdvantage of [false, true]) {
        const options: RecOptions = { ...recDefaults, ...some, fixDistillAdvantage }
        const sequences = draw("rec")
        const fixed = recLoss(sequences, { ...options, regularizer: "none" })
        // What the policy gradient holds constant is constant here: -A' [kept] is the slope at the point itself.
        const loss = (moved: ReadonlyArray<TokenSequence>) => {
          const policy = moved.reduce(
            (sum, { logprobs }, row) =>
              Array.from(logprobs).reduce((all, logprob, t) => all + fixed.gradient[row]![t]! * logprob, sum),
            0
          )
          const zero = moved.map((sequence) => ({ ...sequence, advantages: Array.from(sequence.advantages, () => 0) }))
          return policy + recLoss(zero, { ...options, fixDistillAdvantage: false }).loss
        }
        expectClose(recLoss(sequences, options), differences(sequences, loss))
        expect(recLoss(sequences, options).clipFraction).toBe(fixed.clipFraction)
      }
    }
  })

  it("keeps tokens by the specified conditions", () => {
    const kept = (clipMode: RecOptions["clipMode"], ratio: number, advantage: number) =>
      recLoss([{ logprobs: [Math.log(ratio)], behaviourLogprobs: [0], mask: [1], advantages: [advantage] }], {
        clipMode
      }).clipFraction === 0
    const rows = [0.1, 0.5, 1, 1.5, 4].map((ratio) =>
      (["none", "one-side", "two-side", "ring", "gspo-one-side"] as const)
        .map((mode) => [1, 0, -1].map((advantage) => (kept(mode, ratio, advantage) ? "k" : ".")).join(""))
        .join(" ")
    )
    // Each group of three: advantage 1, 0, -1.
    expect(rows).toEqual([
      "kkk kk. ... kk. kk.",
      "kkk kk. ... ... kk.",
      "kkk kkk kkk kkk kkk",
      "kkk .kk ... ... .kk",
      "kkk .kk ... .kk .kk"
    ])
  })

  it.each([
    ["importance_sampling", 4, -8],
    ["truncated_importance_sampling", 4, -6],
    ["truncated_importance_sampling", 0.1, -0.8],
    ["advantage", 4, -2 * Math.exp(2)],
    ["none", 4, -2]
  ] as const)("weights by %s at ratio %d", (weight, ratio, slope) => {
    const one = { logprobs: [Math.log(ratio)], behaviourLogprobs: [0], mask: [1], advantages: [2] }
    expect(recLoss([one], { weight }).gradient[0]![0]).toBeCloseTo(slope, 6)
  })

  it.each([
    ["token-mean", [1 / 3, 1 / 3, 1 / 3]],
    ["seq-mean-token-sum", [1 / 2, 1 / 2, 1 / 2]],
    ["seq-mean-token-mean", [1 / 2, 1 / 4, 1 / 4]],
    ["seq-mean-token-sum-norm", [1 / 3, 1 / 3, 1 / 3]]
  ] as const)("aggregates by %s", (aggregation, expected) => {
    const row = (mask: Array<number>) => ({
      logprobs: mask.map(() => 0),
      behaviourLogprobs: mask.map(() => 0),
      mask,
      advantages: mask.map(() => -1)
    })
    const { gradient } = recLoss([row([1]), row([1, 1, 0])], { aggregation })
    expectClose({ loss: 0, clipFraction: 0, gradient }, [[expected[0]], [expected[1], expected[2], 0]])
  })

  it("never reads what the mask leaves out", () => {
    const clean = draw("mask")
    const dirty = clean.map((sequence) => ({
      ...sequence,
      logprobs: sequence.logprobs.map((value, t) => (sequence.mask[t] === 0 ? NaN : value)),
      advantages: Array.from(sequence.advantages, (value, t) => (sequence.mask[t] === 0 ? Infinity : value))
    }))
    for (const clipMode of ["one-side", "gspo-one-side"] as const) {
      expect(recLoss(dirty, { clipMode })).toEqual(recLoss(clean, { clipMode }))
    }
  })

  it("is 0 over nothing", () => {
    expect(recLoss([])).toMatchObject({ loss: 0, clipFraction: 0 })
    const masked = draw("nothing").map((sequence) => ({ ...sequence, mask: Array.from(sequence.mask, () => 0) }))
    for (const aggregation of aggregations) expect(recLoss(masked, { aggregation }).loss).toBe(0)
  })

  it("refuses by sequence, token and field", () => {
    const [first] = draw("refuse")
    expect(() => recLoss([{ ...first!, logprobs: [0, 0, NaN] }])).toThrow('sequence 0, token 2: "logprobs" is NaN')
    expect(() => recLoss([{ ...first!, advantages: [1] }])).toThrow('sequence 0: "advantages" is 1, expected 3 numbers')
    expect(() => recLoss([{ ...first!, mask: [0.5, 1, 1] }])).toThrow('"mask" is 0.5, expected 0 or 1')
    expect(() => recLoss([], { epsilonLow: 0 })).toThrow(
      'options: "epsilonLow" is 0, expected a number above 0, at most 1'
    )
    expect(() => recLoss([], { clip: "ring" } as never)).toThrow('"clip" is "ring", expected one of the options')
    const overflow = { logprobs: [0], behaviourLogprobs: [-1], mask: [1], advantages: [1e308] }
    expect(() => recLoss([first!, overflow], { weight: "importance_sampling" })).toThrow(
      'sequence 1, token 0: "gradient" is -Infinity, expected a finite number'
    )
  })
})

describe("ppoLoss and gspoLoss", () => {
  it("have the gradients of their surrogates", () => {
    const sequences = draw("ppo")
    for (const aggregation of aggregations) {
      const loss = (moved: ReadonlyArray<TokenSequence>) => ppoLoss(moved, { aggregation }).loss
      expectClose(ppoLoss(sequences, { aggregation }), differences(sequences, loss))
    }
    const wide = { epsilonLow: 0.2, epsilonHigh: 0.2 }
    expectClose(
      gspoLoss(sequences, wide),
      differences(sequences, (moved) => gspoLoss(moved, wide).loss)
    )
  })

  it.each([
    // ratio, advantage, loss, slope
    [0.5, 1, -0.5, -0.5],
    [0.5, -1, 0.8, 0],
    [0.9, 1, -0.9, -0.9],
    [1.1, -1, 1.1, 1.1],
    [1.5, 1, -1.2, 0],
    [1.5, -1, 1.5, 1.5]
  ])("at ratio %d and advantage %d the loss is %d and its slope %d", (ratio, advantage, loss, slope) => {
    const one = { logprobs: [Math.log(ratio)], behaviourLogprobs: [0], mask: [1], advantages: [advantage] }
    for (const found of [ppoLoss([one]), gspoLoss([one], { epsilonLow: 0.2, epsilonHigh: 0.2 })]) {
      expect(found.loss).toBeCloseTo(loss, 6)
      expect(found.gradient[0]![0]).toBeCloseTo(slope, 6)
      expect(found.clipFraction).toBeCloseTo(slope === 0 ? 1 : 0, 6)
    }
  })

  it("GSPO takes one ratio of a whole sequence, what is masked left out", () => {
    const sequence = {
      logprobs: [-1, NaN, -2],
      behaviourLogprobs: [-1.3, NaN, -1.9],
      mask: [1, 0, 1],
      advantages: [2, NaN, 2]
    }
    expect(sequenceRatio(sequence)).toBeCloseTo(Math.exp(0.1), 7)
    const wide = gspoLoss([sequence], { epsilonLow: 0.2, epsilonHigh: 0.2 })
    expect(wide.loss).toBeCloseTo(-2 * Math.exp(0.1), 6)
    expectClose(wide, [[-Math.exp(0.1), 0, -Math.exp(0.1)]])
    expect(gspoLoss([sequence]).clipFraction).toBeCloseTo(1, 7)
  })

  it("has the bounds of its papers, and refuses others than they allow", () => {
    expect(ppoDefaults).toEqual({ epsilonLow: 0.2, epsilonHigh: 0.2, aggregation: "token-mean" })
    expect(gspoDefaults).toEqual({ epsilonLow: 3e-4, epsilonHigh: 4e-4 })
    for (const loss of [ppoLoss, gspoLoss]) {
      for (const epsilonLow of [0, 1.1, NaN])
        expect(() => loss([], { epsilonLow })).toThrow(
          `"epsilonLow" is ${epsilonLow}, expected a number above 0, at most 1`
        )
      for (const epsilonHigh of [0, -1, Infinity])
        expect(() => loss([], { epsilonHigh })).toThrow(`"epsilonHigh" is ${epsilonHigh}, expected a number above 0`)
      expect(() => loss([], { epsilonLow: 1, epsilonHigh: 1e-9 })).not.toThrow()
    }
    expect(() => ppoLoss([], { aggregation: "mean" as never })).toThrow(aggregations.join(", "))
  })

  it("equal the plain policy gradient on policy", () => {
    const onPolicy = draw("on").map((sequence) => ({ ...sequence, behaviourLogprobs: sequence.logprobs }))
    expect(ppoLoss(onPolicy).gradient).toEqual(recLoss(onPolicy).gradient)
    expect(ppoLoss(onPolicy).clipFraction).toBe(0)
  })
})

describe("distillationLoss", () => {
  it("weights tokens by teacher minus current", () => {
    const [sequence] = draw("teacher")
    const teacherLogprobs = [-0.5, -0.5, -2]
    const { gradient, klDivergence } = distillationLoss([{ ...sequence!, teacherLogprobs }])
    const expected = teacherLogprobs.map((teacher, t) =>
      sequence!.mask[t] === 0 ? 0 : -(teacher - sequence!.logprobs[t]!) / (2 + 1e-8)
    )
    expectClose({ loss: 0, clipFraction: 0, gradient }, [expected])
    const gaps = [0, 2].map((t) => sequence!.behaviourLogprobs[t]! - teacherLogprobs[t]!)
    expect(klDivergence).toBeCloseTo((gaps[0]! + gaps[1]!) / 2)
    expect(() => distillationLoss([{ ...sequence!, teacherLogprobs: [0] }])).toThrow(
      '"teacherLogprobs" is 1, expected 3'
    )
  })

  it("gives nothing to what the mask leaves out", () => {
    const advantages = distillationAdvantages(
      { behaviourLogprobs: [-1, NaN], mask: [1, 0], teacherLogprobs: [-0.5, NaN] },
      3
    )
    expect(Array.from(advantages)).toEqual([1.5, 0])
    const masked = draw("masked").map((sequence) => ({
      ...sequence,
      mask: Array.from(sequence.mask, () => 0),
      teacherLogprobs: sequence.behaviourLogprobs
    }))
    expect(distillationLoss(masked)).toMatchObject({ loss: 0, clipFraction: 0, klDivergence: 0 })
  })
})

describe("klOf", () => {
  it.each([
    ["k1", 0.5],
    ["k2", 0.125],
    ["k3", Math.exp(-0.5) - 0.5]
  ] as const)("%s of a log ratio of 1/2 is %d", (estimator, value) => {
    expect(klOf(estimator, -1, -1.5).value).toBeCloseTo(value, 12)
  })

  it("has the slopes of its values, and k3 is never negative", () => {
    for (const estimator of ["k1", "k2", "k3"] as const) {
      for (const logprob of [-3, -1, -0.2]) {
        const { value, slope } = klOf(estimator, logprob, -1)
        const difference =
          (klOf(estimator, logprob + 1e-6, -1).value - klOf(estimator, logprob - 1e-6, -1).value) / 2e-6
        expect(slope).toBeCloseTo(difference, 6)
        if (estimator === "k3") expect(value).toBeGreaterThanOrEqual(0)
      }
    }
  })

  it("estimates the divergence: k1 and k3 have its expectation", () => {
    const policy = [0.5, 0.3, 0.2]
    const reference = [0.2, 0.3, 0.5]
    const divergence = policy.reduce((sum, p, i) => sum + p * Math.log(p / reference[i]!), 0)
    for (const estimator of ["k1", "k3"] as const) {
      const mean = policy.reduce(
        (sum, p, i) => sum + p * klOf(estimator, Math.log(p), Math.log(reference[i]!)).value,
        0
      )
      expect(mean).toBeCloseTo(divergence, 12)
    }
  })
})
