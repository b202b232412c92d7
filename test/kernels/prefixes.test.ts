/** Reuse of what was read before: whatever is found or forgotten, replies are those of reading everything. */
import * as fc from "fast-check"
import { describe, expect, it, vi } from "vitest"
import { initialize } from "../../src/kernels/initialize.ts"
import { initializeAdapter, type LoraConfig, loraTargets } from "../../src/kernels/lora.ts"
import { type GenerateRow, lengthGrid, openModel, paddedLength, readings } from "../../src/kernels/model.ts"
import { Prefixes } from "../../src/kernels/prefixes.ts"
import { stream } from "../../src/kernels/random.ts"
import { heightOf, type TransformerConfig } from "../../src/kernels/transformer.ts"
import { tinyTransformer } from "../fixtures/tiny-transformer.ts"

const common = { epsilon: 1e-6, maxPositions: 1200 }
const spark: TransformerConfig = {
  ...common,
  family: "llama",
  vocabularySize: 40,
  hiddenSize: 64,
  innerSize: 192,
  layers: 4,
  heads: 4,
  keyValueHeads: 4,
  headSize: 16,
  ropeTheta: 1000,
  tied: true
}
const grouped: TransformerConfig = { ...tinyTransformer, maxPositions: common.maxPositions, tied: false }

/** Conversations that begin alike or not, each going on for some steps, and how many blocks of all that fit. */
const talks = fc.record({
  seed: fc.nat(),
  conversations: fc.array(fc.record({ begins: fc.nat(2), length: fc.integer({ min: 1, max: 120 }) }), {
    minLength: 1,
    maxLength: 9
  }),
  steps: fc.integer({ min: 2, max: 5 }),
  blocks: fc.constantFrom(0, 3, 8, 1000)
})

describe.each([
  ["spark", spark],
  ["a key/value head for two query heads", grouped]
])("%s", (_, config) => {
  it("replies are the same bits, with and without reuse, in any batch and under eviction", async () => {
    const blockBytes = 4 * lengthGrid * heightOf(config) * config.headSize
    const versions = [initialize(config, "one").map((x) => 2 * x), initialize(config, "two").map((x) => 2 * x)]
    const plain = openModel(config)
    await fc.assert(
      fc.asyncProperty(talks, async ({ blocks, conversations, seed, steps }) => {
        const { int, uniform } = stream("talks", seed)
        const words = (count: number) => Array.from({ length: count }, () => int(4, config.vocabularySize - 1))
        const beginnings = [words(70), words(70), words(70)]
        const model = openModel(config, { keptBytes: blocks * blockBytes + 1 })
        const prompts = conversations.map(({ begins, length }) => [
          ...beginnings[begins]!.slice(0, length),
          ...words(Math.max(1, length - 70))
        ])
        for (let step = 0; step < steps; step++) {
          // As the inference actor does: one padded length, not everybody each time. New weights come in the middle.
          const weights = versions[step >> 1 === 1 ? 1 : 0]!
          const asking = Map.groupBy(
            [...prompts.keys()].filter(() => uniform() < 0.8),
            (c) => paddedLength(prompts[c]!.length)
          )
          for (const some of asking.values()) {
            const rows = some.map((c): GenerateRow => ({
              prompt: prompts[c]!,
              uniforms: [uniform(), uniform()],
              goesOn: uniform() < 0.9
            }))
            const replies = await model.generate(weights, rows, { temperature: 1, end: 3 })
            expect(replies).toEqual(await plain.generate(weights, rows, { temperature: 1, end: 3 }))
            for (const [i, c] of some.entries())
              prompts[c] = [...prompts[c]!, ...replies[i]!.tokens, ...words(int(1, 20))]
          }
        }
        await model.release()
      }),
      { numRuns: 12, seed: 1 }
    )
    await plain.release()
  }, 180_000)
})

const base = initialize(grouped, "long").map((x) => 2 * x)
const lora: LoraConfig = { rank: 2, alpha: 4, targets: loraTargets }

