/**
 * Low-rank adapters (LoRA; Hu et al. 2021): beside a frozen matrix W `[out, in]` two narrow ones are trained,
 *
 *     y = W x + (alpha / rank) B A x      A [rank, in], B [out, rank]
 *
 * so that a policy version is these alone. They are called as the matrix, `lora_A.weight` and `lora_B.weight` in place of
 * its `weight`, and together are one flat float32 vector, as all parameters of a model are.
 */
import type { Graph, Value } from "./graph/graph.ts"
import { type Name, stream } from "./random.ts"
import {
  loraScale,
  type Parameter,
  parameterCount,
  parameters,
  type TransformerConfig,
  type Weights
} from "./transformer.ts"

/** The matrices of a layer that can have an adapter. */
export const loraTargets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const
export type LoraTarget = (typeof loraTargets)[number]

export interface LoraConfig {
  /** At least 1. */
  readonly rank: number
  /** Positive. */
  readonly alpha: number
  /** Which matrices, in all layers. */
  readonly targets: ReadonlyArray<LoraTarget>
}

/** What a model with adapters keeps as it is. */
export interface Frozen {
  readonly lora: LoraConfig
  /** All parameters of the base model, in the order of `parameters(config)`. */
  readonly base: Float32Array
}

/** A matrix that is adapted: `model.layers.0.mlp.up_proj.weight`, and the numbers of its adapter. */
const adapted = (config: TransformerConfig, { targets }: LoraConfig): ReadonlyArray<Parameter> =>
  parameters(config).filter(({ name }) => targets.some((target) => name.endsWith(`.${target}.weight`)))

const named = ({ name }: Parameter, part: "A" | "B"): string => name.replace(/weight$/, `lora_${part}.weight`)

/** The adapters' parameters in their one order: A and B of each adapted matrix. */
export const adapterParameters = (config: TransformerConfig, lora: LoraConfig): ReadonlyArray<Parameter> => {
  let offset = 0
  return adapted(config, lora).flatMap((matrix) => {
    const [out, from] = matrix.shape as [number, number]
    return [
      { name: named(matrix, "A"), shape: [lora.rank, from] },
      { name: named(matrix, "B"), shape: [out, lora.rank] }
    ].map(({ name, shape }) => {
      const parameter = { name, shape, offset, size: shape[0]! * shape[1]! }
      offset += parameter.size
      return parameter
    })
  })
}

export const adapterCount = (config: TransformerConfig, lora: LoraConfig): number => {
  const last = adapterParameters(config, lora).at(-1)!
  return last.offset + last.size
}

/** How many numbers a policy version has: all parameters of the model, or those of its adapters. */
export const versionSize = (config: TransformerConfig, lora: LoraConfig | undefined): number =>
  lora === undefined ? parameterCount(config) : adapterCount(config, lora)

/** The adapters as inputs of a graph: a new policy version costs nothing but its numbers. */
export const adapterInputs = (graph: Graph, config: TransformerConfig, lora: LoraConfig): Weights =>
  new Map<string, Value>([
    [loraScale, graph.scalar(lora.alpha / lora.rank)],
    ...adapterParameters(config, lora).map(({ name, shape }) => [name, graph.input(name, "float32", shape)] as const)
  ])

/** As the reference library begins: A uniform in +-1/sqrt(in) (Kaiming with a = sqrt(5)), B zero, so that nothing changes. */
export const initializeAdapter = (
  config: TransformerConfig,
  lora: LoraConfig,
  ...name: ReadonlyArray<Name>
): Float32Array => {
  const flat = new Float32Array(adapterCount(config, lora))
  for (const { name: at, shape, offset, size } of adapterParameters(config, lora)) {
    if (at.endsWith("lora_B.weight")) continue
    const bound = 1 / Math.sqrt(shape[1]!)
    const { uniform } = stream(...name, at)
    for (let i = offset; i < offset + size; i++) flat[i] = bound * (2 * uniform() - 1)
  }
  return flat
}

/** The base model with the adapters added to its matrices: W + (alpha / rank) B A. */
export const mergeAdapter = (
  config: TransformerConfig,
  { base, lora }: Frozen,
  adapter: Float32Array
): Float32Array => {
  const merged = base.slice()
  const part = new Map(
    adapterParameters(config, lora).map(({ name, offset, size }) => [name, adapter.subarray(offset, offset + size)])
  )
  const scale = lora.alpha / lora.rank
  for (const matrix of adapted(config, lora)) {
    const [a, b] = [part.get(named(matrix, "A"))!, part.get(named(matrix, "B"))!]
    const [out, from] = matrix.shape as [number, number]
    const row = new Float64Array(from)
    for (let o = 0; o < out; o++) {
      row.fill(0)
      for (let r = 0; r < lora.rank; r++) {
        const factor = scale * b[o * lora.rank + r]!
        for (let i = 0; i < from; i++) row[i]! += factor * a[r * from + i]!
      }
      const at = matrix.offset + o * from
      for (let i = 0; i < from; i++) merged[at + i]! += row[i]!
    }
  }
  return merged
}
