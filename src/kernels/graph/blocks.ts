/**
 * Attention and log-probabilities in blocks of rows, for sequences whose tables would not fit into memory.
 *
 * What is quadratic in the length (attention) or as wide as the vocabulary (log-probabilities) is made for
 * `blockSize` rows at a time and again on the way back, instead of being kept. A block of queries looks at the keys up to
 * its last query only, which halves the work of causal attention.
 *
 * Letters: B sequences, T tokens, H query heads, K key/value heads, R queries, C blocks of Q, d head size, M selected
 * positions, D features, V vocabulary.
 */
import { type Graph, GraphError, type Value } from "./graph.ts"
import { type Dim, product, quotient } from "./shape.ts"

/** Rows of one block. Numbers of rows are multiples of it. */
export const blockSize = 128

/** What masks add where nothing may be seen: exp of it is exactly 0. */
export const hiddenScore = -1e30

/** `[B, H, R, d]` to `[B, K, (H / K) R, d]`: the heads that share a key/value head as rows of one matrix. */
export const foldQueries = (g: Graph, y: Value, K: Dim): Value => {
  const [B, H, R, d] = y.shape as [Dim, Dim, Dim, Dim]
  return g.reshape(y, [B, K, product([Number(H) / Number(K), R]), d])
}

/** Branches of keys `[B, T]` and of queries `[B, R]`, int32: 0 is the stem, which all branches see. */
export interface Branches {
  readonly keys: Value
  readonly queries: Value
}

/**
 * What is added to scores: 0 where a key is not behind the query, nor in another branch, `hiddenScore` where it is.
 *
 * @param keys      int64 `[T]`, the places of the keys
 * @param positions int64 `[b, R]`, those of the queries; b is B or 1
 * @returns `[b, 1, R, T]`, with branches `[B, 1, R, T]`
 */
export const causal = (g: Graph, keys: Value, positions: Value, branches?: Branches): Value => {
  const [b, R] = positions.shape as [Dim, Dim]
  const narrow = (places: Value) => g.cast(places, "int32")
  const [visible, hidden] = [g.scalar(0), g.scalar(hiddenScore)]
  const behind = g.where(g.lessOrEqual(narrow(keys), narrow(g.reshape(positions, [b, 1, R, 1]))), visible, hidden)
  if (branches === undefined) return behind
  const [B, T] = branches.keys.shape as [Dim, Dim]
  const [of, from] = [g.reshape(branches.keys, [B, 1, 1, T]), g.reshape(branches.queries, [B, 1, R, 1])]
  const own = g.where(g.equal(of, from), behind, hidden)
  return g.where(g.equal(of, g.int32(0)), behind, own)
}

const blocksOf = (rows: Dim): Dim => {
  const blocks = quotient(rows, blockSize)
  if (blocks === undefined) throw new GraphError(`blocks: ${rows} rows, expected a multiple of ${blockSize}`)
  return blocks
}

/** `[B, H, R, d]` as `[C, B, H, Q, d]`. */
const splitQueries = (g: Graph, x: Value): Value => {
  const [B, H, R, d] = x.shape as [Dim, Dim, Dim, Dim]
  return g.transpose(g.reshape(x, [B, H, blocksOf(R), blockSize, d]), [2, 0, 1, 3, 4])
}

const joinQueries = (g: Graph, blocks: Value): Value => {
  const [C, B, H, Q, d] = blocks.shape as [Dim, Dim, Dim, Dim, Dim]
  return g.reshape(g.transpose(blocks, [1, 2, 0, 3, 4]), [B, H, product([C, Q]), d])
}

interface Attention {
  readonly q: Value
  readonly k: Value
  readonly v: Value
  /** int64 `[b, R]`, where each query stands among the keys; b is B or 1. */
  readonly positions: Value
  readonly scale: number
  /** int32 `[B, T]`, where every token asks; see `Branches`. */
  readonly branches?: Value | undefined
}

/** The blocks of an attention, and how one is begun within a loop. */
const attentionBlocks = (g: Graph, { branches, q, k, v, positions, scale }: Attention) => {
  const [B, H, R, d] = q.shape as [Dim, Dim, Dim, Dim]
  const [, K, T] = k.shape as [Dim, Dim, Dim]
  const C = blocksOf(R)
  const queries = splitQueries(g, q)
  const byBlock = (x: Value) => g.transpose(g.reshape(x, [x.shape[0]!, C, blockSize]), [1, 0, 2])
  const [places, asking] = [byBlock(positions), branches && byBlock(branches)]
  const allKeys = g.range(T)
  const begin = (body: Graph, block: Value) => {
    const own = body.gather(places, block)
    const flat = body.reshape(own, [product(own.shape)])
    const end = body.add(body.max(flat, 0, true), body.indices(1))
    const upTo = (x: Value, axis: number) => body.cut(x, axis, body.indices(0), end, "seen")
    const [keys, values] = [upTo(k, 2), upTo(v, 2)]
    body.bind("seen", keys, 2)
    const folded = foldQueries(body, body.gather(queries, block), K)
    const scores = body.matMul(folded, keys, { transB: true, alpha: scale })
    const split = branches && { keys: upTo(branches, 1), queries: body.gather(asking!, block) }
    const mask = causal(body, upTo(allKeys, 0), own, split)
    const wide = body.softmax(body.add(body.reshape(scores, [B, H, blockSize, "seen"]), mask))
    const probabilities = body.reshape(wide, scores.shape)
    return { end, keys, values, folded, probabilities }
  }
  return { C, begin, shape: [B, H, blockSize, d] as const, K, T }
}

