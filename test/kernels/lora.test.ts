/** Low-rank adapters: what they compute, what is trained, and what does not depend on the batch. */
import { describe, expect, it } from "vitest"
import { initialize } from "../../src/kernels/initialize.ts"
import {
  adapterParameters,
  initializeAdapter,
  type LoraConfig,
  loraTargets,
  mergeAdapter
} from "../../src/kernels/lora.ts"
import { type GradientRow, openModel } from "../../src/kernels/model.ts"
import { stream } from "../../src/kernels/random.ts"
import { tinyTransformer as config } from "../fixtures/tiny-transformer.ts"

const base = initialize(config, "lora", "base")
const { int, normal, uniform } = stream("lora")
const adapters: ReadonlyArray<LoraConfig> = [
  { rank: 3, alpha: 6, targets: loraTargets },
  { rank: 1, alpha: 0.5, targets: ["q_proj", "down_proj"] }
]
/** An adapter that has learnt something: neither of its matrices is zero. */
const learnt = (lora: LoraConfig) => initializeAdapter(config, lora, "learnt").map((x) => x + 0.2 * normal())

const rows = [16, 9, 5].map((length): GradientRow => {
  const tokens = Array.from({ length }, () => int(0, config.vocabularySize - 1))
  const positions = tokens.map((_, t) => t).slice(1)
  return { tokens, positions, weights: positions.map(normal) }
})
const flatGap = (a: ReadonlyArray<ReadonlyArray<number>>, b: ReadonlyArray<ReadonlyArray<number>>) =>
  Math.max(...a.flat().map((x, i) => Math.abs(x - b.flat()[i]!)))

describe("a new adapter", () => {
  it("changes nothing: its B is zero, and its A is not", async () => {
    const lora = adapters[0]!
    const fresh = initializeAdapter(config, lora, 1)
    const [plain, adapted] = [openModel(config), openModel(config, { frozen: { lora, base } })]
    expect(await adapted.score(fresh, rows, { temperature: 1 })).toEqual(
      await plain.score(base, rows, { temperature: 1 })
    )
    for (const { name, offset, shape, size } of adapterParameters(config, lora)) {
      const own = fresh.subarray(offset, offset + size)
      const largest = Math.max(...own.map(Math.abs))
      if (name.endsWith("lora_B.weight")) expect(largest).toBe(0)
      else {
        expect(largest).toBeLessThanOrEqual(1 / Math.sqrt(shape[1]!))
        expect(largest).toBeGreaterThan(0.7 / Math.sqrt(shape[1]!))
      }
    }
    await Promise.all([plain.release(), adapted.release()])
  })

  it("depends on the name of its stream only", () => {
    expect(initializeAdapter(config, adapters[0]!, 1)).toEqual(initializeAdapter(config, adapters[0]!, 1))
    expect(initializeAdapter(config, adapters[0]!, 1)).not.toEqual(initializeAdapter(config, adapters[0]!, 2))
  })
})

describe.each(adapters)("rank $rank on $targets", (lora) => {
  const adapter = learnt(lora)

  it("gives the numbers of the merged model", async () => {
    const merged = mergeAdapter(config, { lora, base }, adapter)
    const [plain, adapted] = [openModel(config), openModel(config, { frozen: { lora, base } })]
    const expected = await plain.score(merged, rows, { temperature: 0.8 })
    expect(flatGap(await adapted.score(adapter, rows, { temperature: 0.8 }), expected)).toBeLessThan(1e-5)
    expect(flatGap(await plain.score(base, rows, { temperature: 0.8 }), expected)).toBeGreaterThan(1e-2)
    await Promise.all([plain.release(), adapted.release()])
  })

  it("has the gradient of finite differences, tensor by tensor, and of nothing else", async () => {
    const model = openModel(config, { frozen: { lora, base } })
    const loss = async (weights: Float32Array) =>
      (await model.score(weights, rows, { temperature: 1 }))
        .flat()
        .reduce((sum, logprob, i) => sum + logprob * rows.flatMap((row) => row.weights)[i]!, 0)
    const { gradient } = await model.gradient(adapter, rows, { temperature: 1 })
    expect(gradient).toHaveLength(adapter.length)
    for (const { name, offset, size } of adapterParameters(config, lora)) {
      const own = gradient.subarray(offset, offset + size)
      const length = Math.hypot(...own)
      const moved = (x: number) => {
        const weights = adapter.slice()
        own.forEach((y, i) => (weights[offset + i]! += (x * y) / length))
        return loss(weights)
      }
      const step = 0.01
      const numeric =
        (8 * ((await moved(step)) - (await moved(-step))) - ((await moved(2 * step)) - (await moved(-2 * step)))) /
        (12 * step)
      expect(Math.abs(numeric / length - 1), `${name}: ${numeric}, gradient ${length}`).toBeLessThan(2e-3)
    }
    await model.release()
  })

  it.each(["inputs", "constants"] as const)(
    "generates with base weights as %s what it scores, alone or in a batch",
    async (generateFrom) => {
      const model = openModel(config, { frozen: { lora, base }, generateFrom })
      const asked = Array.from({ length: 12 }, (_, i) => ({
        prompt: Array.from({ length: 3 + (i % 3) }, (_, t) => (5 * (i % 3) + t) % config.vocabularySize),
        uniforms: Array.from({ length: 6 }, uniform)
      }))
      const options = { temperature: 1, end: -1 }
      const together = await model.generate(adapter, asked, options)
      for (const i of [0, 5, 11]) expect(await model.generate(adapter, [asked[i]!], options)).toEqual([together[i]])
      expect(await model.generate(adapter, asked.slice(3, 5), options)).toEqual(together.slice(3, 5))
      const scored = await model.score(
        adapter,
        asked.map(({ prompt }, i) => {
          const tokens = [...prompt, ...together[i]!.tokens]
          return { tokens, positions: together[i]!.tokens.map((_, t) => prompt.length + t) }
        }),
        { temperature: 1 }
      )
      expect(
        flatGap(
          scored,
          together.map(({ logprobs }) => logprobs)
        )
      ).toBeLessThan(1e-5)
      await model.release()
    }
  )
})
