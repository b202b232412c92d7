import { NodeServices } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FileSystem, Result } from "effect"
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { initialize } from "../../src/kernels/initialize.ts"
import { encodeSafetensors } from "../../src/kernels/safetensors.ts"
import { parameters, type TransformerConfig } from "../../src/kernels/transformer.ts"
import { type Checkpoint, readCheckpoint, writeCheckpoint } from "../../src/policies/checkpoint.ts"
import { printConfig, readConfig } from "../../src/policies/config.ts"
import { openTokenizer } from "../../src/policies/tokenizer.ts"
import { wordTokenizer } from "../../src/policies/word-tokenizer.ts"

const files = wordTokenizer(["U", "D"])
const tokenizer = Result.getOrThrow(openTokenizer(files))

const config: TransformerConfig = {
  family: "qwen3",
  vocabularySize: tokenizer.vocabularySize,
  hiddenSize: 8,
  innerSize: 12,
  layers: 1,
  heads: 4,
  keyValueHeads: 2,
  headSize: 4,
  epsilon: 1e-6,
  ropeTheta: 1000,
  maxPositions: 128,
  tied: true
}

const spark: Checkpoint = {
  config,
  weights: initialize(config, 1, "checkpoint test"),
  tokenizer,
  files,
  declares: { format: 1, style: "terse", environments: ["frozen-lake-obscure"], policyVersion: 7 }
}

const sharded = `${import.meta.dirname}/../vectors/transformer/qwen3-untied`

/** A test with a temporary folder of its own and the real file system. */
const inFolder = (name: string, body: (folder: string) => Effect.Effect<unknown, unknown, FileSystem.FileSystem>) =>
  it.live(name, () =>
    Effect.acquireUseRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "constellate-"))),
      body,
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
    ).pipe(Effect.provide(NodeServices.layer))
  )

const bytes = (folder: string) =>
  Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name)).toString("base64")]))

const json = (path: string) => JSON.parse(readFileSync(path, "utf8"))

/** Changes one key of a JSON file; `undefined` takes it away. */
const set = (file: string, key: string, value: unknown) => (folder: string) => {
  const path = join(folder, file)
  writeFileSync(path, JSON.stringify({ ...json(path), [key]: value }))
}

/** Replaces the weights by these tensors, each by default as it was. */
const weights =
  (change: (name: string) => ReadonlyArray<readonly [string, ReadonlyArray<number>, number?]>) => (folder: string) =>
    writeFileSync(
      join(folder, "model.safetensors"),
      Buffer.concat(
        encodeSafetensors(
          parameters(config)
            .flatMap(({ name, shape }) => (name === "model.norm.weight" ? change(name) : [[name, shape] as const]))
            .map(([name, shape, fill]) => {
              const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill ?? 0.5)
              return [name, { shape, data }] as const
            })
        )
      )
    )

describe("a policy folder", () => {
  inFolder("comes back as it was written", (folder) =>
    Effect.gen(function* () {
      yield* writeCheckpoint(folder, spark)
      const { tokenizer: opened, ...read } = yield* readCheckpoint(folder)
      const { tokenizer: _, ...written } = spark
      expect(read).toEqual(written)
      expect(opened.encode("<solve> U ? D")).toEqual(tokenizer.encode("<solve> U ? D"))
      expect(readdirSync(folder)).toEqual([
        "config.json",
        "constellate.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json"
      ])
    })
  )

  inFolder("has the same bytes for the same policy", (folder) =>
    Effect.gen(function* () {
      yield* writeCheckpoint(folder, spark)
      const first = bytes(folder)
      yield* writeCheckpoint(folder, yield* readCheckpoint(folder))
      expect(bytes(folder)).toEqual(first)
    })
  )

  inFolder("of another maker is a chat policy, and may come in shards of half precision", (folder) =>
    Effect.gen(function* () {
      const foreign = yield* readCheckpoint(sharded)
      expect(foreign.declares).toEqual({ format: 1, style: "chat", environments: [], policyVersion: 0 })
      yield* writeCheckpoint(folder, foreign)
      const read = yield* readCheckpoint(folder)
      expect(read.config).toEqual(foreign.config)
      expect(read.weights).toEqual(foreign.weights)
    })
  )

  inFolder("of another maker keeps its first token and all its last ones", (folder) =>
    Effect.gen(function* () {
      cpSync(sharded, folder, { recursive: true })
      set("config.json", "bos_token_id", 5)(folder)
      set("config.json", "eos_token_id", [299, 7])(folder)
      const foreign = yield* readCheckpoint(folder)
      expect(foreign.tokenizer.ends).toEqual([299, 7])
      const again = join(folder, "again")
      mkdirSync(again)
      yield* writeCheckpoint(again, foreign)
      for (const file of ["config.json", "generation_config.json"]) {
        expect(json(join(again, file))).toMatchObject({ bos_token_id: 5, eos_token_id: [299, 7] })
      }
      expect((yield* readCheckpoint(again)).begin).toBe(5)
      // What is said for generation counts, where both say something.
      writeFileSync(join(folder, "generation_config.json"), JSON.stringify({ eos_token_id: 8 }))
      expect((yield* readCheckpoint(folder)).tokenizer.ends).toEqual([299, 8])
      set("config.json", "bos_token_id", 300)(folder)
      expect((yield* Effect.flip(readCheckpoint(folder))).message).toContain(
        '"bos_token_id" is 300, expected a token below 300'
      )
    })
  )

  inFolder("may hold a head that is not used because it is tied", (folder) =>
    Effect.gen(function* () {
      yield* writeCheckpoint(folder, spark)
      weights((name) => [
        [name, [8]],
        ["lm_head.weight", [config.vocabularySize, 8]],
        ["model.layers.0.self_attn.rotary_emb.inv_freq", [2]]
      ])(folder)
      expect((yield* readCheckpoint(folder)).weights).toHaveLength(spark.weights.length)
    })
  )
})

