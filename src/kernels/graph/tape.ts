/**
 * Reverse-mode differentiation.
 *
 * A tape records the differentiable primitives that build a graph; `gradients` walks it backwards and appends to the
 * same graph. The primitives are those of a decoder-only transformer, each with a rule written by hand, so that a rule
 * can use what its forward pass has made (softmax, sigmoid) and every backward product is one node.
 *
 * Letters: N rows, D features, B sequences, T tokens, H query heads, K key/value heads, R queries, d head size, M selected positions, V vocabulary.
 */
import {
  blockAttention,
  blockAttentionGradient,
  blockLogprob,
  blockLogprobGradient,
  foldQueries,
  logprobGradient
} from "./blocks.ts"
import { type Graph, GraphError, type Value } from "./graph.ts"
import { type Dim, product, type Shape } from "./shape.ts"

/** What each primitive's rule needs besides inputs and output. */
interface Saved {
  readonly linear: { readonly bias: boolean }
  readonly add: object
  readonly reshape: object
  readonly transpose: { readonly order: ReadonlyArray<number> }
  readonly rows: object
  readonly rmsNorm: { readonly epsilon: number }
  readonly rotary: { readonly positions: Value; readonly cos: Value; readonly sin: Value }
  readonly swiglu: { readonly silu: Value }
  readonly attention: { readonly probabilities: Value; readonly scale: number }
  readonly blockAttention: {
    readonly positions: Value
    readonly scale: number
    readonly branches: Value | undefined
  }
  readonly scale: { readonly factor: Value }
  readonly tokenLogprob: { readonly logprobs: Value; readonly targets: Value }
  readonly blockLogprob: { readonly targets: Value }
  readonly recomputed: { readonly build: (tape: Tape) => Value }
}

export type Primitive = keyof Saved

interface Entry<P extends Primitive> {
  readonly primitive: P
  readonly inputs: ReadonlyArray<Value>
  readonly output: Value
  readonly saved: Saved[P]
}

type Rule<P extends Primitive> = (
  g: Graph,
  d: Value,
  entry: Entry<P>,
  needed: (input: Value) => boolean
) => ReadonlyArray<Value | undefined>

/**
 * Given the gradient `d` of a primitive's output, the gradients of its inputs in order; undefined for indices. Whatever
 * nobody asks for is left out of a graph; only loops, which make all that they put out, must know what is needed.
 */
