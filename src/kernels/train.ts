/**
 * Scoring and training graphs.
 *
 * Every policy loss enters training as one number a token: the derivative of the loss with respect to that token's
 * log-probability (see the losses of credit assignment). So one graph serves them all: it returns the gradient of
 * `sum_i weight_i * logprob_i` in all parameters that are trained, and the log-probabilities themselves.
 */
import { blockSize } from "./graph/blocks.ts"
import { Graph, type Value } from "./graph/graph.ts"
import { product } from "./graph/shape.ts"
import { forward, frame, head, type Thrift, type TransformerConfig, type Weights } from "./transformer.ts"

/** Which of the graphs is meant. */
export interface GraphOptions extends Thrift {
  /** Of each sequence only few positions are asked for. */
  readonly few?: boolean
  /** Sequences have branches, and then not few. */
  readonly branching?: boolean
}

/**
 * Inputs of both graphs besides the weights: `tokens [B, T]` int32, padded on the right; `selected [M]` int32, flat indices
 * `b * T + t` of the positions *before* the tokens in question; `targets [M]` int32, those tokens; `inverseTemperature`
 * scalar. With `few` also `asked [B, R]` int32, the indices of up to R selected positions of each sequence,
 * `positions [B, R]` int64, their `t`, and `wanted [M]` int32, the flat index `b * R + r` at which each selected one is
 * asked. With `branching` also `places [B, T]` int64 and `branches [B, T]` int32 (see `Branching`). With `blocks`, T, M and R are multiples of `blockSize`.
 */
const logprobs = (graph: Graph, config: TransformerConfig, weights: Weights, options: GraphOptions) => {
  const { blocks = false, branching = false, few = false } = options
  const rows = (count: string, blocksCount: string) => (blocks ? product([blockSize, blocksCount]) : count)
  const bind = (count: string, blocksCount: string, value: Value, axis: number) =>
    blocks ? graph.bind(blocksCount, value, axis, blockSize) : graph.bind(count, value, axis)
  const [T, M, R] = [rows("T", "C"), rows("M", "F"), rows("R", "E")]
  const tokens = graph.input("tokens", "int32", ["B", T])
  const selected = graph.input("selected", "int32", [M])
  const targets = graph.input("targets", "int32", [M])
  const inverseTemperature = graph.input("inverseTemperature", "float32", [])
  graph.bind("B", tokens, 0)
  bind("T", "C", tokens, 1)
  bind("M", "F", selected, 0)
  const asking = () => {
    const rows = graph.input("asked", "int32", ["B", R])
    bind("R", "E", rows, 1)
    const positions = graph.input("positions", "int64", ["B", R])
    return { rows, positions, wanted: graph.input("wanted", "int32", [M]) }
  }
  const branched = () => ({
    places: graph.input("places", "int64", ["B", T]),
    branches: graph.input("branches", "int32", ["B", T])
  })
  const f = frame(graph, config, weights)
  const { hidden } = forward(
    f,
    tokens,
    selected,
    few ? asking() : undefined,
    options,
    branching ? branched() : undefined
  )
  const { norm, table } = head(f, inverseTemperature)
  const normed = f.tape.rmsNorm(hidden, norm, config.epsilon)
  const logprob = blocks ? f.tape.blockLogprob(normed, table, targets) : f.tape.tokenLogprob(normed, table, targets)
  return { tape: f.tape, logprob, M }
}

/** Output: `logprobs [M]`. */
export const scoreGraph = (
  config: TransformerConfig,
  weightsOf: (graph: Graph) => Weights,
  options: GraphOptions = {}
): Uint8Array => {
  const graph = new Graph()
  graph.output(logprobs(graph, config, weightsOf(graph), options).logprob, "logprobs")
  return graph.serialize()
}

/**
 * One more input: `weights [M]`, by which each token's log-probability counts.
 * Outputs: `logprobs [M]` and `gradient`, flat, of `sum_i weights_i * logprobs_i` in the parameters that are trained.
 *
 * @param trained names, in the order of the flat gradient
 */
export const gradientGraph = (
  config: TransformerConfig,
  weightsOf: (graph: Graph) => Weights,
  trained: ReadonlyArray<string>,
  options: GraphOptions = {}
): Uint8Array => {
  const graph = new Graph()
  const weights = weightsOf(graph)
  const { tape, logprob, M } = logprobs(graph, config, weights, options)
  const order: ReadonlyArray<Value> = trained.map((name) => weights.get(name)!)
  const gradients = tape.gradients(logprob, graph.input("weights", "float32", [M]), order)
  const flat = graph.concat(
    gradients.map((gradient) => graph.reshape(gradient, [product(gradient.shape)])),
    0
  )
  graph.output(logprob, "logprobs")
  graph.output(flat, "gradient")
  return graph.serialize()
}
