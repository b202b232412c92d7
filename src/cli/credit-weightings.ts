/**
 * The part of `constellate credit compare` about weightings: what they are for, and what they cost.
 *
 * An attempt that fails is three times as long as one that succeeds, so the token-weighted sum of plain scores is negative:
 * training would make everything that was said less probable. Weightings pull that sum up; they keep signs and order, but the
 * advantages are no longer in proportion to what an episode is worth.
 */
import { causal, type CausalOptions } from "../kernels/credit/causal.ts"
import type { Credit, Experience } from "../kernels/credit/estimator.ts"
import { type Accuracy, families, measure, type PlantedOptions } from "../kernels/credit/planted.ts"
import { stream } from "../kernels/random.ts"
import { table } from "./output.ts"

const weightings: Readonly<Record<string, Partial<CausalOptions>>> = {
  none: {},
  adaptive: { redAdaptive: true },
  "fixed 1": { redTemperature: 1 },
  "fixed 3": { redTemperature: 3 },
  shift: { advantageShift: true }
}

export interface WeightingMeasurement extends PlantedOptions, Accuracy {
  readonly factor: "weighting"
  readonly estimator: string
  /** Sum of advantages over tokens, as a share of the sum of their absolute values: in [-1, 1]. */
  readonly tokenMean: number
}

const usual = { groupSize: 8, packSize: 4, noise: 0.5, failureTokens: 3 }

/** Every weighting on every family, by advantages. */
export const measureWeightings = (groups: number, seed: number): ReadonlyArray<WeightingMeasurement> =>
  families.flatMap((family) =>
    Object.entries(weightings).map(([estimator, weighting]): WeightingMeasurement => {
      const options: PlantedOptions = { family, ...usual }
      const streamOf = (group: number) => stream(seed, "planted weightings", family, group)
      let [sum, absolute] = [0, 0]
      const estimate = (experiences: ReadonlyArray<Experience>): Credit => {
        const credit = causal(experiences, weighting)
        credit.experiences.forEach(({ advantage }, i) => {
          sum += advantage * experiences[i]!.responseTokens
          absolute += Math.abs(advantage) * experiences[i]!.responseTokens
        })
        return { ...credit, experiences: credit.experiences.map((each) => ({ ...each, score: each.advantage })) }
      }
      const accuracy = measure(options, groups, streamOf, estimate)
      return { factor: "weighting", estimator, ...options, ...accuracy, tokenMean: absolute === 0 ? 0 : sum / absolute }
    })
  )

export const reportWeightings = (measured: ReadonlyArray<WeightingMeasurement>): string => {
  const rows = measured.map((each) => [
    each.family,
    each.estimator,
    ...[each.tokenMean, each.bias, each.variance, each.signErrors, each.correlation].map((value) => value.toFixed(3))
  ])
  const heads = ["family", "weighting", "token mean", "bias", "variance", "sign errors", "correlation"]
  const { failureTokens, groupSize, noise, packSize } = usual
  return [
    `advantages, ${groupSize} runs, ${packSize} tasks, noise ${noise}, a failed attempt ${failureTokens} times as long`,
    table(heads, rows)
  ].join("\n")
}
