/** The steps of an episode trained as one sequence, against the same steps trained apart. */
import { expect, it } from "vitest"
import { initialize } from "../../src/kernels/initialize.ts"
import { openModel } from "../../src/kernels/model.ts"
import { stream } from "../../src/kernels/random.ts"
import { type Call, mergeCalls } from "../../src/kernels/sequences.ts"
import type { TransformerConfig } from "../../src/kernels/transformer.ts"

const config: TransformerConfig = {
  family: "qwen3",
  vocabularySize: 23,
  hiddenSize: 16,
  innerSize: 24,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  headSize: 4,
  epsilon: 1e-6,
  ropeTheta: 100,
  maxPositions: 64,
  tied: true
}

it("merging consecutive steps changes neither log-probabilities nor the gradient", async () => {
  const { int, normal } = stream("merged")
  const some = (count: number) => Array.from({ length: count }, () => int(0, 22))
  const calls: Array<Call> = []
  for (let step = 0; step < 4; step++) {
    const before = calls.at(-1)
    const said = before === undefined ? [] : [...before.promptTokens, ...before.tokens]
    calls.push({ promptTokens: [...said, ...some(int(3, 7))], tokens: some(2), logprobs: [0, 0] })
  }
  const worth = calls.map(() => [normal(), normal()])
  const apart = calls.map(({ promptTokens, tokens }, i) => ({
    tokens: [...promptTokens, ...tokens],
    positions: tokens.map((_, t) => promptTokens.length + t),
    weights: worth[i]!
  }))
  const merged = mergeCalls(calls).map((sequence) => ({ ...sequence, weights: worth.flat() }))
  expect(merged).toHaveLength(1)

  const model = openModel(config)
  const weights = initialize(config, "merged")
  const one = await model.gradient(weights, merged, { temperature: 0.8 })
  const four = await model.gradient(weights, apart, { temperature: 0.8 })
  await model.release()
  const largest = Math.max(...four.gradient.map(Math.abs))
  one.gradient.forEach((value, i) => {
    expect(Math.abs(value - four.gradient[i]!)).toBeLessThan(1e-5 * largest)
  })
  one.logprobs.flat().forEach((logprob, i) => expect(logprob).toBeCloseTo(four.logprobs.flat()[i]!, 5))
})
