/** Every gradient rule against finite differences, each on a graph of its own. */
import { describe, expect, it } from "vitest"
import type { Value } from "../../src/kernels/graph/graph.ts"
import { causal } from "../../src/kernels/graph/blocks.ts"
import { type Primitive, Tape } from "../../src/kernels/graph/tape.ts"
import { stream } from "../../src/kernels/random.ts"
import { type Given, openGraph, runGraph } from "../fixtures/run-graph.ts"

interface Case {
  /** Shapes of what is differentiated. */
  readonly inputs: Readonly<Record<string, ReadonlyArray<number>>>
  readonly constants?: Readonly<Record<string, Given>>
  readonly build: (tape: Tape, values: Readonly<Record<string, Value>>) => Value
  /** Checks only every so manieth element, where there are many. */
  readonly every?: number
}

const { normal } = stream("gradient rules")
const normals = (shape: ReadonlyArray<number>): Float32Array =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, normal)

const angles = Float32Array.from({ length: 12 }, (_, i) => i / 5)
const tables = {
  cos: { data: angles.map(Math.cos), shape: [6, 2] },
  sin: { data: angles.map(Math.sin), shape: [6, 2] }
}
const triangle = { data: Float32Array.of(0, -1e30, -1e30, 0, 0, -1e30, 0, 0, 0), shape: [3, 3] }
const repeated = { data: Int32Array.of(2, 0, 2, 4), shape: [2, 2] }

/** The type names every primitive, so a rule without a case does not compile. */
const cases: Readonly<Record<Primitive, ReadonlyArray<Case>>> = {
  linear: [
    { inputs: { x: [3, 4], weight: [2, 4] }, build: (tape, { x, weight }) => tape.linear(x!, weight!) },
    {
      inputs: { x: [3, 4], weight: [2, 4], bias: [2] },
      build: (tape, { x, weight, bias }) => tape.linear(x!, weight!, bias)
    }
  ],
  add: [{ inputs: { a: [2, 3], b: [2, 3] }, build: (tape, { a, b }) => tape.add(a!, b!) }],
  reshape: [{ inputs: { x: [2, 6] }, build: (tape, { x }) => tape.reshape(x!, [3, 4]) }],
  transpose: [
    { inputs: { x: [2, 3, 4] }, build: (tape, { x }) => tape.transpose(x!, [1, 2, 0]) },
    // Nothing moves where all but one axis are of size 1.
    { inputs: { x: [1, 3, 1] }, build: (tape, { x }) => tape.transpose(x!, [1, 0, 2]) }
  ],
  rows: [
    {
      inputs: { table: [5, 3] },
      constants: { indices: repeated },
      build: (tape, { table, indices }) => tape.rows(table!, indices!)
    }
  ],
  rmsNorm: [
    // A large epsilon, so that forgetting it would show.
    { inputs: { x: [3, 4], weight: [4] }, build: (tape, { x, weight }) => tape.rmsNorm(x!, weight!, 0.3) },
    { inputs: { x: [2, 3, 2, 4], weight: [4] }, build: (tape, { x, weight }) => tape.rmsNorm(x!, weight!, 1e-6) }
  ],
  rotary: [
    {
      inputs: { x: [2, 2, 3, 4] },
      constants: { ...tables, positions: { data: BigInt64Array.of(1n), shape: [1] } },
      build: (tape, { x, positions, cos, sin }) => tape.rotary(x!, positions!, cos!, sin!)
    },
    {
      inputs: { x: [2, 2, 3, 4] },
      constants: { ...tables, positions: { data: BigInt64Array.of(5n, 0n, 1n, 3n, 3n, 2n), shape: [2, 3] } },
      build: (tape, { x, positions, cos, sin }) => tape.rotary(x!, positions!, cos!, sin!)
    }
  ],
  swiglu: [{ inputs: { a: [3, 4], b: [3, 4] }, build: (tape, { a, b }) => tape.swiglu(a!, b!) }],
  attention: [
    {
      inputs: { q: [2, 2, 3, 4], k: [2, 2, 3, 4], v: [2, 2, 3, 4] },
      constants: { mask: triangle },
      build: (tape, { q, k, v, mask }) => tape.attention(q!, k!, v!, mask!, 0.6)
    },
    // Four query heads on two key/value heads, fewer queries than keys.
    {
      inputs: { q: [2, 4, 2, 4], k: [2, 2, 3, 4], v: [2, 2, 3, 4] },
      constants: { mask: { data: triangle.data.subarray(3), shape: [2, 3] } },
      build: (tape, { q, k, v, mask }) => tape.attention(q!, k!, v!, mask!, 0.6)
    }
  ],
  scale: [
    {
      inputs: { x: [2, 3] },
      constants: { factor: { data: Float32Array.of(1.7), shape: [] } },
      build: (tape, { x, factor }) => tape.scale(x!, factor!)
    }
  ],
  tokenLogprob: [
    {
      inputs: { hidden: [4, 3], table: [5, 3] },
      constants: { targets: { data: repeated.data, shape: [4] } },
      build: (tape, { hidden, table, targets }) => tape.tokenLogprob(hidden!, table!, targets!)
    }
  ],
  blockAttention: [
    {
      inputs: { q: [1, 2, 256, 2], k: [1, 1, 256, 2], v: [1, 1, 256, 2] },
      constants: { positions: { data: BigInt64Array.from({ length: 256 }, (_, i) => BigInt(i)), shape: [1, 256] } },
      build: (tape, { q, k, v, positions }) => tape.blockAttention(q!, k!, v!, positions!, 0.6),
      every: 61
    },
    // Fewer queries than keys, not in order, each sequence's at places of their own.
    {
      inputs: { q: [2, 2, 128, 2], k: [2, 2, 20, 2], v: [2, 2, 20, 2] },
      constants: {
        positions: { data: BigInt64Array.from({ length: 256 }, (_, i) => BigInt((7 * i) % 17)), shape: [2, 128] }
      },
      build: (tape, { q, k, v, positions }) => tape.blockAttention(q!, k!, v!, positions!, 0.6),
      every: 29
    }
  ],
  blockLogprob: [
    {
      inputs: { hidden: [256, 3], table: [5, 3] },
      constants: { targets: { data: Int32Array.from({ length: 256 }, (_, i) => (i * i) % 5), shape: [256] } },
      build: (tape, { hidden, table, targets }) => tape.blockLogprob(hidden!, table!, targets!),
      every: 19
    }
  ],
  recomputed: [
    {
      inputs: { x: [3, 4], weight: [2, 4], other: [3, 2] },
      build: (tape, { x, weight, other }) =>
        tape.add(
          tape.recomputed((inner) => inner.swiglu(inner.linear(x!, weight!), other!)),
          other!
        )
    },
    {
      inputs: { table: [5, 3] },
      constants: { indices: repeated },
      build: (tape, { table, indices }) =>
        tape.recomputed((inner) => {
          const rows = inner.reshape(inner.rows(table!, indices!), [4, 3])
          return inner.recomputed((innermost) => innermost.swiglu(rows, rows))
        })
    }
  ]
}

