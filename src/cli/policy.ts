/** Policies by what is written for POLICY: `scripted:NAME`, `openai:MODEL@URL`, a checkpoint folder, or a run folder. */
import { Effect, FileSystem, Layer, type PlatformError, Schema } from "effect"
import { FetchHttpClient } from "effect/http"
import type { ChildProcessSpawner } from "effect/process"
import { makeInference, type Speech } from "../actors/inference.ts"
import { openFixedModel } from "../actors/fixed-model.ts"
import { defaultRemote, makeRemote } from "../actors/remote.ts"
import { policyFolderOf, type RunFolderError } from "../actors/run-folder.ts"
import type { Environment, Style } from "../environment.ts"
import type { Device } from "../kernels/device.ts"
import { byteBlock, type TransformerConfig } from "../kernels/transformer.ts"
import { type Chat, openChat } from "../policies/chat.ts"
import { type Checkpoint, describeCheckpoint, readCheckpoint } from "../policies/checkpoint.ts"
import { type CheckpointError, errorIn } from "../policies/checkpoint-file.ts"
import { readEndpoint } from "../policies/openai.ts"
import { Policy } from "../policies/policy.ts"
import { layerScripted, scriptedAgents } from "../policies/scripted.ts"
import { type DeviceUnavailable, deviceText, openDevices } from "./device.ts"
import { UnknownName, WrongInput } from "./failure.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))

const positive = Schema.Finite.check(Schema.isGreaterThan(0))
const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** The key `remote` of a configuration: how a server is asked. */
const RemoteConfig = Schema.Struct({
  concurrency: withDefault(Schema.Int.check(Schema.isGreaterThan(0)), defaultRemote.concurrency),
  requestsPerMinute: withDefault(count, defaultRemote.requestsPerMinute),
  timeoutSeconds: withDefault(positive, defaultRemote.timeoutSeconds),
  retries: withDefault(count, defaultRemote.retries),
  backoffSeconds: withDefault(positive, defaultRemote.backoffSeconds)
})

/** The keys of a configuration that say how a policy is talked to. */
export const policyFields = {
  style: Schema.optionalKey(
    Schema.Literals(["chat", "terse"]).annotate({ description: "Style of prompts; default: the policy's own" })
  ),
  thinking: Schema.optionalKey(
    Schema.Boolean.annotate({ description: "Thinking switch of the chat template; default: the template's own" })
  ),
  device: Schema.optionalKey(deviceText),
  dtype: Schema.optionalKey(
    Schema.Literals(["float32", "int8"]).annotate({
      description: "What matrices are held in: float32 (default), or int8 on the processor, smaller and faster"
    })
  ),
  remote: Schema.optionalKey(RemoteConfig)
}

export interface PolicyOptions extends Schema.Struct.Type<typeof policyFields> {
  /** Whose scripted agents are meant, and whose words a small policy must know. */
  readonly environment: Environment
  /** Model workers; default 2. */
  readonly shards?: number | undefined
  /** What `device` names, where it was tried already. */
  readonly devices?: ReadonlyArray<Device> | undefined
}

export type PolicyFault =
  | UnknownName
  | WrongInput
  | CheckpointError
  | RunFolderError
  | DeviceUnavailable
  | PlatformError.PlatformError

