/** REC against its specification followed line by line, at random options, and exactly at its bounds. */
import { describe, expect, it } from "vitest"
import { aggregations, type TokenSequence } from "../../../src/kernels/credit/policy-loss.ts"
import { recDefaults, recLoss, recPublished, type RecOptions } from "../../../src/kernels/credit/rec-loss.ts"
import { stream, type Stream } from "../../../src/kernels/random.ts"

const modes = ["none", "one-side", "two-side", "ring", "gspo-one-side"] as const
const weights = [
  "none",
  "importance_sampling",
  "truncated_importance_sampling",
  "gspo_importance_sampling",
  "advantage"
] as const

const drawOptions = (rng: Stream): RecOptions => {
  const clipMode = rng.pick(modes)
  return {
    epsilonLow: rng.pick([0.2, 0.05, 0.5, 1]),
    epsilonHigh: rng.pick([0.2, 0.1, 0.6]),
    epsilonLowPrime: rng.pick([0.6, 0.3, 0.9]),
    epsilonHighPrime: rng.pick([2, 0.7]),
    clipMode,
    weight: rng.pick(clipMode === "gspo-one-side" ? weights : weights.filter((weight) => !weight.startsWith("gspo"))),
    regularizer: rng.pick(["none", "k2", "forward-kl"] as const),
    regularizerCoef: rng.pick([0, 0.05, 1.5]),
    temperature: rng.pick([1, 0.5, 3]),
    aggregation: rng.pick(aggregations),
    fixDistillAdvantage: rng.uniform() < 0.3
  }
}

const drawSequences = (rng: Stream): ReadonlyArray<TokenSequence> =>
  Array.from({ length: rng.int(1, 4) }, () => {
    const behaviourLogprobs = Array.from({ length: rng.int(1, 6) }, () => -3 * rng.uniform())
    return {
      behaviourLogprobs,
      logprobs: behaviourLogprobs.map((logprob) => logprob + rng.normal()),
      mask: behaviourLogprobs.map(() => (rng.uniform() < 0.8 ? 1 : 0)),
      advantages: behaviourLogprobs.map(() => rng.pick([0, rng.normal()]))
    }
  })

const sum = (values: ReadonlyArray<number>): number => values.reduce((a, b) => a + b, 0)

/** Loss, share of clipped tokens and gradient, one token after another. */
const specified = (sequences: ReadonlyArray<TokenSequence>, o: RecOptions) => {
  const epsilon = 1e-8
  const rows = sequences.map((sequence) => {
    const all = Array.from(sequence.logprobs, (l, t) => ({
      l,
      b: sequence.behaviourLogprobs[t]!,
      A: sequence.advantages[t]!,
      trained: sequence.mask[t] === 1
    }))
    const trained = all.filter((token) => token.trained)
    const ofSequence = Math.exp(sum(trained.map(({ l, b }) => l - b)) / (trained.length + epsilon))
    return all.map(({ l, b, A, trained }) => {
      if (!trained) return { loss: 0, slope: 0, clipped: 0, trained: 0 }
      const rho = Math.exp(l - b)
      const oneSide = (ratio: number) => (A >= 0 && ratio <= 1 + o.epsilonHigh) || (A <= 0 && ratio >= 1 - o.epsilonLow)
      const twoSide = 1 - o.epsilonLow <= rho && rho <= 1 + o.epsilonHigh
      const kept = {
        none: true,
        "one-side": oneSide(rho),
        "two-side": twoSide,
        ring: twoSide || (A >= 0 && rho <= 1 - o.epsilonLowPrime) || (A <= 0 && rho >= 1 + o.epsilonHighPrime),
        "gspo-one-side": oneSide(ofSequence)
      }[o.clipMode]
      const weighted = {
        none: A,
        importance_sampling: A * rho,
        truncated_importance_sampling: A * Math.min(1 + o.epsilonHighPrime, Math.max(1 - o.epsilonLowPrime, rho)),
        gspo_importance_sampling: A * ofSequence,
        advantage: A * Math.exp(A / o.temperature)
      }[o.weight]
      const fixed = weighted + (o.fixDistillAdvantage ? b - l : 0)
      const [penalty, slope] = {
        none: [0, 0],
        k2: [o.regularizerCoef * (l - b) ** 2, 2 * o.regularizerCoef * (l - b)],
        "forward-kl": [-o.regularizerCoef * l, -o.regularizerCoef]
      }[o.regularizer] as [number, number]
      return {
        loss: (kept ? -fixed * l : 0) + penalty,
        slope: (kept ? -fixed : 0) + slope,
        clipped: kept ? 0 : 1,
        trained: 1
      }
    })
  })
  const tokens = sum(rows.flat().map(({ trained }) => trained))
  const longest = Math.max(...rows.map((row) => row.length))
  const shares = rows.map((row) => {
    const own = sum(row.map(({ trained }) => trained))
    return {
      "token-mean": 1 / (tokens + epsilon),
      "seq-mean-token-sum": 1 / rows.length,
      "seq-mean-token-mean": 1 / (own + epsilon) / rows.length,
      "seq-mean-token-sum-norm": 1 / (longest + epsilon)
    }[o.clipMode === "gspo-one-side" ? "seq-mean-token-mean" : o.aggregation]
  })
  return {
    loss: sum(rows.map((row, i) => shares[i]! * sum(row.map(({ loss }) => loss)))),
    clipFraction: sum(rows.flat().map(({ clipped }) => clipped)) / (tokens + epsilon),
    gradient: rows.map((row, i) => row.map(({ slope }) => shares[i]! * slope))
  }
}

