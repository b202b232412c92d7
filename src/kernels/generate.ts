/**
 * Batched generation as one graph: the prompts are read once, then a loop samples token after token.
 *
 * The prompts' keys and values are made outside of the loop and only read by it; the loop carries the small piece that
 * grows. S samples of one prompt share its cache. Randomness enters as uniforms, so a row's tokens depend on its own
 * prompt and its own uniforms only.
 */
import { blockSize } from "./graph/blocks.ts"
import { Graph, type Value } from "./graph/graph.ts"
import { product } from "./graph/shape.ts"
import {
  apart,
  both,
  decode,
  forward,
  frame,
  head,
  heightOf,
  type KeysValues,
  type TransformerConfig,
  type Weights
} from "./transformer.ts"

/** How prompts are read; default: whole, at once. */
export interface Reading {
  /** Long prompts in blocks: T is a multiple of `blockSize`. */
  readonly blocks?: boolean
  /** Prompts begin with A positions that were read before: the input `past [P, heightOf, A, d]`, the output `read`. */
  readonly reuse?: boolean
  /**
   * How often a prompt's last position is worked out: twice where products of a single row take another kernel, with other
   * rounding, and there may be a single prompt.
   */
  readonly asked?: 1 | 2
}

/**
 * Inputs besides the weights: `tokens [P, T]` int32, padded on the right; `padding [P, 1, 1, A + T]`;
 * `last [P]` int32, the flat index `p * T + length - 1` of each prompt's last token; `lengths [P]` int32;
 * `uniforms [n, P, S]` in [0, 1), n the most tokens to sample, S fixed to 1 if wanted; `limits [B]` int32, most tokens of each row, at least 1;
 * `inverseTemperature` scalar; `end` int32 scalar, the token that ends a reply.
 *
 * Outputs: `firstToken [B, 1]` int32 and `firstProbability [B, 1]`, `laterTokens` and `laterProbabilities [rounds, B, 1]`,
 * rounds < n: it stops when every row has ended. What stands behind a row's end is meaningless. The logarithm is left to
 * the caller: the runtime's rounds by an element's place in the batch.
 * With `reuse`, `read [P, heightOf, T, d]`: keys and values of `tokens`.
 */
