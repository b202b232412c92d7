import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type Call, mergeCalls, microBatches } from "../../src/kernels/sequences.ts"
import { paddedLength } from "../../src/kernels/model.ts"

const tokens = (minLength: number) => fc.array(fc.integer({ min: 0, max: 5 }), { minLength, maxLength: 6 })

/** An episode: each prompt goes on from the call before, except where `fresh` begins it anew. */
const episodes = fc
  .array(fc.record({ more: tokens(1), sampled: tokens(0), fresh: fc.boolean() }), { maxLength: 6 })
  .map((steps) => {
    let said: ReadonlyArray<number> = []
    return steps.map(({ fresh, more, sampled }): Call => {
      // 9 stands nowhere else, so what begins with it goes on from nothing.
      const promptTokens = fresh ? [9, ...more] : [...said, ...more]
      said = [...promptTokens, ...sampled]
      return { promptTokens, tokens: sampled, logprobs: sampled.map((_, i) => -i - promptTokens.length) }
    })
  })

describe("calls merged into sequences", () => {
  it("hold every sampled token exactly once, behind exactly the tokens it was sampled behind", () => {
    fc.assert(
      fc.property(episodes, (calls) => {
        const found = mergeCalls(calls).flatMap((sequence) =>
          sequence.positions.map((position, i) => ({
            call: sequence.calls[i]!,
            seen: sequence.tokens.slice(0, position),
            token: sequence.tokens[position],
            logprob: sequence.behaviourLogprobs[i]
          }))
        )
        const sampled = calls.flatMap((call, i) =>
          call.tokens.map((token, t) => ({
            call: i,
            seen: [...call.promptTokens, ...call.tokens.slice(0, t)],
            token,
            logprob: call.logprobs[t]
          }))
        )
        expect(found).toEqual(sampled)
      })
    )
  })

  it("are one where each prompt goes on from the call before", () => {
    const calls = [
      { promptTokens: [1, 2], tokens: [3], logprobs: [-1] },
      { promptTokens: [1, 2, 3, 4], tokens: [5, 6], logprobs: [-2, -3] }
    ]
    expect(mergeCalls(calls)).toEqual([
      { tokens: [1, 2, 3, 4, 5, 6], positions: [2, 4, 5], behaviourLogprobs: [-1, -2, -3], calls: [0, 1, 1] }
    ])
  })
})

describe("micro-batches", () => {
  it("hold every sequence once, within the budget, padding included", () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 120 }), { maxLength: 40 })
    fc.assert(
      fc.property(lengths, fc.integer({ min: 16, max: 600 }), (lengths, budget) => {
        const sequences = lengths.map((length) => ({ tokens: Array.from({ length }, () => 0) }))
        const batches = microBatches(sequences, budget)
        expect(new Set(batches.flat()).size).toBe(sequences.length)
        expect(batches.flat()).toHaveLength(sequences.length)
        for (const batch of batches) {
          const width = Math.max(...batch.map(({ tokens }) => paddedLength(tokens.length)))
          expect(batch.length === 1 || width * batch.length <= budget).toBe(true)
        }
      })
    )
  })
})
