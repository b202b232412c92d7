/**
 * A model of real size on a device: generation, scoring and two LoRA updates with random weights, their numbers held
 * against the processor's, beside transformers, peft and vLLM where Python has them.
 *
 *     npm run bench:gpu                                       on CUDA, the shape of Qwen3-0.6B
 *     npm run bench:gpu -- --device webgpu
 *     npm run bench:gpu -- --device cpu --shape tiny          tries the script itself
 *     npm run bench:gpu -- --python venv/bin/python           the Python to look into, default python3
 *
 * The exit code is 1 where the numbers differ from the processor's by more than rounding.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { adamWState, adamWStep } from "../../src/kernels/adamw.ts"
import { cpu, type Device, readDevices, showDevice } from "../../src/kernels/device.ts"
import { initializeAdapter, type LoraConfig, loraTargets } from "../../src/kernels/lora.ts"
import { openModel } from "../../src/kernels/model.ts"
import { stream } from "../../src/kernels/random.ts"
import type { StoredWeights, TransformerConfig } from "../../src/kernels/transformer.ts"
import { describeCheckpoint } from "../../src/policies/checkpoint.ts"
import { storeWeights } from "../../src/policies/weights.ts"
import { makeCheckpoint, type ShapeName, shapes } from "./checkpoint.ts"

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "cuda" },
    shape: { type: "string", default: "0.6b" },
    python: { type: "string", default: "python3" }
  }
})
const devices = readDevices(values.device)
if (devices === undefined || !(values.shape in shapes)) {
  console.error("usage: device.ts [--device cuda|cuda:N|webgpu|cpu] [--shape 0.6b|tiny] [--python FILE]")
  process.exit(2)
}
const [device] = devices
const config: TransformerConfig = shapes[values.shape as ShapeName]
const small = values.shape === "tiny"
/** What is measured, in tokens. */
const sizes = small
  ? { batches: [4, 8], prompt: 32, fresh: 16, scored: [4, 64], trained: [4, 64] }
  : { batches: [64, 256], prompt: 128, fresh: 128, scored: [16, 512], trained: [8, 512] }

const none = new Float32Array(0)
const { int, uniform } = stream("bench of a device")
const several = <A>(count: number, make: (i: number) => A): Array<A> => Array.from({ length: count }, (_, i) => make(i))
const tokens = (count: number) => several(count, () => int(0, config.vocabularySize - 1))
const sequences = (count: number, length: number) =>
  several(count, () => ({ tokens: tokens(length), positions: several(length - 1, (i) => i + 1) }))
const lora: LoraConfig = { rank: 16, alpha: 32, targets: loraTargets }

const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const started = performance.now()
  await work()
  return (performance.now() - started) / 1000
}
const print = (what: string, count: number, took: number, more = "") =>
  console.log(
    `${what.padEnd(44)} ${(count / took).toFixed(0).padStart(9)} tokens/s ${took.toFixed(2).padStart(8)} s  ${more}`
  )

/** The second of two calls: the first makes the session and compiles. */
const measured = async (what: string, count: number, work: () => Promise<unknown>) => {
  const first = await seconds(work)
  print(what, count, await seconds(work), `first call ${first.toFixed(1)} s`)
}

let wrong = 0
const agree = (what: string, gap: number, bound: number) => {
  if (!(gap <= bound)) wrong++
  const verdict = gap <= bound ? "agrees" : "DIFFERS"
  console.log(`${what.padEnd(44)} ${gap.toExponential(1).padStart(9)} of at most ${bound.toExponential(0)}  ${verdict}`)
}
const largest = (numbers: ArrayLike<number>): number =>
  Array.from(numbers).reduce((most, x) => Math.max(most, Math.abs(x)), 0)
const gapOf = (a: ArrayLike<number>, b: ArrayLike<number>): number => largest(Array.from(a, (x, i) => x - b[i]!))

const generating = async (stored: StoredWeights) => {
  const model = openModel(config, { stored, device })
  for (const rows of sizes.batches) {
    const asked = several(rows, () => ({ prompt: tokens(sizes.prompt), uniforms: several(sizes.fresh, uniform) }))
    const what = `generation, ${rows} prompts of ${sizes.prompt}, ${sizes.fresh} new`
    await measured(what, rows * sizes.fresh, () => model.generate(none, asked, { temperature: 1, end: -1 }))
  }
  const [count, length] = sizes.scored as [number, number]
  const rows = sequences(count, length)
  await measured(`scoring, ${count} x ${length}`, count * length, () => model.score(none, rows, { temperature: 1 }))
  await model.release()
}

