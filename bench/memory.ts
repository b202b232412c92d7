/**
 * What a gradient of adapters needs in memory, and what saving it costs: sequences of growing length through one small
 * model, each in a process of its own, with inner values kept and made anew (`learner.recompute`).
 *
 * Up to 512 tokens attention has whole tables, beyond that it goes by blocks. The peak is the process's own over what it
 * had before the first gradient; processor time is that of a gradient. The last row is the same model with 4 times the
 * layers: made anew, its peak grows by each layer's input only.
 *
 *     npm run bench -- memory
 */
import { fork } from "node:child_process"
import { readFileSync } from "node:fs"
import { initialize } from "../src/kernels/initialize.ts"
import { initializeAdapter, type LoraConfig, loraTargets } from "../src/kernels/lora.ts"
import { type GradientRow, openModel } from "../src/kernels/model.ts"
import { stream } from "../src/kernels/random.ts"
import { shareStems } from "../src/kernels/sequences.ts"
import type { TransformerConfig } from "../src/kernels/transformer.ts"

const lora: LoraConfig = { rank: 16, alpha: 32, targets: loraTargets }
const model = (layers: number): TransformerConfig => ({
  family: "qwen3",
  vocabularySize: 8192,
  hiddenSize: 256,
  innerSize: 768,
  layers,
  heads: 4,
  keyValueHeads: 2,
  headSize: 64,
  epsilon: 1e-6,
  ropeTheta: 1e6,
  maxPositions: 16_384,
  tied: true
})

interface Row {
  readonly length: number
  readonly layers: number
  readonly recompute: boolean
}

const rows: ReadonlyArray<Row> = [
  { length: 512, layers: 4, recompute: false },
  { length: 512, layers: 4, recompute: true },
  { length: 640, layers: 4, recompute: false },
  { length: 640, layers: 4, recompute: true },
  { length: 4096, layers: 4, recompute: false },
  { length: 4096, layers: 4, recompute: true },
  { length: 12_288, layers: 4, recompute: true },
  { length: 4096, layers: 16, recompute: true }
]

/** The high-water mark of this process in bytes. */
const peak = (): number => 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1])

const measure = async ({ layers, length, recompute }: Row) => {
  const config = model(layers)
  const { int } = stream("memory", length)
  const opened = openModel(config, { frozen: { lora, base: initialize(config, "memory") }, recompute })
  const adapter = initializeAdapter(config, lora, "memory")
  const tokens = Array.from({ length }, () => int(0, config.vocabularySize - 1))
  const positions = tokens.map((_, t) => t).slice(-256)
  const row = { tokens, positions, weights: positions.map(() => 1) }
  // The graph itself, and the runtime's own needs.
  await opened.gradient(adapter, [{ ...row, tokens: tokens.slice(0, 32), positions: [3], weights: [1] }], {
    temperature: 1
  })
  const before = peak()
  const started = process.cpuUsage()
  await opened.gradient(adapter, [row], { temperature: 1 })
  const { system, user } = process.cpuUsage(started)
  return { bytes: peak() - before, seconds: (system + user) / 1e6 }
}

/** Eight replies of 128 tokens to one prompt of 896: apart, and as one row (see `shareStems`). */
const shareBench = async () => {
  const config = model(4)
  const { int } = stream("memory", "shared")
  const words = (length: number) => Array.from({ length }, () => int(0, config.vocabularySize - 1))
  const prompt = words(896)
  const replies = Array.from({ length: 8 }, () => {
    const tokens = [...prompt, ...words(128)]
    const positions = tokens.map((_, t) => t).slice(prompt.length)
    return { tokens, positions, weights: positions.map(() => 1) }
  })
  const opened = openModel(config, { frozen: { lora, base: initialize(config, "memory") } })
  const adapter = initializeAdapter(config, lora, "memory")
  const seconds = async (rows: ReadonlyArray<GradientRow>) => {
    await opened.gradient(adapter, rows, { temperature: 1 })
    const started = process.cpuUsage()
    await opened.gradient(adapter, rows, { temperature: 1 })
    const { system, user } = process.cpuUsage(started)
    return (system + user) / 1e6
  }
  const [apart, together] = [await seconds(replies), await seconds(shareStems(replies, 8192).map(({ row }) => row))]
  console.log(
    `8 replies of 128 tokens to a prompt of 896: apart ${apart.toFixed(1)} s, as one row ${together.toFixed(1)} s`
  )
}

if (process.argv[2] !== undefined) {
  process.send!(await measure(JSON.parse(process.argv[2]) as Row))
  process.disconnect()
} else {
  console.log("gradients of adapters: one sequence, hidden size 256, 4 heads of 64, rank 16")
  console.log("tokens  layers  inner values   peak MiB   s of processor   tokens/s")
  for (const row of rows) {
    const { bytes, seconds } = await new Promise<Awaited<ReturnType<typeof measure>>>((settle, fail) => {
      const child = fork(import.meta.filename, [JSON.stringify(row)])
      child.once("message", settle)
      child.once("exit", (code) => fail(new Error(`the process ended with ${code}`)))
    })
    const cells = [
      String(row.length).padStart(6),
      String(row.layers).padStart(6),
      (row.recompute ? "made anew" : "kept").padEnd(12),
      (bytes / 2 ** 20).toFixed(0).padStart(8),
      seconds.toFixed(1).padStart(14),
      (row.length / seconds).toFixed(0).padStart(8)
    ]
    console.log(cells.join("  "))
  }
  await shareBench()
}
