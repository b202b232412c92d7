/**
 * Folders of low-rank adapters as peft, the reference library, reads and writes them: `adapter_config.json`, which names
 * the folder of the base model, and `adapter_model.safetensors`.
 *
 * A key of the configuration that asks for something that our adapters do not do is refused, never ignored.
 */
import { Effect, FileSystem, Result, Schema } from "effect"
import { join, resolve } from "node:path"
import { adapterCount, adapterParameters, type LoraConfig, loraTargets } from "../kernels/lora.ts"
import { decodeSafetensors, encodeSafetensors, SafetensorsError } from "../kernels/safetensors.ts"
import type { TransformerConfig } from "../kernels/transformer.ts"
import { decodeJson, errorIn, type Fault, readJson, within } from "./checkpoint-file.ts"
import { count, only, positive, value } from "./config.ts"

export interface Adapter {
  readonly lora: LoraConfig
  /** In the order of `adapterParameters`. */
  readonly weights: Float32Array
  /** The folder of the base model, an absolute path. */
  readonly base: string
}

export const adapterConfigFile = "adapter_config.json"
const weightsFile = "adapter_model.safetensors"

/** What the library puts before the names of the base model. */
const prefix = "base_model.model."

/** Matrices go by the last part of their name, or by all of it: that each layer has them is seen in the tensors. */
const isTarget = (name: unknown): name is string =>
  typeof name === "string" && loraTargets.some((target) => target === lastPart(name))
const lastPart = (name: string): string => name.slice(name.lastIndexOf(".") + 1)

const oneOfTargets = `names among ${loraTargets.join(", ")}`

/** How an adapter began says nothing about it now, except where the base was changed for it (`pissa`, `olora` and others). */
const harmlessBeginnings: ReadonlyArray<unknown> = [true, false, "gaussian", "eva", "orthogonal"]

const AdapterConfig = Schema.Struct({
  peft_type: value<"LORA">((type) => type === "LORA", `"LORA", the only kind of adapter that is supported`),
  base_model_name_or_path: value<string>(
    (path) => typeof path === "string" && path !== "",
    "the folder of the base model"
  ),
  r: count,
  lora_alpha: positive,
  target_modules: value<ReadonlyArray<string> | "all-linear">(
    (targets) => targets === "all-linear" || (Array.isArray(targets) && targets.length > 0 && targets.every(isTarget)),
    oneOfTargets
  ),
  bias: only("none", `"none": biases are not trained`),
  init_lora_weights: Schema.optionalKey(
    value<unknown>(
      (begun) => begun == null || harmlessBeginnings.includes(begun),
      "a beginning that leaves the base model as it is"
    )
  )
})

/** Keys that say nothing about the numbers: where it comes from, how it was trained. */
const idle: ReadonlyArray<string> =
  "task_type peft_version auto_mapping revision inference_mode runtime_config ensure_weight_tying lora_dropout loftq_config eva_config megatron_core qalora_group_size".split(
    " "
  )

/** Whatever else there is must be off: other scales, magnitudes (DoRA), ranks of some matrices, whole modules. */
const extra = (json: object): Fault | undefined => {
  const known = [...Object.keys(AdapterConfig.fields), ...idle]
  const isOff = (value: unknown) =>
    value === null || value === false || (typeof value === "object" && Object.keys(value).length === 0)
  const found = Object.entries(json).find(([key, value]) => !known.includes(key) && !isOff(value))
  return found && { field: found[0], value: found[1], expected: "nothing: it is not supported" }
}

