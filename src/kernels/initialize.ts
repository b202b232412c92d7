/** Random weights for a policy that starts from nothing. */
import { type Name, stream } from "./random.ts"
import { parameterCount, parameters, type TransformerConfig } from "./transformer.ts"

/**
 * Matrices N(0, 1/fan_in), the two that write to the residual stream of each layer also divided by sqrt(2 layers),
 * embeddings N(0, 0.05^2), norms 1, biases 0.
 */
export const initialize = (config: TransformerConfig, ...name: ReadonlyArray<Name>): Float32Array => {
  const flat = new Float32Array(parameterCount(config))
  for (const parameter of parameters(config)) {
    const values = flat.subarray(parameter.offset, parameter.offset + parameter.size)
    const { name: at, shape } = parameter
    if (at.endsWith("norm.weight")) values.fill(1)
    else if (shape.length === 2) {
      const toResidual = /(o_proj|down_proj)\.weight$/.test(at)
      const deviation = at.endsWith("embed_tokens.weight")
        ? 0.05
        : 1 / Math.sqrt(shape[1]! * (toResidual ? 2 * config.layers : 1))
      const { normal } = stream(...name, at)
      for (let i = 0; i < values.length; i++) values[i] = deviation * normal()
    }
  }
  return flat
}
