/** Saving memory changes no number: layers made anew, long sequences in blocks, any cut into micro-batches. */
import { describe, expect, it } from "vitest"
import { initialize } from "../../src/kernels/initialize.ts"
import { initializeAdapter, type LoraConfig, loraTargets } from "../../src/kernels/lora.ts"
import { type GradientRow, type Model, openModel } from "../../src/kernels/model.ts"
import { stream } from "../../src/kernels/random.ts"
import { microBatches, shareStems } from "../../src/kernels/sequences.ts"
import type { TransformerConfig } from "../../src/kernels/transformer.ts"

const common = { vocabularySize: 37, hiddenSize: 8, innerSize: 12, headSize: 4, epsilon: 1e-6, ropeTheta: 100 }
const sizes = { ...common, layers: 2, maxPositions: 800, tied: true }
const configs: ReadonlyArray<TransformerConfig> = [
  { ...sizes, family: "qwen3", heads: 4, keyValueHeads: 2 },
  { ...sizes, family: "qwen2", heads: 2, keyValueHeads: 2, tied: false },
  { ...sizes, family: "llama", heads: 4, keyValueHeads: 1 }
]
const lora: LoraConfig = { rank: 2, alpha: 4, targets: loraTargets }
const { int, normal, uniform } = stream("thrift")

const row = (config: TransformerConfig, length: number, every: number): GradientRow => {
  const tokens = Array.from({ length }, () => int(0, config.vocabularySize - 1))
  const positions = tokens.map((_, t) => t).filter((t) => t > 0 && t % every === 0)
  return { tokens, positions, weights: positions.map(normal) }
}
const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  expect(a).toHaveLength(b.length)
  const gaps = Array.from(a, (x, i) => Math.abs(x - b[i]!))
  return Math.max(...gaps) / Math.max(...Array.from(b, Math.abs))
}
const sum = async (model: Model, weights: Float32Array, batches: ReadonlyArray<ReadonlyArray<GradientRow>>) => {
  let total: Float32Array | undefined
  for (const batch of batches) {
    const { gradient } = await model.gradient(weights, batch, { temperature: 1 })
    total = total === undefined ? gradient : total.map((x, i) => x + gradient[i]!)
  }
  return total!
}

