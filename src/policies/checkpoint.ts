/**
 * Policy folders in Hugging Face layout, read and written.
 *
 * `config.json`, `model.safetensors` (or shards with their index), `tokenizer.json`, `tokenizer_config.json`,
 * `generation_config.json`; `constellate.json` beside them says how the policy wants its prompts and what it was trained
 * on. A folder without it is a language model from elsewhere: style `chat`, trained here on nothing.
 * Writing is deterministic and not atomic: who needs that writes into a new folder and renames it.
 */
import { Effect, FileSystem, Result, Schema } from "effect"
import { join } from "node:path"
import {
  encodeSafetensors,
  headerLength,
  readFloats,
  SafetensorsError,
  type TensorEntry,
  tensorEntries
} from "../kernels/safetensors.ts"
import { type Parameter, parameterCount, parameters, type TransformerConfig } from "../kernels/transformer.ts"
import { CheckpointError, type Fault, faultOf } from "./checkpoint-error.ts"
import { printConfig, readConfig } from "./config.ts"
import { openTokenizer, type Tokenizer, type TokenizerFiles } from "./tokenizer.ts"

/** `constellate.json`. */
const Declaration = Schema.Struct({
  /** Counts up when older folders can't be read any more. */
  format: Schema.Literal(1),
  style: Schema.Literals(["terse", "chat"]),
  /** Environments that the policy was trained on, as named on the command line. */
  environments: Schema.Array(Schema.String),
  /** Policy updates that made these weights. */
  policyVersion: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
})
export type Declaration = typeof Declaration.Type

export interface Checkpoint {
  readonly config: TransformerConfig
  /** All parameters in the order of `parameters(config)`. */
  readonly weights: Float32Array
  readonly tokenizer: Tokenizer
  readonly files: TokenizerFiles
  readonly declares: Declaration
}

const configFile = "config.json"
const weightsFile = "model.safetensors"
const indexFile = "model.safetensors.index.json"
const tokenizerFile = "tokenizer.json"
const tokenizerConfigFile = "tokenizer_config.json"
const generationFile = "generation_config.json"
const declarationFile = "constellate.json"

/** Reads a policy folder; everything is checked before anything is handed out. */
export const readCheckpoint = Effect.fn("readCheckpoint")(function* (folder: string) {
  const config = yield* within(folder, configFile, readConfig(yield* readJson(folder, configFile)))
  const files: TokenizerFiles = {
    tokenizer: yield* readJson(folder, tokenizerFile),
    tokenizerConfig: yield* readJson(folder, tokenizerConfigFile)
  }
  const tokenizer = yield* Effect.mapError(Effect.fromResult(openTokenizer(files)), ({ file, ...fault }) =>
    errorIn(folder, file, fault)
  )
  if (tokenizer.vocabularySize > config.vocabularySize) {
    return yield* errorIn(folder, tokenizerFile, {
      value: `a vocabulary of ${tokenizer.vocabularySize}`,
      expected: `at most ${config.vocabularySize}, the vocab_size of ${configFile}`
    })
  }
  const declares = yield* readDeclaration(folder)
  const weights = yield* readWeights(folder, config)
  return { config, weights, tokenizer, files, declares } satisfies Checkpoint
})

/** Fills an empty folder. The same checkpoint always gives the same bytes. */
export const writeCheckpoint = Effect.fn("writeCheckpoint")(function* (folder: string, checkpoint: Checkpoint) {
  const files = yield* FileSystem.FileSystem
  const { config, weights, tokenizer } = checkpoint
  const writeJson = (name: string, json: object) =>
    files.writeFileString(join(folder, name), `${JSON.stringify(json, null, 2)}\n`)
  yield* writeJson(configFile, printConfig(config, tokenizer))
  yield* writeJson(tokenizerFile, checkpoint.files.tokenizer)
  yield* writeJson(tokenizerConfigFile, checkpoint.files.tokenizerConfig)
  yield* writeJson(generationFile, { do_sample: true, eos_token_id: tokenizer.end, pad_token_id: tokenizer.pad })
  yield* writeJson(declarationFile, checkpoint.declares)
  const tensors = parameters(config).map(
    ({ name, shape, offset, size }) => [name, { shape, data: weights.subarray(offset, offset + size) }] as const
  )
  yield* Effect.scoped(
    Effect.gen(function* () {
      const file = yield* files.open(join(folder, weightsFile), { flag: "w" })
      for (const piece of encodeSafetensors(tensors)) yield* file.writeAll(piece)
    })
  )
})

const errorIn = (folder: string, file: string, fault: Fault) =>
  new CheckpointError({ folder, file, field: fault.field, value: fault.value, expected: fault.expected })

const within = <A>(folder: string, file: string, result: Result.Result<A, Fault>) =>
  Effect.mapError(Effect.fromResult(result), (fault) => errorIn(folder, file, fault))

const readJson = Effect.fnUntraced(function* (folder: string, file: string) {
  const files = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(files.readFileString(join(folder, file)), (error) =>
    errorIn(folder, file, {
      value: error.reason._tag === "NotFound" ? "missing" : `not readable (${error.reason._tag})`,
      expected: "a file of a policy folder in Hugging Face layout"
    })
  )
  const json = Result.getOrUndefined(Result.try(() => JSON.parse(text) as unknown))
  return typeof json === "object" && json !== null && !Array.isArray(json)
    ? json
    : yield* errorIn(folder, file, { value: "malformed", expected: "a JSON object" })
})

const readDeclaration = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const foreign: Declaration = { format: 1, style: "chat", environments: [], policyVersion: 0 }
  const there = yield* Effect.orElseSucceed(files.exists(join(folder, declarationFile)), () => true)
  if (!there) return foreign
  const json = yield* readJson(folder, declarationFile)
  return yield* within(
    folder,
    declarationFile,
    Result.mapError(Schema.decodeUnknownResult(Declaration)(json), (error) => faultOf(error.issue, json))
  )
})

