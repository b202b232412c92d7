/**
 * PPO's clipped surrogate (arXiv 1707.06347) and its sequence-level form GSPO (arXiv 2507.18071).
 *
 *   token loss = -min(rho A, clip(rho, 1 - el, 1 + eh) A)
 *
 * PPO: rho = exp(l - b) of the token, gradient -A rho where the first is the smaller. GSPO: rho is the whole sequence's
 * exp(masked mean of l - b), one surrogate a sequence, and every token of it shares the gradient.
 */
import { oneOf, resolve, type Rules } from "./estimator.ts"
import {
  aggregate,
  aggregations,
  sequenceRatio,
  trainable,
  type Aggregation,
  type PolicyLoss,
  type TokenSequence
} from "./policy-loss.ts"

export interface ClipBounds {
  /** In (0, 1]. */
  readonly epsilonLow: number
  /** Above 0. */
  readonly epsilonHigh: number
}

export interface PpoOptions extends ClipBounds {
  readonly aggregation: Aggregation
}

const boundRules: Rules<ClipBounds> = {
  epsilonLow: ["a number above 0, at most 1", (value: number) => value > 0 && value <= 1],
  epsilonHigh: ["a number above 0", (value: number) => Number.isFinite(value) && value > 0]
}
const ppoRules: Rules<PpoOptions> = { ...boundRules, aggregation: oneOf(...aggregations) }

export const ppoDefaults: PpoOptions = { epsilonLow: 0.2, epsilonHigh: 0.2, aggregation: "token-mean" }

/** Those of its paper. */
export const gspoDefaults: ClipBounds = { epsilonLow: 3e-4, epsilonHigh: 4e-4 }

export const ppoLoss = (sequences: ReadonlyArray<TokenSequence>, given: Partial<PpoOptions> = {}): PolicyLoss => {
  const options = resolve(ppoRules, ppoDefaults, given)
  return aggregate(sequences, options.aggregation, (sequence, t) => {
    const ratio = Math.exp(sequence.logprobs[t]! - sequence.behaviourLogprobs[t]!)
    return surrogate(ratio, sequence.advantages[t]!, options)
  })
}

/** Means over tokens, then over sequences; advantages are those of the whole sequence, the same at every token. */
export const gspoLoss = (sequences: ReadonlyArray<TokenSequence>, given: Partial<ClipBounds> = {}): PolicyLoss => {
  const options = resolve(boundRules, gspoDefaults, given)
  const ratios = sequences.map(sequenceRatio)
  // d ratio / d l of one token is the ratio over the number of tokens; over the tokens of a sequence these add up to one.
  const shares = sequences.map((sequence) => {
    let sum = 0
    for (let t = 0; t < sequence.mask.length; t++) if (sequence.mask[t] !== 0) sum += sequence.advantages[t]!
    return sum / Math.max(1, trainable(sequence))
  })
  return aggregate(sequences, "seq-mean-token-mean", (sequence, t, row) => ({
    ...surrogate(ratios[row]!, sequence.advantages[t]!, options),
    slope: surrogate(ratios[row]!, shares[row]!, options).slope
  }))
}

const surrogate = (ratio: number, advantage: number, { epsilonLow, epsilonHigh }: ClipBounds) => {
  const bounded = Math.min(Math.max(ratio, 1 - epsilonLow), 1 + epsilonHigh)
  const clipped = bounded * advantage < ratio * advantage
  return { loss: -Math.min(ratio * advantage, bounded * advantage), slope: clipped ? 0 : -ratio * advantage, clipped }
}