export const openPolicy = Effect.fnUntraced(function* (
  text: string,
  options: PolicyOptions
): Effect.fn.Return<
  Layer.Layer<Policy, PolicyFault>,
  PolicyFault,
  FileSystem.FileSystem | ChildProcessSpawner.ChildProcessSpawner
> {
  const { device, dtype, environment, remote, style, thinking } = options
  for (const [field, value] of Object.entries({ device, dtype })) {
    if (value === undefined || !/^(scripted|openai):/.test(text)) continue
    return yield* new WrongInput({ field, value, expected: "nothing: no model runs here" })
  }
  if (text.startsWith("openai:")) return yield* openRemote(text, options)
  if (remote !== undefined) {
    return yield* new WrongInput({ field: "remote", value: "given", expected: "nothing: the policy is on no server" })
  }
  if (!text.startsWith("scripted:")) return yield* openCheckpoint(text, options)
  const name = text.slice("scripted:".length)
  const agent = scriptedAgents.find((known) => known === name)
  if (agent === undefined) return yield* new UnknownName({ kind: "scripted agent", name, valid: scriptedAgents })
  if (style === "terse") {
    return yield* new WrongInput({ field: "style", value: style, expected: `"chat", which scripted agents speak` })
  }
  if (thinking !== undefined) {
    return yield* new WrongInput({
      field: "thinking",
      value: thinking,
      expected: "nothing: scripted agents have no switch"
    })
  }
  return layerScripted(environment, agent)
})

const openRemote = Effect.fnUntraced(function* (
  text: string,
  { remote = defaultRemote, style, thinking }: PolicyOptions
) {
  const endpoint = readEndpoint(text)
  if (endpoint === undefined) {
    const expected = `openai:MODEL@URL with the base address of a server, such as https://api.openai.com/v1; the key comes from OPENAI_API_KEY`
    return yield* new WrongInput({ field: "POLICY", value: withoutPassword(text), expected })
  }
  if (style === "terse") {
    return yield* new WrongInput({ field: "style", value: style, expected: `"chat", which servers speak` })
  }
  const policy = Effect.orDie(makeRemote(text, endpoint, { ...remote, thinking }))
  return Layer.provide(Layer.effect(Policy, policy), FetchHttpClient.layer)
})

const withoutPassword = (text: string): string => text.replace(/\/\/[^/@]*@/, "//...@")

/** What tells one policy from another, for results that are kept: of a run folder the checkpoint that is meant now. */
export const policyIdentity = (text: string) =>
  /^(scripted|openai):/.test(text) ? Effect.succeed(text) : policyFolderOf(text)

/** The policy folder that a path means: itself, or the last checkpoint of a run. */
const findPolicyFolder = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  if (path.startsWith("openai:")) {
    const expected =
      "a checkpoint folder or a run folder: a server's weights are out of reach, for training and for serving"
    return yield* new WrongInput({ field: "POLICY", value: withoutPassword(path), expected })
  }
  if (!(yield* files.exists(path))) {
    return yield* new WrongInput({
      field: "POLICY",
      value: path,
      expected: `scripted:NAME (${scriptedAgents.join(", ")}), a checkpoint folder, a run folder or openai:MODEL@URL`
    })
  }
  return yield* policyFolderOf(path)
})

/** The policy of such a folder, checked, with its weights. */
export const readPolicyFolder = (path: string) => Effect.flatMap(findPolicyFolder(path), readCheckpoint)

/** The same without the weights of the model. */
export const describePolicyFolder = (path: string) => Effect.flatMap(findPolicyFolder(path), describeCheckpoint)

const readSpeech = Effect.fnUntraced(function* (path: string, options: PolicyOptions) {
  const { environment, thinking } = options
  const checkpoint = yield* describePolicyFolder(path)
  const style = options.style ?? checkpoint.declares.style
  const chat = yield* openStyle(path, checkpoint, { environments: [environment], style, thinking })
  const { config, tokenizer } = checkpoint
  const speech: Speech = { name: path, style, tokenizer, chat, thinking, maxPositions: config.maxPositions }
  return { description: checkpoint, speech }
})

/** How the policy of a folder is spoken to, without the model. */
export const openSpeech = (path: string, options: PolicyOptions) =>
  Effect.map(readSpeech(path, options), ({ speech }) => speech)

