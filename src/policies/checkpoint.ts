/**
 * Policy folders in Hugging Face layout, read and written.
 *
 * `config.json`, `model.safetensors` (or shards with their index), `tokenizer.json`, `tokenizer_config.json`,
 * `chat_template.jinja` where the template isn't in the file before, `generation_config.json`; `constellate.json` beside them says how the policy wants its prompts and what it was trained
 * on. A folder without it is a language model from elsewhere: style `chat`, trained here on nothing.
 * A folder with `adapter_config.json` holds low-rank adapters on the model of another folder, which it names.
 * Writing is deterministic and not atomic: who needs that writes into a new folder and renames it.
 */
import { Effect, FileSystem, Schema } from "effect"
import { join } from "node:path"
import type { TransformerConfig } from "../kernels/transformer.ts"
import { type Adapter, adapterConfigFile, readAdapterConfig, readAdapterWeights, writeAdapter } from "./adapter.ts"
import { decodeJson, errorIn, readJson, within } from "./checkpoint-file.ts"
import { printConfig, readConfig } from "./config.ts"
import { openTokenizer, type Tokenizer, type TokenizerFiles } from "./tokenizer.ts"
import { readWeights, writeWeights } from "./weights.ts"

/** `constellate.json`. */
const Declaration = Schema.Struct({
  /** Counts up when older folders can't be read any more. */
  format: Schema.Literal(1),
  style: Schema.Literals(["terse", "chat"]),
  /** What the policy was trained on: environments as named on the command line. */
  environments: Schema.Array(Schema.String),
  /** Policy updates that made these weights. */
  policyVersion: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
})
export type Declaration = typeof Declaration.Type

export interface Checkpoint {
  readonly config: TransformerConfig
  /** All parameters in the order of `parameters(config)`; with an adapter, those of its base model. */
  readonly weights: Float32Array
  readonly adapter?: Adapter | undefined
  readonly tokenizer: Tokenizer
  /** What the tokenizer was made from. */
  readonly files: TokenizerFiles
  /** `bos_token_id`: nothing here asks for it, other tools do. */
  readonly begin?: number | undefined
  readonly declares: Declaration
}

/** The numbers by which versions of this policy differ: those of its adapters, or all parameters. */
export const trainedWeights = ({ adapter, weights }: Checkpoint): Float32Array => adapter?.weights ?? weights

/** The checkpoint with other such numbers. */
export const withTrained = (checkpoint: Checkpoint, trained: Float32Array): Checkpoint =>
  checkpoint.adapter === undefined
    ? { ...checkpoint, weights: trained }
    : { ...checkpoint, adapter: { ...checkpoint.adapter, weights: trained } }

const configFile = "config.json"
const tokenizerFile = "tokenizer.json"
const tokenizerConfigFile = "tokenizer_config.json"
const chatTemplateFile = "chat_template.jinja"
const generationFile = "generation_config.json"
const declarationFile = "constellate.json"

/** A policy folder, or a folder of adapters with its base, but for the weights of the model. */
export interface Description extends Omit<Checkpoint, "weights"> {
  /** Where the weights are, all of the model or all of the base. */
  readonly folder: string
}

/** Reads a policy folder, or a folder of adapters with its base. What it hands out was checked. */
export const readCheckpoint = Effect.fn("readCheckpoint")(function* (folder: string) {
  const { folder: home, ...description } = yield* describeCheckpoint(folder)
  const checkpoint: Checkpoint = { ...description, weights: yield* readWeights(home, description.config) }
  return checkpoint
})

/** Everything in such a folder but the large files, checked. */
export const describeCheckpoint = Effect.fnUntraced(function* (folder: string) {
  const description: Description = yield* (yield* holds(folder, adapterConfigFile))
    ? describeAdapted(folder)
    : describeWhole(folder)
  return description
})

/** Tokenizer and ends come with the adapters or, where they are not there, with the base. */
const describeAdapted = Effect.fnUntraced(function* (folder: string) {
  const { base, lora } = yield* readAdapterConfig(folder)
  const described = yield* describeWhole(base)
  const { config } = described
  const adapter: Adapter = { base, lora, weights: yield* readAdapterWeights(folder, config, lora) }
  return {
    ...described,
    ...((yield* holds(folder, tokenizerFile)) ? yield* readTokenizer(folder, config) : {}),
    declares: (yield* holds(folder, declarationFile)) ? yield* readDeclaration(folder) : described.declares,
    adapter
  } satisfies Description
})

const describeWhole = Effect.fnUntraced(function* (folder: string) {
  const config = yield* within(folder, configFile, readConfig(yield* readJson(folder, configFile)))
  const { files, tokenizer } = yield* readTokenizer(folder, config)
  const declares = yield* readDeclaration(folder)
  const [begin] = yield* readTokens(folder, configFile, "bos_token_id", config)
  return { folder, config, tokenizer, files, declares, ...(begin === undefined ? {} : { begin }) } satisfies Description
})

