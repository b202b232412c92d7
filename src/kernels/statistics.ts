/** Means with intervals by bootstrap over packs: tasks of one pack depend on each other, packs do not. */
import type { Stream } from "./random.ts"

/** Null where there is nothing to average. `low` and `high` bound the central 95 % of resampled means. */
export interface Interval {
  readonly mean: number | null
  readonly low: number | null
  readonly high: number | null
}

/**
 * For each quantity its mean over packs, with the interval that resampled packs give (percentile method).
 *
 * @param rows one row a pack, one column a quantity; NaN where a pack has no value, which leaves it out of that mean
 * @param stream what resampling draws from; the same stream gives the same intervals
 */
export const bootstrapMeans = (
  rows: ReadonlyArray<ReadonlyArray<number>>,
  stream: Stream,
  resamples = 1000
): ReadonlyArray<Interval> => {
  const columns = rows[0]?.length ?? 0
  const meansOf = (pick: (i: number) => ReadonlyArray<number>): Float64Array => {
    const sums = new Float64Array(columns)
    const counts = new Float64Array(columns)
    for (let i = 0; i < rows.length; i++) {
      const row = pick(i)
      for (let j = 0; j < columns; j++) {
        const value = row[j]!
        if (Number.isNaN(value)) continue
        sums[j]! += value
        counts[j]! += 1
      }
    }
    return sums.map((sum, j) => sum / counts[j]!)
  }
  const means = meansOf((i) => rows[i]!)
  const resampled = Array.from({ length: resamples }, () => meansOf(() => rows[stream.int(0, rows.length - 1)]!))
  return Array.from(means, (mean, j) => {
    if (Number.isNaN(mean)) return { mean: null, low: null, high: null }
    const sorted = Float64Array.from(resampled, (sample) => sample[j]!)
      .filter((value) => !Number.isNaN(value))
      .sort()
    return { mean, low: quantile(sorted, 0.025), high: quantile(sorted, 0.975) }
  })
}

/** Of sorted values, between the two nearest in proportion; `share` in [0, 1]. */
const quantile = (sorted: Float64Array, share: number): number => {
  const at = share * (sorted.length - 1)
  const below = Math.floor(at)
  const low = sorted[below]!
  return low + (at - below) * (sorted[Math.min(below + 1, sorted.length - 1)]! - low)
}