/** A tensor with the file it lies in. */
interface Located extends TensorEntry {
  readonly file: string
}

const readWeights = Effect.fnUntraced(function* (folder: string, config: TransformerConfig) {
  const found = yield* locateTensors(folder)
  const wanted = parameters(config)
  const names = new Set(wanted.map(({ name }) => name))
  for (const [name, { file }] of found) {
    if (!names.has(name) && !isIdle(name, config)) {
      return yield* errorIn(folder, file, {
        field: name,
        value: "there",
        expected: `no such tensor in a ${config.family} of ${config.layers} layers${config.tied ? "" : " with its own lm_head"}`
      })
    }
  }
  const weights = new Float32Array(parameterCount(config))
  for (const parameter of wanted) {
    const tensor = found.get(parameter.name)
    if (tensor === undefined || tensor.shape.join() !== parameter.shape.join()) {
      return yield* errorIn(folder, tensor?.file ?? weightsFile, {
        field: parameter.name,
        value: tensor === undefined ? "missing" : `of shape [${tensor.shape.join(", ")}]`,
        expected: `shape [${parameter.shape.join(", ")}]`
      })
    }
    yield* readTensor(folder, tensor, parameter, weights.subarray(parameter.offset, parameter.offset + parameter.size))
  }
  return weights
})

/** What other writers leave in a file although it follows from the rest: a tied head, and tables of rotary positions. */
const isIdle = (name: string, config: TransformerConfig): boolean =>
  (config.tied && name === "lm_head.weight") || name.endsWith(".rotary_emb.inv_freq")

const readTensor = Effect.fnUntraced(function* (
  folder: string,
  tensor: Located,
  parameter: Parameter,
  out: Float32Array
) {
  const bytes =
    tensor.dtype === "F32"
      ? new Uint8Array(out.buffer, out.byteOffset, out.byteLength)
      : new Uint8Array(tensor.end - tensor.start)
  yield* readBytes(folder, tensor.file, tensor.start, bytes)
  if (tensor.dtype !== "F32") readFloats(tensor, bytes, out)
  const broken = out.findIndex((weight) => !Number.isFinite(weight))
  if (broken >= 0) {
    return yield* errorIn(folder, tensor.file, {
      field: parameter.name,
      value: `${out[broken]} at element ${broken}`,
      expected: "finite numbers"
    })
  }
})

/** All tensors of a folder, in one file or in the shards that an index names. */
const locateTensors = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const sharded =
    !(yield* files.exists(join(folder, weightsFile)).pipe(Effect.orElseSucceed(() => true))) &&
    (yield* files.exists(join(folder, indexFile)).pipe(Effect.orElseSucceed(() => false)))
  if (!sharded) return yield* tensorsOf(folder, weightsFile)
  const json = yield* readJson(folder, indexFile)
  const index = yield* within(
    folder,
    indexFile,
    Result.mapError(Schema.decodeUnknownResult(ShardIndex)(json), (error) => faultOf(error.issue, json))
  )
  const all = new Map<string, Located>()
  for (const file of new Set(Object.values(index.weight_map))) {
    for (const [name, located] of yield* tensorsOf(folder, file)) {
      if (index.weight_map[name] !== file) {
        return yield* errorIn(folder, indexFile, {
          field: `weight_map.${name}`,
          value: index.weight_map[name],
          expected: `${JSON.stringify(file)}, which holds it`
        })
      }
      all.set(name, located)
    }
  }
  for (const [name, file] of Object.entries(index.weight_map)) {
    if (!all.has(name)) {
      return yield* errorIn(folder, file, {
        field: name,
        value: "missing",
        expected: `the tensor that ${indexFile} names`
      })
    }
  }
  return all
})

const ShardIndex = Schema.Struct({ weight_map: Schema.Record(Schema.String, Schema.String) })

const tensorsOf = Effect.fnUntraced(function* (folder: string, file: string) {
  const files = yield* FileSystem.FileSystem
  const { size } = yield* Effect.mapError(files.stat(join(folder, file)), () =>
    errorIn(folder, file, { value: "missing", expected: "the weights" })
  )
  const bytes = Number(size)
  const checked = <A>(read: () => A) =>
    Effect.try({
      try: read,
      catch: (thrown) => {
        if (thrown instanceof SafetensorsError) return errorIn(folder, file, thrown)
        throw thrown
      }
    })
  const prefix = new Uint8Array(Math.min(8, bytes))
  yield* readBytes(folder, file, 0, prefix)
  const header = new Uint8Array(yield* checked(() => headerLength(prefix, bytes)))
  yield* readBytes(folder, file, 8, header)
  const entries = yield* checked(() => tensorEntries(header, bytes))
  return new Map([...entries].map(([name, entry]): [string, Located] => [name, { ...entry, file }]))
})

/** Fills `out` from a place in a file. */
const readBytes = Effect.fnUntraced(function* (folder: string, file: string, from: number, out: Uint8Array) {
  const unreadable = (reason: string) =>
    errorIn(folder, file, { value: `not readable (${reason})`, expected: "the weights" })
  const files = yield* FileSystem.FileSystem
  yield* Effect.scoped(
    Effect.gen(function* () {
      const opened = yield* files.open(join(folder, file), { flag: "r" })
      for (let done = 0; done < out.length;) {
        const count = yield* opened.read(out.subarray(done), { position: BigInt(from + done) })
        if (count === 0) return yield* unreadable("it ended early")
        done += count
      }
    })
  ).pipe(Effect.catchTag("PlatformError", (error) => Effect.fail(unreadable(error.reason._tag))))
})
