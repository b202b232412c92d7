/**
 * A transformer that runs: the three graphs behind plain arrays.
 *
 * Sessions live on the thread that made them and `run` blocks it, so a model belongs into a worker and carries out one
 * call after the other. Weights are inputs, views of one flat vector that may lie in shared memory: a new policy version
 * costs nothing but the numbers. They are told apart by identity, so a vector once used must not change.
 *
 * Sequences are padded to a multiple of `lengthGrid` that depends on the longest only; whoever wants results that do
 * not depend on the batch hands in sequences of one grid length. One thread and at least two rows: with a single row
 * onnxruntime takes another kernel, with other rounding.
 */
import { randomUUID } from "node:crypto"
import { rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as ort from "onnxruntime-node"
import { cpu, type Device, sessionOptions } from "./device.ts"
import { generateGraph, type Reading } from "./generate.ts"
import { blockSize, hiddenScore } from "./graph/blocks.ts"
import type { Graph } from "./graph/graph.ts"
import { adapterInputs, adapterParameters, type Frozen } from "./lora.ts"
import { type BlockShape, layBlocks, Prefixes, takeBlock } from "./prefixes.ts"
import { type GraphOptions, gradientGraph, scoreGraph } from "./train.ts"
import {
  heightOf,
  type Parameter,
  parameterCount,
  parameters,
  type StoredWeights,
  type TransformerConfig,
  weightConstants,
  weightInputs,
  weightsInFile,
  type Weights
} from "./transformer.ts"

/** Padded lengths are multiples of this. Sums over keys run in blocks that this divides. */
export const lengthGrid = 16

/**
 * From this many parameters on, stored weights stay as they are in their file. Arranged for speed they would lie in memory
 * once for reading prompts and once for decoding, beside the file; small batches pay for that with half of their speed.
 */
export const largeModel = 50_000_000

/** Padded tokens that are scored in one run: what stays in the processor's cache is fastest. */
const scoredAtOnce = 1536

/** Longer sequences have their attention worked out in blocks, and are padded to whole ones. */
const longSequence = 512

/** What a run costs by itself, in tokens that are read. */
const runTokens = 128

/** With more logits than these, 256 MiB, log-probabilities are worked out in blocks. */
const manyLogits = 2 ** 26

const gridOf = (length: number): number => (length > longSequence ? blockSize : lengthGrid)

/** The length to which a sequence of that many tokens is padded. */
export const paddedLength = (length: number): number => Math.ceil(length / gridOf(length)) * gridOf(length)

const longestOf = (sequences: ReadonlyArray<ReadonlyArray<number>>): number =>
  sequences.reduce((longest, { length }) => Math.max(longest, length), 1)

/** Rows with equal prompts have it read once; what they get does not change by that. */
export interface GenerateRow {
  readonly prompt: ReadonlyArray<number>
  /** Uniforms in [0, 1), one for each token that may be sampled; their number is the cap. */
  readonly uniforms: ReadonlyArray<number>
  /** Another prompt may go on from this one: what was read of it is kept, within `ModelOptions.keptBytes`. */
  readonly goesOn?: boolean | undefined
}

export interface Generated {
  /** With the end token, if it was sampled. */
  readonly tokens: ReadonlyArray<number>
  readonly logprobs: ReadonlyArray<number>
}

/** A sequence with the tokens whose log-probability is asked: those at `positions`, each at least 1. */
export interface ScoreRow {
  readonly tokens: ReadonlyArray<number>
  readonly positions: ReadonlyArray<number>
  /** Of several sequences in one (see `shareStems`). */
  readonly branching?: RowBranching | undefined
}

/** A stem and the branches behind it, which do not see each other. */
export interface RowBranching {
  /** Where each token stands in its own sequence. */
  readonly places: ReadonlyArray<number>
  /** 0 for the stem, else the number of the branch. */
  readonly branches: ReadonlyArray<number>
  /** For each of the `positions` the index of the token before it. */
  readonly before: ReadonlyArray<number>
}

export interface GradientRow extends ScoreRow {
  /** By how much each of the `positions` counts. */
  readonly weights: ReadonlyArray<number>
}

export interface Model {
  readonly generate: (
    weights: Float32Array,
    rows: ReadonlyArray<GenerateRow>,
    options: { readonly temperature: number; readonly end: number }
  ) => Promise<ReadonlyArray<Generated>>
  readonly score: (
    weights: Float32Array,
    rows: ReadonlyArray<ScoreRow>,
    options: { readonly temperature: number }
  ) => Promise<ReadonlyArray<ReadonlyArray<number>>>
  /** The gradient of the weighted sum of log-probabilities, and the log-probabilities. */
  readonly gradient: (
    weights: Float32Array,
    rows: ReadonlyArray<GradientRow>,
    options: { readonly temperature: number }
  ) => Promise<{ readonly gradient: Float32Array; readonly logprobs: ReadonlyArray<ReadonlyArray<number>> }>
  readonly release: () => Promise<void>
}

export interface ModelOptions {
  /** Of the processor; default 1. */
  readonly threads?: number | undefined
  /** Default the processor. */
  readonly device?: Device
  /**
   * `inputs` (default): any weights at any time. `constants`: weights that stay, as in evaluation and serving; the runtime
   * rearranges them once, which makes small batches up to twice as fast, but other weights cost a new session.
   */
  readonly generateFrom?: "inputs" | "constants"
  /** With it, the weights that calls hand in are those of adapters on this base, and gradients are theirs. */
  readonly frozen?: Frozen | undefined
  /**
   * For what was read of prompts that others go on from: these read the rest only and get the same bits. Default 0; on
   * the processor only.
   */
  readonly keptBytes?: number | undefined
  /** Gradients keep each layer's input only and make the rest anew: less memory, a third more work; default false. */
  readonly recompute?: boolean | undefined
  /**
   * Weights that stay and that the runtime maps from a file, for models that should lie in memory once. The base of
   * `frozen` is then not read; without adapters calls hand in an empty vector and there is no gradient.
   */
  readonly stored?: StoredWeights | undefined
}

/**
 * Lays out rows as P prompts of S samples each, so that rows of one prompt share its keys and values. S is chosen so that
 * the fewest tokens go through the network.
 *
 * @returns the prompts, one for each block of S slots, and the slot of each row
 */
const sharePrompts = (rows: ReadonlyArray<GenerateRow>, maxTokens: number, fewest: number) => {
  const groups = new Map<string, Array<number>>()
  rows.forEach(({ prompt }, r) => {
    const key = Buffer.from(Int32Array.from(prompt).buffer).toString("latin1")
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [r])
    else group.push(r)
  })
  const members = [...groups.values()]
  const length = rows.reduce((longest, { prompt }) => Math.max(longest, prompt.length), 1)
  const blocks = (S: number) => members.reduce((sum, group) => sum + Math.ceil(group.length / S), 0)
  const cost = (S: number) => Math.max(fewest, blocks(S)) * (length + S * maxTokens)
  const most = members.reduce((largest, group) => Math.max(largest, group.length), 1)
  let samples = 1
  for (let S = 2; S <= most; S++) if (cost(S) < cost(samples)) samples = S
  const prompts: Array<ReadonlyArray<number>> = []
  const slots = new Int32Array(rows.length)
  for (const group of members) {
    group.forEach((row, i) => {
      if (i % samples === 0) prompts.push(rows[row]!.prompt)
      slots[row] = (prompts.length - 1) * samples + (i % samples)
    })
  }
  return { prompts, samples, slots }
}