const rules: { readonly [P in Primitive]: Rule<P> } = {
  linear: (g, d, { inputs: [x, weight], saved }) => [
    g.matMul(d, weight!),
    g.matMul(d, x!, { transA: true }),
    ...(saved.bias ? [g.sum(d, 0)] : [])
  ],
  add: (_, d) => [d, d],
  reshape: (g, d, { inputs: [x] }) => [g.reshape(d, x!.shape)],
  transpose: (g, d, { saved: { order } }) => [
    g.transpose(
      d,
      order.map((_, axis) => order.indexOf(axis))
    )
  ],
  rows: (g, d, { inputs: [table, indices] }) => {
    const count = product(indices!.shape)
    return [
      g.scatterAdd(g.zeros(table!.shape), g.reshape(indices!, [count]), g.reshape(d, [count, table!.shape[1]!])),
      undefined
    ]
  },
  // With u = x / rms: dx = (w d - u mean(w d u)) / rms. The deviation is made anew: the runtime's second output is wrong on WebGPU.
  rmsNorm: (g, d, { inputs: [x, weight], saved: { epsilon } }) => {
    const size = weight!.shape[0] as number
    const square = g.add(g.sumSquare(x!, -1, true), g.scalar(size * epsilon))
    const inverse = g.div(g.scalar(Math.sqrt(size)), g.sqrt(square))
    const unit = g.mul(x!, inverse)
    const dWeight = g.mul(d, unit)
    const mean = g.mul(g.reshape(weight!, [size, 1]), g.scalar(1 / size))
    const along = g.matMul(dWeight, mean)
    return [
      g.mul(g.sub(g.mul(d, weight!), g.mul(unit, along)), inverse),
      g.sum(g.reshape(dWeight, [product(dWeight.shape.slice(0, -1)), size]), 0)
    ]
  },
  rotary: (g, d, { saved: { positions, cos, sin } }) => [g.rotary(d, positions, cos, g.neg(sin))],
  // y = silu(a) b with silu(a) = a s and silu'(a) = s + silu(a) (1 - s), so da = b (s d + (1 - s) db).
  swiglu: (g, d, { inputs: [a, b], saved: { silu } }) => {
    const gate = g.sigmoid(a!)
    const db = g.mul(d, silu)
    return [g.mul(b!, g.add(g.mul(gate, g.sub(d, db)), db)), db]
  },
  attention: (g, d, { inputs: [q, k, v], output, saved: { probabilities, scale } }) => {
    const [B, K, T] = k!.shape as [Dim, Dim, Dim]
    const folded = (y: Value) => foldQueries(g, y, K)
    const [p, dO] = [g.reshape(probabilities, [B, K, folded(q!).shape[2]!, T]), folded(d)]
    // rowsum(dP P) equals rowsum(dO O), which is a sum over d instead of over all keys.
    const along = g.sum(g.mul(dO, folded(output)), -1, true)
    const dScores = g.mul(p, g.sub(g.matMul(dO, v!, { transB: true }), along))
    return [
      g.reshape(g.matMul(dScores, k!, { alpha: scale }), q!.shape),
      // Transposing the narrow factor is cheaper than transposing the square one.
      g.transpose(g.matMul(folded(q!), dScores, { transA: true, alpha: scale }), [0, 1, 3, 2]),
      g.transpose(g.matMul(dO, p, { transA: true }), [0, 1, 3, 2])
    ]
  },
  scale: (g, d, { saved: { factor } }) => [g.mul(d, factor)],
  tokenLogprob: (g, d, { inputs: [hidden, table], saved: { logprobs, targets } }) => {
    const gradient = logprobGradient(g, logprobs, table!, g.reshape(d, [d.shape[0]!, 1]), targets)
    return [gradient.hidden, gradient.table(hidden!)]
  },
  blockAttention: (g, d, { inputs: [q, k, v], output, saved }) =>
    blockAttentionGradient(g, { q: q!, k: k!, v: v!, ...saved }, output, d),
  blockLogprob: (g, d, { inputs: [hidden, table], saved: { targets } }, needed) =>
    blockLogprobGradient(g, { hidden: hidden!, table: table!, targets }, d, needed(table!)),
  // One round of a loop, which waits for `d`: the inner values are there only then.
  recomputed: (g, d, { inputs, saved: { build } }, needed) => {
    const wanted = inputs.filter(needed)
    const { emitted } = g.each(1, [], (body) => {
      const tape = new Tape(body)
      return { carried: [], emitted: tape.gradients(build(tape), d, wanted) }
    })
    return inputs.map((input) => {
      const place = wanted.indexOf(input)
      return place < 0 ? undefined : g.reshape(emitted[place]!, input.shape)
    })
  }
}

export class Tape {
  readonly #entries: Array<Entry<Primitive>> = []
  readonly graph: Graph

  constructor(graph: Graph) {
    this.graph = graph
  }