it.each([
  ["all weights", base, {}],
  ["adapters", initializeAdapter(grouped, lora, "long").map((x) => x + 0.1), { frozen: { lora, base } }]
])(
  "long conversations go on from what was read when they were short: %s",
  async (_, weights, options) => {
    const { int, uniform } = stream("long", 1)
    const words = (count: number) => Array.from({ length: count }, () => int(4, grouped.vocabularySize - 1))
    const [plain, model] = [openModel(grouped, options), openModel(grouped, { ...options, keptBytes: 2 ** 24 })]
    const prompts = [words(300), words(440), words(700)]
    const find = vi.spyOn(Prefixes.prototype, "find")
    for (let step = 0; step < 6; step++) {
      for (const some of Map.groupBy(prompts.keys(), (c) => paddedLength(prompts[c]!.length)).values()) {
        const rows = some.map((c) => ({
          prompt: prompts[c]!,
          uniforms: [uniform(), uniform(), uniform()],
          goesOn: true
        }))
        const replies = await model.generate(weights, rows, { temperature: 1, end: 3 })
        expect(replies).toEqual(await plain.generate(weights, rows, { temperature: 1, end: 3 }))
        for (const [i, c] of some.entries()) prompts[c] = [...prompts[c]!, ...replies[i]!.tokens, ...words(50)]
      }
    }
    // After the first step everything but the last blocks was known.
    const known = find.mock.results.map(({ value }) => lengthGrid * (value as ReadonlyArray<unknown>).length)
    expect(known.slice(0, 3)).toEqual([0, 0, 0])
    expect(Math.min(...known.slice(3))).toBeGreaterThanOrEqual(288)
    find.mockRestore()
    await Promise.all([model.release(), plain.release()])
  },
  180_000
)

describe("prefixes", () => {
  const weights = new Float32Array(0)
  const open = (blocks: number) => new Prefixes({ height: 1, headSize: 1, tokens: 2 }, 8 * blocks)
  const keep = (prefixes: Prefixes, prompt: ReadonlyArray<number>, from = 0) =>
    prefixes.keep(weights, prompt, from, (at) => Float32Array.from(prompt.slice(from + at, from + at + 2)))
  const found = (prefixes: Prefixes, prompt: ReadonlyArray<number>) =>
    prefixes.find(weights, prompt).flatMap((block) => [...block])

  it("finds whole blocks of what a prompt begins with, and leaves a token to read", () => {
    const prefixes = open(9)
    keep(prefixes, [1, 2, 3, 4, 5])
    expect(found(prefixes, [1, 2, 3, 4, 5, 6])).toEqual([1, 2, 3, 4])
    expect(found(prefixes, [1, 2, 3, 4])).toEqual([1, 2])
    expect(found(prefixes, [1, 2, 4, 3, 5])).toEqual([1, 2])
    expect(found(prefixes, [3, 4, 5])).toEqual([])
  })

  it("goes on from what is known, and gives up where that was forgotten", () => {
    const prefixes = open(2)
    keep(prefixes, [1, 2])
    keep(prefixes, [1, 2, 3, 4], 2)
    expect(found(prefixes, [1, 2, 3, 4, 5])).toEqual([1, 2, 3, 4])
    keep(prefixes, [7, 8, 9, 9])
    keep(prefixes, [1, 2, 3, 4, 5, 6], 4)
    expect(found(prefixes, [1, 2, 3, 4, 5])).toEqual([])
    expect(found(prefixes, [7, 8, 9, 9, 9])).toEqual([7, 8, 9, 9])
  })

  it("forgets what was used the longest time ago, the end of a prompt before its beginning", () => {
    const prefixes = open(3)
    keep(prefixes, [1, 2, 3, 4])
    keep(prefixes, [5, 6])
    found(prefixes, [1, 2, 3, 4, 0])
    keep(prefixes, [7, 8])
    expect([found(prefixes, [1, 2, 3, 4, 0]), found(prefixes, [5, 6, 0])]).toEqual([[1, 2, 3, 4], []])
    keep(prefixes, [9, 9])
    expect([found(prefixes, [1, 2, 3, 4, 0]), found(prefixes, [7, 8, 0])]).toEqual([[1, 2, 3, 4], []])
  })

  it("forgets everything when other weights read", () => {
    const prefixes = open(3)
    keep(prefixes, [1, 2, 3])
    const others = new Float32Array(0)
    expect(prefixes.find(others, [1, 2, 3])).toEqual([])
    prefixes.keep(others, [5, 6], 0, () => Float32Array.of(5, 6))
    expect(found(prefixes, [1, 2, 3])).toEqual([])
  })
})

describe("readings", () => {
  it("reads together what pays together, each row once and never more than is known", () => {
    expect(readings([0, 0, 0], 64)).toEqual([{ past: 0, rows: [0, 1, 2] }])
    expect(readings([48, 32, 48], 64)).toEqual([{ past: 32, rows: [0, 1, 2] }])
    const many = [...Array.from({ length: 20 }, () => 48), 0, 16]
    expect(readings(many, 64).map(({ past, rows }) => [past, rows.length])).toEqual([
      [48, 20],
      [0, 2]
    ])
    fc.assert(
      fc.property(fc.array(fc.nat(6), { minLength: 1, maxLength: 70 }), (blocks) => {
        const known = blocks.map((count) => 16 * count)
        const dealt = readings(known, 112)
        expect(dealt.flatMap(({ rows }) => rows).toSorted((a, b) => a - b)).toEqual([...known.keys()])
        expect(dealt.every(({ past, rows }) => rows.every((row) => known[row]! >= past))).toBe(true)
      })
    )
  })
})