export const generateGraph = (
  config: TransformerConfig,
  weightsOf: (graph: Graph) => Weights,
  S: "S" | 1 = "S",
  { asked = 1, blocks = false, reuse = false }: Reading = {}
): Uint8Array => {
  const graph = new Graph()
  const T = blocks ? product([blockSize, "C"]) : "T"
  const keys = reuse ? both("A", T) : T
  const tokens = graph.input("tokens", "int32", ["P", T])
  const padding = graph.input("padding", "float32", ["P", 1, 1, keys])
  const past = reuse ? graph.input("past", "float32", ["P", heightOf(config), "A", config.headSize]) : undefined
  const last = graph.input("last", "int32", ["P"])
  const lengths = graph.input("lengths", "int32", ["P"])
  const uniforms = graph.input("uniforms", "float32", ["n", "P", S])
  const limits = graph.input("limits", "int32", [product(["P", S])])
  const inverseTemperature = graph.input("inverseTemperature", "float32", [])
  const end = graph.input("end", "int32", [])
  graph.bind("P", tokens, 0)
  if (blocks) graph.bind("C", tokens, 1, blockSize)
  else graph.bind("T", tokens, 1)
  if (past !== undefined) {
    graph.bind("A", past, 2)
    graph.bind(String(keys), padding, 3)
  }
  graph.bind("n", uniforms, 0)
  if (S === "S") graph.bind(S, uniforms, 2)
  const B = product(["P", S])
  const f = frame(graph, config, weightsOf(graph))

  const draws = graph.reshape(uniforms, ["n", 1, B])
  /**
   * Inverse-CDF sampling: the first token whose cumulative probability exceeds u. Sums run down columns, since the
   * runtime adds whole rows at once.
   */
  const sample = (g: Graph, logits: Value, round: Value) => {
    const probabilities = g.softmax(logits)
    const cumulative = g.cumSum(g.transpose(probabilities, [1, 0]), 0)
    const total = g.slice(cumulative, 0, config.vocabularySize - 1, config.vocabularySize)
    const target = g.mul(g.gather(draws, round), total)
    // u is below 1, so the target is below the last sum and never all are counted.
    const token = g.cast(g.sum(g.cast(g.lessOrEqual(cumulative, target), "float32"), 0), "int32")
    const column = g.reshape(token, [B, 1])
    return { token, column, probability: g.pick(probabilities, column) }
  }
  /** How many more tokens a row may get after `token`, of which `before` included it; none after the end token. */
  const remaining = (g: Graph, before: Value, token: Value) =>
    g.where(g.equal(token, end), g.int32(0), g.sub(before, g.int32(1)))
  const goesOn = (g: Graph, left: Value) => g.greater(g.max(left, 0), g.int32(0))

  const { logits: toLogits, norm } = head(f, inverseTemperature)
  const logits = (g: Graph, hidden: Value) => toLogits(g, g.rmsNorm(hidden, norm, config.epsilon))

  const rows = graph.add(graph.reshape(last, ["P", 1]), graph.constant(new Int32Array(asked), [1, asked]))
  const lastPosition = graph.cast(graph.reshape(graph.add(lengths, graph.int32(-1)), ["P", 1]), "int64")
  const positions = graph.add(lastPosition, graph.constant(new BigInt64Array(asked), [1, asked]))
  const selected = graph.reshape(rows, [product(["P", asked])])
  const before = past && apart(graph, config, past)
  const { cache, hidden, read } = forward(f, tokens, selected, { rows, positions }, { blocks }, undefined, before)
  // Each prompt's logits once for each of its samples.
  const asOften = graph.reshape(logits(graph, hidden), ["P", asked, config.vocabularySize])
  const promptLogits = asked === 1 ? asOften : graph.slice(asOften, 1, 0, 1)
  const spread = graph.reshape(graph.add(promptLogits, graph.zeros(["P", S, 1])), [B, config.vocabularySize])
  const first = sample(graph, spread, graph.constant(BigInt64Array.of(0n), []))
  const left = remaining(graph, limits, first.token)
  const heads = product([config.keyValueHeads, S])
  const empty = graph.zeros(["P", heads, 0, config.headSize])
  const recentShape = ["P", heads, "grown", config.headSize]
  const trips = graph.reshape(graph.add(graph.size("n"), graph.indices(-1)), [])

  const { emitted } = graph.loop(
    trips,
    goesOn(graph, left),
    [
      { value: first.token, shape: [B] },
      { value: left, shape: [B] },
      ...emptyCache(config, empty).map((value) => ({ value, shape: recentShape }))
    ],
    (body, round, [token, before, ...flat]) => {
      const recent: Array<KeysValues> = []
      for (let i = 0; i < flat.length; i += 2) recent.push({ keys: flat[i]!, values: flat[i + 1]! })
      const sampled = body.add(round, body.constant(BigInt64Array.of(1n), []))
      const step = decode(f, body, S, token!, body.add(lastPosition, sampled), cache, padding, recent)
      const next = sample(body, logits(body, step.hidden), sampled)
      const still = remaining(body, before!, next.token)
      return {
        condition: goesOn(body, still),
        carried: [next.token, still, ...step.recent.flatMap(({ keys, values }) => [keys, values])],
        emitted: [next.column, next.probability]
      }
    }
  )
  graph.output(first.column, "firstToken")
  graph.output(first.probability, "firstProbability")
  graph.output(emitted[0]!, "laterTokens")
  graph.output(emitted[1]!, "laterProbabilities")
  const made = read.flatMap(({ keys, values }) => [keys, values])
  if (reuse) graph.output(graph.concat(made, 1), "read")
  return graph.serialize()
}

/** Empty keys and values for every layer. */
const emptyCache = (config: TransformerConfig, empty: Value): ReadonlyArray<Value> =>
  Array.from({ length: 2 * config.layers }, () => empty)
