/** The whole model: its gradient against finite differences, and what may differ between calls without changing results. */
import { describe, expect, it } from "vitest"
import { initialize } from "../../src/kernels/initialize.ts"
import { type GradientRow, openModel } from "../../src/kernels/model.ts"
import { stream } from "../../src/kernels/random.ts"
import { parameters, type TransformerConfig } from "../../src/kernels/transformer.ts"

const common = {
  vocabularySize: 11,
  hiddenSize: 8,
  innerSize: 12,
  layers: 2,
  headSize: 4,
  epsilon: 1e-6,
  ropeTheta: 50
}
const configs: ReadonlyArray<TransformerConfig> = [
  { ...common, family: "qwen3", heads: 4, keyValueHeads: 2, tied: true, maxPositions: 64 },
  { ...common, family: "qwen3", heads: 2, keyValueHeads: 2, tied: false, maxPositions: 64 },
  { ...common, family: "qwen2", heads: 4, keyValueHeads: 1, tied: false, maxPositions: 64 },
  { ...common, family: "qwen2", heads: 2, keyValueHeads: 2, tied: true, maxPositions: 64 },
  { ...common, family: "llama", heads: 2, keyValueHeads: 1, tied: true, maxPositions: 64 },
  { ...common, family: "llama", heads: 2, keyValueHeads: 2, tied: false, layers: 1, maxPositions: 64 }
]
const describeConfig = ({ family, heads, keyValueHeads, tied }: TransformerConfig) =>
  `${family}, ${heads} heads on ${keyValueHeads}, ${tied ? "tied" : "untied"}`

const { int, normal } = stream("whole model")
/** Sequences of different lengths; the scored positions are `of` those behind the first token. */
const someRows = (config: TransformerConfig, lengths: ReadonlyArray<number>, of: (t: number) => boolean) =>
  lengths.map((length): GradientRow => {
    const tokens = Array.from({ length }, () => int(0, config.vocabularySize - 1))
    const positions = tokens.map((_, t) => t).filter((t) => t > 0 && of(t))
    return { tokens, positions, weights: positions.map(normal) }
  })

describe.each(configs.map((config) => [describeConfig(config), config] as const))("%s", (_, config) => {
  // Norms and biases away from 1 and 0, so that none of them can be forgotten; embeddings so large that steps are small.
  const embedding = config.vocabularySize * config.hiddenSize
  const flat = initialize(config, "whole model").map((x, i) => x + (i < embedding ? 1 : 0.2) * normal())

  it.each([
    ["of many positions", [9, 16, 3], () => true],
    ["of few positions", [21, 9], (t: number) => t % 4 === 2]
  ])("the gradient %s agrees with finite differences, tensor by tensor", async (_kind, lengths, of) => {
    const model = openModel(config)
    const rows = someRows(config, lengths, of)
    const temperature = 0.8
    const loss = async (weights: Float32Array) => {
      const logprobs = await model.score(weights, rows, { temperature })
      return logprobs.flat().reduce((sum, logprob, i) => sum + logprob * rows.flatMap((row) => row.weights)[i]!, 0)
    }
    const { gradient, logprobs } = await model.gradient(flat, rows, { temperature })
    expect(logprobs).toEqual(await model.score(flat, rows, { temperature }))
    for (const { name, offset, size } of parameters(config)) {
      const own = gradient.subarray(offset, offset + size)
      const length = Math.hypot(...own)
      expect(length, name).toBeGreaterThan(0)
      // Along the gradient itself, and along a direction of random signs.
      for (const direction of [own.map((x) => x / length), own.map(() => (normal() < 0 ? -1 : 1) / Math.sqrt(size))]) {
        const moved = (x: number) => {
          const weights = flat.slice()
          direction.forEach((y, i) => (weights[offset + i]! += x * y))
          return loss(weights)
        }
        const step = 0.01
        const numeric =
          (8 * ((await moved(step)) - (await moved(-step))) - ((await moved(2 * step)) - (await moved(-2 * step)))) /
          (12 * step)
        const analytic = own.reduce((sum, x, i) => sum + x * direction[i]!, 0)
        expect(Math.abs(numeric - analytic) / length, `${name}: ${numeric}, gradient ${analytic}`).toBeLessThan(2e-3)
      }
    }
    await model.release()
  })

  it("few and many scored positions give the same numbers", async () => {
    const model = openModel(config)
    const [row] = someRows(config, [24], () => true)
    const all = await model.score(flat, [row!], { temperature: 1 })
    const few = await model.score(flat, [{ ...row!, positions: [3, 23, 7] }], { temperature: 1 })
    const one = await model.score(flat, [{ ...row!, positions: [17] }], { temperature: 1 })
    ;[2, 22, 6].forEach((i, k) => expect(few[0]![k]).toBeCloseTo(all[0]![i]!, 5))
    expect(one[0]![0]).toBeCloseTo(all[0]![16]!, 5)
    await model.release()
  })

  it("what stands beside or behind does not reach a token", async () => {
    const model = openModel(config)
    const rows = someRows(config, [16, 12, 5], () => true)
    const together = await model.score(flat, rows, { temperature: 1 })
    for (const [i, row] of rows.entries()) {
      const [alone] = await model.score(flat, [row], { temperature: 1 })
      alone!.forEach((logprob, t) => expect(logprob).toBeCloseTo(together[i]![t]!, 5))
    }
    const [begin] = await model.score(
      flat,
      [{ tokens: rows[0]!.tokens.slice(0, 8), positions: rows[0]!.positions.slice(0, 7) }],
      { temperature: 1 }
    )
    begin!.forEach((logprob, t) => expect(logprob).toBeCloseTo(together[0]![t]!, 5))
    await model.release()
  })
})

describe("publishing", () => {
  // Nearly all of it works on the last token only, so that a version is large (2 MB) and a call short.
  const config: TransformerConfig = { ...configs[0]!, layers: 1, innerSize: 20_000 }
  const initial = initialize(config, "publishing")
  const mebibyte = 2 ** 20
  const growthMiB = async (generateFrom: "inputs" | "constants", versions: number) => {
    const model = openModel(config, { generateFrom })
    const rows = [{ prompt: [1, 2, 3], uniforms: [0.3, 0.6] }]
    const publish = async (count: number) => {
      for (let i = 0; i < count; i++) await model.generate(initial.slice(), rows, { temperature: 1, end: -1 })
    }
    await publish(versions / 2)
    const before = process.memoryUsage().rss
    await publish(versions)
    const after = process.memoryUsage().rss
    await model.release()
    return (after - before) / mebibyte
  }

  it.each([
    ["inputs", 250],
    ["constants", 50]
  ] as const)("version after version leaves nothing behind, weights as %s", async (generateFrom, versions) => {
    const published = (versions * initial.byteLength) / mebibyte
    expect(published).toBeGreaterThan(90)
    expect(await growthMiB(generateFrom, versions)).toBeLessThan(published / 2)
  })
})
