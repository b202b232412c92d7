/**
 * The decoder-only transformer of the Qwen3, Qwen2 and Llama families, as graphs.
 *
 * One description serves generation, scoring and training. The families differ by configuration only: Qwen3 normalises
 * queries and keys per head, Qwen2 has biases on q, k and v, Llama has neither. Weights keep their Hugging Face names
 * and `[out, in]` layout, so a checkpoint needs no conversion. Attention is written out with the query heads of one
 * key/value head folded into the rows, so keys are never repeated.
 *
 * Letters: B sequences, T tokens, N = B T, D hidden size, K key/value heads, G query heads for each of them, d head
 * size, M selected positions, V vocabulary; in generation P prompts, S samples of each, B = P S, A positions read before.
 */
import { blockSize, causal } from "./graph/blocks.ts"
import type { FilePlace, Graph, Value } from "./graph/graph.ts"
import { type Dim, product, quotient } from "./graph/shape.ts"
import { Tape } from "./graph/tape.ts"
import { type RopeScaling, rotaryTables } from "./rope.ts"

export interface TransformerConfig {
  readonly family: "qwen3" | "qwen2" | "llama"
  readonly vocabularySize: number
  readonly hiddenSize: number
  readonly innerSize: number
  readonly layers: number
  readonly heads: number
  readonly keyValueHeads: number
  readonly headSize: number
  readonly epsilon: number
  readonly ropeTheta: number
  /** How rotary positions were stretched to `maxPositions`; absent where they were not. */
  readonly ropeScaling?: RopeScaling | undefined
  /** Longest sequence, prompt and reply together. */
  readonly maxPositions: number
  /** The output projection is the embedding. */
  readonly tied: boolean
}

export interface Parameter {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  /** Place of its first element in the flat vector of all parameters. */
  readonly offset: number
  readonly size: number
}

/** All parameters in their one order; together they are one flat float32 vector. */
export const parameters = (config: TransformerConfig): ReadonlyArray<Parameter> => {
  const { hiddenSize: D, innerSize: F, headSize: d, heads, keyValueHeads: K, vocabularySize: V } = config
  const shapes: Array<readonly [string, ReadonlyArray<number>]> = [["model.embed_tokens.weight", [V, D]]]
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `model.layers.${layer}.`
    shapes.push([`${at}input_layernorm.weight`, [D]])
    for (const [projection, rows] of [
      ["q", heads],
      ["k", K],
      ["v", K]
    ] as const) {
      shapes.push([`${at}self_attn.${projection}_proj.weight`, [rows * d, D]])
      if (config.family === "qwen2") shapes.push([`${at}self_attn.${projection}_proj.bias`, [rows * d]])
    }
    if (config.family === "qwen3") {
      shapes.push([`${at}self_attn.q_norm.weight`, [d]], [`${at}self_attn.k_norm.weight`, [d]])
    }
    shapes.push(
      [`${at}self_attn.o_proj.weight`, [D, heads * d]],
      [`${at}post_attention_layernorm.weight`, [D]],
      [`${at}mlp.gate_proj.weight`, [F, D]],
      [`${at}mlp.up_proj.weight`, [F, D]],
      [`${at}mlp.down_proj.weight`, [D, F]]
    )
  }
  shapes.push(["model.norm.weight", [D]])
  if (!config.tied) shapes.push(["lm_head.weight", [V, D]])
  let offset = 0
  return shapes.map(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1)
    const parameter = { name, shape, offset, size }
    offset += size
    return parameter
  })
}

export const parameterCount = (config: TransformerConfig): number => {
  const last = parameters(config).at(-1)!
  return last.offset + last.size
}

/** The parameters as values of a graph, by name; those of adapters too, and then `loraScale`. */
export type Weights = ReadonlyMap<string, Value>

/** Under this name the factor of low-rank adapters is among the weights, a scalar. */
export const loraScale = "lora.scale"

/** Weights as inputs: nothing is rebuilt when a new policy version is published. */
export const weightInputs = (graph: Graph, config: TransformerConfig): Weights =>
  new Map(parameters(config).map(({ name, shape }) => [name, graph.input(name, "float32", shape)]))

