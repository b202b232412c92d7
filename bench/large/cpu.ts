/**
 * A model of real size on the processor: how close it comes to the matrix products that it cannot do without, and how
 * much memory it takes over its own weights.
 *
 * The limit runs, in turns with the model, nothing but its linear layers' products on the same shapes, rearranged where
 * the model's are. Times are the thread's processor time, the least of the repeats, one thread. Memory is the peak of a
 * process of its own that opens the folder, reads a prompt of 128 tokens and generates 16. The exit code is 1 where an aim
 * is missed.
 *
 *     npm run bench:large
 *     npm run bench:large -- tiny
 */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as ort from "onnxruntime-node"
import { cpu, sessionOptions } from "../../src/kernels/device.ts"
import { Graph, type Value } from "../../src/kernels/graph/graph.ts"
import { initializeAdapter, type LoraConfig, loraTargets } from "../../src/kernels/lora.ts"
import { largeModel, openModel } from "../../src/kernels/model.ts"
import { stream } from "../../src/kernels/random.ts"
import {
  parameterCount,
  parameters,
  type StoredWeights,
  type TransformerConfig,
  weightsInFile
} from "../../src/kernels/transformer.ts"
import { describeCheckpoint } from "../../src/policies/checkpoint.ts"
import { storeWeights } from "../../src/policies/weights.ts"
import { millisOf } from "../processor-time.ts"
import { makeCheckpoint, type ShapeName, shapes } from "./checkpoint.ts"

type Work = () => Promise<unknown>

const shape = (process.argv.find((argument) => argument in shapes) ?? "0.6b") as ShapeName
const config: TransformerConfig = shapes[shape]
const none = new Float32Array(0)
const { int, normal, uniform } = stream("large bench on the processor")
const several = <A>(count: number, make: (i: number) => A): Array<A> => Array.from({ length: count }, (_, i) => make(i))
const tokens = (count: number) => several(count, () => int(0, config.vocabularySize - 1))

const opened = (folder: string) =>
  Effect.gen(function* () {
    const { config, folder: home } = yield* describeCheckpoint(folder)
    return { config, stored: yield* storeWeights(home, config) }
  })

// ---- the limit

/** All linear layers on `rows` rows and the head on `selected`, `rounds` times; `backward` adds the gradients' products. */
const limit = async (
  stored: StoredWeights,
  {
    backward = false,
    rows,
    selected
  }: { readonly rows: number; readonly selected: number; readonly backward?: boolean }
): Promise<Work> => {
  const graph = new Graph()
  const weights = weightsInFile(graph, config, stored)
  const feeds: Record<string, ort.Tensor> = {}
  const given = new Map<string, Value>()
  const matrix = (count: number, size: number): Value => {
    const name = `given_${count}_${size}`
    const known = given.get(name)
    if (known !== undefined) return known
    const made = graph.input(name, "float32", [count, size])
    feeds[name] = new ort.Tensor("float32", Float32Array.from({ length: count * size }, normal), [count, size])
    given.set(name, made)
    return made
  }
  const layers = parameters(config).filter(({ name }) => name.endsWith("_proj.weight"))
  const table = weights.get("model.embed_tokens.weight")!
  const products = [...layers.map(({ name }) => [rows, weights.get(name)!] as const), [selected, table] as const]
  const touched = products.flatMap(([count, weight]) => {
    const [out, from] = weight.shape as [number, number]
    const forward = graph.matMul(matrix(count, from), weight, { transB: true })
    return backward ? [forward, graph.matMul(matrix(count, out), weight)] : [forward]
  })
  const corner = (value: Value) => graph.slice(graph.slice(value, 0, 0, 1), 1, 0, 1)
  graph.output(graph.concat(touched.map(corner), 0), "touched")
  const path = join(stored.folder, `limit-${rows}-${selected}-${backward}.onnx`)
  writeFileSync(path, graph.serialize())
  const settings = sessionOptions(cpu, 1)
  const unarranged = { session: { ...(settings.extra!["session"] as object), disable_prepacking: "1" } }
  const session = await ort.InferenceSession.create(
    path,
    backward || parameterCount(config) >= largeModel ? { ...settings, extra: unarranged } : settings
  )
  return () => session.run(feeds)
}

