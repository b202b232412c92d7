/**
 * The weights of a policy folder: `model.safetensors`, or shards with `model.safetensors.index.json`, to and from one flat
 * vector, or into a file that the runtime maps. They pass by piece by piece, each checked, so nothing is held twice.
 */
import { Effect, FileSystem, Schema } from "effect"
import { closeSync, openSync, writeSync } from "node:fs"
import { basename, join } from "node:path"
import type { FilePlace } from "../kernels/graph/graph.ts"
import {
  encodeSafetensors,
  headerLength,
  readFloats,
  SafetensorsError,
  type TensorEntry,
  tensorEntries
} from "../kernels/safetensors.ts"
import {
  byteBlock,
  bytesOf as namedBytes,
  type Parameter,
  parameterCount,
  parameters,
  scalesOf,
  type StoredWeights,
  type TransformerConfig
} from "../kernels/transformer.ts"
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

/** Elements that are read at once. */
const pieceElements = 1 << 20

/**
 * Hands out all parameters in the order of `parameters(config)`, in pieces with the place of each one's first element in
 * the flat vector. `room` is where a piece goes, for the time of the call. Fails unless the folder holds exactly these
 * tensors, in their shapes, and every weight is finite.
 */
const passWeights = Effect.fnUntraced(function* (
  folder: string,
  config: TransformerConfig,
  room: (at: number, length: number) => Float32Array,
  onPiece: (piece: Float32Array, parameter: Parameter, from: number) => void = () => {}
) {
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
  const halves = new Uint8Array(2 * pieceElements)
  for (const parameter of wanted) {
    const { name, shape, offset, size } = parameter
    const shard = home.get(name)
    const wrong = (value: string | undefined, expected: string) =>
      errorIn(folder, shard?.file ?? (shards.length === 1 ? weightsFile : indexFile), { field: name, value, expected })
    const tensor = shard?.tensors.get(name)
    const expected = `shape [${shape.join(", ")}]`
    if (shard === undefined || tensor === undefined) return yield* wrong(undefined, `a tensor of ${expected}`)
    if (tensor.shape.join() !== shape.join()) return yield* wrong(`of shape [${tensor.shape.join(", ")}]`, expected)
    for (let from = 0; from < size; from += pieceElements) {
      const piece = room(offset + from, Math.min(pieceElements, size - from))
      if (tensor.dtype === "F32") yield* shard.read(tensor.start + 4 * from, bytesOf(piece))
      else {
        const read = halves.subarray(0, 2 * piece.length)
        yield* shard.read(tensor.start + 2 * from, read)
        readFloats(tensor, read, piece)
      }
      const broken = firstNotFinite(piece)
      if (broken >= 0) return yield* wrong(`${piece[broken]} at element ${from + broken}`, "finite numbers")
      onPiece(piece, parameter, from)
    }
  }
}, Effect.scoped)

/** All parameters in one flat vector, which threads may share. */
export const readWeights = Effect.fnUntraced(function* (folder: string, config: TransformerConfig) {
  const weights = new Float32Array(new SharedArrayBuffer(4 * parameterCount(config)))
  yield* passWeights(folder, config, (at, length) => weights.subarray(at, at + length))
  return weights
})

/** Where mapped tensors begin: at pages of memory. */
const pageBytes = 4096

/**
 * Writes all parameters into a new file that the runtime maps, so that a model needs hardly more memory than its own size
 * while it is loaded. The surrounding scope takes file and folder away.
 *
 * @param place folder for the file, which takes four bytes a parameter; default the system's for temporary files
 * @param quantised holds matrices in bytes, blocks of `byteBlock` numbers with a scale each: a bit more than one byte a
 *   parameter. Their rows must be multiples of that long
 */
export const storeWeights = Effect.fnUntraced(function* (
  folder: string,
  config: TransformerConfig,
  { place, quantised = false }: { readonly place?: string; readonly quantised?: boolean } = {}
) {
  const files = yield* FileSystem.FileSystem
  const store = yield* files.makeTempDirectoryScoped({
    prefix: "constellate-weights-",
    ...(place === undefined ? {} : { directory: place })
  })
  const path = join(store, storedFile)
  const places = new Map<string, FilePlace>()
  let end = 0
  const reserve = (name: string, length: number): FilePlace => {
    const known = places.get(name)
    if (known !== undefined) return known
    const made = { location: storedFile, offset: Math.ceil(end / pageBytes) * pageBytes, length }
    end = made.offset + length
    places.set(name, made)
    return made
  }
  const table = "model.embed_tokens.weight"
  const asBytes = ({ name }: Parameter) =>
    quantised && (name.endsWith("_proj.weight") || name === (config.tied ? table : "lm_head.weight"))
  yield* Effect.acquireUseRelease(
    Effect.sync(() => openSync(path, "w")),
    (file) => {
      const room = new Float32Array(pieceElements)
      return passWeights(
        folder,
        config,
        (_, length) => room.subarray(0, length),
        (piece, parameter, from) => {
          const { name, size } = parameter
          const write = (as: string, length: number, bytes: Uint8Array, at: number) => {
            const { offset } = reserve(as, length)
            for (let done = 0; done < bytes.length;) {
              done += writeSync(file, bytes, done, undefined, offset + at + done)
            }
          }
          if (asBytes(parameter)) {
            const { numbers, scales } = quantise(piece)
            write(namedBytes(name), size, numbers, from)
            write(scalesOf(name), (4 * size) / byteBlock, bytesOf(scales), (4 * from) / byteBlock)
          }
          // An embedding is looked up as it is, its rows being few.
          if (!asBytes(parameter) || name === table) write(name, 4 * size, bytesOf(piece), 4 * from)
        }
      )
    },
    (file) => Effect.sync(() => closeSync(file))
  )
  return { folder: store, places, quantised } satisfies StoredWeights
})

/** Signed numbers up to 127 plus 128, and for each block what one of them stands for. */
const quantise = (numbers: Float32Array) => {
  const bytes = new Uint8Array(numbers.length)
  const scales = new Float32Array(numbers.length / byteBlock)
  for (let block = 0; block < scales.length; block++) {
    let largest = 0
    const [from, to] = [block * byteBlock, (block + 1) * byteBlock]
    for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(numbers[i]!))
    scales[block] = largest / 127
    const inverse = largest === 0 ? 0 : 127 / largest
    for (let i = from; i < to; i++) bytes[i] = Math.round(numbers[i]! * inverse) + 128
  }
  return { numbers: bytes, scales }
}

const storedFile = "weights.bin"

const firstNotFinite = (numbers: Float32Array): number => {
  for (let i = 0; i < numbers.length; i++) if (!Number.isFinite(numbers[i]!)) return i
  return -1
}

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
  const [outside] = Object.entries(homes).filter(([, file]) => basename(file) !== file)
  if (outside !== undefined) {
    const expected = "the name of a file in this folder"
    return yield* errorIn(folder, indexFile, { field: `weight_map.${outside[0]}`, value: outside[1], expected })
  }
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