/** Rows of one run, of whose prompts the first `past` positions were read before. */
interface Run {
  readonly past: number
  readonly rows: ReadonlyArray<number>
}

/**
 * Deals rows to runs. In a run all prompts are read from the same position on; a run of their own for those of which
 * more is known has its price too.
 *
 * @param known  of each row, the positions that were read before
 * @param length to which prompts are padded
 */
export const readings = (
  known: ReadonlyArray<number>,
  length: number,
  rows = [...known.keys()]
): ReadonlyArray<Run> => {
  const split = (past: number) => Map.groupBy(rows, (row) => known[row]! >= past)
  const cost = (past: number) => {
    const [more, less] = [split(past).get(true) ?? [], split(past).get(false) ?? []]
    return more.length * (length - past) + less.length * length + (less.length > 0 ? runTokens : 0)
  }
  let best = 0
  for (const past of new Set(known)) if (cost(past) < cost(best)) best = past
  const rest = split(best).get(false)
  const first = { past: best, rows: split(best).get(true)! }
  return rest === undefined ? [first] : [first, ...readings(known, length, rest)]
}

/** Opens a graph whose weights lie in a file: the runtime finds them beside the file that the graph comes from. */
const openBeside = async (
  { folder }: StoredWeights,
  graph: Uint8Array,
  settings: ort.InferenceSession.SessionOptions
): Promise<ort.InferenceSession> => {
  const path = join(folder, `${randomUUID()}.onnx`)
  await writeFile(path, graph)
  try {
    return await ort.InferenceSession.create(path, settings)
  } finally {
    await rm(path)
  }
}

