/**
 * Batched generation as one graph: the prompts are read once, then a loop samples token after token.
 *
 * The prompts' keys and values are made outside of the loop and only read by it; the loop carries the small piece that
 * grows. S samples of one prompt share its cache. Randomness enters as uniforms, so a row's tokens depend on its own
 * prompt and its own uniforms only.
 */
import { Graph, type Value } from "./graph/graph.ts"
import { product } from "./graph/shape.ts"
import { Tape } from "./graph/tape.ts"
import { decode, forward, frame, head, type KeysValues, type TransformerConfig, type Weights } from "./transformer.ts"

/**
 * Inputs besides the weights: `tokens [P, T]` int32, padded on the right; `mask [G * T, T]` causal; `padding [P, 1, 1, T]`;
 * `last [P]` int32, the flat index `p * T + length - 1` of each prompt's last token; `lengths [P]` int32;
 * `uniforms [n, P, S]` in [0, 1), n the most tokens to sample; `limits [B]` int32, most tokens of each row, at least 1;
 * `inverseTemperature` scalar; `end` int32 scalar, the token that ends a reply.
 *
 * Outputs: `firstToken [B]` int32 and `firstLogprob [B]`, `laterTokens [rounds, B]` and `laterLogprobs [rounds, B]`, rounds < n: it
 * stops when every row has ended. What stands behind a row's end is meaningless.
 */
export const generateGraph = (config: TransformerConfig, weightsOf: (graph: Graph) => Weights): Uint8Array => {
  const graph = new Graph()
  const tokens = graph.input("tokens", "int32", ["P", "T"])
  const G = config.heads / config.keyValueHeads
  const mask = graph.input("mask", "float32", [product(["T", G]), "T"])
  const padding = graph.input("padding", "float32", ["P", 1, 1, "T"])
  const last = graph.input("last", "int32", ["P"])
  const lengths = graph.input("lengths", "int32", ["P"])
  const uniforms = graph.input("uniforms", "float32", ["n", "P", "S"])
  const limits = graph.input("limits", "int32", [product(["P", "S"])])
  const inverseTemperature = graph.input("inverseTemperature", "float32", [])
  const end = graph.input("end", "int32", [])
  graph.bind("P", tokens, 0)
  graph.bind("T", tokens, 1)
  graph.bind("n", uniforms, 0)
  graph.bind("S", uniforms, 2)
  const B = product(["P", "S"])
  const f = frame(graph, config, weightsOf(graph))

  /** Inverse-CDF sampling: the first token whose cumulative probability exceeds u. */
  const sample = (g: Graph, logits: Value, round: Value) => {
    const scaled = g.mul(logits, inverseTemperature)
    const cumulative = g.cumSum(g.softmax(scaled), 1)
    const total = g.slice(cumulative, 1, config.vocabularySize - 1, config.vocabularySize)
    const target = g.mul(g.reshape(g.gather(uniforms, round), [B, 1]), total)
    const below = g.sum(g.cast(g.lessOrEqual(cumulative, target), "int32"), 1)
    // Rounding may leave the last cumulative value at the target itself.
    const token = g.min(below, g.int32(config.vocabularySize - 1))
    return { token, logprob: g.pick(g.logSoftmax(scaled), token) }
  }
  /** Rows that go on after `count` tokens, the last of which is `token`. */
  const goesOn = (g: Graph, before: Value | undefined, token: Value, count: Value) => {
    const going = g.not(g.or(g.equal(token, end), g.lessOrEqual(limits, count)))
    return before === undefined ? going : g.not(g.or(g.not(before), g.not(going)))
  }

  const lastPositions = graph.reshape(graph.cast(graph.add(lengths, graph.int32(-1)), "int64"), ["P", 1])
  const { hidden, cache } = forward(f, tokens, mask, last, { positions: lastPositions, mask: padding })
  const { normed, table } = head(f, hidden)
  const promptLogits = graph.matMul(normed, table, { transB: true })
  // Each prompt's logits once for each of its samples.
  const zeros = graph.zeros(["P", "S", 1])
  const spread = graph.reshape(graph.add(graph.reshape(promptLogits, ["P", 1, config.vocabularySize]), zeros), [
    B,
    config.vocabularySize
  ])
  const first = sample(graph, spread, graph.int32(0))
  const going = goesOn(graph, undefined, first.token, graph.int32(1))
  const start = graph.reshape(graph.add(graph.reshape(graph.cast(lengths, "float32"), ["P", 1, 1]), zeros), [B, 1])
  const startPosition = graph.cast(start, "int64")
  const empty = graph.zeros(["P", config.keyValueHeads, "S", 0, config.headSize])
  const recentShape = ["P", config.keyValueHeads, "S", "grown", config.headSize]
  const trips = graph.reshape(graph.add(graph.size("n"), graph.indices(-1)), [])

  const { emitted } = graph.loop(
    trips,
    graph.any(going),
    [
      { value: first.token, shape: [B] },
      { value: going, shape: [B] },
      ...emptyCache(config, empty).map((value) => ({ value, shape: recentShape }))
    ],
    (body, round, [token, before, ...flat]) => {
      const recent: Array<KeysValues> = []
      for (let i = 0; i < flat.length; i += 2) recent.push({ keys: flat[i]!, values: flat[i + 1]! })
      const positions = body.add(startPosition, round)
      const step = decode(f, body, token!, positions, cache, padding, recent)
      const out = head(f, step.hidden, new Tape(body))
      const next = sample(
        body,
        body.matMul(out.normed, out.table, { transB: true }),
        body.add(round, body.constant(BigInt64Array.of(1n), []))
      )
      const count = body.add(body.cast(round, "int32"), body.int32(2))
      const still = goesOn(body, before!, next.token, count)
      return {
        condition: body.any(still),
        carried: [next.token, still, ...step.recent.flatMap(({ keys, values }) => [keys, values])],
        emitted: [next.token, next.logprob]
      }
    }
  )
  graph.output(first.token, "firstToken")
  graph.output(first.logprob, "firstLogprob")
  graph.output(emitted[0]!, "laterTokens")
  graph.output(emitted[1]!, "laterLogprobs")
  return graph.serialize()
}

/** Empty keys and values for every layer. */
const emptyCache = (config: TransformerConfig, empty: Value): ReadonlyArray<Value> =>
  Array.from({ length: 2 * config.layers }, () => empty)
