/**
 * Reward-exponential weighting and the advantage shift (specification, sections 6 and 7).
 *
 * Failing runs are usually longer, so the token-weighted sum of scores is negative. The weight exp(score / T) lifts
 * positive scores and damps negative ones; the adaptive temperature is searched so that the sum becomes non-negative.
 * Experiences are summed, not episodes: F(T) = sum of s exp(s/T) n, F(none) = sum of s n.
 */

/** s: scores, n: trainable tokens, of the experiences of one group. */
export interface Weighed {
  readonly scores: ReadonlyArray<number>
  readonly tokens: ReadonlyArray<number>
}

/** Bounds of the search and its resolution. */
const lowest = 0.8
const highest = 100
const resolution = 0.05

/** F(none) of balanced groups is 0 but for rounding, whose sign means nothing. */
const tolerance = 1e-9

/** Above it exp overflows. */
const largestExponent = 700

/**
 * Temperature of a group by bisection; null where the sum is not negative and nothing needs to be weighted.
 *
 * The published rule keeps the last temperature tried, whichever side it fell on. `strict` keeps the largest one known to
 * give a non-negative sum, or the lower bound where none was found.
 */
export const adaptiveTemperature = ({ scores, tokens }: Weighed, strict: boolean): number | null => {
  const heavy = scores.keys().filter((i) => scores[i] !== 0 && tokens[i] !== 0)
  const members = Array.from(heavy, (i) => ({ score: scores[i]!, tokens: tokens[i]! }))
  // Only signs are asked for: scores are divided by the largest and exponents counted from the top one, so that nothing
  // overflows, and what underflows is nothing beside the top one.
  let largest = 0
  let top = -Infinity
  for (const { score } of members) {
    largest = Math.max(largest, Math.abs(score))
    top = Math.max(top, score)
  }
  let sum = 0
  let absolute = 0
  for (const { score, tokens } of members) {
    sum += (score / largest) * tokens
    absolute += (Math.abs(score) / largest) * tokens
  }
  if (sum >= -tolerance * absolute) return null

  const negative = (temperature: number): boolean => {
    let weighted = 0
    for (const { score, tokens } of members)
      weighted += (score / largest) * Math.exp((score - top) / temperature) * tokens
    return weighted < 0
  }
  let low = lowest
  let high = highest
  let middle = high
  // Eleven halvings, so the specification's cap of twenty rounds is never met.
  while (high - low >= resolution) {
    middle = (low + high) / 2
    if (negative(middle)) high = middle
    else low = middle
  }
  return strict ? low : middle
}

/** score * exp(score / T), kept finite; the score itself without a temperature. */
export const weigh = (score: number, temperature: number | null): number =>
  temperature === null
    ? score
    : Math.min(score * Math.exp(Math.min(score / temperature, largestExponent)), Number.MAX_VALUE)

/** The token mean of the unweighted scores where it is negative, otherwise 0. It is subtracted after weighting. */
export const shiftOf = ({ scores, tokens }: Weighed): number => {
  let sum = 0
  let count = 0
  for (let i = 0; i < scores.length; i++) {
    sum += scores[i]! * tokens[i]!
    count += tokens[i]!
  }
  return count > 0 ? Math.min(sum / count, 0) : 0
}