// ---- measuring

let missed = 0
const judge = (holds: boolean): string => {
  if (!holds) missed++
  return holds ? "reached" : "missed"
}

/** Processor milliseconds of the model and of the limit, in turns, the least of three. */
const compare = async (
  what: string,
  count: number,
  aim: number,
  time: () => Promise<number>,
  bound: () => Promise<number>
) => {
  const times: Array<number> = []
  const limits: Array<number> = []
  await time()
  for (let i = 0; i < 3; i++) {
    limits.push(await bound())
    times.push(await time())
  }
  const [least, fastest] = [Math.min(...times), Math.min(...limits)]
  const ratio = fastest / least
  const numbers = [fastest, least, (1000 * count) / least].map((number) => number.toFixed(1).padStart(9)).join("")
  console.log(`${what.padEnd(34)}${numbers} ${ratio.toFixed(2).padStart(6)}  ${aim.toFixed(2)} ${judge(ratio >= aim)}`)
}

const ratios = async (stored: StoredWeights) => {
  const model = openModel(config, { stored })
  const generate = (rows: number, length: number, fresh: number) => {
    const asked = several(rows, () => ({ prompt: tokens(length), uniforms: several(fresh, uniform) }))
    return () => millisOf(() => model.generate(none, asked, { temperature: 1, end: -1 }))
  }
  console.log(`${`${shape}, one thread`.padEnd(34)} limit ms       ms tokens/s  ratio  aim`)
  const prefill = await limit(stored, { rows: 128, selected: 2 })
  await compare("prefill, a prompt of 128", 128, shape === "tiny" ? 0.65 : 0.85, generate(1, 128, 1), () =>
    millisOf(prefill)
  )
  for (const [rows, aim] of [
    [1, shape === "tiny" ? 0.3 : 0.85],
    [8, shape === "tiny" ? 0.3 : 0.85],
    [16, shape === "tiny" ? 0.3 : 0.85]
  ] as const) {
    // A single row is padded to two, which have another kernel.
    const padded = Math.max(2, rows)
    const bound = await limit(stored, { rows: padded, selected: padded })
    const rounds = 8
    const prompts = several(rows, () => tokens(16))
    const asked = (fresh: number) => prompts.map((prompt) => ({ prompt, uniforms: several(fresh, uniform) }))
    const [short, long] = [asked(1), asked(1 + rounds)]
    const time = async () => {
      const first = await millisOf(() => model.generate(none, short, { temperature: 1, end: -1 }))
      return (await millisOf(() => model.generate(none, long, { temperature: 1, end: -1 }))) - first
    }
    const limited = async () => {
      let millis = 0
      for (let i = 0; i < rounds; i++) millis += await millisOf(bound)
      return millis
    }
    await compare(`decode, ${rows} at once`, rows * rounds, aim, time, limited)
  }
  await model.release()
  const rows = several(2, () => ({
    tokens: tokens(128),
    positions: several(127, (i) => i + 1),
    weights: several(127, normal)
  }))
  const lora: LoraConfig = { rank: 16, alpha: 16, targets: loraTargets }
  const adapter = initializeAdapter(config, lora, "bench")
  const trained = openModel(config, { stored, frozen: { base: none, lora } })
  const both = await limit(stored, { rows: 256, selected: 254, backward: true })
  const gradient = () => millisOf(() => trained.gradient(adapter, rows, { temperature: 1 }))
  await compare("LoRA gradient, rank 16, 2 x 128", 256, shape === "tiny" ? 0.4 : 0.85, gradient, () => millisOf(both))
  await trained.release()
}

