/**
 * Tries one device: multiplies matrices on it and says how that went in one line of JSON.
 *
 * Started as a process of its own by `constellate doctor` and for `--device`, since a provider whose libraries do not fit
 * may end the process that loads it.
 */
import { InferenceSession, Tensor } from "onnxruntime-node"
import { readDevices, sessionOptions } from "../kernels/device.ts"
import { Graph } from "../kernels/graph/graph.ts"

export interface Trial {
  readonly works: boolean
  /** Why not; empty where it works. */
  readonly reason: string
  /** For `products` products of `[size, size]` matrices, the least of three times; only where it works. */
  readonly millis?: number
}

const size = 256
const products = 4

/** The sum of each column of `x` times twice the unit matrix, again and again. */
const graphBytes = (): Uint8Array => {
  const graph = new Graph()
  const x = graph.input("x", "float32", [size, size])
  const twice = graph.input("twice", "float32", [size, size])
  let product = x
  for (let i = 0; i < products; i++) product = graph.matMul(product, twice)
  graph.output(graph.sum(product, 0), "sums")
  return graph.serialize()
}

const attempt = async (name: string): Promise<Trial> => {
  const [device] = readDevices(name)!
  try {
    const session = await InferenceSession.create(graphBytes(), { ...sessionOptions(device, 1), logSeverityLevel: 3 })
    const twice = new Float32Array(size * size)
    for (let i = 0; i < size; i++) twice[i * size + i] = 2
    const feeds = {
      x: new Tensor("float32", new Float32Array(size * size).fill(0.5), [size, size]),
      twice: new Tensor("float32", twice, [size, size])
    }
    const expected = size * 0.5 * 2 ** products
    let millis = Number.POSITIVE_INFINITY
    // The first run compiles.
    for (let i = 0; i < 4; i++) {
      const started = performance.now()
      const { sums } = await session.run(feeds)
      if (i > 0) millis = Math.min(millis, performance.now() - started)
      const wrong = (sums!.data as Float32Array).find((sum) => Math.abs(sum - expected) > 1e-3 * expected)
      if (wrong !== undefined) return { works: false, reason: `a sum of ${expected} came out as ${wrong}` }
    }
    return { works: true, reason: "", millis: Math.round(1000 * millis) / 1000 }
  } catch (error) {
    return { works: false, reason: error instanceof Error ? error.message : String(error) }
  }
}

console.log(JSON.stringify(await attempt(process.argv[2] ?? "cpu")))
// Some providers leave threads behind that would keep the process.
process.exit(0)
