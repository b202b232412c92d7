/** Every operator of every graph, with the types that it is given, has a kernel on CUDA: see the table's own note. */
import { fromBinary } from "@bufbuild/protobuf"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { generateGraph } from "../../src/kernels/generate.ts"
import type { Graph } from "../../src/kernels/graph/graph.ts"
import { type GraphProto, ModelProtoSchema, type NodeProto } from "../../src/kernels/graph/onnx_pb.ts"
import { adapterInputs, adapterParameters, type LoraConfig, loraTargets } from "../../src/kernels/lora.ts"
import { gradientGraph, scoreGraph } from "../../src/kernels/train.ts"
import { parameters, type TransformerConfig, weightInputs } from "../../src/kernels/transformer.ts"

interface Kernel {
  readonly since: number
  readonly inputs: ReadonlyArray<ReadonlyArray<string>>
}
const { kernels }: { readonly kernels: Readonly<Record<string, Kernel>> } = JSON.parse(
  readFileSync(`${import.meta.dirname}/../vectors/cuda-kernels.json`, "utf8")
)

const typeNames: Readonly<Record<number, string>> = {
  1: "float",
  2: "uint8",
  6: "int32",
  7: "int64",
  9: "bool",
  10: "float16",
  16: "bfloat16"
}
const nameOf = (type: number): string => typeNames[type] ?? `type ${type}`
const opset = 21

const bools = new Set(["Equal", "Greater", "LessOrEqual"])

/** The types of a node's outputs. */
const outputTypes = (node: NodeProto, inputs: ReadonlyArray<string>): ReadonlyArray<string> => {
  const attribute = (name: string) => node.attribute.find((each) => each.name === name)
  if (node.opType === "Cast") return [nameOf(Number(attribute("to")!.i))]
  if (node.opType === "Shape") return ["int64"]
  if (node.opType === "ConstantOfShape") return [nameOf(attribute("value")?.t?.dataType ?? 1)]
  if (bools.has(node.opType)) return ["bool"]
  if (node.opType === "Where") return [inputs[1]!]
  if (node.opType === "Loop") {
    // Behind the condition: what is carried, then what is put out.
    const body = attribute("body")!.g!
    const types = typesOf(body, known)
    return body.output.slice(1).map(({ name }) => types.get(name)!)
  }
  return node.output.map(() => inputs[0]!)
}

/** Of all values seen so far: names are unique in a graph and its bodies. */
let known = new Map<string, string>()
let found: Array<string> = []

const typesOf = (graph: GraphProto, outer: ReadonlyMap<string, string>): ReadonlyMap<string, string> => {
  const types = new Map(outer)
  for (const { name, type } of graph.input) {
    if (type?.value.case === "tensorType") types.set(name, nameOf(type.value.value.elemType))
  }
  for (const { dataType, name } of graph.initializer) types.set(name, nameOf(dataType))
  for (const node of graph.node) {
    const inputs = node.input.map((name) => (name === "" ? "" : types.get(name)!))
    const full = node.domain === "" ? node.opType : `${node.domain}:${node.opType}`
    known = types
    const lacking = lack(full, inputs)
    if (lacking !== undefined) found.push(lacking)
    outputTypes(node, inputs).forEach((type, i) => types.set(node.output[i]!, type))
  }
  return types
}

const lack = (name: string, inputs: ReadonlyArray<string>): string | undefined => {
  const kernel = kernels[name]
  if (kernel === undefined) return `${name} has no kernel`
  if (kernel.since > opset) return `${name} has a kernel since opset ${kernel.since} only`
  const wrong = inputs.findIndex((type, i) => {
    const taken = kernel.inputs[Math.min(i, kernel.inputs.length - 1)]!
    return type !== "" && !taken.includes(type)
  })
  return wrong < 0 ? undefined : `${name} takes no ${inputs[wrong]} as input ${wrong}`
}

/** What lacks a kernel. */
const lacking = (model: Uint8Array): ReadonlyArray<string> => {
  found = []
  typesOf(fromBinary(ModelProtoSchema, model).graph!, new Map())
  return found
}

const shape = { vocabularySize: 64, hiddenSize: 32, innerSize: 48, layers: 2, heads: 4, keyValueHeads: 2, headSize: 8 }
const common = { ...shape, maxPositions: 64, epsilon: 1e-6, ropeTheta: 1000 }
const configs: ReadonlyArray<TransformerConfig> = [
  { ...common, family: "qwen3", tied: true },
  { ...common, family: "qwen2", tied: false },
  { ...common, family: "llama", tied: true, keyValueHeads: 4 }
]
const lora: LoraConfig = { rank: 2, alpha: 4, targets: loraTargets }

describe.each(configs.map((config) => [config.family, config] as const))("%s", (_, config) => {
  const plain = (graph: Graph) => weightInputs(graph, config)
  const adapted = (graph: Graph) => new Map([...plain(graph), ...adapterInputs(graph, config, lora)])
  const all = parameters(config).map(({ name }) => name)
  const adapters = adapterParameters(config, lora).map(({ name }) => name)
  const blocks = [
    {},
    { few: true },
    { blocks: true },
    { recompute: true },
    { few: true, blocks: true, recompute: true }
  ]

  it.each(["S", 1] as const)("generation, %s samples of a prompt", (samples) => {
    expect(lacking(generateGraph(config, plain, samples))).toEqual([])
    expect(lacking(generateGraph(config, adapted, samples))).toEqual([])
  })

  it.each(blocks)("scoring and gradients, %j", (options) => {
    expect(lacking(scoreGraph(config, plain, options))).toEqual([])
    expect(lacking(gradientGraph(config, plain, all, options))).toEqual([])
    expect(lacking(gradientGraph(config, adapted, adapters, options))).toEqual([])
  })
})

it("an operator or a type without a kernel is found", () => {
  expect(lack("Erfinv", ["float"])).toBe("Erfinv has no kernel")
  expect(lack("Where", ["bool", "bool", "bool"])).toBe("Where takes no bool as input 1")
  expect(lack("LogSoftmax", ["bfloat16"])).toBe("LogSoftmax takes no bfloat16 as input 0")
})