const openCheckpoint = Effect.fnUntraced(function* (path: string, options: PolicyOptions) {
  const { description, speech } = yield* readSpeech(path, options)
  const devices = options.devices ?? (yield* openDevices(options.device ?? "cpu"))
  yield* checkDtype(options.dtype, description.config, devices)
  const quantised = options.dtype === "int8"
  const { policyVersion } = description.declares
  const policy = Effect.gen(function* () {
    const workers = yield* openFixedModel(description, { devices, quantised, shards: options.shards ?? 2 })
    return yield* makeInference({ ...speech, workers, policyVersion: () => policyVersion })
  })
  return Layer.effect(Policy, Effect.provideService(policy, FileSystem.FileSystem, yield* FileSystem.FileSystem))
})

/** Whether the model's matrices can be held in a type where they are to be multiplied. */
export const checkDtype = Effect.fnUntraced(function* (
  dtype: string | undefined,
  { headSize, heads, hiddenSize, innerSize }: TransformerConfig,
  devices: ReadonlyArray<Device>
) {
  if (dtype !== "int8") return
  const refuse = (expected: string) => new WrongInput({ field: "dtype", value: dtype, expected })
  if (devices.some(({ provider }) => provider !== "cpu")) {
    return yield* refuse(`"float32" on a GPU: int8 is for the processor`)
  }
  if ([hiddenSize, innerSize, heads * headSize].some((size) => size % byteBlock !== 0)) {
    return yield* refuse(`"float32" for this model: int8 needs rows of multiples of ${byteBlock} numbers`)
  }
})

/** Checks that a policy speaks a style, and opens its chat template where that is `chat`. */
export const openStyle = Effect.fnUntraced(function* (
  path: string,
  checkpoint: Omit<Checkpoint, "weights">,
  {
    environments,
    style,
    thinking
  }: {
    readonly environments: ReadonlyArray<Environment>
    readonly style: Style
    readonly thinking?: boolean | undefined
  }
) {
  if (style === "terse") {
    if (thinking !== undefined) {
      return yield* new WrongInput({ field: "thinking", value: thinking, expected: "nothing in terse style" })
    }
    for (const environment of environments) yield* checkCoverage(path, checkpoint, environment)
    return undefined
  }
  if (checkpoint.declares.style !== "chat") {
    return yield* new WrongInput({
      field: "style",
      value: style,
      expected: `"terse", the only style that ${path} speaks`
    })
  }
  const chat = yield* openChatOf(path, checkpoint)
  yield* checkThinking(path, chat, thinking)
  return chat
})

/** A switch that the template does not know would be set in vain. */
export const checkThinking = Effect.fnUntraced(function* (path: string, chat: Chat, thinking: boolean | undefined) {
  if (thinking === undefined || chat.canSwitchThinking) return
  const expected = `nothing: the chat template of ${path} has no such switch (enable_thinking)`
  return yield* new WrongInput({ field: "thinking", value: thinking, expected })
})

/** The chat template of a policy folder. */
export const openChatOf = (path: string, { files, tokenizer }: Pick<Checkpoint, "files" | "tokenizer">) =>
  Effect.mapError(Effect.fromResult(openChat(files, tokenizer)), (complaint) =>
    errorIn(path, complaint.file, complaint)
  )

/** A policy that would spell an environment's words in bytes has never learnt them: no number it makes means anything. */
const checkCoverage = Effect.fnUntraced(function* (
  path: string,
  { declares, tokenizer }: Pick<Checkpoint, "declares" | "tokenizer">,
  { id, terse }: Environment
) {
  const missing = terse?.vocabulary.find((word) => tokenizer.encode(word).length !== 1)
  if (terse !== undefined && missing === undefined) return
  if (declares.style === "chat") {
    return yield* new WrongInput({ field: "style", value: "terse", expected: `"chat", the style that ${path} speaks` })
  }
  const why = terse === undefined ? "it has no terse style" : `the policy has no word ${JSON.stringify(missing)}`
  return yield* new WrongInput({
    field: "--env",
    value: id,
    expected: `an environment that ${path} can read (trained on ${declares.environments.join(", ")}; ${why})`
  })
})