const readTokenizer = Effect.fnUntraced(function* (folder: string, config: TransformerConfig) {
  const files: TokenizerFiles = {
    tokenizer: yield* readJson(folder, tokenizerFile),
    tokenizerConfig: yield* readJson(folder, tokenizerConfigFile),
    ...(yield* readChatTemplate(folder))
  }
  // As the reference library: where the one file names none, the other counts.
  const own = (yield* holds(folder, generationFile)) ? yield* readTokens(folder, generationFile, endsKey, config) : []
  const inConfig = own.length > 0 || !(yield* holds(folder, configFile))
  const ends = inConfig ? own : yield* readTokens(folder, configFile, endsKey, config)
  const tokenizer = yield* Effect.mapError(Effect.fromResult(openTokenizer(files, ends)), (complaint) =>
    errorIn(folder, complaint.file, complaint)
  )
  if (tokenizer.vocabularySize > config.vocabularySize) {
    const value = `one of ${tokenizer.vocabularySize} tokens`
    const expected = `at most ${config.vocabularySize}, the vocab_size of ${configFile}`
    return yield* errorIn(folder, tokenizerFile, { value, expected })
  }
  return { files, tokenizer }
})

/** Fills an empty folder. The same checkpoint always gives the same bytes. */
export const writeCheckpoint = Effect.fn("writeCheckpoint")(function* (folder: string, checkpoint: Checkpoint) {
  const files = yield* FileSystem.FileSystem
  const { adapter, begin, config, tokenizer, weights } = checkpoint
  const writeJson = (name: string, json: object) =>
    files.writeFileString(join(folder, name), `${JSON.stringify(json, null, 2)}\n`)
  yield* writeJson(tokenizerFile, checkpoint.files.tokenizer)
  yield* writeJson(tokenizerConfigFile, checkpoint.files.tokenizerConfig)
  if (checkpoint.files.chatTemplate !== undefined) {
    yield* files.writeFileString(join(folder, chatTemplateFile), checkpoint.files.chatTemplate)
  }
  const ends = tokenizer.ends.length === 1 ? tokenizer.end : tokenizer.ends
  yield* writeJson(generationFile, {
    ...(begin === undefined ? {} : { bos_token_id: begin }),
    do_sample: true,
    eos_token_id: ends,
    pad_token_id: tokenizer.pad
  })
  yield* writeJson(declarationFile, checkpoint.declares)
  if (adapter !== undefined) return yield* writeAdapter(folder, config, adapter)
  yield* writeJson(configFile, printConfig(config, tokenizer, begin))
  yield* writeWeights(folder, config, weights)
})

/** Whether a folder, which may not exist, holds a file. */
const holds = Effect.fnUntraced(function* (folder: string, file: string) {
  const files = yield* FileSystem.FileSystem
  const names = yield* Effect.orElseSucceed(files.readDirectory(folder), (): Array<string> => [])
  return names.includes(file)
})

const readChatTemplate = Effect.fnUntraced(function* (folder: string) {
  if (!(yield* holds(folder, chatTemplateFile))) return {}
  const files = yield* FileSystem.FileSystem
  const chatTemplate = yield* Effect.mapError(files.readFileString(join(folder, chatTemplateFile)), ({ reason }) =>
    errorIn(folder, chatTemplateFile, { value: `not readable (${reason._tag})`, expected: "a Jinja template" })
  )
  return { chatTemplate }
})

const endsKey = "eos_token_id"

/** The tokens that a file names under a key: one, several, or none. */
const readTokens = Effect.fnUntraced(function* (
  folder: string,
  file: string,
  key: string,
  { vocabularySize }: TransformerConfig
) {
  const json = yield* readJson(folder, file)
  const found = (json as Readonly<Record<string, unknown>>)[key] ?? []
  const tokens: ReadonlyArray<unknown> = Array.isArray(found) ? found : [found]
  if (
    tokens.every((token) => Number.isInteger(token) && (token as number) >= 0 && (token as number) < vocabularySize)
  ) {
    return tokens as ReadonlyArray<number>
  }
  const expected = `a token below ${vocabularySize} or a list of such tokens`
  return yield* errorIn(folder, file, { field: key, value: found, expected })
})

const readDeclaration = Effect.fnUntraced(function* (folder: string) {
  if (!(yield* holds(folder, declarationFile))) {
    return { format: 1, style: "chat", environments: [], policyVersion: 0 } satisfies Declaration
  }
  return yield* within(folder, declarationFile, decodeJson(Declaration, yield* readJson(folder, declarationFile)))
})
