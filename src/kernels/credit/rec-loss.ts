/**
 * The REC family of policy losses (specification, section 11): REINFORCE with clipping by masks.
 *
 *   token loss = -A' l [kept] + regulariser        gradient by l: -A' [kept] + regulariser's
 *
 * Ratios rho = exp(l - b) and weights carry no gradient. Whether a token is kept is decided by the advantage before it is
 * weighted; a token with advantage 0 is kept in the one-sided modes. Regularisers apply to clipped tokens too.
 */
import { CreditError, flag, oneOf, resolve, type Rules } from "./estimator.ts"
import {
  aggregate,
  aggregations,
  sequenceRatio,
  type Aggregation,
  type PolicyLoss,
  type TokenSequence
} from "./policy-loss.ts"

export interface RecOptions {
  /** In (0, 1]. */
  readonly epsilonLow: number
  /** Above 0. */
  readonly epsilonHigh: number
  /** Outer bounds, of `ring` and of truncated importance sampling. In (0, 1]. */
  readonly epsilonLowPrime: number
  /** Above 0. */
  readonly epsilonHighPrime: number
  readonly clipMode: "none" | "one-side" | "two-side" | "ring" | "gspo-one-side"
  readonly weight:
    | "none"
    | "importance_sampling"
    | "truncated_importance_sampling"
    | "gspo_importance_sampling"
    | "advantage"
  /** `k2`: coef (l - b)^2. `forward-kl`: -coef l. */
  readonly regularizer: "none" | "k2" | "forward-kl"
  /** At least 0. */
  readonly regularizerCoef: number
  /** Of the weight `advantage`, above 0. */
  readonly temperature: number
  /** `gspo-one-side` clipping always takes `seq-mean-token-mean`. */
  readonly aggregation: Aggregation
  /** Adds b - l to the weighted advantage: makes teacher minus behaviour into teacher minus current. */
  readonly fixDistillAdvantage: boolean
}

const above0 = ["a number above 0", (value: number) => Number.isFinite(value) && value > 0] as const
const share = ["a number above 0, at most 1", (value: number) => value > 0 && value <= 1] as const

export const recRules: Rules<RecOptions> = {
  epsilonLow: share,
  epsilonHigh: above0,
  epsilonLowPrime: share,
  epsilonHighPrime: above0,
  clipMode: oneOf("none", "one-side", "two-side", "ring", "gspo-one-side"),
  weight: oneOf(
    "none",
    "importance_sampling",
    "truncated_importance_sampling",
    "gspo_importance_sampling",
    "advantage"
  ),
  regularizer: oneOf("none", "k2", "forward-kl"),
  regularizerCoef: ["a number, at least 0", (value: number) => Number.isFinite(value) && value >= 0],
  temperature: above0,
  aggregation: oneOf(...aggregations),
  fixDistillAdvantage: flag
}

export const recDefaults: RecOptions = {
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
}

/** "REC-OneSide-NoIS", the published choice. */
export const recPublished: RecOptions = { ...recDefaults, clipMode: "one-side" }

export const recLoss = (sequences: ReadonlyArray<TokenSequence>, given: Partial<RecOptions> = {}): PolicyLoss => {
  const options = resolve(recRules, recDefaults, given)
  const bySequence = options.clipMode === "gspo-one-side"
  if (options.weight === "gspo_importance_sampling" && !bySequence) {
    throw new CreditError({
      field: "weight",
      value: options.weight,
      expected: `the clip mode gspo-one-side with it, not ${options.clipMode}`
    })
  }
  const sequenceRatios = bySequence ? sequences.map(sequenceRatio) : undefined
  return aggregate(sequences, bySequence ? "seq-mean-token-mean" : options.aggregation, (sequence, t, row) => {
    const logprob = sequence.logprobs[t]!
    const behaviour = sequence.behaviourLogprobs[t]!
    const advantage = sequence.advantages[t]!
    const tokenRatio = Math.exp(logprob - behaviour)
    const ratio = sequenceRatios?.[row] ?? tokenRatio
    const kept = keeps(options, advantage, ratio)
    const fix = options.fixDistillAdvantage ? behaviour - logprob : 0
    const weighted = advantage * weightOf(options, advantage, tokenRatio, ratio) + fix
    const [penalty, slope] = regularise(options, logprob, behaviour)
    return {
      loss: (kept ? -weighted * logprob : 0) + penalty,
      slope: (kept ? -weighted : 0) + slope,
      clipped: !kept
    }
  })
}

const keeps = (options: RecOptions, advantage: number, ratio: number): boolean => {
  const { epsilonLow, epsilonHigh, epsilonLowPrime, epsilonHighPrime } = options
  const inside = ratio >= 1 - epsilonLow && ratio <= 1 + epsilonHigh
  switch (options.clipMode) {
    case "none":
      return true
    case "two-side":
      return inside
    case "ring":
      return (
        inside || (advantage >= 0 && ratio <= 1 - epsilonLowPrime) || (advantage <= 0 && ratio >= 1 + epsilonHighPrime)
      )
    case "one-side":
    case "gspo-one-side":
      return (advantage >= 0 && ratio <= 1 + epsilonHigh) || (advantage <= 0 && ratio >= 1 - epsilonLow)
  }
}

const weightOf = (options: RecOptions, advantage: number, tokenRatio: number, clipRatio: number): number => {
  switch (options.weight) {
    case "none":
      return 1
    case "importance_sampling":
      return tokenRatio
    case "truncated_importance_sampling":
      return Math.min(Math.max(tokenRatio, 1 - options.epsilonLowPrime), 1 + options.epsilonHighPrime)
    case "gspo_importance_sampling":
      return clipRatio
    case "advantage":
      return Math.exp(advantage / options.temperature)
  }
}

/** The regulariser of a token and its derivative by l. */
const regularise = (options: RecOptions, logprob: number, behaviour: number): readonly [number, number] => {
  const coefficient = options.regularizerCoef
  switch (options.regularizer) {
    case "none":
      return [0, 0]
    case "k2":
      return [coefficient * (logprob - behaviour) ** 2, 2 * coefficient * (logprob - behaviour)]
    case "forward-kl":
      return [-coefficient * logprob, -coefficient]
  }
}
