/**
 * How close generation, scoring and training come to the matrix products that they cannot do without.
 *
 * The limit of a row runs, in the same process and in turns with it, nothing but the products of the model's linear
 * layers on the same shapes: no attention, norms, softmax or sampling. Its weights are rearranged once (prepacked) where
 * the model's are. Times are the thread's processor time, the lower quartile of the repeats, so that neighbours on the
 * machine count little; one thread. The exit code is 1 where an aim is missed.
 *
 *     npm run bench -- kernels
 */
import * as ort from "onnxruntime-node"
import { adamWState, adamWStep } from "../src/kernels/adamw.ts"
import { Graph, type Value } from "../src/kernels/graph/graph.ts"
import { initialize } from "../src/kernels/initialize.ts"
import { openModel } from "../src/kernels/model.ts"
import { stream } from "../src/kernels/random.ts"
import {
  parameterCount,
  parameters,
  type TransformerConfig,
  weightConstants,
  weightInputs
} from "../src/kernels/transformer.ts"
import { millisOf } from "./processor-time.ts"

const family = { family: "qwen3", epsilon: 1e-6, ropeTheta: 10_000, maxPositions: 512, tied: true } as const
const shape = (
  ...sizes: readonly [
    hidden: number,
    inner: number,
    layers: number,
    heads: number,
    keyValueHeads: number,
    head: number,
    vocabulary: number
  ]
) => {
  const [hiddenSize, innerSize, layers, heads, keyValueHeads, headSize, vocabularySize] = sizes
  return { ...family, hiddenSize, innerSize, layers, heads, keyValueHeads, headSize, vocabularySize }
}

type Work = () => Promise<unknown>

/** One row of the table; `aim` is the least ratio of limit to time that we want. */
interface Row {
  readonly what: string
  readonly tokens: number
  readonly limit: Work
  readonly work: Work
  readonly aim?: number
}

const { uniform, int, normal } = stream("bench")
const several = <A>(count: number, make: (i: number) => A): Array<A> => Array.from({ length: count }, (_, i) => make(i))

// ---- the limit

const randomTensor = (dims: ReadonlyArray<number>) =>
  new ort.Tensor("float32", Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, normal), dims)

/** A graph under construction that makes up its inputs: `given(rows, size)` is one matrix of that shape. */
const limitGraph = (config: TransformerConfig, flat: Float32Array, prepacked: boolean) => {
  const graph = new Graph()
  const feeds: Record<string, ort.Tensor> = {}
  const weights = prepacked ? weightConstants(graph, config, flat) : weightInputs(graph, config)
  if (!prepacked)
    for (const { name, shape, offset, size } of parameters(config))
      feeds[name] = new ort.Tensor("float32", flat.subarray(offset, offset + size), shape)
  const matrices = new Map<string, Value>()
  const given = (rows: number, size: number): Value => {
    const name = `given_${rows}_${size}`
    const known = matrices.get(name)
    if (known !== undefined) return known
    const made = graph.input(name, "float32", [rows, size])
    feeds[name] = randomTensor([rows, size])
    matrices.set(name, made)
    return made
  }
  const layers = parameters(config)
    .filter(({ name }) => name.endsWith("_proj.weight"))
    .map(({ name }) => weights.get(name)!)
  const table = weights.get("model.embed_tokens.weight")!
  const open = async (): Promise<Work> => {
    const session = await ort.InferenceSession.create(graph.serialize(), {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      graphOptimizationLevel: "basic",
      enableMemPattern: false,
      extra: { session: { intra_op: { allow_spinning: "0" } } }
    })
    return () => session.run(feeds)
  }
  return { graph, given, layers, table, open, feeds }
}

/** Asks for a product without carrying it out of the graph: its first element. */
const touch = (graph: Graph, product: Value): Value => graph.slice(graph.slice(product, 0, 0, 1), 1, 0, 1)

/** Reads `prompts` of `length` tokens and decodes `rounds` times `rows` tokens. */
const generationLimit = async (
  config: TransformerConfig,
  flat: Float32Array,
  {
    prompts,
    length,
    rows,
    rounds
  }: { readonly prompts: number; readonly length: number; readonly rows: number; readonly rounds: number }
) => {
  const { graph, given, layers, table, open, feeds } = limitGraph(config, flat, true)
  const products = (g: Graph, count: number) =>
    layers.map((weight) => g.matMul(given(count, weight.shape[1] as number), weight, { transB: true }))
  const read = products(graph, prompts * length)
  const logits = graph.matMul(given(prompts, config.hiddenSize), table, { transB: true })
  const going = graph.input("going", "bool", [])
  feeds["going"] = new ort.Tensor("bool", [true], [])
  const shapes = [...layers, table].map((weight) => [rows, weight.shape[0]!])
  const { carried } = graph.loop(
    graph.constant(BigInt64Array.of(BigInt(rounds)), []),
    going,
    shapes.map((dims) => ({ value: graph.zeros(dims), shape: dims })),
    (body) => ({
      condition: going,
      carried: [...products(body, rows), body.matMul(given(rows, config.hiddenSize), table, { transB: true })],
      emitted: []
    })
  )
  const touched = [...read, logits, ...carried].map((product) => touch(graph, product))
  graph.output(graph.concat(touched, 0), "touched")
  return open()
}