/** Weights stored in the graph: the runtime rearranges them once, at the price of a new session for a new version. */
export const weightConstants = (graph: Graph, config: TransformerConfig, flat: Float32Array): Weights =>
  new Map(
    parameters(config).map(({ name, shape, offset, size }) => [
      name,
      graph.initializer(name, flat.subarray(offset, offset + size), shape)
    ])
  )

/** Weights in a file that the runtime maps, in the folder from which graphs are then loaded too. */
export interface StoredWeights {
  readonly folder: string
  /** By the parameters' names; of a matrix that is held in bytes, by `bytesOf` and `scalesOf` its name. */
  readonly places: ReadonlyMap<string, FilePlace>
  /** Matrices are held in bytes: they generate, and nothing else. */
  readonly quantised?: boolean | undefined
}

/** Numbers of a row that share a scale, where matrices are held in bytes. */
export const byteBlock = 32
export const bytesOf = (name: string): string => `${name}.bytes`
export const scalesOf = (name: string): string => `${name}.scales`

/** Weights stored beside the graph: the price is that of constants, without a copy of them in between. */
export const weightsInFile = (graph: Graph, config: TransformerConfig, { places }: StoredWeights): Weights =>
  new Map(
    parameters(config).flatMap(({ name, shape }) => {
      const [rows, columns = 0] = shape
      const blocks = columns / byteBlock
      const external = (as: string, dims: ReadonlyArray<number>, type: "float32" | "uint8" = "float32") => {
        const place = places.get(as)
        return place === undefined ? [] : [[as, graph.external(as, place, dims, type)] as const]
      }
      return [
        ...external(name, shape),
        ...external(bytesOf(name), [rows!, blocks, byteBlock], "uint8"),
        ...external(scalesOf(name), [rows!, blocks])
      ]
    })
  )

/** What is used by all layers of one graph. */
interface Frame {
  readonly tape: Tape
  readonly config: TransformerConfig
  readonly weights: Weights
  readonly cos: Value
  readonly sin: Value
}

/** Begins a graph over the given weights: the tables of rotary positions, for what pads the longest sequences too. */
export const frame = (graph: Graph, config: TransformerConfig, weights: Weights): Frame => {
  const maxPositions = Math.ceil(config.maxPositions / blockSize) * blockSize
  const shape = [maxPositions, config.headSize / 2]
  const tables = rotaryTables({ ...config, maxPositions })
  const cos = graph.constant(tables.cos, shape)
  const sin = graph.constant(tables.sin, shape)
  return { tape: new Tape(graph), config, weights, cos, sin }
}

/** The same model inside a loop body, which reads the outer weights and tables. */
const within = (outer: Frame, graph: Graph): Frame => ({ ...outer, tape: new Tape(graph) })

/**
 * One of the model's matrices with its bias and its low-rank adapter, where it has them: `x [N, in]` to `[N, out]`.
 *
 * @param name without `weight`: `model.layers.0.mlp.up_proj`
 */
const linear = ({ tape, weights }: Frame, name: string, x: Value): Value => {
  const part = (suffix: string) => weights.get(`${name}.${suffix}`)
  const [bytes, bias] = [part(bytesOf("weight")), part("bias")]
  const product = bytes && tape.graph.matMulBytes(x, bytes, part(scalesOf("weight"))!)
  const y =
    product === undefined
      ? tape.linear(x, part("weight")!, bias)
      : bias === undefined
        ? product
        : tape.graph.add(product, bias)
  const [a, b] = [part("lora_A.weight"), part("lora_B.weight")]
  if (a === undefined || b === undefined) return y
  return tape.add(y, tape.linear(tape.scale(tape.linear(x, a), weights.get(loraScale)!), b))
}

/**
 * Queries, keys or values of one layer: `x [N, D]` to `[B, heads, T, d]`.
 *
 * @param headsFirst brings `[N, heads * d]` into that order
 * @param positions of the tokens, to rotate queries and keys; none for values
 */
