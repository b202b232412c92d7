/** How a `config.json` describes rotary positions: `rope_theta` and `rope_scaling`, or both in `rope_parameters`. */
import { Result } from "effect"
import { ropeKinds, type RopeScaling, yarnGrowth } from "../kernels/rope.ts"
import type { Fault } from "./checkpoint-file.ts"

/** The keys that matter here, whatever they hold. */
export interface RopeKeys {
  readonly rope_theta?: number | null
  readonly rope_scaling?: object | null
  readonly rope_parameters?: object | null
  readonly max_position_embeddings: number
}

/** What the reference implementation takes where a family's config names none. */
const defaultTheta = 10_000

/** Fails with the key that asks for what the transformer does not do. */
export const readRope = (
  found: RopeKeys
): Result.Result<{ readonly ropeTheta: number; readonly ropeScaling?: RopeScaling }, Fault> =>
  Result.gen(function* () {
    const at = found.rope_scaling == null ? "rope_parameters" : "rope_scaling"
    const given: Readonly<Record<string, unknown>> = { ...found[at] }
    const refuse = (key: string, expected: string) =>
      Result.fail<Fault>({ field: `${at}.${key}`, value: given[key], expected })
    const optional = (key: string): Result.Result<number | undefined, Fault> => {
      const value = given[key] ?? undefined
      if (value === undefined || (typeof value === "number" && Number.isFinite(value) && value > 0)) {
        return Result.succeed(value)
      }
      return refuse(key, "a number above 0")
    }
    const number = (key: string) =>
      Result.flatMap(optional(key), (value) =>
        value === undefined ? refuse(key, "a number above 0") : Result.succeed(value)
      )
    const nested = Object.keys(given).find((key) => typeof given[key] === "object" && given[key] !== null)
    if (nested !== undefined) return yield* refuse(nested, "one description for all layers")
    const parameters = (found.rope_parameters ?? {}) as { readonly rope_theta?: unknown }
    const theta = given["rope_theta"] ?? parameters.rope_theta ?? found.rope_theta ?? defaultTheta
    if (typeof theta !== "number" || !(theta > 0)) return yield* refuse("rope_theta", "a number above 0")
    const whole = given["partial_rotary_factor"] ?? 1
    if (whole !== 1) return yield* refuse("partial_rotary_factor", "1: heads that turn in part are not supported")

    const named = given["rope_type"] == null && given["type"] != null ? "type" : "rope_type"
    const kind = (given[named] ?? "default") as (typeof ropeKinds)[number]
    const originalPositions = (yield* optional("original_max_position_embeddings")) ?? found.max_position_embeddings
    switch (kind) {
      case "default":
        return { ropeTheta: theta }
      case "linear":
      case "dynamic":
        return { ropeTheta: theta, ropeScaling: { kind, factor: yield* number("factor") } }
      case "llama3": {
        const [lowFrequencyFactor, highFrequencyFactor] = [
          yield* number("low_freq_factor"),
          yield* number("high_freq_factor")
        ]
        if (highFrequencyFactor <= lowFrequencyFactor) {
          return yield* refuse("high_freq_factor", `more than low_freq_factor, ${lowFrequencyFactor}`)
        }
        const factor = yield* number("factor")
        return {
          ropeTheta: theta,
          ropeScaling: { kind, factor, lowFrequencyFactor, highFrequencyFactor, originalPositions }
        }
      }
      case "yarn": {
        const factor = (yield* optional("factor")) ?? found.max_position_embeddings / originalPositions
        const [mscale, mscaleAll] = [yield* optional("mscale"), yield* optional("mscale_all_dim")]
        const growth =
          mscale === undefined || mscaleAll === undefined
            ? yarnGrowth(factor)
            : yarnGrowth(factor, mscale) / yarnGrowth(factor, mscaleAll)
        const truncate = given["truncate"] ?? true
        if (typeof truncate !== "boolean") return yield* refuse("truncate", "true or false")
        return {
          ropeTheta: theta,
          ropeScaling: {
            kind,
            factor,
            attentionFactor: (yield* optional("attention_factor")) ?? growth,
            betaFast: (yield* optional("beta_fast")) ?? 32,
            betaSlow: (yield* optional("beta_slow")) ?? 1,
            originalPositions,
            truncate
          }
        }
      }
      default:
        return yield* refuse(named, `one of the supported kinds: ${ropeKinds.join(", ")}`)
    }
  })

/** `rope_scaling` as other tools read it back. */
export const printRope = (scaling: RopeScaling | undefined): object | null => {
  if (scaling === undefined) return null
  const { kind, factor } = scaling
  const common = { rope_type: kind, factor }
  switch (kind) {
    case "linear":
    case "dynamic":
      return common
    case "llama3":
      return {
        ...common,
        low_freq_factor: scaling.lowFrequencyFactor,
        high_freq_factor: scaling.highFrequencyFactor,
        original_max_position_embeddings: scaling.originalPositions
      }
    case "yarn":
      return {
        ...common,
        original_max_position_embeddings: scaling.originalPositions,
        attention_factor: scaling.attentionFactor,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        truncate: scaling.truncate
      }
  }
}