/** The derivative of `f` at 0 from four points around it; the error goes with the fourth power of the step. */
const derivative = async (f: (x: number) => Promise<number>, step = 0.02): Promise<number> =>
  (8 * ((await f(step)) - (await f(-step))) - ((await f(2 * step)) - (await f(-2 * step)))) / (12 * step)

/** Opens a case with a random weight for each output; gives its weighted sum and the gradients of that. */
const open = async ({ inputs, constants = {}, build }: Case) => {
  const given: Record<string, Given> = { ...constants }
  for (const [name, shape] of Object.entries(inputs)) given[name] = { data: normals(shape), shape }
  const names = Object.keys(inputs)
  let seed: Float32Array | undefined
  const graph = await openGraph(given, (g, values) => {
    const tape = new Tape(g)
    const output = build(tape, values)
    const shape = output.shape as ReadonlyArray<number>
    seed = normals(shape)
    const gradients = tape.gradients(
      output,
      g.constant(seed, shape),
      names.map((name) => values[name]!)
    )
    return { output, ...Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i]!])) }
  })
  const loss = async (changed: Readonly<Record<string, Float32Array>>): Promise<number> => {
    const { output } = await graph.run(changed)
    return output!.reduce((sum, y, i) => sum + y * seed![i]!, 0)
  }
  return { given, names, loss, gradients: await graph.run(), release: graph.release }
}

