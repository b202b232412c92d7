/**
 * What every policy loss takes and gives back, and how token losses become one number.
 *
 * A loss is computed for a whole batch at once, so that its denominators never depend on how the batch is split for the
 * gradient: its `gradient` are per-token coefficients, and sum over tokens of coefficient times d logprob is the gradient.
 */
import { CreditError } from "./estimator.ts"

/** One sequence of T tokens. Numbers where the mask is 0 are never read, so they may be anything. */
export interface TokenSequence {
  /** Under the policy that is trained. */
  readonly logprobs: ArrayLike<number>
  /** Under the policy that sampled, temperature included. */
  readonly behaviourLogprobs: ArrayLike<number>
  /** 1 where the policy chose the token, 0 for prompt and padding. */
  readonly mask: ArrayLike<number>
  readonly advantages: ArrayLike<number>
}

export interface PolicyLoss {
  readonly loss: number
  /** Share of trainable tokens whose policy gradient was clipped away. */
  readonly clipFraction: number
  /** d loss / d logprobs, in the shapes of the sequences; 0 where the mask is 0. */
  readonly gradient: ReadonlyArray<Float64Array>
}

/**
 * `token-mean`: over all trainable tokens. `seq-mean-token-sum`: the mean over sequences of their sums.
 * `seq-mean-token-mean`: the mean over sequences of their means. `seq-mean-token-sum-norm`: the sum over everything, divided
 * by the longest sequence's length.
 */
export type Aggregation = (typeof aggregations)[number]
export const aggregations = [
  "token-mean",
  "seq-mean-token-sum",
  "seq-mean-token-mean",
  "seq-mean-token-sum-norm"
] as const

/** Keeps the mean over no tokens at 0. */
const nothing = 1e-8

/** The loss of one token, its derivative by the token's logprob, and whether it was clipped. */
export interface TokenLoss {
  readonly loss: number
  readonly slope: number
  readonly clipped: boolean
}

/** Trainable tokens of a sequence. */
export const trainable = ({ mask }: TokenSequence): number => {
  let count = 0
  for (let t = 0; t < mask.length; t++) count += mask[t]!
  return count
}

/** exp of the masked mean of log ratios: GSPO's length-normalised ratio of a whole sequence. */
export const sequenceRatio = (sequence: TokenSequence): number => {
  let sum = 0
  for (let t = 0; t < sequence.mask.length; t++) {
    if (sequence.mask[t] !== 0) sum += sequence.logprobs[t]! - sequence.behaviourLogprobs[t]!
  }
  return Math.exp(sum / (trainable(sequence) + nothing))
}

/** Evaluates `tokenLoss` on every trainable token and aggregates. Refuses shapes that differ and numbers that are not finite. */
export const aggregate = (
  sequences: ReadonlyArray<TokenSequence>,
  aggregation: Aggregation,
  tokenLoss: (sequence: TokenSequence, token: number, row: number) => TokenLoss
): PolicyLoss => {
  sequences.forEach(check)
  const counts = sequences.map(trainable)
  const total = counts.reduce((a, b) => a + b, 0)
  const longest = sequences.reduce((most, { mask }) => Math.max(most, mask.length), 0)
  const coefficients: Record<Aggregation, (row: number) => number> = {
    "token-mean": () => 1 / (total + nothing),
    "seq-mean-token-sum": () => 1 / sequences.length,
    "seq-mean-token-mean": (row) => 1 / (counts[row]! + nothing) / sequences.length,
    "seq-mean-token-sum-norm": () => 1 / (longest + nothing)
  }
  let loss = 0
  let clipped = 0
  const gradient = sequences.map((sequence, row) => {
    const coefficient = coefficients[aggregation](row)
    const slopes = new Float64Array(sequence.mask.length)
    for (let t = 0; t < slopes.length; t++) {
      if (sequence.mask[t] === 0) continue
      const token = tokenLoss(sequence, t, row)
      if (!Number.isFinite(token.slope)) refuseToken(row, t, "gradient", token.slope)
      loss += coefficient * token.loss
      slopes[t] = coefficient * token.slope
      if (token.clipped) clipped++
    }
    return slopes
  })
  return { loss, clipFraction: clipped / (total + nothing), gradient }
}

const check = (sequence: TokenSequence, row: number): void => {
  const { mask } = sequence
  for (const field of ["logprobs", "behaviourLogprobs", "advantages"] as const) {
    if (sequence[field].length !== mask.length) {
      throw new CreditError({
        sequence: row,
        field,
        value: sequence[field].length,
        expected: `${mask.length} numbers, as many as the mask has`
      })
    }
    for (let t = 0; t < mask.length; t++) {
      if (mask[t] !== 0 && mask[t] !== 1) refuseToken(row, t, "mask", mask[t], "0 or 1")
      if (mask[t] === 1 && !Number.isFinite(sequence[field][t])) refuseToken(row, t, field, sequence[field][t])
    }
  }
}

const refuseToken = (
  row: number,
  token: number,
  field: string,
  value: unknown,
  expected = "a finite number"
): never => {
  throw new CreditError({ sequence: row, token, field, value, expected })
}
