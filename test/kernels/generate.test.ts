/** Generation: what a row gets depends on its own prompt, uniforms and cap, and on nothing else. */
import * as fc from "fast-check"
import * as ort from "onnxruntime-node"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { generateGraph } from "../../src/kernels/generate.ts"
import { initialize } from "../../src/kernels/initialize.ts"
import { type GenerateRow, type Generated, type Model, openModel } from "../../src/kernels/model.ts"
import { stream } from "../../src/kernels/random.ts"
import { type TransformerConfig, weightConstants } from "../../src/kernels/transformer.ts"

const shape = { vocabularySize: 19, hiddenSize: 16, innerSize: 24, layers: 2, heads: 4, headSize: 8 }
const common = { ...shape, epsilon: 1e-6, ropeTheta: 100, maxPositions: 96 }
const configs: ReadonlyArray<readonly [string, TransformerConfig]> = [
  ["a key/value head for two query heads", { ...common, family: "qwen3", keyValueHeads: 2, tied: true }],
  ["a key/value head for each query head", { ...common, family: "llama", keyValueHeads: 4, tied: false }]
]
const end = 3

describe.each(configs)("with %s", (_, config) => {
  const { int, normal, uniform } = stream("generation")
  // Larger than at the start of training, so that probabilities are far from even.
  const weights = initialize(config, "generation").map((x) => 2 * x + 0.1 * normal())
  const tokens = (count: number) => Array.from({ length: count }, () => int(0, config.vocabularySize - 1))
  const uniforms = (count: number) => Array.from({ length: count }, uniform)
  let model: Model
  let constant: Model
  beforeAll(() => {
    model = openModel(config)
    constant = openModel(config, { generateFrom: "constants" })
  })
  afterAll(async () => {
    await model.release()
    await constant.release()
  })
  const generate = (rows: ReadonlyArray<GenerateRow>, temperature = 1, stop = end, by = model) =>
    by.generate(weights, rows, { temperature, end: stop })
  const score = async (rows: ReadonlyArray<GenerateRow>, replies: ReadonlyArray<Generated>, temperature = 1) =>
    model.score(
      weights,
      rows.map(({ prompt }, i) => ({
        tokens: [...prompt, ...replies[i]!.tokens],
        positions: replies[i]!.tokens.map((_, t) => prompt.length + t)
      })),
      { temperature }
    )

  // Of one padded length, with prompts that several rows share, ragged caps, and every kind of neighbour.
  const someRows = fc
    .record({
      shortest: fc.constantFrom(1, 17),
      rows: fc.array(
        fc.record({
          prompt: fc.array(fc.nat(config.vocabularySize - 1), { minLength: 0, maxLength: 15 }),
          twins: fc.integer({ min: 1, max: 5 }),
          caps: fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 5, maxLength: 5 })
        }),
        { minLength: 1, maxLength: 8 }
      ),
      temperature: fc.constantFrom(1, 0.6, 0),
      seed: fc.nat()
    })
    .map(({ shortest, rows, temperature, seed }) => {
      const draw = stream("generation", seed).uniform
      const all = rows.flatMap(({ prompt, twins, caps }) =>
        Array.from({ length: twins }, (_, i) => ({
          prompt: [...prompt, ...Array.from({ length: shortest }, () => 1)],
          uniforms: Array.from({ length: caps[i]! }, draw)
        }))
      )
      return { rows: all, temperature }
    })

  it.each([
    ["inputs", () => model],
    ["constants", () => constant]
  ])("a request gets the same alone, among two and among all, weights as %s", async (_kind, by) => {
    await fc.assert(
      fc.asyncProperty(someRows, async ({ rows, temperature }) => {
        const all = await generate(rows, temperature, end, by())
        for (const i of new Set([0, rows.length >> 1, rows.length - 1])) {
          const [alone] = await generate([rows[i]!], temperature, end, by())
          const [, second] = await generate([rows[(i + 1) % rows.length]!, rows[i]!], temperature, end, by())
          expect(alone).toEqual(all[i])
          expect(second).toEqual(all[i])
        }
      }),
      { numRuns: 12, seed: 1 }
    )
  })

  it("a request gets the same alone and among sixty-four", async () => {
    const rows = Array.from({ length: 64 }, (_, i) => ({
      prompt: tokens(int(17, 32)),
      uniforms: uniforms(1 + (i % 7))
    }))
    const all = await generate(rows)
    for (const i of [0, 1, 31, 63]) expect(await generate([rows[i]!])).toEqual([all[i]])
  })

  it("rows of one prompt get what they get apart, whatever their number", async () => {
    const [shared, other] = [tokens(20), tokens(24)]
    for (const samples of [2, 3, 8, 64]) {
      const rows = Array.from({ length: samples }, () => ({ prompt: shared, uniforms: uniforms(5) }))
      const together = await generate([...rows, { prompt: other, uniforms: uniforms(5) }])
      const apart = [await generate([rows[0]!]), await generate([rows.at(-1)!])].flat()
      expect([together[0], together[samples - 1]]).toEqual(apart)
    }
  })

  it("log-probabilities are those of scoring, at any temperature", async () => {
    for (const temperature of [1, 0.5, 2]) {
      const rows = Array.from({ length: 12 }, () => ({ prompt: tokens(int(1, 40)), uniforms: uniforms(int(1, 20)) }))
      const replies = await generate(rows, temperature)
      const scored = await score(rows, replies, temperature)
      const gaps = replies.flatMap(({ logprobs }, i) =>
        logprobs.map((logprob, t) => Math.abs(logprob - scored[i]![t]!))
      )
      expect(Math.max(...gaps)).toBeLessThan(1e-4)
      expect(gaps.length).toBeGreaterThan(12)
    }
  })

  it("at temperature 0 the most probable token is taken", async () => {
    const rows = Array.from({ length: 6 }, () => ({ prompt: tokens(10), uniforms: uniforms(6) }))
    const replies = await generate(rows, 0, -1)
    for (const [i, { tokens: reply, logprobs }] of replies.entries()) {
      for (const t of reply.keys()) {
        const before = [...rows[i]!.prompt, ...reply.slice(0, t)]
        const each = await model.score(
          weights,
          Array.from({ length: config.vocabularySize }, (__, token) => ({
            tokens: [...before, token],
            positions: [before.length]
          })),
          { temperature: 1 }
        )
        const most = Math.max(...each.flat())
        expect(each[reply[t]!]![0]).toBeCloseTo(most, 5)
      }
      expect(logprobs.every((logprob) => Math.abs(logprob) < 1e-6)).toBe(true)
    }
  })

  it("stops at the end token, and at each row's own cap", async () => {
    const rows = Array.from({ length: 24 }, (_, i) => ({ prompt: tokens(9), uniforms: uniforms(1 + (i % 6) * 4) }))
    const free = await generate(rows, 1, -1)
    expect(free.map((reply) => reply.tokens.length)).toEqual(rows.map((row) => row.uniforms.length))
    // The same replies, cut behind the first end token.
    const stopped = free.map(({ tokens: reply, logprobs }) => {
      const length = reply.includes(end) ? reply.indexOf(end) + 1 : reply.length
      return { tokens: reply.slice(0, length), logprobs: logprobs.slice(0, length) }
    })
    expect(await generate(rows)).toEqual(stopped)
    expect(stopped.filter((reply, i) => reply.tokens.length < rows[i]!.uniforms.length).length).toBeGreaterThan(3)
  })

  it("runs no round more once every row has ended", async () => {
    const graph = generateGraph(config, (g) => weightConstants(g, config, weights))
    const session = await ort.InferenceSession.create(graph, { intraOpNumThreads: 1, logSeverityLevel: 4 })
    const [P, T, most] = [2, 4, 30]
    const rows = Array.from({ length: P }, () => ({ prompt: tokens(T), uniforms: uniforms(most) }))
    const int32 = (numbers: ReadonlyArray<number>, dims: ReadonlyArray<number>) =>
      new ort.Tensor("int32", Int32Array.from(numbers), dims)
    const float32 = (numbers: ReadonlyArray<number>, dims: ReadonlyArray<number>) =>
      new ort.Tensor("float32", Float32Array.from(numbers), dims)
    const rounds = async (stop: number, limit: number) => {
      const { laterTokens } = await session.run({
        tokens: int32(
          rows.flatMap(({ prompt }) => prompt),
          [P, T]
        ),
        padding: float32(
          Array.from({ length: P * T }, () => 0),
          [P, 1, 1, T]
        ),
        last: int32([T - 1, 2 * T - 1], [P]),
        lengths: int32([T, T], [P]),
        uniforms: float32(
          Array.from({ length: most * P }, (__, i) => rows[i % P]!.uniforms[Math.floor(i / P)]!),
          [most, P, 1]
        ),
        limits: int32([limit, 1], [P]),
        inverseTemperature: float32([1], []),
        end: int32([stop], [])
      })
      return laterTokens!.dims[0]
    }
    expect(await rounds(-1, most)).toBe(most - 1)
    expect(await rounds(-1, 7)).toBe(6)
    expect(await rounds(-1, 1)).toBe(0)
    // The first row's reply, cut at a token of its own.
    const [reply] = await generate([rows[0]!], 1, -1)
    const stop = reply!.tokens[4]!
    expect(await rounds(stop, most)).toBe(reply!.tokens.indexOf(stop))
    await session.release()
  })

  it("takes uniforms at both edges", async () => {
    const prompt = tokens(8)
    const [lowest, highest, single] = await generate(
      [0, 0.99999999, 0].map((u, i) => ({ prompt, uniforms: Array.from({ length: i === 2 ? 1 : 3 }, () => u) })),
      1,
      -1
    )
    expect(lowest!.tokens[0]).toBe(0)
    expect(highest!.tokens[0]).toBe(config.vocabularySize - 1)
    expect(single).toEqual({ tokens: lowest!.tokens.slice(0, 1), logprobs: lowest!.logprobs.slice(0, 1) })
    expect([...lowest!.logprobs, ...highest!.logprobs].every((logprob) => logprob < 0 && logprob > -50)).toBe(true)
  })

  it("samples every token as often as its probability says", async () => {
    const prompt = tokens(12)
    const draws = 4000
    // Evenly spaced uniforms hit each token's share of [0, 1) to within one.
    const rows = Array.from({ length: draws }, (_, i) => ({ prompt, uniforms: [(i + 0.5) / draws] }))
    const counts = Array.from({ length: config.vocabularySize }, () => 0)
    for (const { tokens: reply } of await generate(rows)) counts[reply[0]!]!++
    const scored = await model.score(
      weights,
      counts.map((_, token) => ({ tokens: [...prompt, token], positions: [prompt.length] })),
      { temperature: 1 }
    )
    counts.forEach((count, token) => expect(Math.abs(count - draws * Math.exp(scored[token]![0]!))).toBeLessThan(1.01))
  })

  it("weights as constants follow the weights that are given", async () => {
    const rows = [{ prompt: tokens(8), uniforms: uniforms(6) }]
    const others = weights.map((x) => -x)
    for (const given of [weights, others, weights]) {
      const [expected] = await model.generate(given, rows, { temperature: 1, end })
      const [actual] = await constant.generate(given, rows, { temperature: 1, end })
      expect(actual!.tokens).toEqual(expected!.tokens)
      actual!.logprobs.forEach((logprob, t) => expect(logprob).toBeCloseTo(expected!.logprobs[t]!, 4))
    }
  })
})