/** A conversation of some steps, each going on from the last, with and without keeping what was read. */
const converse = async (stored: StoredWeights) => {
  const [beginning, step, steps, fresh] = shape === "tiny" ? [300, 60, 6, 8] : [600, 90, 6, 8]
  const said = several(steps, (i) => tokens(i === 0 ? beginning : step))
  const draws = several(steps, () => several(fresh, uniform))
  const talk = async (keptBytes: number) => {
    const model = openModel(config, { stored, keptBytes })
    // That opens the sessions, short and long.
    for (const length of [1, beginning + steps * step])
      await model.generate(none, [{ prompt: tokens(length), uniforms: [0] }], { temperature: 1, end: -1 })
    let prompt: ReadonlyArray<number> = []
    const times: Array<number> = []
    for (const [i, more] of said.entries()) {
      prompt = [...prompt, ...more]
      const rows = [{ prompt, uniforms: draws[i]!, goesOn: true }]
      let reply: ReadonlyArray<number> = []
      const answer = async () => (reply = (await model.generate(none, rows, { temperature: 1, end: -1 }))[0]!.tokens)
      times.push(await millisOf(answer))
      prompt = [...prompt, ...reply]
    }
    await model.release()
    return { prompt, first: times[0]!, later: times.slice(1).reduce((a, b) => a + b) / (steps - 1) }
  }
  const [anew, kept] = [await talk(0), await talk(2 ** 31)]
  const same = judge(anew.prompt.join() === kept.prompt.join())
  console.log(
    `a conversation from ${beginning} to ${kept.prompt.length} tokens, ${fresh} generated each step; same replies: ${same}`
  )
  for (const [name, { first, later }] of Object.entries({ "all read anew": anew, "the rest is read": kept }))
    console.log(`${name.padEnd(34)}first step ${first.toFixed(0)} ms, later steps ${later.toFixed(0)} ms each`)
  const ratio = anew.later / kept.later
  console.log(
    `ratio of the later steps ${ratio.toFixed(2)}, aim 2 ${shape === "tiny" ? "(of larger models)" : judge(ratio >= 2)}`
  )
}

const remember = async (stored: StoredWeights) => {
  const model = openModel(config, { stored })
  await model.generate(none, [{ prompt: tokens(128), uniforms: several(16, uniform) }], { temperature: 1, end: -1 })
  console.log(process.resourceUsage().maxRSS * 1024)
  await model.release()
}

const [mode, given] = process.argv.slice(2)
if (mode === "--memory") {
  await Effect.runPromise(
    opened(given!).pipe(
      Effect.flatMap(({ stored }) => Effect.promise(() => remember(stored))),
      Effect.scoped,
      Effect.provide(NodeServices.layer)
    )
  )
} else {
  const root = mkdtempSync(join(tmpdir(), "constellate-bench-"))
  try {
    makeCheckpoint(root, config)
    const child = spawnSync(process.execPath, [import.meta.filename, "--memory", root, shape], { encoding: "utf8" })
    if (child.status !== 0) throw new Error(child.stderr)
    const weights = 4 * parameterCount(config)
    // Keys and values of 144 tokens, and what any process of this program takes.
    const caches = 2 * 4 * config.layers * config.keyValueHeads * config.headSize * 160
    const bare = process.resourceUsage().maxRSS * 1024
    const over = (Number(child.stdout) - caches) / weights
    const [peak, own] = [Number(child.stdout), weights].map((bytes) => (bytes / 2 ** 30).toFixed(2))
    console.log(
      `peak ${peak} GiB for ${own} GiB of float32 weights, caches of ${(caches / 2 ** 20).toFixed(0)} MiB taken off: ${over.toFixed(2)} times`
    )
    console.log(
      `aim 1.30 ${shape === "tiny" ? `(of no meaning at this size: the program alone takes ${(bare / 2 ** 20).toFixed(0)} MiB)` : judge(over <= 1.3)}`
    )
    await Effect.runPromise(
      opened(root).pipe(
        Effect.flatMap(({ stored }) => Effect.promise(() => ratios(stored).then(() => converse(stored)))),
        Effect.scoped,
        Effect.provide(NodeServices.layer)
      )
    )
  } finally {
    rmSync(root, { recursive: true })
  }
  process.exitCode = missed > 0 ? 1 : 0
}