/** Forward products of `rows` tokens, `selected` of which reach the table; with `backward` also those of both gradients. */
const sequenceLimit = async (
  config: TransformerConfig,
  flat: Float32Array,
  rows: number,
  selected: number,
  backward: boolean
) => {
  const { graph, given, layers, table, open } = limitGraph(config, flat, false)
  const touched: Array<Value> = []
  for (const [count, weight] of [...layers.map((layer) => [rows, layer] as const), [selected, table] as const]) {
    const [outSize, inSize] = weight.shape as [number, number]
    const products = [graph.matMul(given(count, inSize), weight, { transB: true })]
    if (backward) {
      products.push(graph.matMul(given(count, outSize), weight))
      products.push(graph.matMul(given(count, outSize), given(count, inSize), { transA: true }))
    }
    touched.push(...products.map((product) => touch(graph, product)))
  }
  graph.output(graph.concat(touched, 0), "touched")
  return open()
}

// ---- the model

interface Aims {
  readonly short: number
  readonly long: number
  readonly single: number
  readonly score: number
  readonly train: number
}

const rowsOf = async (config: TransformerConfig, longNew: number, aims?: Aims): Promise<Array<Row>> => {
  const flat = initialize(config, "bench")
  const model = openModel(config)
  const constant = openModel(config, { generateFrom: "constants" })
  const tokens = (count: number) => several(count, () => int(0, config.vocabularySize - 1))
  const aim = (name: keyof Aims) => (aims === undefined ? {} : { aim: aims[name] })

  const generation = async (
    prompts: number,
    samples: number,
    length: number,
    fresh: number,
    generateFrom: typeof model
  ) => {
    const rows = several(prompts, () => tokens(length)).flatMap((prompt) =>
      several(samples, () => ({ prompt, uniforms: several(fresh, uniform) }))
    )
    return {
      tokens: rows.length * fresh,
      work: () => generateFrom.generate(flat, rows, { temperature: 1, end: -1 }),
      limit: await generationLimit(config, flat, { prompts, length, rows: rows.length, rounds: fresh - 1 })
    }
  }
  const sequences = (count: number, length: number, selected: number) =>
    several(count, () => ({
      tokens: tokens(length),
      positions: several(selected, (i) => length - selected + i),
      weights: several(selected, normal)
    }))
  const scoring = async (count: number, length: number, selected: number) => {
    const rows = sequences(count, length, selected)
    return {
      tokens: count * length,
      work: () => model.score(flat, rows, { temperature: 1 }),
      limit: await sequenceLimit(config, flat, count * length, count * selected, false)
    }
  }
  const training = async (count: number, length: number, selected: number) => {
    const rows = sequences(count, length, selected)
    return {
      tokens: count * length,
      work: () => model.gradient(flat, rows, { temperature: 1 }),
      limit: await sequenceLimit(config, flat, count * length, count * selected, true)
    }
  }

  if (aims === undefined)
    return [
      { what: "generation, 64 prompts of 48, 2 new", ...(await generation(64, 1, 48, 2, model)) },
      { what: "generation, 64 prompts of 112, 2 new", ...(await generation(64, 1, 112, 2, model)) },
      { what: "generation, 8 prompts of 48, 2 new", ...(await generation(8, 1, 48, 2, model)) },
      { what: "generation, 8 prompts of 48 x 8, 2 new", ...(await generation(8, 8, 48, 2, model)) },
      { what: "generation, 64 prompts of 64, 10 new", ...(await generation(64, 1, 64, 10, model)) },
      { what: "scoring, 24 x 96, 10 of each", ...(await scoring(24, 96, 10)) },
      { what: "gradient, 24 x 96, 10 of each", ...(await training(24, 96, 10)) },
      { what: "gradient, 8 x 96, 10 of each", ...(await training(8, 96, 10)) }
    ]
  return [
    { what: "generation, 8 prompts of 16 x 8, 64 new", ...(await generation(8, 8, 16, 64, constant)), ...aim("short") },
    { what: "  the same, weights as inputs", ...(await generation(8, 8, 16, 64, model)) },
    {
      what: `generation, 8 prompts of 128 x 8, ${longNew} new`,
      ...(await generation(8, 8, 128, longNew, constant)),
      ...aim("long")
    },
    { what: "  the same, weights as inputs", ...(await generation(8, 8, 128, longNew, model)) },
    { what: "generation, 1 prompt of 16, 64 new", ...(await generation(1, 1, 16, 64, constant)), ...aim("single") },
    { what: "  the same, weights as inputs", ...(await generation(1, 1, 16, 64, model)) },
    { what: "scoring, 16 x 128", ...(await scoring(16, 128, 127)), ...aim("score") },
    { what: "gradient, 4 x 128", ...(await training(4, 128, 127)), ...aim("train") },
    { what: "gradient, 8 x 128", ...(await training(8, 128, 127)), ...aim("train") }
  ]
}

