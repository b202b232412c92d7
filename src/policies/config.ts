/**
 * A policy folder's `config.json` and what we make of it.
 *
 * Keys that say nothing about the numbers are passed over. A key that asks for something that the transformer does not
 * do (sliding windows, other scalings of rotary positions, quantised weights, other activations) is refused, never ignored.
 */
import { Result, Schema } from "effect"
import type { TransformerConfig } from "../kernels/transformer.ts"
import { decodeJson, type Fault } from "./checkpoint-file.ts"
import { printRope, readRope } from "./rope-config.ts"

const families = ["qwen3", "qwen2", "llama"] as const

/** A value that is checked as a whole, so that what was expected is said in our words. */
export const value = <A>(is: (value: unknown) => boolean, message: string) =>
  Schema.declare((candidate): candidate is A => is(candidate), { message }).annotateKey({ messageMissingKey: message })

export const count = value<number>((n) => Number.isSafeInteger(n) && (n as number) > 0, "a whole number above 0")
export const positive = value<number>((x) => Number.isFinite(x) && (x as number) > 0, "a number above 0")
const flag = value<boolean>((b) => typeof b === "boolean", "true or false")
const orNull = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))
/** Present or not, it must have no effect. */
export const only = (allowed: unknown, message: string) =>
  Schema.optionalKey(value<unknown>((found) => found === null || found === allowed, message))

const keys = value<object>((found) => typeof found === "object" && !Array.isArray(found), "keys and values")

const PolicyConfig = Schema.Struct({
  model_type: value<TransformerConfig["family"]>(
    (family) => families.includes(family as never),
    `one of the supported families: ${families.join(", ")}`
  ),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: orNull(count),
  head_dim: orNull(count),
  max_position_embeddings: count,
  rms_norm_eps: orNull(positive),
  rope_theta: orNull(positive),
  rope_parameters: orNull(keys),
  rope_scaling: orNull(keys),
  partial_rotary_factor: only(1, "1: heads that turn in part are not supported"),
  tie_word_embeddings: orNull(flag),
  hidden_act: only("silu", `"silu"`),
  attention_bias: orNull(flag),
  mlp_bias: only(false, "false: biases in the feed-forward layers are not supported"),
  use_sliding_window: only(false, "false: sliding windows are not supported"),
  layer_types: orNull(
    value<ReadonlyArray<string>>(
      (types) => Array.isArray(types) && types.every((type) => type === "full_attention"),
      `"full_attention" everywhere`
    )
  ),
  quantization_config: only(null, "null: quantised checkpoints are not supported")
})

export const readConfig = (json: object): Result.Result<TransformerConfig, Fault> =>
  Result.gen(function* () {
    const found = yield* decodeJson(PolicyConfig, json)
    const family = found.model_type
    const heads = found.num_attention_heads
    const config: TransformerConfig = {
      family,
      vocabularySize: found.vocab_size,
      hiddenSize: found.hidden_size,
      innerSize: found.intermediate_size,
      layers: found.num_hidden_layers,
      heads,
      keyValueHeads: found.num_key_value_heads ?? heads,
      // What the reference implementation takes where the key is missing.
      headSize: found.head_dim ?? (family === "qwen3" ? 128 : Math.floor(found.hidden_size / heads)),
      epsilon: found.rms_norm_eps ?? 1e-6,
      ...(yield* readRope(found)),
      maxPositions: found.max_position_embeddings,
      tied: found.tie_word_embeddings ?? false
    }
    const biased = family === "qwen2"
    const faults: ReadonlyArray<readonly [wrong: boolean, field: keyof typeof found, expected: string]> = [
      [heads % config.keyValueHeads !== 0, "num_key_value_heads", `a divisor of num_attention_heads, ${heads}`],
      [
        found.head_dim == null && family !== "qwen3" && found.hidden_size % heads !== 0,
        "num_attention_heads",
        `a divisor of hidden_size, ${found.hidden_size}`
      ],
      [config.headSize % 2 !== 0, "head_dim", `an even number, not ${config.headSize}`],
      [(found.attention_bias ?? biased) !== biased, "attention_bias", `${biased} in the ${family} family`]
    ]
    const fault = faults.find(([wrong]) => wrong)
    if (fault === undefined) return config
    return yield* Result.fail<Fault>({ field: fault[1], value: found[fault[1]], expected: fault[2] })
  })

const architectures = { qwen3: "Qwen3ForCausalLM", qwen2: "Qwen2ForCausalLM", llama: "LlamaForCausalLM" }

/** What other tools read back as the same model. */
export const printConfig = (
  config: TransformerConfig,
  tokens: { readonly end: number; readonly ends?: ReadonlyArray<number>; readonly pad: number },
  begin?: number | undefined
): object => ({
  architectures: [architectures[config.family]],
  model_type: config.family,
  vocab_size: config.vocabularySize,
  hidden_size: config.hiddenSize,
  intermediate_size: config.innerSize,
  num_hidden_layers: config.layers,
  num_attention_heads: config.heads,
  num_key_value_heads: config.keyValueHeads,
  head_dim: config.headSize,
  hidden_act: "silu",
  max_position_embeddings: config.maxPositions,
  rms_norm_eps: config.epsilon,
  rope_theta: config.ropeTheta,
  rope_scaling: printRope(config.ropeScaling),
  attention_bias: config.family === "qwen2",
  ...(config.family === "llama" ? { mlp_bias: false } : { use_sliding_window: false }),
  tie_word_embeddings: config.tied,
  bos_token_id: begin ?? null,
  eos_token_id: tokens.ends === undefined || tokens.ends.length === 1 ? tokens.end : tokens.ends,
  pad_token_id: tokens.pad,
  torch_dtype: "float32"
})
