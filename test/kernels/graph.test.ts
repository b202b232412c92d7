import * as ort from "onnxruntime-node"
import { describe, expect, it } from "vitest"
import { Graph, GraphError } from "../../src/kernels/graph/graph.ts"
import { broadcast, product } from "../../src/kernels/graph/shape.ts"
import { runGraph } from "../fixtures/run-graph.ts"

const floats = (...numbers: ReadonlyArray<number>) => Float32Array.from(numbers)

describe("a shape", () => {
  it("is a product in one canonical form", () => {
    expect(product(["T", 2, "B", 3])).toBe("6*B*T")
    expect(product(["2*T", 1])).toBe("2*T")
    expect(product([2, 3])).toBe(6)
    expect(product([])).toBe(1)
  })

  it("broadcasts from the right, by names too", () => {
    expect(broadcast(["B", 1, 4], ["T", 4])).toEqual(["B", "T", 4])
    expect(broadcast(["B"], ["T"])).toBeUndefined()
    expect(broadcast([2, 3], [2])).toBeUndefined()
  })
})

describe("a mistake is reported where the node is made, with operator and shapes", () => {
  const g = new Graph()
  const a = g.input("a", "float32", ["B", 3])
  const b = g.input("b", "float32", [4, 5])
  const i = g.input("i", "int32", ["N"])
  const cos = g.input("cos", "float32", [8, 2])
  it.each([
    ["MatMul", () => g.matMul(a, b), "MatMul: inner sizes 3 and 4 differ; given a float32 [B, 3], b float32 [4, 5]"],
    ["MatMul transposed", () => g.matMul(a, b, { transB: true }), "inner sizes 3 and 5 differ"],
    ["Add", () => g.add(a, b), "Add: shapes do not broadcast; given a float32 [B, 3], b float32 [4, 5]"],
    ["types", () => g.mul(a, i), "Mul: types differ; given a float32 [B, 3], i int32 [N]"],
    ["Reshape", () => g.reshape(a, ["B", 4]), "Reshape: does not fit [B, 4]; given a float32 [B, 3]"],
    ["Transpose", () => g.transpose(a, [0]), "Transpose: order 0 has another rank; given a float32 [B, 3]"],
    ["Concat", () => g.concat([a, b], 0), "Concat: values differ; given a float32 [B, 3], b float32 [4, 5]"],
    ["RMSNorm", () => g.rmsNorm(b, a, 1e-6), "RMSNorm: weight does not fit; given b float32 [4, 5], a float32 [B, 3]"],
    ["Rotary", () => g.rotary(b, i, cos, cos), "Rotary: positions do not fit; given b float32 [4, 5], i int32 [N]"],
    ["ScatterND", () => g.scatterAdd(a, i, b), "ScatterND: rows do not fit; given a float32 [B, 3], i int32 [N]"],
    ["pick", () => g.pick(a, i), "GatherElements: columns do not fit; given a float32 [B, 3], i int32 [N]"],
    ["where", () => g.where(a, a, a), "Where: types differ"],
    ["constant", () => g.constant(floats(1, 2), [3]), "constant: 2 numbers for [3]"],
    ["dimension", () => g.zeros(["X"]), "dimension X is not bound to an input"]
  ])("%s", (_, build, message) => {
    expect(build).toThrow(GraphError)
    expect(build).toThrow(message)
  })
})

