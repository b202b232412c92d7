/**
 * Rotary positions (Su et al. 2021) and the ways in which checkpoints stretch them to longer texts.
 *
 * Pair i of a head turns by `position * f_i` with `f_i = theta^(-2i/d)`; a scaling changes the frequencies `f_i` and may
 * multiply the whole table. Frequencies and angles are rounded to float32 where the reference implementation
 * (transformers, `modeling_rope_utils.py`) rounds them, since far positions feel it.
 */
import type { TransformerConfig } from "./transformer.ts"

export type RopeScaling =
  /** Position interpolation (Chen et al. 2023): all frequencies divided by `factor`. */
  | { readonly kind: "linear"; readonly factor: number }
  /** NTK-aware scaling that sets in beyond `maxPositions`; up to there, and so for all that we run, it changes nothing. */
  | { readonly kind: "dynamic"; readonly factor: number }
  /** Llama 3.1: low frequencies divided by `factor`, high ones kept, a ramp between. */
  | {
      readonly kind: "llama3"
      readonly factor: number
      readonly lowFrequencyFactor: number
      readonly highFrequencyFactor: number
      readonly originalPositions: number
    }
  /** YaRN (Peng et al. 2023): the ramp is over pairs, and queries and keys grow by `attentionFactor`. */
  | {
      readonly kind: "yarn"
      readonly factor: number
      readonly attentionFactor: number
      readonly betaFast: number
      readonly betaSlow: number
      readonly originalPositions: number
      /** Bounds of the ramp are whole numbers. */
      readonly truncate: boolean
    }

export const ropeKinds = ["default", "linear", "dynamic", "llama3", "yarn"] as const

type Rope = Pick<TransformerConfig, "headSize" | "ropeTheta" | "ropeScaling">

const single = Math.fround

/** YaRN's growth of queries and keys for a stretch by `factor` (equation 22 of the paper, halved between both). */
export const yarnGrowth = (factor: number, weight = 1): number =>
  factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1

/** `f_i`, `[d / 2]` in radians a position. */
export const rotaryFrequencies = ({ headSize, ropeScaling: scaling, ropeTheta }: Rope): Float32Array => {
  const half = headSize / 2
  const periods = Float32Array.from({ length: half }, (_, i) => ropeTheta ** single((2 * i) / headSize))
  const plain = periods.map((period) => 1 / period)
  switch (scaling?.kind) {
    case undefined:
    case "dynamic":
      return plain
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor)
    case "llama3": {
      const { factor, highFrequencyFactor: high, lowFrequencyFactor: low, originalPositions } = scaling
      return plain.map((frequency) => {
        const wavelength = single((2 * Math.PI) / frequency)
        if (wavelength < originalPositions / high) return frequency
        if (wavelength > originalPositions / low) return frequency / factor
        const smooth = single(single(single(originalPositions / wavelength) - low) / (high - low))
        return single(single(single(1 - smooth) * frequency) / factor) + single(smooth * frequency)
      })
    }
    case "yarn": {
      const { betaFast, betaSlow, factor, originalPositions, truncate } = scaling
      // The pair that turns so many times within the original positions.
      const pairOf = (turns: number) =>
        (headSize * Math.log(originalPositions / (turns * 2 * Math.PI))) / (2 * Math.log(ropeTheta))
      const [fast, slow] = [pairOf(betaFast), pairOf(betaSlow)]
      const low = Math.max(truncate ? Math.floor(fast) : fast, 0)
      const high = Math.min(truncate ? Math.ceil(slow) : slow, headSize - 1)
      const width = low === high ? 0.001 : high - low
      return plain.map((frequency, i) => {
        const kept = single(1 - Math.min(1, Math.max(0, single(single(i - low) / width))))
        const stretched = single(1 / single(factor * periods[i]!))
        return single(stretched * single(1 - kept)) + single(frequency * kept)
      })
    }
  }
}

/** What positions turn by: cosines and sines, `[maxPositions, d / 2]` each, times the growth of queries and keys. */
export const rotaryTables = (
  config: Rope & Pick<TransformerConfig, "maxPositions">
): { readonly cos: Float32Array; readonly sin: Float32Array } => {
  const frequencies = rotaryFrequencies(config)
  const half = frequencies.length
  const growth = config.ropeScaling?.kind === "yarn" ? config.ropeScaling.attentionFactor : 1
  const cos = new Float32Array(config.maxPositions * half)
  const sin = new Float32Array(config.maxPositions * half)
  for (let position = 0, at = 0; position < config.maxPositions; position++) {
    for (let i = 0; i < half; i++, at++) {
      const angle = single(position * frequencies[i]!)
      cos[at] = growth * single(Math.cos(angle))
      sin[at] = growth * single(Math.sin(angle))
    }
  }
  return { cos, sin }
}