const updating = async (stored: StoredWeights) => {
  const [count, length] = sizes.trained as [number, number]
  const rows = sequences(count, length).map((row) => ({
    ...row,
    weights: row.positions.map(() => -1 / (count * (length - 1)))
  }))
  const model = openModel(config, { stored, device, frozen: { lora, base: none } })
  let adapter = initializeAdapter(config, lora, "bench of a device")
  const moments = adamWState(adapter.length)
  const options = { learningRate: 1e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, clipNorm: 1 }
  const losses: Array<number> = []
  const update = async () => {
    const sum = new Float32Array(adapter.length)
    let loss = 0
    // Micro-batches of two: what the logits of a large vocabulary leave room for.
    for (let from = 0; from < rows.length; from += 2) {
      const { gradient, logprobs } = await model.gradient(adapter, rows.slice(from, from + 2), { temperature: 1 })
      for (let i = 0; i < sum.length; i++) sum[i]! += gradient[i]!
      for (const own of logprobs) for (const logprob of own) loss -= logprob / (count * (length - 1))
    }
    losses.push(loss)
    const next = new Float32Array(adapter.length)
    adamWStep(adapter, sum, moments, options, next)
    adapter = next
  }
  const first = await seconds(update)
  const second = await seconds(update)
  await update()
  const more = `first ${first.toFixed(1)} s; loss ${losses.map((loss) => loss.toFixed(3)).join(", ")}`
  print(`LoRA update, rank 16, ${count} x ${length}`, count * length, second, more)
  if (!(losses[2]! < losses[0]!)) {
    wrong++
    console.log("the loss did not fall")
  }
  await model.release()
}

/** The same small work here and there. */
const comparing = async (stored: StoredWeights) => {
  const asked = several(2, (i) => ({ prompt: tokens(20 + i), uniforms: several(8, uniform) }))
  const rows = sequences(2, 40).map((row) => ({ ...row, weights: row.positions.map((at) => (at % 3) - 1) }))
  const adapter = initializeAdapter(config, lora, "comparing").map((x, i) => x + 0.01 * Math.sin(i))
  const numbersOn = async (where: Device) => {
    const model = openModel(config, { stored, device: where })
    const said = await model.generate(none, asked, { temperature: 1, end: -1 })
    const scored = (await model.score(none, rows, { temperature: 1 })).flat()
    await model.release()
    const trained = openModel(config, { stored, device: where, frozen: { lora, base: none } })
    const { gradient } = await trained.gradient(adapter, rows, { temperature: 1 })
    await trained.release()
    return { said, scored, gradient }
  }
  const [here, there] = [await numbersOn(cpu), await numbersOn(device)]
  const same = (i: number) => here.said[i]!.tokens.join() === there.said[i]!.tokens.join()
  // A draw that falls between two tokens may go either way; what was drawn alike must be as probable.
  const alike = [0, 1].filter(same)
  console.log(`replies drawn alike${" ".repeat(25)} ${String(alike.length).padStart(9)} of 2`)
  if (alike.length === 0) wrong++
  const logprobs = (numbers: typeof here) => alike.flatMap((i) => numbers.said[i]!.logprobs)
  agree("log-probabilities of generation", gapOf(logprobs(here), logprobs(there)), 2e-3)
  agree("log-probabilities of scoring", gapOf(here.scored, there.scored), 2e-3)
  agree("LoRA gradient, relative", gapOf(here.gradient, there.gradient) / largest(here.gradient), 2e-3)
}

const root = mkdtempSync(join(tmpdir(), "constellate-bench-"))
try {
  makeCheckpoint(root, config)
  console.log(`${values.shape} with random weights on ${showDevice(device)}, float32`)
  const work = async (stored: StoredWeights) => {
    await comparing(stored)
    await generating(stored)
    await updating(stored)
  }
  await Effect.runPromise(
    describeCheckpoint(root).pipe(
      Effect.flatMap(({ config, folder }) => storeWeights(folder, config)),
      Effect.flatMap((stored) => Effect.promise(() => work(stored))),
      Effect.scoped,
      Effect.provide(NodeServices.layer)
    )
  )
  const reference = join(import.meta.dirname, "reference.py")
  const asked = JSON.stringify({ folder: root, device: device.provider, ...sizes })
  const { status, stderr, stdout } = spawnSync(values.python, [reference, asked], { encoding: "utf8" })
  if (status === 0) process.stdout.write(stdout)
  else console.log(`no reference: ${(stderr ?? "").trim().split("\n").at(-1) || `${values.python} does not run`}`)
} finally {
  rmSync(root, { recursive: true })
}
process.exit(wrong > 0 ? 1 : 0)