/** What an adapter folder says of itself; its base model is looked for beside the folder and in the current directory. */
export const readAdapterConfig = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const json = yield* readJson(folder, adapterConfigFile)
  const found = yield* within(folder, adapterConfigFile, decodeJson(AdapterConfig, json))
  const fault = extra(json)
  if (fault !== undefined) return yield* errorIn(folder, adapterConfigFile, fault)
  const named = found.base_model_name_or_path
  for (const base of [resolve(named), resolve(folder, named)]) {
    if (!(yield* files.exists(join(base, "config.json")))) continue
    const { target_modules: modules } = found
    const targets = modules === "all-linear" ? loraTargets : modules.map(lastPart)
    const lora: LoraConfig = {
      rank: found.r,
      alpha: found.lora_alpha,
      targets: loraTargets.filter((target) => targets.some((name) => name === target))
    }
    return { base, lora }
  }
  const expected = "the folder of the base model: put its path there"
  return yield* errorIn(folder, adapterConfigFile, { field: "base_model_name_or_path", value: named, expected })
})

/** Fails unless the file holds exactly the adapters' tensors, in their shapes, and every number is finite. */
export const readAdapterWeights = Effect.fnUntraced(function* (
  folder: string,
  config: TransformerConfig,
  lora: LoraConfig
) {
  const files = yield* FileSystem.FileSystem
  const bytes = yield* Effect.mapError(files.readFile(join(folder, weightsFile)), ({ reason }) =>
    errorIn(folder, weightsFile, {
      value: reason._tag === "NotFound" ? "missing" : `not readable (${reason._tag})`,
      expected: "the adapters in safetensors format"
    })
  )
  return yield* within(
    folder,
    weightsFile,
    Result.try({
      try: () => decodeSafetensors(bytes),
      catch: (thrown): Fault => {
        if (thrown instanceof SafetensorsError) return thrown
        throw thrown
      }
    }).pipe(
      Result.flatMap((tensors) => {
        const weights = new Float32Array(adapterCount(config, lora))
        const parameters = adapterParameters(config, lora)
        const names = new Set(parameters.map(({ name }) => `${prefix}${name}`))
        const stray = [...tensors.keys()].find((name) => !names.has(name))
        if (stray !== undefined) {
          const expected = `no such tensor: the adapters are those of ${lora.targets.join(", ")} in ${config.layers} layers`
          return Result.fail<Fault>({ field: stray, value: "unexpected", expected })
        }
        for (const { name, offset, shape } of parameters) {
          const field = `${prefix}${name}`
          const tensor = tensors.get(field)
          const expected = `shape [${shape.join(", ")}]`
          if (tensor === undefined) {
            return Result.fail<Fault>({ field, value: undefined, expected: `a tensor of ${expected}` })
          }
          if (tensor.shape.join() !== shape.join()) {
            return Result.fail<Fault>({ field, value: `of shape [${tensor.shape.join(", ")}]`, expected })
          }
          const broken = tensor.data.findIndex((weight) => !Number.isFinite(weight))
          if (broken >= 0) {
            const value = `${tensor.data[broken]} at element ${broken}`
            return Result.fail<Fault>({ field, value, expected: "finite numbers" })
          }
          weights.set(tensor.data, offset)
        }
        return Result.succeed(weights)
      })
    )
  )
})

/** The two files. The same adapter on the same base always gives the same bytes. */
export const writeAdapter = Effect.fnUntraced(function* (
  folder: string,
  config: TransformerConfig,
  { base, lora, weights }: Adapter
) {
  const files = yield* FileSystem.FileSystem
  const described = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
    r: lora.rank,
    lora_alpha: lora.alpha,
    lora_dropout: 0,
    target_modules: lora.targets,
    bias: "none",
    fan_in_fan_out: false,
    use_rslora: false,
    use_dora: false,
    modules_to_save: null,
    inference_mode: true
  }
  yield* files.writeFileString(join(folder, adapterConfigFile), `${JSON.stringify(described, null, 2)}\n`)
  const tensors = adapterParameters(config, lora).map(
    ({ name, offset, shape, size }) =>
      [`${prefix}${name}`, { shape, data: weights.subarray(offset, offset + size) }] as const
  )
  yield* files.writeFile(join(folder, weightsFile), Buffer.concat(encodeSafetensors(tensors)))
})