describe.each(configs.map((config) => [config.family, config] as const))("%s", (_, config) => {
  const base = initialize(config, "thrift").map((x) => x + 0.1 * normal())
  const adapter = initializeAdapter(config, lora, "thrift").map((x) => x + 0.2 * normal())

  it.each([
    ["of all parameters", undefined],
    ["of adapters", { lora, base }]
  ])("the gradient %s is the same, bit for bit, where layers are made anew", async (_kind, frozen) => {
    const weights = frozen === undefined ? base : adapter
    const [kept, anew] = [openModel(config, { frozen }), openModel(config, { frozen, recompute: true })]
    for (const every of [1, 5]) {
      const rows = [row(config, 40, every), row(config, 23, every)]
      const expected = await kept.gradient(weights, rows, { temperature: 0.9 })
      const found = await anew.gradient(weights, rows, { temperature: 0.9 })
      expect(found.logprobs).toEqual(expected.logprobs)
      expect(Buffer.from(found.gradient.buffer).equals(Buffer.from(expected.gradient.buffer))).toBe(true)
    }
    await Promise.all([kept.release(), anew.release()])
  })

  it("a sequence too long for whole tables is scored and trained as if it were short", async () => {
    const model = openModel(config, { frozen: { lora, base } })
    const anew = openModel(config, { frozen: { lora, base }, recompute: true })
    for (const every of [1, 7]) {
      const long = row(config, 600, every)
      // Causal: what follows has no part in the tokens up to 500.
      const short: GradientRow = {
        tokens: long.tokens.slice(0, 500),
        positions: long.positions.filter((at) => at < 500),
        weights: long.weights.slice(0, long.positions.filter((at) => at < 500).length)
      }
      const silent = { ...long, weights: long.weights.map((weight, i) => (long.positions[i]! < 500 ? weight : 0)) }
      const expected = await model.gradient(adapter, [short], { temperature: 1 })
      const found = await model.gradient(adapter, [silent], { temperature: 1 })
      expect(distance(found.logprobs[0]!.slice(0, short.positions.length), expected.logprobs[0]!)).toBeLessThan(1e-5)
      expect(distance(found.gradient, expected.gradient)).toBeLessThan(1e-4)
      expect(await model.score(adapter, [long], { temperature: 1 })).toEqual(found.logprobs)
      const again = await anew.gradient(adapter, [silent], { temperature: 1 })
      expect(distance(again.gradient, found.gradient)).toBeLessThan(1e-6)
    }
    await Promise.all([model.release(), anew.release()])
  })

  it.each([
    ["whole tables", 140, 30],
    ["blocks", 260, 100]
  ])("a prompt in common is computed once, in %s, and nobody sees its neighbours", async (_kind, stem, tail) => {
    const model = openModel(config, { frozen: { lora, base } })
    const anew = openModel(config, { frozen: { lora, base }, recompute: true })
    const common = row(config, stem, 3)
    const rows = [tail, tail - 7, 1, tail - 3].map((length): GradientRow => {
      const own = row(config, length, 2)
      return {
        tokens: [...common.tokens, ...own.tokens],
        positions: [...common.positions, stem, ...own.positions.map((at) => stem + at)],
        weights: [...common.weights, 1.5, ...own.weights]
      }
    })
    const shared = shareStems(rows, 10_000)
    expect(shared).toHaveLength(1)
    expect(shared[0]!.row.tokens).toHaveLength(stem + 3 * tail - 9)
    const separate = await model.gradient(adapter, rows, { temperature: 0.9 })
    const together = await model.gradient(adapter, [shared[0]!.row], { temperature: 0.9 })
    expect(distance(together.gradient, separate.gradient)).toBeLessThan(1e-4)
    const expected = shared[0]!.members.flatMap((member) => separate.logprobs[rows.indexOf(member)]!)
    expect(distance(together.logprobs[0]!, expected)).toBeLessThan(1e-5)
    const again = await anew.gradient(adapter, [shared[0]!.row, rows[2]!], { temperature: 1 })
    const both = await sum(model, adapter, [rows, [rows[2]!]])
    expect(distance(again.gradient, both)).toBeLessThan(1e-4)
    await Promise.all([model.release(), anew.release()])
  })

  it("a long prompt is read as it is scored, the same alone and among others", async () => {
    const model = openModel(config, { frozen: { lora, base } })
    const asked = [600, 530, 640].map((length) => ({
      prompt: row(config, length, 1).tokens,
      uniforms: [uniform(), uniform(), uniform()]
    }))
    const options = { temperature: 1, end: -1 }
    const together = await model.generate(adapter, asked, options)
    for (const i of [0, 1]) expect(await model.generate(adapter, [asked[i]!], options)).toEqual([together[i]])
    const [reply] = together
    const { prompt } = asked[0]!
    const tokens = [...prompt, ...reply!.tokens]
    const [scored] = await model.score(adapter, [{ tokens, positions: [600, 601, 602] }], { temperature: 1 })
    expect(distance(reply!.logprobs, scored!)).toBeLessThan(1e-5)
    await model.release()
  })
})

it("a sequence may be as long as the model's last position, whatever it is padded to", async () => {
  const config = { ...configs[0]!, maxPositions: 601 }
  const weights = initialize(config, "last")
  const rows = [{ prompt: row(config, 599, 7).tokens, uniforms: [uniform(), uniform()] }]
  const [model, longer] = [openModel(config), openModel({ ...config, maxPositions: 900 })]
  const replies = await model.generate(weights, rows, { temperature: 1, end: -1 })
  expect(replies).toEqual(await longer.generate(weights, rows, { temperature: 1, end: -1 }))
  const whole = [row(config, 601, 5)]
  expect(await model.score(weights, whole, { temperature: 1 })).toEqual(
    await longer.score(weights, whole, { temperature: 1 })
  )
  await Promise.all([model.release(), longer.release()])
})

it("how sequences are cut into micro-batches changes their gradient by rounding only", async () => {
  const config = configs[0]!
  const base = initialize(config, "cut")
  const adapter = initializeAdapter(config, lora, "cut").map((x) => x + 0.2 * normal())
  const model = openModel(config, { frozen: { lora, base } })
  const rows = Array.from({ length: 24 }, (_, i) => row(config, 5 + 7 * (i % 9), 1 + (i % 3)))
  const whole = await sum(model, adapter, microBatches(rows, 100_000))
  for (const budgetTokens of [1, 100, 500]) {
    const batches = microBatches(rows, budgetTokens)
    expect(batches.flat()).toHaveLength(rows.length)
    expect(distance(await sum(model, adapter, batches), whole)).toBeLessThan(1e-5)
  }
  await model.release()
})