const norm = "model.norm.weight"

describe("a damaged policy folder is told in one line:", () => {
  const damages: ReadonlyArray<readonly [name: string, damage: (folder: string) => void, message: string]> = [
    [
      "no config",
      (f) => unlinkSync(join(f, "config.json")),
      "config.json is missing, expected a file of a policy folder"
    ],
    [
      "no weights",
      (f) => unlinkSync(join(f, "model.safetensors")),
      "model.safetensors is missing, expected the weights"
    ],
    ["no tokenizer", (f) => unlinkSync(join(f, "tokenizer.json")), "tokenizer.json is missing"],
    [
      "no JSON",
      (f) => truncateSync(join(f, "tokenizer.json"), 100),
      "tokenizer.json is malformed, expected a JSON object"
    ],
    [
      "truncated",
      (f) => truncateSync(join(f, "model.safetensors"), 9000),
      "model.safetensors is 9000 bytes long, expected 1"
    ],
    [
      "truncated early",
      (f) => truncateSync(join(f, "model.safetensors"), 5),
      "model.safetensors is 5 bytes long, expected at"
    ],
    ["empty", (f) => truncateSync(join(f, "model.safetensors"), 0), "model.safetensors is 0 bytes long"],
    ["tensor missing", weights(() => []), `model.safetensors: "${norm}" is missing, expected a tensor of shape [8]`],
    [
      "tensor reshaped",
      weights(() => [[norm, [4]]]),
      `model.safetensors: "${norm}" is of shape [4], expected shape [8]`
    ],
    [
      "tensor added",
      weights(() => [
        [norm, [8]],
        ["x", [1]]
      ]),
      `model.safetensors: "x" is unexpected, expected no such tensor in a`
    ],
    ["not finite", weights(() => [[norm, [8], NaN]]), `"${norm}" is NaN at element 0, expected finite numbers`],
    [
      "family",
      set("config.json", "model_type", "gpt2"),
      `config.json: "model_type" is "gpt2", expected one of the supported families: qwen3, qwen2, llama`
    ],
    [
      "no family",
      set("config.json", "model_type", undefined),
      `config.json: "model_type" is missing, expected one of the supported`
    ],
    [
      "size",
      set("config.json", "hidden_size", "8"),
      `config.json: "hidden_size" is "8", expected a whole number above 0`
    ],
    [
      "size missing",
      set("config.json", "hidden_size", undefined),
      `config.json: "hidden_size" is missing, expected a whole number`
    ],
    [
      "heads",
      set("config.json", "num_key_value_heads", 3),
      `"num_key_value_heads" is 3, expected a divisor of num_attention_heads, 4`
    ],
    ["odd heads", set("config.json", "head_dim", 3), `"head_dim" is 3, expected an even number`],
    [
      "rope",
      set("config.json", "rope_scaling", { rope_type: "longrope", factor: 4 }),
      `"rope_scaling.rope_type" is "longrope", expected one of the supported kinds: default, linear`
    ],
    [
      "newer rope",
      set("config.json", "rope_parameters", { rope_type: "linear" }),
      `"rope_parameters.factor" is missing, expected a number above 0`
    ],
    [
      "bias",
      set("config.json", "attention_bias", true),
      `"attention_bias" is true, expected false in the qwen3 family`
    ],
    ["window", set("config.json", "use_sliding_window", true), `"use_sliding_window" is true, expected false`],
    [
      "windows",
      set("config.json", "layer_types", ["sliding_attention"]),
      `"layer_types" is ["sliding_attention"], expected "full_attention"`
    ],
    ["activation", set("config.json", "hidden_act", "gelu"), `"hidden_act" is "gelu", expected "silu"`],
    [
      "quantised",
      set("config.json", "quantization_config", { bits: 4 }),
      `"quantization_config" is {"bits":4}, expected null`
    ],
    [
      "small embedding",
      set("config.json", "vocab_size", 100),
      "tokenizer.json is one of 264 tokens, expected at most 100"
    ],
    [
      "other embedding",
      set("config.json", "vocab_size", 300),
      `"model.embed_tokens.weight" is of shape [264, 8], expected shape [300, 8]`
    ],
    [
      "no end",
      set("tokenizer_config.json", "eos_token", undefined),
      `tokenizer_config.json: "eos_token" is missing, expected the token`
    ],
    [
      "wrong end",
      set("tokenizer_config.json", "eos_token", "</s>"),
      `"eos_token" is "</s>", expected a token of tokenizer.json`
    ],
    ["no model", set("tokenizer.json", "model", undefined), "tokenizer.json is not usable, expected a tokenizer"],
    ["newer format", set("constellate.json", "format", 2), `constellate.json: "format" is 2, expected 1`],
    [
      "style",
      set("constellate.json", "style", "loud"),
      `constellate.json: "style" is "loud", expected "terse" | "chat"`
    ],
    ["version", set("constellate.json", "policyVersion", -1), `constellate.json: "policyVersion" is -1, expected`]
  ]
  for (const [name, damage, message] of damages) {
    inFolder(name, (folder) =>
      Effect.gen(function* () {
        yield* writeCheckpoint(folder, spark)
        damage(folder)
        const error = yield* Effect.flip(readCheckpoint(folder))
        expect(error._tag).toBe("CheckpointError")
        expect(error.message).toContain(`${folder}/`)
        expect(error.message).toContain(message)
        expect(error.message).not.toContain("\n")
      })
    )
  }

  it.live("no folder", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(readCheckpoint("/nowhere/at/all"))
      expect(error.message).toMatch(/^\/nowhere\/at\/all\/config.json is missing, expected/)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  const index = "model.safetensors.index.json"
  const wrongIndexes: ReadonlyArray<readonly [name: string, damage: (folder: string) => void, message: string]> = [
    [
      "a shard gone",
      (f) => unlinkSync(join(f, "model-00002-of-00004.safetensors")),
      "model-00002-of-00004.safetensors is missing"
    ],
    ["no map", set(index, "weight_map", undefined), `${index}: "weight_map" is missing, expected a value`],
    [
      "a tensor elsewhere",
      (f) => {
        const { weight_map: map } = json(join(f, index))
        set(index, "weight_map", { ...map, "lm_head.weight": map["model.embed_tokens.weight"] })(f)
      },
      `model-00001-of-00004.safetensors: "lm_head.weight" is missing, expected it here, as ${index} says`
    ],
    [
      "a shard in another folder",
      (f) => {
        const { weight_map: map } = json(join(f, index))
        set(index, "weight_map", { ...map, "model.norm.weight": "../model.safetensors" })(f)
      },
      `${index}: "weight_map.model.norm.weight" is "../model.safetensors", expected the name of a file in this folder`
    ],
    [
      "a tensor not listed",
      (f) => {
        const { weight_map: map } = json(join(f, index))
        set(index, "weight_map", { ...map, "model.norm.weight": undefined })(f)
      },
      `${index}: "weight_map.model.norm.weight" is missing, expected "model-00004-of-00004.safetensors", where it is`
    ],
    [
      "a shard not listed",
      (f) => {
        const { weight_map: map } = json(join(f, index))
        set(index, "weight_map", { ...map, "lm_head.weight": undefined })(f)
      },
      `${index}: "lm_head.weight" is missing, expected a tensor of shape [300, 16]`
    ],
    [
      "a tensor nowhere",
      (f) => {
        const { weight_map: map } = json(join(f, index))
        set(index, "weight_map", { ...map, more: map["lm_head.weight"] })(f)
      },
      `model-00003-of-00004.safetensors: "more" is missing, expected it here`
    ]
  ]
  for (const [name, damage, message] of wrongIndexes) {
    inFolder(name, (folder) =>
      Effect.gen(function* () {
        cpSync(sharded, folder, { recursive: true })
        damage(folder)
        expect((yield* Effect.flip(readCheckpoint(folder))).message).toContain(message)
      })
    )
  }
})

describe("config.json", () => {
  it("says what it was made from, in every family", () => {
    for (const family of ["qwen3", "qwen2", "llama"] as const) {
      for (const tied of [true, false]) {
        const one = { ...config, family, tied }
        expect(readConfig(printConfig(one, tokenizer))).toEqual(Result.succeed(one))
      }
    }
  })

  it("has the defaults of the reference implementation", () => {
    const { head_dim, num_key_value_heads, rms_norm_eps, rope_theta, tie_word_embeddings, ...rest } = printConfig(
      { ...config, family: "llama" },
      tokenizer
    ) as Record<string, unknown>
    expect([head_dim, num_key_value_heads, rms_norm_eps, rope_theta, tie_word_embeddings]).not.toContain(undefined)
    const defaults = { headSize: 2, keyValueHeads: 4, epsilon: 1e-6, ropeTheta: 10_000, tied: false }
    expect(Result.getOrThrow(readConfig(rest))).toMatchObject(defaults)
    expect(Result.getOrThrow(readConfig({ ...rest, model_type: "qwen3" }))).toMatchObject({ headSize: 128 })
  })
})