const project = (
  f: Frame,
  at: string,
  name: "q" | "k" | "v",
  x: Value,
  headsFirst: (y: Value, heads: number) => Value,
  positions?: Value
): Value => {
  const { tape, config, weights } = f
  const heads = name === "q" ? config.heads : config.keyValueHeads
  const y = headsFirst(linear(f, `${at}self_attn.${name}_proj`, x), heads)
  const norm = weights.get(`${at}self_attn.${name}_norm.weight`)
  const unit = norm === undefined ? y : tape.rmsNorm(y, norm, config.epsilon)
  return positions === undefined ? unit : tape.rotary(unit, positions, f.cos, f.sin)
}

/** Everything of a layer behind the attention: output projection, residual, feed-forward, residual. `x`, `mixed [N, D]`. */
const finishLayer = (f: Frame, at: string, x: Value, mixed: Value): Value => {
  const { tape, config, weights } = f
  const attended = tape.add(x, linear(f, `${at}self_attn.o_proj`, mixed))
  const unit = tape.rmsNorm(attended, weights.get(`${at}post_attention_layernorm.weight`)!, config.epsilon)
  const inner = tape.swiglu(linear(f, `${at}mlp.gate_proj`, unit), linear(f, `${at}mlp.up_proj`, unit))
  return tape.add(attended, linear(f, `${at}mlp.down_proj`, inner))
}

export interface KeysValues {
  /** `[B, K, T, d]` */
  readonly keys: Value
  /** `[B, K, T, d]` */
  readonly values: Value
}

/** The only queries of the last layer where just few of its outputs are wanted: R for each sequence. */
export interface Asking {
  /** `[B, R]` int32, flat indices `b * T + t`; those that are not wanted may be any. */
  readonly rows: Value
  /** `[B, R]` int64, the `t` of these: they see what is not behind it. */
  readonly positions: Value
  /** `[M]` int32, flat indices `b * R + r` of those that are wanted; all of them if not given. */
  readonly wanted?: Value
}

/** Sequences that begin alike as one: a stem, and behind it the branches that go on from it and do not see each other. */
export interface Branching {
  /** `[B, T]` int64, where each token stands in its own sequence. */
  readonly places: Value
  /** `[B, T]` int32, 0 for the stem. */
  readonly branches: Value
}

/** What memory is saved on, at the price of work that is done twice. The numbers stay the same, but for rounding. */
export interface Thrift {
  /** A layer's inner values are made anew on the way back: only its input is kept. They are then not handed out. */
  readonly recompute?: boolean | undefined
  /** Attention of long sequences in blocks of queries; the tokens, and those who ask, are a multiple of `blockSize`. */
  readonly blocks?: boolean | undefined
}

/**
 * The whole sequence at once.
 *
 * @param tokens   `[B, T]` int32, padded on the right; what stands behind a sequence's end never reaches it
 * @param selected `[M]` int32, flat indices `b * T + t`: of the last layer's outputs only these are made
 * @param asking   the queries behind these outputs; without it, all positions ask in the last layer too
 * @param past     the keys and values `[B, K, A, d]` of each layer, A bound, where the sequences begin with positions read before
 * @returns hidden states before the final norm `[M, D]`, the keys and values of each layer, and those of `tokens` only
 */
