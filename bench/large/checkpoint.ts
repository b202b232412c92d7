/**
 * Writes a policy folder of random weights in the layout of published ones: shards with their index, half precision.
 *
 *     npx node bench/large/checkpoint.ts DIR [0.6b|tiny] [BF16|F32]
 */
import { closeSync, cpSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { stream } from "../../src/kernels/random.ts"
import { type Parameter, parameters, type TransformerConfig } from "../../src/kernels/transformer.ts"
import { printConfig } from "../../src/policies/config.ts"

const family = { family: "qwen3", epsilon: 1e-6, ropeTheta: 1_000_000, tied: true } as const

export const shapes = {
  /** Qwen3-0.6B: 596 million parameters. */
  "0.6b": {
    ...family,
    vocabularySize: 151_936,
    hiddenSize: 1024,
    innerSize: 3072,
    layers: 28,
    heads: 16,
    keyValueHeads: 8,
    headSize: 128,
    maxPositions: 40_960
  },
  tiny: {
    ...family,
    vocabularySize: 512,
    hiddenSize: 128,
    innerSize: 256,
    layers: 3,
    heads: 4,
    keyValueHeads: 2,
    headSize: 32,
    maxPositions: 2048
  }
} as const satisfies Readonly<Record<string, TransformerConfig>>
export type ShapeName = keyof typeof shapes

const shardBytes = 500_000_000
const vectors = join(import.meta.dirname, "../../test/vectors/transformer/qwen3-tied")

/** Numbers drawn once and used again and again, each tensor beginning elsewhere: drawing half a billion takes too long. */
const { normal } = stream("large bench")
const pool = Float32Array.from({ length: (1 << 20) + 7 }, normal)

const deviation = ({ name, shape }: Parameter, { layers }: TransformerConfig): number => {
  if (name.endsWith("embed_tokens.weight")) return 0.05
  return 1 / Math.sqrt(shape[1]! * (/(o_proj|down_proj)\.weight$/.test(name) ? 2 * layers : 1))
}

const bytesOf = (floats: Float32Array, type: "BF16" | "F32"): Uint8Array =>
  type === "F32"
    ? new Uint8Array(floats.buffer)
    : new Uint8Array(Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16).buffer)

function* pieces(parameter: Parameter, config: TransformerConfig, type: "BF16" | "F32"): Generator<Uint8Array, void> {
  const { offset, shape, size } = parameter
  if (shape.length === 1) {
    yield bytesOf(new Float32Array(size).fill(1), type)
    return
  }
  const scale = deviation(parameter, config)
  const bytes = bytesOf(
    pool.map((number) => scale * number),
    type
  )
  const width = bytes.length / pool.length
  for (let done = 0; done < size;) {
    const from = (offset + done) % pool.length
    const count = Math.min(size - done, pool.length - from)
    yield bytes.subarray(width * from, width * (from + count))
    done += count
  }
}

export const makeCheckpoint = (folder: string, config: TransformerConfig, type: "BF16" | "F32" = "BF16"): void => {
  mkdirSync(folder, { recursive: true })
  for (const file of ["tokenizer.json", "tokenizer_config.json"]) cpSync(join(vectors, file), join(folder, file))
  writeFileSync(join(folder, "config.json"), JSON.stringify(printConfig(config, { end: 2, pad: 0 }), null, 2))
  const width = type === "F32" ? 4 : 2
  const shards: Array<Array<Parameter>> = [[]]
  let bytes = 0
  for (const parameter of parameters(config)) {
    if (bytes > 0 && bytes + width * parameter.size > shardBytes) {
      shards.push([])
      bytes = 0
    }
    shards.at(-1)!.push(parameter)
    bytes += width * parameter.size
  }
  const homes: Record<string, string> = {}
  shards.forEach((shard, i) => {
    const number = (n: number) => String(n).padStart(5, "0")
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`
    const header: Record<string, unknown> = { __metadata__: { format: "pt" } }
    let at = 0
    for (const { name, shape, size } of shard) {
      header[name] = { dtype: type, shape, data_offsets: [at, at + width * size] }
      at += width * size
      homes[name] = file
    }
    const json = Buffer.from(JSON.stringify(header))
    const head = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, 0x20)
    head.writeBigUInt64LE(BigInt(head.length - 8))
    json.copy(head, 8)
    const opened = openSync(join(folder, file), "w")
    writeSync(opened, head)
    for (const parameter of shard) for (const piece of pieces(parameter, config, type)) writeSync(opened, piece)
    closeSync(opened)
  })
  writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map: homes }))
}

if (import.meta.main) {
  const [folder, shape = "0.6b", type = "BF16"] = process.argv.slice(2)
  if (folder === undefined || !(shape in shapes) || (type !== "BF16" && type !== "F32")) {
    console.error("usage: checkpoint.ts DIR [0.6b|tiny] [BF16|F32]")
    process.exit(2)
  }
  makeCheckpoint(folder, shapes[shape as ShapeName], type)
}
