/**
 * Adapter folders of the reference library, and ours as the reference library reads them: `test/vectors/lora/make.py`.
 *
 * The reference computes logits, gradients and greedy replies of both kinds; `written-*` must be what we write today.
 */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { adapterParameters } from "../../src/kernels/lora.ts"
import { openModel } from "../../src/kernels/model.ts"
import { encodeSafetensors, type Tensor } from "../../src/kernels/safetensors.ts"
import { readCheckpoint, writeCheckpoint } from "../../src/policies/checkpoint.ts"
import { write, written } from "../vectors/lora/write.ts"

interface Expected {
  readonly base: string
  readonly rows: ReadonlyArray<{
    readonly tokens: ReadonlyArray<number>
    readonly logprobs: ReadonlyArray<number>
    readonly weights: ReadonlyArray<number>
  }>
  /** Log-probabilities of every token behind the first row, and the first of them without the adapter. */
  readonly next: ReadonlyArray<number>
  readonly nextOfBase: ReadonlyArray<number>
  /** The most probable reply to the first row. */
  readonly greedy: ReadonlyArray<number>
  readonly gradients: Readonly<Record<string, { readonly norm: number; readonly first: ReadonlyArray<number> }>>
}

const vectors = `${import.meta.dirname}/../vectors/lora`
const expected: Readonly<Record<string, Expected>> = JSON.parse(readFileSync(`${vectors}/expected.json`, "utf8"))
const root = mkdtempSync(join(tmpdir(), "constellate-adapter-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const run = <A, E>(effect: Effect.Effect<A, E, NodeServices.NodeServices>) =>
  Effect.runPromise(Effect.provide(effect, NodeServices.layer))
const gap = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  expect(a).toHaveLength(b.length)
  return Math.max(...a.map((x, i) => Math.abs(x - b[i]!)))
}

it("covers each family, read and written", () => {
  const folders = readdirSync(vectors, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  expect(folders.map(({ name }) => name)).toEqual(Object.keys(expected).toSorted())
  expect(Object.keys(expected).toSorted()).toEqual(
    ["peft", "written"].flatMap((by) => ["llama", "qwen2", "qwen3"].map((family) => `${by}-${family}`))
  )
})

describe.each(Object.entries(expected))("%s", (name, { gradients, greedy, next, nextOfBase, rows }) => {
  it("gives the reference's logits, log-probabilities, gradients and greedy reply", async () => {
    const { adapter, config, weights: base } = await run(readCheckpoint(`${vectors}/${name}`))
    const { lora, weights } = adapter!
    const model = openModel(config, { frozen: { lora, base } })
    const asked = rows.map((row) => ({ ...row, positions: row.logprobs.map((_, i) => i + 1) }))
    const { gradient, logprobs } = await model.gradient(weights, asked, { temperature: 1 })
    logprobs.forEach((own, i) => expect(gap(own, rows[i]!.logprobs)).toBeLessThan(1e-4))
    for (const { name: at, offset, size } of adapterParameters(config, lora)) {
      const { first, norm } = gradients[`base_model.model.${at}`]!
      const found = gradient.subarray(offset, offset + size)
      expect(Math.hypot(...found) / norm, at).toBeCloseTo(1, 4)
      expect(gap(Array.from(found.subarray(0, first.length)), first), at).toBeLessThan(1e-4 * (1 + norm))
    }
    expect(adapterParameters(config, lora)).toHaveLength(Object.keys(gradients).length)

    const { tokens } = rows[0]!
    const everyNext = next.map((_, token) => ({ tokens: [...tokens, token], positions: [tokens.length] }))
    const scored = (await model.score(weights, everyNext, { temperature: 1 })).flat()
    expect(gap(scored, next)).toBeLessThan(1e-4)
    expect(gap(scored.slice(0, 4), nextOfBase)).toBeGreaterThan(0.01)
    const [reply] = await model.generate(weights, [{ prompt: tokens, uniforms: greedy.map(() => 0.5) }], {
      temperature: 0,
      end: -1
    })
    expect(reply!.tokens).toEqual(greedy)
    await model.release()
  })
})

it.each(Object.keys(written))("%s is what is written today, byte by byte", async (name) => {
  await run(write(name, root))
  for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
    expect(readFileSync(join(root, name, file)).equals(readFileSync(join(vectors, name, file))), file).toBe(true)
  }
})

it("a checkpoint with an adapter is a folder of its own that comes back as it was, its base beside it", async () => {
  const read = await run(readCheckpoint(`${vectors}/peft-qwen3`))
  const folder = mkdtempSync(join(root, "kept-"))
  const declares = { ...read.declares, policyVersion: 7 }
  await run(writeCheckpoint(folder, { ...read, declares }))
  expect(readdirSync(folder)).not.toContain("model.safetensors")
  const again = await run(readCheckpoint(folder))
  expect(again.adapter).toEqual(read.adapter)
  expect(again.weights).toEqual(read.weights)
  expect(again.declares).toEqual(declares)
  expect(again.tokenizer.encode("Hello <|im_end|>")).toEqual(read.tokenizer.encode("Hello <|im_end|>"))
})

describe("refused in one line:", () => {
  const spoilt = (change: (config: Record<string, unknown>) => object) => {
    const folder = mkdtempSync(join(root, "spoilt-"))
    cpSync(join(vectors, "peft-qwen2"), folder, { recursive: true })
    const file = join(folder, "adapter_config.json")
    const json = JSON.parse(readFileSync(file, "utf8"))
    const at = { ...json, base_model_name_or_path: join(vectors, "../transformer/qwen2-untied") }
    writeFileSync(file, JSON.stringify(change(at)))
    return folder
  }

  it.each([
    [{ r: 0 }, `"r" is 0, expected a whole number above 0`],
    [{ r: 3 }, `is of shape [2, 16], expected shape [3, 16]`],
    [{ lora_alpha: -1 }, `"lora_alpha" is -1, expected a number above 0`],
    [
      { target_modules: ["q_proj", "lm_head"] },
      `"target_modules" is ["q_proj","lm_head"], expected names among q_proj,`
    ],
    [{ target_modules: "all-linear" }, `is missing, expected a tensor of shape`],
    [{ target_modules: ["q_proj"] }, `v_proj.lora_A.weight" is unexpected, expected no such tensor`],
    [{ use_dora: true }, `"use_dora" is true, expected nothing: it is not supported`],
    [{ rank_pattern: { q_proj: 4 } }, `"rank_pattern" is {"q_proj":4}, expected nothing`],
    [{ modules_to_save: ["lm_head"] }, `"modules_to_save" is ["lm_head"], expected nothing`],
    [{ init_lora_weights: "pissa" }, `"init_lora_weights" is "pissa", expected a beginning that leaves`],
    [{ bias: "all" }, `"bias" is "all", expected "none"`],
    [{ peft_type: "IA3" }, `"peft_type" is "IA3", expected "LORA"`],
    [{ base_model_name_or_path: "Qwen/Qwen3-0.6B" }, `is "Qwen/Qwen3-0.6B", expected the folder of the base model`]
  ])("%j", async (change, message) => {
    const error = await run(Effect.flip(readCheckpoint(spoilt((config) => ({ ...config, ...change })))))
    expect(error.message).toContain(message)
    expect(error.message.split("\n")).toHaveLength(1)
  })

  it("an adapter on adapters", async () => {
    const folder = spoilt((config) => ({ ...config, base_model_name_or_path: join(vectors, "peft-qwen2") }))
    const error = await run(Effect.flip(readCheckpoint(folder)))
    expect(error.message).toContain("expected the folder of the base model")
  })

  it("numbers that are none, torn files and missing ones", async () => {
    const folder = spoilt((config) => config)
    const file = join(folder, "adapter_model.safetensors")
    const whole = readFileSync(file)
    const fails = async () => (await run(Effect.flip(readCheckpoint(folder)))).message
    writeFileSync(file, whole.subarray(0, whole.length - 4))
    expect(await fails()).toContain("is it truncated?")
    const { adapter, config } = await run(readCheckpoint(`${vectors}/peft-qwen2`))
    const tensors = adapterParameters(config, adapter!.lora).map(({ name, offset, shape, size }): [string, Tensor] => {
      const data = adapter!.weights.slice(offset, offset + size)
      if (offset > 0) data[1] = Number.NaN
      return [`base_model.model.${name}`, { shape, data }]
    })
    writeFileSync(file, Buffer.concat(encodeSafetensors(tensors)))
    expect(await fails()).toContain("NaN at element 1, expected finite numbers")
    rmSync(file)
    expect(await fails()).toContain("adapter_model.safetensors is missing, expected the adapters")
  })
})
