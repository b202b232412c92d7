/**
 * On-policy distillation with several teachers (specification, section 13): the student's own tokens are weighted by how
 * much more probable the teacher finds them.
 *
 * A = klCoef * (teacher - behaviour). The loss is REC's without clipping and weights, with its fix, so the effective
 * advantage is teacher minus current.
 */
import { CreditError } from "./estimator.ts"
import type { PolicyLoss, TokenSequence } from "./policy-loss.ts"
import { recDefaults, recLoss, type RecOptions } from "./rec-loss.ts"

/** A sequence that a student sampled, scored by the teacher of its task set. */
export interface Taught extends Omit<TokenSequence, "advantages"> {
  /** At the rollout temperature, of the student's own tokens. */
  readonly teacherLogprobs: ArrayLike<number>
}

export const distillationOptions: RecOptions = { ...recDefaults, fixDistillAdvantage: true }

/** Advantages of each token; 0 where the mask is 0. A teacher that scored another number of tokens is an error. */
export const distillationAdvantages = (
  { behaviourLogprobs, mask, teacherLogprobs }: Omit<Taught, "logprobs">,
  klCoef = 1
): Float64Array => {
  if (teacherLogprobs.length !== behaviourLogprobs.length) {
    throw new CreditError({
      field: "teacherLogprobs",
      value: teacherLogprobs.length,
      expected: `${behaviourLogprobs.length} numbers, one for each token of the student`
    })
  }
  return Float64Array.from(mask, (trained, t) =>
    trained === 0 ? 0 : klCoef * (teacherLogprobs[t]! - behaviourLogprobs[t]!)
  )
}

/** The loss, and the metric `kl_divergence`: the mean over trainable tokens of behaviour minus teacher. */
export const distillationLoss = (
  sequences: ReadonlyArray<Taught>,
  klCoef = 1
): PolicyLoss & { readonly klDivergence: number } => {
  const taught = sequences.map((sequence) => ({ ...sequence, advantages: distillationAdvantages(sequence, klCoef) }))
  let sum = 0
  let tokens = 0
  for (const { mask, behaviourLogprobs, teacherLogprobs } of sequences) {
    for (let t = 0; t < mask.length; t++) {
      if (mask[t] === 0) continue
      sum += behaviourLogprobs[t]! - teacherLogprobs[t]!
      tokens++
    }
  }
  const klDivergence = tokens === 0 ? 0 : sum / tokens
  return { ...recLoss(taught, distillationOptions), klDivergence }
}