describe.each(Object.entries(cases))("the rule of %s", (_, list) => {
  it.each(list.map((entry) => [JSON.stringify(entry.inputs), entry] as const))("at %s", async (_shapes, entry) => {
    const { given, gradients, loss, names, release } = await open(entry)
    for (const name of names) {
      const data = given[name]!.data as Float32Array
      const analytic = gradients[`d ${name}`]!
      const largest = Math.max(...analytic.map(Math.abs))
      expect(analytic).toHaveLength(data.length)
      for (let i = 0; i < data.length; i += entry.every ?? 1) {
        const numeric = await derivative((x) => loss({ [name]: data.with(i, data[i]! + x) }))
        expect(Math.abs(numeric - analytic[i]!), `${name}[${i}]: ${numeric}, rule ${analytic[i]}`).toBeLessThan(
          2e-4 * largest
        )
      }
    }
    await release()
  })
})

describe("gradients", () => {
  const x = { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] }

  it("of a value that is used twice are added", async () => {
    const { d } = await runGraph({ x }, (g, values) => {
      const tape = new Tape(g)
      const twice = tape.add(values.x, tape.add(values.x, values.x))
      return { d: tape.gradients(twice, g.constant(Float32Array.of(1, 10, 100, 1000), [2, 2]), [values.x])[0]! }
    })
    expect(d).toEqual([3, 30, 300, 3000])
  })

  it("in blocks are those of the whole, for what is seen and for what is not", async () => {
    const T = 256
    const shape = (heads: number) => [2, heads, T, 4]
    const given = { q: shape(4), k: shape(2), v: shape(2), seed: shape(4) }
    const inputs = Object.fromEntries(
      Object.entries(given).map(([name, shape]) => [name, { data: normals(shape), shape }])
    )
    const results = await runGraph(inputs, (g, { k, q, seed, v }) => {
      const outputs: Record<string, Value> = {}
      const add = (kind: string, tape: Tape, output: Value) => {
        outputs[`${kind} y`] = output
        tape.gradients(output, seed!, [q!, k!, v!]).forEach((gradient, i) => (outputs[`${kind} ${i}`] = gradient))
      }
      const positions = g.reshape(g.range(T), [1, T])
      const [whole, blocks] = [new Tape(g), new Tape(g)]
      add("whole", whole, whole.attention(q!, k!, v!, causal(g, g.range(T), positions), 0.5))
      add("blocks", blocks, blocks.blockAttention(q!, k!, v!, positions, 0.5))
      return outputs
    })
    for (const name of ["y", "0", "1", "2"]) {
      const [a, b] = [results[`whole ${name}`]!, results[`blocks ${name}`]!]
      const largest = Math.max(...a.map(Math.abs))
      expect(Math.max(...a.map((x, i) => Math.abs(x - b[i]!))) / largest, name).toBeLessThan(1e-5)
    }
  })

  it("made anew are the same numbers, bit for bit", async () => {
    const shape = [20, 8]
    const [x, weight] = [
      { data: normals(shape), shape },
      { data: normals([8, 8]), shape: [8, 8] }
    ]
    const results = await runGraph({ x, weight }, (g, values) => {
      const layer = (tape: Tape, y: Value) => tape.add(y, tape.swiglu(tape.linear(y, values.weight), y))
      const grown = (part: (tape: Tape, y: Value) => Value) => {
        const tape = new Tape(g)
        const output = part(tape, part(tape, part(tape, values.x)))
        return tape.gradients(output, values.x, [values.x, values.weight])
      }
      const [dx, dWeight] = grown(layer)
      const [again, weightAgain] = grown((tape, y) => tape.recomputed((inner) => layer(inner, y)))
      return { dx: dx!, dWeight: dWeight!, again: again!, weightAgain: weightAgain! }
    })
    expect(results.again).toEqual(results.dx)
    expect(results.weightAgain).toEqual(results.dWeight)
  })

  it("of what has no path to the output are zero", async () => {
    const { d } = await runGraph({ x, y: x }, (g, values) => {
      const tape = new Tape(g)
      const output = tape.add(values.x, values.x)
      return { d: tape.gradients(output, output, [values.y])[0]! }
    })
    expect(d).toEqual([0, 0, 0, 0])
  })

  it("of integers are refused", async () => {
    await expect(
      runGraph({ x, at: repeated }, (g, values) => {
        const tape = new Tape(g)
        const output = tape.add(values.x, values.x)
        return { d: tape.gradients(output, output, [values.at])[0]! }
      })
    ).rejects.toThrow("gradients: at is int32")
  })
})
