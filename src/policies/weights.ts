/**
 * The weights of a policy folder: `model.safetensors`, or shards with `model.safetensors.index.json`, to and from one flat
 * vector. A tensor is read from its place in the file into its place in the vector, so nothing is held twice.
 */
import { Effect, FileSystem, Schema } from "effect"
import { join } from "node:path"
import {
  encodeSafetensors,
  headerLength,
  readFloats,
  SafetensorsError,
  type TensorEntry,
  tensorEntries
} from "../kernels/safetensors.ts"
import { parameterCount, parameters, type TransformerConfig } from "../kernels/transformer.ts"
import { type CheckpointError, decodeJson, errorIn, readJson, within } from "./checkpoint-file.ts"

const weightsFile = "model.safetensors"
const indexFile = "model.safetensors.index.json"

/** Where the shards' tensors lie. */
const ShardIndex = Schema.Struct({ weight_map: Schema.Record(Schema.String, Schema.String) })

/** An open file with its tensors. */
interface Shard {
  readonly file: string
  /** Fills `out` from a place in the file. */
  readonly read: (from: number, out: Uint8Array) => Effect.Effect<void, CheckpointError>
  readonly tensors: ReadonlyMap<string, TensorEntry>
}

/**
 * All parameters in the order of `parameters(config)`. Fails unless the folder holds exactly these, in their shapes,
 * and every weight is finite.
 */
export const readWeights = Effect.fnUntraced(function* (folder: string, config: TransformerConfig) {
  const shards = yield* openShards(folder)
  const wanted = parameters(config)
  const names = new Set(wanted.map(({ name }) => name))
  const home = new Map<string, Shard>()
  for (const shard of shards) {
    for (const name of shard.tensors.keys()) {
      if (!names.has(name) && !isIdle(name, config)) {
        const expected = `no such tensor in a ${config.tied ? "tied" : "untied"} ${config.family} of ${config.layers} layers`
        return yield* errorIn(folder, shard.file, { field: name, value: "unexpected", expected })
      }
      home.set(name, shard)
    }
  }
  const weights = new Float32Array(parameterCount(config))
  for (const { name, shape, offset, size } of wanted) {
    const shard = home.get(name)
    const wrong = (value: string | undefined, expected: string) =>
      errorIn(folder, shard?.file ?? (shards.length === 1 ? weightsFile : indexFile), { field: name, value, expected })
    const tensor = shard?.tensors.get(name)
    const expected = `shape [${shape.join(", ")}]`
    if (shard === undefined || tensor === undefined) return yield* wrong(undefined, `a tensor of ${expected}`)
    if (tensor.shape.join() !== shape.join()) return yield* wrong(`of shape [${tensor.shape.join(", ")}]`, expected)
    const out = weights.subarray(offset, offset + size)
    if (tensor.dtype === "F32") yield* shard.read(tensor.start, bytesOf(out))
    else {
      const halves = new Uint8Array(tensor.end - tensor.start)
      yield* shard.read(tensor.start, halves)
      readFloats(tensor, halves, out)
    }
    const broken = out.findIndex((weight) => !Number.isFinite(weight))
    if (broken >= 0) return yield* wrong(`${out[broken]} at element ${broken}`, "finite numbers")
  }
  return weights
}, Effect.scoped)

/** Writes one file, the tensors in the order of the vector. */
export const writeWeights = Effect.fnUntraced(function* (
  folder: string,
  config: TransformerConfig,
  weights: Float32Array
) {
  const files = yield* FileSystem.FileSystem
  const file = yield* files.open(join(folder, weightsFile), { flag: "w" })
  const tensors = parameters(config).map(
    ({ name, shape, offset, size }) => [name, { shape, data: weights.subarray(offset, offset + size) }] as const
  )
  for (const piece of encodeSafetensors(tensors)) yield* file.writeAll(piece)
}, Effect.scoped)

const bytesOf = (floats: Float32Array) => new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)

/** What other writers leave in a file although it follows from the rest: a tied head, and tables of rotary positions. */
const isIdle = (name: string, config: TransformerConfig): boolean =>
  (config.tied && name === "lm_head.weight") || name.endsWith(".rotary_emb.inv_freq")

const openShards = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const names = yield* Effect.orElseSucceed(files.readDirectory(folder), (): Array<string> => [])
  if (names.includes(weightsFile) || !names.includes(indexFile)) return [yield* openShard(folder, weightsFile)]
  const { weight_map: homes } = yield* within(
    folder,
    indexFile,
    decodeJson(ShardIndex, yield* readJson(folder, indexFile))
  )
  const shards = yield* Effect.forEach([...new Set(Object.values(homes))].toSorted(), (file) => openShard(folder, file))
  for (const { file, tensors } of shards) {
    const stray = [...tensors.keys()].find((name) => homes[name] !== file)
    if (stray !== undefined) {
      const expected = `${JSON.stringify(file)}, where it is`
      return yield* errorIn(folder, indexFile, { field: `weight_map.${stray}`, value: homes[stray], expected })
    }
    const lost = Object.keys(homes).find((name) => homes[name] === file && !tensors.has(name))
    if (lost !== undefined) {
      return yield* errorIn(folder, file, { field: lost, value: undefined, expected: `it here, as ${indexFile} says` })
    }
  }
  return shards
})

const openShard = Effect.fnUntraced(function* (folder: string, file: string) {
  const files = yield* FileSystem.FileSystem
  const opened = yield* Effect.all([
    files.open(join(folder, file), { flag: "r" }),
    files.stat(join(folder, file))
  ]).pipe(
    Effect.mapError(({ reason }) =>
      errorIn(folder, file, {
        value: reason._tag === "NotFound" ? "missing" : `not readable (${reason._tag})`,
        expected: "the weights in safetensors format"
      })
    )
  )
  const read = reader(folder, file, opened[0])
  const bytes = Number(opened[1].size)
  const checked = <A>(decode: () => A) =>
    Effect.try({
      try: decode,
      catch: (thrown) => {
        if (thrown instanceof SafetensorsError) return errorIn(folder, file, thrown)
        throw thrown
      }
    })
  const prefix = new Uint8Array(Math.min(8, bytes))
  yield* read(0, prefix)
  const header = new Uint8Array(yield* checked(() => headerLength(prefix, bytes)))
  yield* read(8, header)
  return { file, read, tensors: yield* checked(() => tensorEntries(header, bytes)) } satisfies Shard
})

const reader = (folder: string, file: string, opened: FileSystem.File) =>
  Effect.fnUntraced(function* (from: number, out: Uint8Array) {
    const unreadable = (why: string) =>
      errorIn(folder, file, { value: `not readable (${why})`, expected: "the weights in safetensors format" })
    for (let done = 0; done < out.length;) {
      const read = opened.read(out.subarray(done), { position: BigInt(from + done) })
      const bytes = yield* Effect.mapError(read, ({ reason }) => unreadable(reason._tag))
      if (bytes === 0) return yield* unreadable("it became shorter")
      done += bytes
    }
  })