  #record<P extends Primitive>(primitive: P, inputs: ReadonlyArray<Value>, output: Value, saved: Saved[P]): Value {
    this.#entries.push({ primitive, inputs, output, saved })
    return output
  }

  /** `x [N, in]`, `weight [out, in]`, `bias [out]` to `[N, out]`. */
  linear(x: Value, weight: Value, bias?: Value): Value {
    const y = this.graph.matMul(x, weight, { transB: true })
    return bias === undefined
      ? this.#record("linear", [x, weight], y, { bias: false })
      : this.#record("linear", [x, weight, bias], this.graph.add(y, bias), { bias: true })
  }

  /** Sum of two values of one shape. */
  add(a: Value, b: Value): Value {
    return this.#record("add", [a, b], this.graph.add(a, b), {})
  }

  reshape(x: Value, shape: Shape): Value {
    const y = this.graph.reshape(x, shape)
    return y === x ? x : this.#record("reshape", [x], y, {})
  }

  transpose(x: Value, order: ReadonlyArray<number>): Value {
    return this.#record("transpose", [x], this.graph.transpose(x, order), { order })
  }

  /** Rows of `table [V, D]` at int32 `indices`: an embedding, or a choice of positions. */
  rows(table: Value, indices: Value): Value {
    return this.#record("rows", [table, indices], this.graph.gather(table, indices), {})
  }

  /** `weight x / rms(x)` over the last axis. */
  rmsNorm(x: Value, weight: Value, epsilon: number): Value {
    return this.#record("rmsNorm", [x, weight], this.graph.rmsNorm(x, weight, epsilon), { epsilon })
  }

  /** Rotary positions on `x [B, heads, T, d]`. */
  rotary(x: Value, positions: Value, cos: Value, sin: Value): Value {
    return this.#record("rotary", [x], this.graph.rotary(x, positions, cos, sin), { positions, cos, sin })
  }

  /** `a sigmoid(a) b`, elementwise. */
  swiglu(a: Value, b: Value): Value {
    const silu = this.graph.silu(a)
    return this.#record("swiglu", [a, b], this.graph.mul(silu, b), { silu })
  }

  /**
   * `softmax(scale q k' + mask) v` with queries `[B, H, R, d]`, keys and values `[B, K, T, d]`, H a multiple of K; `mask`
   * is added to scores `[B, H, R, T]`. The heads that share keys are folded into the rows of one product.
   */
  attention(q: Value, k: Value, v: Value, mask: Value, scale: number): Value {
    const g = this.graph
    const [, H, R] = q.shape as [Dim, Dim, Dim]
    const [B, K, T] = k.shape as [Dim, Dim, Dim]
    const folded = foldQueries(g, q, K)
    const scores = g.reshape(g.matMul(folded, k, { transB: true, alpha: scale }), [B, H, R, T])
    const probabilities = g.softmax(g.add(scores, mask))
    const mixed = g.matMul(g.reshape(probabilities, [B, K, folded.shape[2]!, T]), v)
    return this.#record("attention", [q, k, v], g.reshape(mixed, q.shape), { probabilities, scale })
  }

  /**
   * The same with the causal mask made of the places of the queries, int64 `[b, R]`, b being B or 1, in blocks of queries:
   * for long sequences, with `branches` if they have any (see `blocks.ts`).
   */
  blockAttention(q: Value, k: Value, v: Value, positions: Value, scale: number, branches?: Value): Value {
    const output = blockAttention(this.graph, { q, k, v, positions, scale, branches })
    return this.#record("blockAttention", [q, k, v], output, { positions, scale, branches })
  }

  /** `x` times a scalar that is not differentiated. */
  scale(x: Value, factor: Value): Value {
    return this.#record("scale", [x], this.graph.mul(x, factor), { factor })
  }

  /** Log-probability of each target: `hidden [M, D]`, `table [V, D]`, `targets [M]` int32 to `[M]`, at most 0. */
  tokenLogprob(hidden: Value, table: Value, targets: Value): Value {
    const logprobs = this.graph.logSoftmax(this.graph.matMul(hidden, table, { transB: true }))
    const picked = this.graph.pick(logprobs, this.graph.reshape(targets, [targets.shape[0]!, 1]))
    const output = this.graph.reshape(picked, targets.shape)
    return this.#record("tokenLogprob", [hidden, table], output, { logprobs, targets })
  }

  /** The same in blocks of positions: for many of them, or large vocabularies (see `blocks.ts`). */
  blockLogprob(hidden: Value, table: Value, targets: Value): Value {
    const output = blockLogprob(this.graph, { hidden, table, targets })
    return this.#record("blockLogprob", [hidden, table], output, { targets })
  }

  /**
   * What `build` makes, and nothing of what it makes on the way is kept: it is made again on the way back. The numbers
   * are the same; memory is spent on one such part at a time.
   */
  recomputed(build: (tape: Tape) => Value): Value {
    const inner = new Tape(this.graph)
    const output = build(inner)
    const made = new Set(inner.#entries.map((entry) => entry.output.name))
    const read = inner.#entries.flatMap(({ inputs }) => inputs.filter(({ name }) => !made.has(name)))
    const inputs = [...new Map(read.map((value) => [value.name, value])).values()]
    return this.#record("recomputed", inputs, output, { build })
  }

  /** The gradients with respect to `wanted` of the sum of `output * seed`; zero where there is no path. */
  gradients(output: Value, seed: Value, wanted: ReadonlyArray<Value>): ReadonlyArray<Value> {
    /** What depends on anything that is wanted. */
    const path = new Set(wanted.map(({ name }) => name))
    const needed = ({ name }: Value): boolean => path.has(name)
    for (const entry of this.#entries) if (entry.inputs.some(needed)) path.add(entry.output.name)

    const sums = new Map<string, Value>([[output.name, seed]])
    for (const entry of this.#entries.toReversed()) {
      const d = sums.get(entry.output.name)
      if (d === undefined || !needed(entry.output)) continue
      const rule = rules[entry.primitive] as Rule<Primitive>
      rule(this.graph, d, entry, needed).forEach((gradient, i) => {
        if (gradient === undefined || !needed(entry.inputs[i]!)) return
        const { name } = entry.inputs[i]!
        const sum = sums.get(name)
        sums.set(name, sum === undefined ? gradient : this.graph.add(sum, gradient))
      })
    }
    return wanted.map((value) => {
      if (value.type !== "float32") throw new GraphError(`gradients: ${value.name} is ${value.type}`)
      return sums.get(value.name) ?? this.graph.zeros(value.shape)
    })
  }
}
