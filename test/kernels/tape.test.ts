/** Every gradient rule against finite differences, each on a graph of its own. */
import { describe, expect, it } from "vitest"
import type { Value } from "../../src/kernels/graph/graph.ts"
import { type Primitive, Tape } from "../../src/kernels/graph/tape.ts"
import { stream } from "../../src/kernels/random.ts"
import { type Given, openGraph, runGraph } from "../fixtures/run-graph.ts"

interface Case {
  /** Shapes of what is differentiated. */
  readonly inputs: Readonly<Record<string, ReadonlyArray<number>>>
  readonly constants?: Readonly<Record<string, Given>>
  readonly build: (tape: Tape, values: Readonly<Record<string, Value>>) => Value
}

const { normal } = stream("gradient rules")
const normals = (shape: ReadonlyArray<number>): Float32Array =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, normal)

const angles = Float32Array.from({ length: 12 }, (_, i) => i / 5)
const tables = {
  cos: { data: angles.map(Math.cos), shape: [6, 2] },
  sin: { data: angles.map(Math.sin), shape: [6, 2] }
}
const causal = { data: Float32Array.of(0, -1e30, -1e30, 0, 0, -1e30, 0, 0, 0), shape: [3, 3] }
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
      constants: { mask: causal },
      build: (tape, { q, k, v, mask }) => tape.attention(q!, k!, v!, mask!, 0.6)
    },
    // Four query heads on two key/value heads, fewer queries than keys.
    {
      inputs: { q: [2, 4, 2, 4], k: [2, 2, 3, 4], v: [2, 2, 3, 4] },
      constants: { mask: { data: causal.data.subarray(3), shape: [2, 3] } },
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
      for (let i = 0; i < data.length; i++) {
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