describe("operators", () => {
  it("scatterAdd adds rows with the same index", async () => {
    const results = await runGraph(
      {
        base: { data: floats(1, 1, 2, 2, 3, 3), shape: [3, 2] },
        at: { data: Int32Array.of(2, 0, 2), shape: [3] },
        rows: { data: floats(10, 20, 30, 40, 50, 60), shape: [3, 2] }
      },
      (g, { base, at, rows }) => ({ sum: g.scatterAdd(base, at, rows) })
    )
    expect(results["sum"]).toEqual([31, 41, 2, 2, 63, 83])
  })

  it("split cuts an axis, by sizes known when it runs too", async () => {
    const results = await runGraph(
      { x: { data: floats(1, 2, 3, 4, 5, 6), shape: [2, 3] }, y: { data: floats(0, 0), shape: [2, 1] } },
      (g, { x, y }) => {
        g.bind("Y", y, 1)
        const [left, right] = g.split(x, 1, ["Y", 2])
        return { left: left!, right: right! }
      }
    )
    expect(results).toEqual({ left: [1, 4], right: [2, 3, 5, 6] })
  })

  it("reshape and transpose of what was reshaped or transposed go back to the first", async () => {
    const x = { data: Float32Array.from({ length: 24 }, (_, i) => i), shape: [2, 3, 4] }
    const at = (i: number, j: number, k: number) => 12 * i + 4 * j + k
    const results = await runGraph({ x }, (g, values) => ({
      reshaped: g.reshape(g.reshape(values.x, [6, 4]), [4, 6]),
      // x[i, j, k] goes to [k, i, j] and from there to [i, k, j].
      transposed: g.transpose(g.transpose(values.x, [2, 0, 1]), [1, 0, 2]),
      swapped: g.transpose(g.reshape(values.x, [6, 1, 4]), [2, 1, 0]),
      unmoved: g.transpose(g.reshape(values.x, [2, 1, 3, 4]), [1, 0, 2, 3])
    }))
    expect(results["reshaped"]).toEqual([...x.data])
    expect(results["unmoved"]).toEqual([...x.data])
    expect(results["transposed"]).toEqual(
      [0, 1].flatMap((i) => [0, 1, 2, 3].flatMap((k) => [0, 1, 2].map((j) => at(i, j, k))))
    )
    expect(results["swapped"]).toEqual([0, 1, 2, 3].flatMap((k) => [0, 1, 2, 3, 4, 5].map((ij) => 4 * ij + k)))
  })

  it("an input, a value put out twice and one that others read can all be outputs", async () => {
    const results = await runGraph({ x: { data: floats(1, 2), shape: [2] } }, (g, { x }) => {
      const negative = g.neg(x)
      return { x2: x, negative, again: negative, sum: g.add(negative, negative) }
    })
    expect(results).toEqual({ x2: [1, 2], negative: [-1, -2], again: [-1, -2], sum: [-2, -4] })
  })

  it("equal constants are stored once and unread nodes are left out", () => {
    const size = (copies: number) => {
      const g = new Graph()
      const x = g.input("x", "float32", [2])
      for (let i = 0; i < copies; i++) g.add(x, g.constant(floats(7, 8), [2]))
      g.output(g.mul(x, g.constant(floats(7, 8), [2])), "y")
      return g.serialize().length
    }
    expect(size(5)).toBe(size(0))
  })
})

describe("a loop", () => {
  /** Counts up from `start`, at most `trips` times, until `stop` is passed; collects what it saw in a growing vector. */
  const count = async (start: number, trips: number, stop: number, going = true) => {
    const g = new Graph()
    const begin = g.input("start", "float32", [1])
    const condition = g.input("going", "bool", [])
    const bound = g.input("trips", "int64", [])
    g.bind("one", begin, 0)
    const one = g.div(begin, begin)
    const { carried, emitted } = g.loop(
      bound,
      condition,
      [
        { value: begin, shape: [1] },
        { value: g.constant(new Float32Array(0), [0]), shape: ["seen"] }
      ],
      (body, round, [x, seen]) => {
        // Reads a value of the outer graph that nobody else does, and its own round.
        const next = body.add(body.add(x!, one), body.cast(body.mul(round, round), "float32"))
        const all = body.concat([seen!, x!], 0)
        return {
          condition: body.reshape(body.lessOrEqual(next, body.scalar(stop)), []),
          carried: [next, all],
          emitted: [body.mul(x!, body.scalar(2))]
        }
      }
    )
    g.output(carried[0]!, "last")
    g.output(carried[1]!, "seen")
    g.output(emitted[0]!, "doubled")
    const session = await ort.InferenceSession.create(g.serialize(), { intraOpNumThreads: 1, logSeverityLevel: 4 })
    const results = await session.run({
      start: new ort.Tensor("float32", floats(start), [1]),
      going: new ort.Tensor("bool", [going], []),
      trips: new ort.Tensor("int64", BigInt64Array.of(BigInt(trips)), [])
    })
    await session.release()
    const numbers = (name: string) => Array.from(results[name]!.data as Float32Array)
    return { last: numbers("last"), seen: numbers("seen"), doubled: numbers("doubled"), dims: results["doubled"]!.dims }
  }

  it("hands values from round to round, lets them grow, and stacks what rounds put out", async () => {
    // 1, then +1+0, +1+1, +1+4.
    expect(await count(1, 3, 100)).toEqual({ last: [9], seen: [1, 2, 4], doubled: [2, 4, 8], dims: [3, 1] })
  })

  it("ends with its condition", async () => {
    expect(await count(1, 100, 5)).toMatchObject({ last: [9], seen: [1, 2, 4] })
  })

  it("may run no round at all", async () => {
    expect(await count(1, 0, 100)).toEqual({ last: [1], seen: [], doubled: [], dims: [0, 1] })
    expect(await count(1, 3, 100, false)).toMatchObject({ last: [1], seen: [] })
  })
})