// ---- measuring

const lowerQuartile = (numbers: ReadonlyArray<number>): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 2]!

const repeats = 12
let missed = 0

const print = (name: string, what: string, numbers: string, aim: string) =>
  console.log(`${name.padEnd(6)} ${what.padEnd(42)} ${numbers} ${aim}`)

const judge = (holds: boolean): string => {
  if (!holds) missed++
  return holds ? "reached" : "missed"
}

const measure = async (name: string, rows: ReadonlyArray<Row>) => {
  for (const row of rows) {
    await row.work()
    await row.limit()
    const [limits, times]: [Array<number>, Array<number>] = [[], []]
    // Short work is repeated so that a measurement lasts some milliseconds.
    const times10 = Math.max(1, Math.ceil(10 / (await millisOf(row.work))))
    const again = (work: Work) => async () => {
      for (let i = 0; i < times10; i++) await work()
    }
    for (let i = 0; i < repeats; i++) {
      limits.push((await millisOf(again(row.limit))) / times10)
      times.push((await millisOf(again(row.work))) / times10)
    }
    const [limit, time] = [lowerQuartile(limits), lowerQuartile(times)]
    const ratio = limit / time
    const numbers = `${limit.toFixed(2).padStart(8)} ${time.toFixed(2).padStart(8)} ${Math.round(
      (1000 * row.tokens) / time
    )
      .toString()
      .padStart(8)} ${ratio.toFixed(2).padStart(6)}`
    print(name, row.what, numbers, row.aim === undefined ? "" : ` ${row.aim.toFixed(2)} ${judge(ratio >= row.aim)}`)
  }
}

/** Thousands of policy versions: what a call pays for weights it has not seen, and what stays in memory. */
const publishing = async (name: string, config: TransformerConfig) => {
  const flat = initialize(config, "bench")
  const model = openModel(config)
  const rows = several(16, () => ({
    prompt: several(32, () => int(0, config.vocabularySize - 1)),
    uniforms: several(2, uniform)
  }))
  const generate = (weights: Float32Array) => model.generate(weights, rows, { temperature: 1, end: -1 })
  const versions = 2000
  const [same, fresh]: [Array<number>, Array<number>] = [[], []]
  let before = 0
  for (let i = 0; i < versions; i++) {
    if (i === versions / 4) before = process.memoryUsage().rss
    const next = new Float32Array(flat)
    const started = performance.now()
    await generate(next)
    const between = performance.now()
    await generate(next)
    fresh.push(between - started)
    same.push(performance.now() - between)
  }
  const grown = (process.memoryUsage().rss - before) / 2 ** 20
  const published = (0.75 * versions * flat.byteLength) / 2 ** 20
  const [old, young] = [lowerQuartile(same), lowerQuartile(fresh)]
  const numbers = `${old.toFixed(2).padStart(8)} ${young.toFixed(2).padStart(8)} ${"".padStart(8)} ${(old / young).toFixed(2).padStart(6)}`
  print(name, "generation with a new version each call", numbers, ` 0.90 ${judge(old / young >= 0.9)}`)
  print(
    name,
    `MiB kept of ${Math.round(published)} MiB of versions`,
    grown.toFixed(1).padStart(17),
    `             ${Math.round(published / 20)} ${judge(grown <= published / 20)}`
  )
}

console.log("shape  what                                       limit ms       ms tokens/s  ratio   aim")
const small = shape(192, 512, 5, 6, 3, 32, 512)
await measure(
  "tiny",
  await rowsOf(shape(128, 256, 3, 4, 2, 32, 512), 64, { short: 0.4, long: 0.3, single: 0.45, score: 0.65, train: 0.55 })
)
await measure("small", await rowsOf(small, 128, { short: 0.5, long: 0.35, single: 0.5, score: 0.75, train: 0.65 }))
const spark: TransformerConfig = { ...shape(64, 192, 4, 4, 4, 16, 310), family: "llama", ropeTheta: 1000 }
await measure("spark", await rowsOf(spark, 64))

await publishing("spark", spark)

const size = parameterCount(small)
const [weights, gradient, next] = [
  initialize(small, "bench"),
  Float32Array.from({ length: size }, normal),
  new Float32Array(size)
]
const state = adamWState(size)
const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipNorm: 1 }
const steps = []
for (let i = 0; i < repeats; i++)
  steps.push(await millisOf(async () => adamWStep(weights, gradient, state, options, next)))
const nanos = (1e6 * lowerQuartile(steps)) / size
print("small", "optimizer, ns a parameter", nanos.toFixed(2).padStart(17), `              5.00 ${judge(nanos <= 5)}`)
process.exitCode = missed > 0 ? 1 : 0