/** Leaves weights as they are in their file: nothing is copied, at the price of speed in small batches. */
const unarranged = (settings: ort.InferenceSession.SessionOptions): ort.InferenceSession.SessionOptions => ({
  ...settings,
  extra: { session: { ...(settings.extra?.["session"] as object), disable_prepacking: "1" } }
})

/** Builds the graphs and their sessions; each is made when it is first used. */
export const openModel = (config: TransformerConfig, options: ModelOptions = {}): Model => {
  const {
    device = cpu,
    frozen,
    generateFrom = "inputs",
    keptBytes = 0,
    recompute = false,
    stored,
    threads = 1
  } = options
  /** What the flat vectors hold that callers hand in and get back. */
  const own = stored === undefined ? parameters(config) : []
  const trained = frozen === undefined ? own : adapterParameters(config, frozen.lora)
  // Matrices in bytes are small enough to be arranged.
  const inPlace = parameterCount(config) >= largeModel && stored?.quantised !== true
  const blockShape: BlockShape = { height: heightOf(config), headSize: config.headSize, tokens: lengthGrid }
  const reuses = keptBytes > 0 && device.provider === "cpu" && stored?.quantised !== true
  const prefixes = reuses ? new Prefixes(blockShape, keptBytes) : undefined
  const sessions = new Map<string, Promise<ort.InferenceSession>>()
  const session = (name: string, build: () => Uint8Array): Promise<ort.InferenceSession> => {
    const settings = sessionOptions(device, threads)
    const known =
      sessions.get(name) ??
      (stored === undefined
        ? ort.InferenceSession.create(build(), settings)
        : openBeside(stored, build(), name.startsWith("generate") && !inPlace ? settings : unarranged(settings)))
    sessions.set(name, known)
    return known
  }
  const withAdapters = (graph: Graph, base: Weights): Weights =>
    frozen === undefined ? base : new Map([...base, ...adapterInputs(graph, config, frozen.lora)])
  const weightsOf = (graph: Graph) =>
    withAdapters(graph, stored === undefined ? weightInputs(graph, config) : weightsInFile(graph, config, stored))

  // The processor's products with rearranged weights know no other kernel for a single row.
  const arranged = generateFrom === "constants" || (stored !== undefined && !inPlace)
  const fewest = arranged && device.provider === "cpu" && frozen === undefined ? 1 : 2
  // Reading a prompt a second time only to have two of them would double what is most of the work in a large model.
  const lone = stored !== undefined && inPlace
  let baked: Float32Array | undefined
  /** Where no prompt has several samples, a graph that knows it spares moving data. */
  const generating = async (
    weights: Float32Array,
    samples: number,
    { blocks, reuse }: { readonly blocks: boolean; readonly reuse: boolean }
  ): Promise<ort.InferenceSession> => {
    // Of stored weights each session would hold a copy, arranged for speed.
    const S = samples === 1 && stored === undefined ? 1 : "S"
    const name = `generate ${S}${blocks ? " blocks" : ""}${reuse ? " reuse" : ""}`
    const reading: Reading = { blocks, reuse, asked: lone ? 2 : 1 }
    if (generateFrom === "inputs" || stored !== undefined)
      return session(name, () => generateGraph(config, weightsOf, S, reading))
    const base = frozen?.base ?? weights
    if (baked !== base) {
      baked = base
      await release((opened) => opened.startsWith("generate"))
    }
    return session(name, () =>
      generateGraph(config, (graph) => withAdapters(graph, weightConstants(graph, config, base)), S, reading)
    )
  }
  const release = async (which: (name: string) => boolean) => {
    for (const [name, opened] of [...sessions].filter(([name]) => which(name))) {
      sessions.delete(name)
      await (await opened).release()
    }
  }

  // Tensors are views: made once for each flat vector, and renewed when another version's vector comes.
  const viewsOf = (of: ReadonlyArray<Parameter>, flat: Float32Array): Record<string, ort.Tensor> =>
    Object.fromEntries(
      of.map(({ name, shape, offset, size }) => [
        name,
        new ort.Tensor("float32", flat.subarray(offset, offset + size), shape)
      ])
    )
  const base = frozen === undefined || stored !== undefined ? {} : viewsOf(parameters(config), frozen.base)
  let viewed: Float32Array | undefined
  let views: Record<string, ort.Tensor> = {}
  const feeds = (weights: Float32Array) => {
    if (viewed !== weights) {
      viewed = weights
      views = { ...base, ...viewsOf(trained, weights) }
    }
    return views
  }

  const grid = (sequences: ReadonlyArray<ReadonlyArray<number>>, fewest: number, length: number) => {
    const rows = Math.max(fewest, sequences.length)
    const data = new Int32Array(rows * length)
    sequences.forEach((sequence, row) => data.set(sequence, row * length))
    return { rows, length, tokens: new ort.Tensor("int32", data, [rows, length]) }
  }

  // So small that the most probable token takes all of the probability.
  const scalar = (temperature: number) =>
    new ort.Tensor("float32", Float32Array.of(1 / Math.max(temperature, 1e-6)), [])

  const checkWhole = () => {
    if (stored?.quantised === true) throw new Error("matrices in bytes generate, and neither score nor train")
  }
  const scoreFeeds = (weights: Float32Array, rows: ReadonlyArray<ScoreRow>, temperature: number) => {
    const M = rows.reduce((sum, { positions }) => sum + positions.length, 0)
    const longest = longestOf(rows.map((row) => row.tokens))
    const blocks = longest > longSequence || M * config.vocabularySize > manyLogits
    /** Numbers of rows as the graph wants them; what is added has weight 0. */
    const filled = (count: number) => (blocks ? Math.ceil(count / blockSize) * blockSize : count)
    const {
      rows: B,
      length,
      tokens
    } = grid(
      rows.map((row) => row.tokens),
      blocks ? 1 : 2,
      filled(paddedLength(longest))
    )
    const fill = (numbers: ReadonlyArray<number>) => {
      const data = new Int32Array(filled(M))
      data.set(numbers)
      return new ort.Tensor("int32", data, [data.length])
    }
    const selected = rows.flatMap((row, i) =>
      (row.branching?.before ?? row.positions.map((at) => at - 1)).map((before) => i * length + before)
    )
    const branching = rows.some((row) => row.branching !== undefined)
    const targets = rows.flatMap((row) => row.positions.map((at) => row.tokens[at]!))
    const R = filled(rows.reduce((most, { positions }) => Math.max(most, positions.length), 2))
    const few = 2 * R < length && !branching
    const name = `${few ? " few" : ""}${blocks ? " blocks" : ""}${branching ? " branching" : ""}`
    const common = {
      ...feeds(weights),
      tokens,
      selected: fill(selected),
      targets: fill(targets),
      inverseTemperature: scalar(temperature)
    }
    const graph: GraphOptions = { few, blocks, branching }
    if (branching) {
      const [places, branches] = [new BigInt64Array(B * length), new Int32Array(B * length)]
      rows.forEach((row, i) => {
        row.tokens.forEach((_, t) => (places[i * length + t] = BigInt(row.branching?.places[t] ?? t)))
        branches.set(row.branching?.branches ?? [], i * length)
      })
      const inputs = {
        ...common,
        places: new ort.Tensor("int64", places, [B, length]),
        branches: new ort.Tensor("int32", branches, [B, length])
      }
      return { name, graph, M: filled(M), inputs }
    }
    if (!few) return { name, graph, M: filled(M), inputs: common }
    const [asked, positions] = [new Int32Array(B * R), new BigInt64Array(B * R)]
    rows.forEach((row, i) =>
      row.positions.forEach((at, r) => {
        asked[i * R + r] = i * length + at - 1
        positions[i * R + r] = BigInt(at - 1)
      })
    )
    const wanted = rows.flatMap((row, i) => row.positions.map((_, r) => i * R + r))
    return {
      name,
      graph,
      M: filled(M),
      inputs: {
        ...common,
        asked: new ort.Tensor("int32", asked, [B, R]),
        positions: new ort.Tensor("int64", positions, [B, R]),
        wanted: fill(wanted)
      }
    }
  }
  const ragged = (rows: ReadonlyArray<ScoreRow>, flat: Float32Array) => {
    let at = 0
    return rows.map(({ positions }) => Array.from(flat.subarray(at, (at += positions.length))))
  }

  /** One run. Of all prompts `past` positions were read before, and `known` holds these of each row. */
  const read = async (
    weights: Float32Array,
    rows: ReadonlyArray<GenerateRow>,
    { temperature, end }: { readonly temperature: number; readonly end: number },
    length: number,
    past: number,
    known: ReadonlyMap<ReadonlyArray<number>, ReadonlyArray<Float32Array>>
  ): Promise<ReadonlyArray<Generated>> => {
    const n = rows.reduce((most, { uniforms }) => Math.max(most, uniforms.length), 1)
    const fewestPrompts = lone ? 1 : fewest
    const { prompts, samples, slots } = sharePrompts(rows, n, fewestPrompts)
    // A session more of stored weights may be a copy more.
    const reuse = prefixes !== undefined && (stored !== undefined || past > 0 || rows.some(({ goesOn }) => goesOn))
    const rest = past === 0 ? prompts : prompts.map((prompt) => prompt.slice(past))
    const { rows: P, length: T, tokens } = grid(rest, fewestPrompts, length - past)
    const S = P === 1 ? Math.max(samples, fewest) : samples
    const B = P * S
    const padding = new Float32Array(P * length)
    const lengths = Int32Array.from({ length: P }, (_, p) => prompts[p]?.length ?? past + 1)
    for (let p = 0; p < P; p++) padding.fill(hiddenScore, p * length + lengths[p]!, (p + 1) * length)
    const limits = new Int32Array(B).fill(1)
    const uniforms = new Float32Array(n * B)
    rows.forEach((row, r) => {
      limits[slots[r]!] = row.uniforms.length
      row.uniforms.forEach((u, i) => {
        // A float32 may round up to 1, which is outside of [0, 1).
        uniforms[i * B + slots[r]!] = Math.min(u, 0.99999994)
      })
    })
    const size = blockShape.height * past * blockShape.headSize
    const before = new Float32Array(P * size)
    if (past > 0)
      prompts.forEach((prompt, p) => layBlocks(blockShape, known.get(prompt)!, past, before.subarray(p * size)))
    const run = await (
      await generating(weights, S, { blocks: T > longSequence, reuse })
    ).run({
      ...(generateFrom === "inputs" ? feeds(weights) : frozen === undefined ? {} : viewsOf(trained, weights)),
      tokens,
      ...(reuse ? { past: new ort.Tensor("float32", before, [P, blockShape.height, past, blockShape.headSize]) } : {}),
      padding: new ort.Tensor("float32", padding, [P, 1, 1, length]),
      last: new ort.Tensor(
        "int32",
        lengths.map((own, p) => p * T + own - past - 1),
        [P]
      ),
      lengths: new ort.Tensor("int32", lengths, [P]),
      uniforms: new ort.Tensor("float32", uniforms, [n, P, S]),
      limits: new ort.Tensor("int32", limits, [B]),
      inverseTemperature: scalar(temperature),
      end: new ort.Tensor("int32", Int32Array.of(end), [])
    })
    const data = (name: string) => run[name]!.data as Int32Array & Float32Array
    if (reuse) {
      const made = run["read"]!.data as Float32Array
      const own = made.length / P
      const goOn = new Set(rows.flatMap(({ goesOn }, r) => (goesOn ? [Math.floor(slots[r]! / samples)] : [])))
      for (const p of goOn) {
        const one = made.subarray(p * own, (p + 1) * own)
        prefixes.keep(weights, prompts[p]!, past, (at) => takeBlock(blockShape, one, T, at))
      }
    }
    const [firstToken, firstProbability] = [data("firstToken"), data("firstProbability")]
    const [laterTokens, laterProbabilities] = [data("laterTokens"), data("laterProbabilities")]
    return rows.map((row, r) => {
      const slot = slots[r]!
      const reply = { tokens: [firstToken[slot]!], logprobs: [Math.log(firstProbability[slot]!)] }
      for (let i = 0; reply.tokens.length < row.uniforms.length && reply.tokens.at(-1) !== end; i++) {
        reply.tokens.push(laterTokens[i * B + slot]!)
        reply.logprobs.push(Math.log(laterProbabilities[i * B + slot]!))
      }
      return reply
    })
  }

  return {
    generate: async (weights, rows, options) => {
      const length = paddedLength(longestOf(rows.map(({ prompt }) => prompt)))
      const found = rows.map(({ prompt }) => prefixes?.find(weights, prompt) ?? [])
      const known = new Map(rows.map(({ prompt }, r) => [prompt, found[r]!]))
      const generated: Array<Generated> = []
      const dealt = readings(
        found.map((blocks) => {
          const past = blocks.length * lengthGrid
          // What is left to read is long itself, or short.
          const grid = gridOf(length - past)
          return Math.floor(past / grid) * grid
        }),
        length
      )
      for (const { past, rows: some } of dealt) {
        const own = some.map((row) => rows[row]!)
        const replies = await read(weights, own, options, length, past, known)
        some.forEach((row, i) => (generated[row] = replies[i]!))
      }
      return generated
    },
    score: async (weights, rows, { temperature }) => {
      checkWhole()
      const length = rows.reduce((longest, { tokens }) => Math.max(longest, paddedLength(tokens.length)), 1)
      const runs = Math.ceil((rows.length * length) / scoredAtOnce)
      const size = Math.ceil(rows.length / runs)
      const scored: Array<ReadonlyArray<number>> = []
      for (let from = 0; from < rows.length; from += size) {
        const some = rows.slice(from, from + size)
        const { graph, inputs, name } = scoreFeeds(weights, some, temperature)
        const scoring = await session(`score${name}`, () => scoreGraph(config, weightsOf, graph))
        const run = await scoring.run(inputs)
        scored.push(...ragged(some, run["logprobs"]!.data as Float32Array))
      }
      return scored
    },
    gradient: async (weights, rows, { temperature }) => {
      checkWhole()
      const { graph, inputs, M, name } = scoreFeeds(weights, rows, temperature)
      const flat = new Float32Array(M)
      flat.set(rows.flatMap((row) => row.weights))
      const names = trained.map((parameter) => parameter.name)
      if (names.length === 0) throw new Error("weights in a file have no gradient, only adapters on them have")
      const build = () => gradientGraph(config, weightsOf, names, { ...graph, recompute })
      const training = await session(`gradient${name}`, build)
      const run = await training.run({
        ...inputs,
        weights: new ort.Tensor("float32", flat, [flat.length])
      })
      return {
        gradient: run["gradient"]!.data as Float32Array,
        logprobs: ragged(rows, run["logprobs"]!.data as Float32Array)
      }
    },
    release: () => release(() => true)
  }
}