export const forward = (
  f: Frame,
  tokens: Value,
  selected: Value,
  asking?: Asking,
  { blocks = false, recompute = false }: Thrift = {},
  branching?: Branching,
  past?: ReadonlyArray<KeysValues>
): { readonly hidden: Value; readonly cache: ReadonlyArray<KeysValues>; readonly read: ReadonlyArray<KeysValues> } => {
  const { tape, config, weights } = f
  const { hiddenSize: D, headSize: d, heads } = config
  const { graph } = tape
  const [B, T] = [tokens.shape[0]!, tokens.shape[1]!]
  const N = product([B, T])
  const A = past?.[0]!.keys.shape[2]
  const seen = A === undefined ? T : both(A, T)
  const start = branching?.places ?? (A === undefined ? graph.indices(0) : graph.size(A))
  const places = graph.range(seen)
  const own = A === undefined ? places : graph.cut(places, 0, start, graph.size(seen), T)
  const everywhere = graph.reshape(own, [1, T])
  const branches = branching && { keys: branching.branches, queries: branching.branches }
  const mask = blocks ? undefined : causal(graph, places, everywhere, branches)
  const headsFirst = (tape: Tape, length: Dim) => (y: Value, count: number) =>
    tape.transpose(tape.reshape(y, [B, length, count, d]), [0, 2, 1, 3])
  let x = tape.reshape(tape.rows(weights.get("model.embed_tokens.weight")!, tokens), [N, D])
  const [cache, read]: [Array<KeysValues>, Array<KeysValues>] = [[], []]
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `model.layers.${layer}.`
    const last = layer === config.layers - 1
    const few = last ? asking : undefined
    const R = few?.rows.shape[1] ?? T
    const before = x
    const carryOut = (tape: Tape): Value => {
      const { graph } = tape
      const own = { ...f, tape }
      const unit = tape.rmsNorm(before, weights.get(`${at}input_layernorm.weight`)!, config.epsilon)
      const made: KeysValues = {
        keys: project(own, at, "k", unit, headsFirst(tape, T), start),
        values: project(own, at, "v", unit, headsFirst(tape, T))
      }
      const { keys, values } = past === undefined ? made : behind(graph, past[layer]!, made)
      if (!recompute) {
        cache.push({ keys, values })
        read.push(made)
      }
      const asked = few === undefined ? unit : tape.rows(unit, graph.reshape(few.rows, [product([B, R])]))
      const queries = project(own, at, "q", asked, headsFirst(tape, R), few?.positions ?? start)
      const scale = d ** -0.5
      const mixed =
        mask === undefined && (few === undefined || quotient(R, blockSize) !== undefined)
          ? tape.blockAttention(queries, keys, values, few?.positions ?? everywhere, scale, branching?.branches)
          : tape.attention(
              queries,
              keys,
              values,
              few === undefined ? mask! : causal(graph, places, few.positions),
              scale
            )
      const rows = tape.reshape(tape.transpose(mixed, [0, 2, 1, 3]), [product([B, R]), heads * d])
      const wanted = few === undefined ? selected : few.wanted
      return finishLayer(
        own,
        at,
        last ? tape.rows(before, selected) : before,
        last && wanted !== undefined ? tape.rows(rows, wanted) : rows
      )
    }
    x = recompute ? tape.recomputed(carryOut) : carryOut(tape)
  }
  return { hidden: x, cache, read }
}

/** What the keys of both count, as a dimension to be bound. */
export const both = (before: Dim, after: Dim): Dim => `${before}+${after}`

const behind = (graph: Graph, before: KeysValues, after: KeysValues): KeysValues => ({
  keys: graph.concat([before.keys, after.keys], 2),
  values: graph.concat([before.values, after.values], 2)
})

/** Keys and values of all layers and heads as one axis: for each layer its keys, then its values. */
export const heightOf = ({ keyValueHeads, layers }: TransformerConfig): number => 2 * layers * keyValueHeads

/** `[B, heightOf, T, d]` as each layer has its own. */
export const apart = (graph: Graph, { keyValueHeads: K, layers }: TransformerConfig, x: Value): Array<KeysValues> => {
  const parts = graph.split(
    x,
    1,
    Array.from({ length: 2 * layers }, () => K)
  )
  return Array.from({ length: layers }, (_, layer) => ({ keys: parts[2 * layer]!, values: parts[2 * layer + 1]! }))
}

/**
 * One token further for each of B = P S rows, reading the prompts' keys and values without copying them. Attention treats
 * the samples of a prompt as so many heads.
 *
 * @param token    `[B]` int32, the samples of a prompt next to each other
 * @param position `[P, 1]` int64
 * @param prompt   per layer `[P, K, T, d]`
 * @param padding  `[P, 1, 1, T]`, 0 at prompt tokens and very negative behind them
 * @param recent   per layer `[P, K S, n, d]`: the tokens generated before
 * @returns hidden states `[B, D]` and the recent keys and values with this token's
 */
