/**
 * Tries one onnxruntime provider: opens a tiny session on it, runs it and says how that went in one line of JSON.
 *
 * Started as a process of its own by `constellate doctor`, since a provider whose libraries do not fit may end the
 * process that loads it.
 */
import { InferenceSession, Tensor } from "onnxruntime-node"
import { Graph } from "../kernels/graph/graph.ts"

export interface Trial {
  readonly works: boolean
  /** Why not; empty where it works. */
  readonly reason: string
}

const doubled = (): Uint8Array => {
  const graph = new Graph()
  const x = graph.input("x", "float32", [2, 2])
  graph.output(graph.matMul(x, graph.constant(Float32Array.of(2, 0, 0, 2), [2, 2])), "y")
  return graph.serialize()
}

const attempt = async (provider: string): Promise<Trial> => {
  try {
    const session = await InferenceSession.create(doubled(), { executionProviders: [provider], logSeverityLevel: 3 })
    const { y } = await session.run({ x: new Tensor("float32", Float32Array.of(1, 2, 3, 4), [2, 2]) })
    const right = String(y?.data) === "2,4,6,8"
    return { works: right, reason: right ? "" : `two times [1,2,3,4] came out as [${String(y?.data)}]` }
  } catch (error) {
    return { works: false, reason: error instanceof Error ? error.message : String(error) }
  }
}

console.log(JSON.stringify(await attempt(process.argv[2] ?? "cpu")))
// Some providers leave threads behind that would keep the process.
process.exit(0)