/** `softmax(scale q k' + causal mask) v`, `[B, H, R, d]`. */
export const blockAttention = (g: Graph, attention: Attention): Value => {
  const { C, begin, shape } = attentionBlocks(g, attention)
  const { emitted } = g.each(C, [], (body, block) => {
    const { probabilities, values } = begin(body, block)
    return { carried: [], emitted: [body.reshape(body.matMul(probabilities, values), shape)] }
  })
  return joinQueries(g, emitted[0]!)
}

/** The gradients of queries, keys and values, given that of the output. */
export const blockAttentionGradient = (
  g: Graph,
  attention: Attention,
  output: Value,
  d: Value
): readonly [dq: Value, dk: Value, dv: Value] => {
  const { C, K, T, begin, shape } = attentionBlocks(g, attention)
  const { k, scale, v } = attention
  const [outputs, arriving] = [splitQueries(g, output), splitQueries(g, d)]
  const { carried, emitted } = g.each(C, [g.zeros(k.shape), g.zeros(v.shape)], (body, block, [dk, dv]) => {
    const { end, folded, keys, probabilities: p, values } = begin(body, block)
    const dO = foldQueries(body, body.gather(arriving, block), K)
    // rowsum(dP P) equals rowsum(dO O), which is a sum over d instead of over all keys.
    const along = body.sum(body.mul(dO, foldQueries(body, body.gather(outputs, block), K)), -1, true)
    const dScores = body.mul(p, body.sub(body.matMul(dO, values, { transB: true }), along))
    const grown = (sum: Value, more: Value) =>
      body.concat(
        [
          body.add(body.cut(sum, 2, body.indices(0), end, "seen"), body.transpose(more, [0, 1, 3, 2])),
          body.cut(sum, 2, end, body.size(T), "unseen")
        ],
        2
      )
    return {
      carried: [
        grown(dk!, body.matMul(folded, dScores, { transA: true, alpha: scale })),
        grown(dv!, body.matMul(dO, p, { transA: true }))
      ],
      emitted: [body.reshape(body.matMul(dScores, keys, { alpha: scale }), shape)]
    }
  })
  return [joinQueries(g, emitted[0]!), carried[0]!, carried[1]!]
}

interface TokenLogprob {
  /** `[M, D]` */
  readonly hidden: Value
  /** `[V, D]` */
  readonly table: Value
  /** int32 `[M]` */
  readonly targets: Value
}

/** The blocks of hidden states and targets, and the log-probabilities of one within a loop. */
const logprobBlocks = (g: Graph, { hidden, table, targets }: TokenLogprob) => {
  const [M, D] = hidden.shape as [Dim, Dim]
  const F = blocksOf(M)
  const [states, wanted] = [g.reshape(hidden, [F, blockSize, D]), g.reshape(targets, [F, blockSize, 1])]
  const begin = (body: Graph, block: Value) => {
    const [own, columns] = [body.gather(states, block), body.gather(wanted, block)]
    return { own, columns, logprobs: body.logSoftmax(body.matMul(own, table, { transB: true })) }
  }
  return { F, begin }
}

/** Log-probability of each target, `[M]`. */
export const blockLogprob = (g: Graph, given: TokenLogprob): Value => {
  const { F, begin } = logprobBlocks(g, given)
  const { emitted } = g.each(F, [], (body, block) => {
    const { columns, logprobs } = begin(body, block)
    return { carried: [], emitted: [body.pick(logprobs, columns)] }
  })
  return g.reshape(emitted[0]!, given.targets.shape)
}

/** The gradients of hidden states and, if needed, table, given that of the log-probabilities. */
export const blockLogprobGradient = (
  g: Graph,
  given: TokenLogprob,
  d: Value,
  needsTable: boolean
): readonly [dHidden: Value, dTable: Value | undefined] => {
  const { F, begin } = logprobBlocks(g, given)
  const { hidden, table } = given
  const arriving = g.reshape(d, [F, blockSize, 1])
  const { carried, emitted } = g.each(F, needsTable ? [g.zeros(table.shape)] : [], (body, block, [sum]) => {
    const { columns, logprobs, own } = begin(body, block)
    const column = body.gather(arriving, block)
    const gradient = logprobGradient(body, logprobs, table, column, body.reshape(columns, [blockSize]))
    return {
      carried: sum === undefined ? [] : [body.add(sum, gradient.table(own))],
      emitted: [gradient.hidden]
    }
  })
  return [g.reshape(emitted[0]!, hidden.shape), carried[0]]
}

/**
 * d logprob / d logits = onehot - softmax. The one-hot part is kept apart, so no `[M, V]` scatter is needed.
 *
 * @param column `[M, 1]`, the gradient of each log-probability
 */
export const logprobGradient = (g: Graph, logprobs: Value, table: Value, column: Value, targets: Value) => {
  const pull = g.mul(g.exp(logprobs), g.neg(column))
  return {
    hidden: g.add(g.matMul(pull, table), g.mul(g.gather(table, targets), column)),
    table: (hidden: Value) => g.scatterAdd(g.matMul(pull, hidden, { transA: true }), targets, g.mul(hidden, column))
  }
}