export const decode = (
  outer: Frame,
  graph: Graph,
  S: Dim,
  token: Value,
  position: Value,
  prompt: ReadonlyArray<KeysValues>,
  padding: Value,
  recent: ReadonlyArray<KeysValues>
): { readonly hidden: Value; readonly recent: ReadonlyArray<KeysValues> } => {
  const f = within(outer, graph)
  const { config, weights } = f
  const { headSize: d, heads, keyValueHeads: K } = config
  const G = heads / K
  const B = token.shape[0]!
  const [P, , T] = prompt[0]!.keys.shape as [Dim, Dim, Dim]
  const scale = d ** -0.5
  // Every query of a head's group stands at the same position.
  const positions = graph.concat(
    Array.from({ length: G }, () => position),
    1
  )
  const headsFirst = (y: Value, count: number) =>
    graph.reshape(graph.transpose(graph.reshape(y, [P, S, K, (count / K) * d]), [0, 2, 1, 3]), [
      P,
      product([K, S]),
      count / K,
      d
    ])
  let x = graph.gather(weights.get("model.embed_tokens.weight")!, token)
  const extended = recent.map(({ keys, values }, layer) => {
    const at = `model.layers.${layer}.`
    const unit = graph.rmsNorm(x, weights.get(`${at}input_layernorm.weight`)!, config.epsilon)
    const own: KeysValues = {
      keys: graph.concat([keys, project(f, at, "k", unit, headsFirst, position)], 2),
      values: graph.concat([values, project(f, at, "v", unit, headsFirst)], 2)
    }
    const length = own.keys.shape[2]!
    if (layer === 0) graph.bind(String(length), own.keys, 2)

    const queries = project(f, at, "q", unit, headsFirst, positions)
    const shared = graph.reshape(queries, [P, K, product([S, G]), d])
    const toPrompt = graph.add(graph.matMul(shared, prompt[layer]!.keys, { transB: true, alpha: scale }), padding)
    const toOwn = graph.matMul(queries, own.keys, { transB: true, alpha: scale })
    const scores = graph.concat([graph.reshape(toPrompt, [P, product([K, S]), G, T]), toOwn], 3)
    const [onPrompt, onOwn] = graph.split(graph.softmax(scores), 3, [T, length])
    const fromPrompt = manyRows(graph, graph.reshape(onPrompt!, toPrompt.shape), prompt[layer]!.values, G)
    const mixed = graph.add(graph.reshape(fromPrompt, queries.shape), graph.matMul(onOwn!, own.values))
    const rows = graph.transpose(graph.reshape(mixed, [P, K, S, G * d]), [0, 2, 1, 3])
    x = finishLayer(f, at, x, graph.reshape(rows, [B, heads * d]))
    return own
  })
  return { hidden: x, recent: extended }
}

/**
 * A product of S G rows that never takes the runtime's kernel for a single row, which rounds otherwise than the one for
 * many: scaled products don't, and halving and doubling are exact.
 */
const manyRows = (graph: Graph, a: Value, b: Value, G: number): Value => {
  if (G > 1) return graph.matMul(a, b)
  const half = graph.matMul(a, b, { alpha: 0.5 })
  return graph.add(half, half)
}

/** What turns the last hidden states into logits. */
export interface Head {
  /** Of the final norm, times the inverse temperature: there it meets the fewest numbers. */
  readonly norm: Value
  /** `[V, D]` */
  readonly table: Value
  /** The product with it, in generation. */
  readonly logits: (graph: Graph, normed: Value) => Value
}

/** @param inverseTemperature scalar by which logits are multiplied */
export const head = ({ config, tape, weights }: Frame, inverseTemperature: Value): Head => {
  const name = config.tied ? "model.embed_tokens.weight" : "lm_head.weight"
  const [table, bytes, scales] = [weights.get(name)!, weights.get(bytesOf(name)), weights.get(scalesOf(name))]
  return {
    norm: tape.scale(weights.get("model.norm.weight")!, inverseTemperature),
    table,
    logits: (graph, normed) =>
      bytes === undefined ? graph.matMul(normed, table, { transB: true }) : graph.matMulBytes(normed, bytes, scales!)
  }
}