const expectNumber = (actual: number, wanted: number, what: string) =>
  expect(Math.abs(actual - wanted), `${what}: ${actual}, expected ${wanted}`).toBeLessThanOrEqual(
    1e-11 + 1e-11 * Math.abs(wanted)
  )

it("is the specification's, under every option", () => {
  const rng = stream(1, "rec against the specification")
  for (let number = 0; number < 1_000; number++) {
    const options = drawOptions(rng)
    const sequences = drawSequences(rng)
    const [actual, wanted] = [recLoss(sequences, options), specified(sequences, options)]
    expectNumber(actual.loss, wanted.loss, `loss of case ${number}`)
    expectNumber(actual.clipFraction, wanted.clipFraction, `clip fraction of case ${number}`)
    wanted.gradient.forEach((row, i) => {
      expect(actual.gradient[i]).toHaveLength(row.length)
      row.forEach((slope, t) => expectNumber(actual.gradient[i]![t]!, slope, `slope ${i}/${t} of case ${number}`))
    })
  }
})

describe("a token exactly at a bound is kept", () => {
  // Between 1/2 and 2 the difference to 1 is exact, so 1 + epsilon is the ratio itself.
  const [low, high] = [Math.exp(-0.5), Math.exp(0.5)]
  it.each([
    ["one-side", low, -1, { epsilonLow: 1 - low }],
    ["one-side", high, 1, { epsilonHigh: high - 1 }],
    ["two-side", low, 1, { epsilonLow: 1 - low }],
    ["two-side", high, 1, { epsilonHigh: high - 1 }],
    ["ring", low, 1, { epsilonLowPrime: 1 - low }],
    ["ring", high, -1, { epsilonHighPrime: high - 1 }]
  ] as const)("%s, ratio %d, advantage %d", (clipMode, ratio, advantage, bound) => {
    const at = (logprob: number) =>
      recLoss([{ logprobs: [logprob], behaviourLogprobs: [0], mask: [1], advantages: [advantage] }], {
        clipMode,
        ...bound
      }).clipFraction
    expect(at(Math.log(ratio))).toBe(0)
    const [inner, outer] = [0.499, 0.501].map((size) => at(Math.sign(Math.log(ratio)) * size))
    // The ring keeps what lies beyond its outer bounds, the others what lies within.
    expect(clipMode === "ring" ? [outer, inner] : [inner, outer]).toEqual([0, 1 / (1 + 1e-8)])
  })
})

it("has the published choice and the defaults of the specification", () => {
  expect(recDefaults).toEqual({
    epsilonLow: 0.2,
    epsilonHigh: 0.2,
    epsilonLowPrime: 0.6,
    epsilonHighPrime: 2,
    clipMode: "none",
    weight: "none",
    regularizer: "none",
    regularizerCoef: 0,
    temperature: 1,
    aggregation: "token-mean",
    fixDistillAdvantage: false
  })
  expect(recPublished).toEqual({ ...recDefaults, clipMode: "one-side" })
})

describe("options", () => {
  const share = "a number above 0, at most 1"
  const above0 = "a number above 0"
  it.each([
    ...(["epsilonLow", "epsilonLowPrime"] as const).flatMap((field) =>
      [0, -0.1, 1.01, NaN, "x"].map((value) => [field, value, share] as const)
    ),
    ...(["epsilonHigh", "epsilonHighPrime", "temperature"] as const).flatMap((field) =>
      [0, -1, Infinity, NaN].map((value) => [field, value, above0] as const)
    ),
    ...[-1, Infinity, NaN].map((value) => ["regularizerCoef", value, "a number, at least 0"] as const),
    ["clipMode", "clip", modes.join(", ")],
    ["weight", "is", weights.join(", ")],
    ["regularizer", "k1", "none, k2, forward-kl"],
    ["aggregation", "mean", aggregations.join(", ")],
    ["fixDistillAdvantage", 1, "true or false"]
  ] as const)("refuse %s %s", (field, value, expected) => {
    expect(() => recLoss([], { [field]: value } as never)).toThrow(
      `options: "${field}" is ${typeof value === "number" ? value : JSON.stringify(value)}, expected ${expected}`
    )
  })

  it("accept their bounds", () => {
    expect(() => recLoss([], { epsilonLow: 1, epsilonLowPrime: 1, regularizerCoef: 0 })).not.toThrow()
  })

  it("refuse the weights of GSPO without its clipping, by name", () => {
    expect(() => recLoss([], { weight: "gspo_importance_sampling" })).toThrow(
      'options: "weight" is "gspo_importance_sampling", expected the clip mode gspo-one-side with it, not none'
    )
  })
})
