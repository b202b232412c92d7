import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { type Call, mergeCalls, microBatches, shareStems } from "../../src/kernels/sequences.ts"
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

describe("sequences that begin alike", () => {
  // Stems of a tree: each goes on from the one before it or begins anew.
  const trees = fc
    .array(fc.record({ from: fc.nat(), length: fc.integer({ min: 1, max: 300 }), first: fc.nat(3) }), {
      minLength: 1,
      maxLength: 9
    })
    .map((parts) => {
      const made: Array<ReadonlyArray<number>> = []
      for (const { first, from, length } of parts) {
        const stem = made[from % (made.length + 1)] ?? []
        made.push([...stem, ...Array.from({ length }, (_, t) => (first + t * t) % 5)])
      }
      return made.map((tokens) => {
        const positions = tokens.map((_, t) => t).filter((t) => t > 0 && t % 7 === tokens.length % 7)
        return { tokens, positions, weights: positions.map((t) => t / 10) }
      })
    })

  it("share a row in which each finds itself again: its tokens, places, weights, and nobody else", () => {
    fc.assert(
      fc.property(trees, fc.integer({ min: 1, max: 3000 }), (rows, budgetTokens) => {
        const shared = shareStems(rows, budgetTokens)
        expect(new Set(shared.flatMap(({ members }) => members))).toEqual(new Set(rows))
        expect(shared.flatMap(({ members }) => members)).toHaveLength(rows.length)
        for (const { members, row } of shared) {
          if (members.length === 1) {
            expect(row).toBe(members[0])
            continue
          }
          expect(row.tokens.length).toBeLessThanOrEqual(budgetTokens)
          const { before, branches, places } = row.branching!
          expect(branches.filter((branch) => branch === 0).length).toBeGreaterThanOrEqual(128)
          let from = 0
          members.forEach((member, i) => {
            const seen = row.tokens.flatMap((_, t) => (branches[t] === 0 || branches[t] === i + 1 ? [t] : []))
            expect(seen.map((t) => row.tokens[t])).toEqual(member.tokens)
            expect(seen.map((t) => places[t])).toEqual(member.tokens.map((_, t) => t))
            member.positions.forEach((at, k) => {
              expect(row.positions[from + k]).toBe(seen[at])
              expect(before[from + k]).toBe(seen[at - 1])
              expect(row.weights[from + k]).toBe(member.weights[k])
            })
            from += member.positions.length
          })
          expect(row.positions).toHaveLength(from)
        }
      }),
      { numRuns: 60, seed: 5 }
    )
  })

  it("are grouped where that saves most, whatever their order", () => {
    const word = (from: number, length: number) => Array.from({ length }, (_, t) => from + t)
    const row = (tokens: ReadonlyArray<number>) => ({ tokens, positions: [tokens.length - 1], weights: [1] })
    const system = word(0, 130)
    const [a, b] = [
      [...system, ...word(1000, 400)],
      [...system, ...word(2000, 400)]
    ]
    const rows = [
      [...a, 1],
      [...b, 2],
      [...a, 3],
      [...b, 4],
      [...system, 5]
    ].map(row)
    const groups = (order: ReadonlyArray<number>) =>
      shareStems(
        order.map((i) => rows[i]!),
        10_000
      )
        .map(({ members }) => members.map((member) => rows.indexOf(member)))
        .toSorted()
    // Four tasks' worth of system prompt would save less than two tasks twice.
    expect(groups([0, 1, 2, 3, 4])).toEqual([[0, 2], [1, 3], [4]])
    expect(groups([4, 3, 2, 1, 0]).map((group) => group.toSorted())).toEqual([[0, 2], [1, 3], [4]])
    expect(shareStems(rows, 540)).toHaveLength(3)
    expect(shareStems(rows, 400)).toHaveLength(5)
    expect(shareStems([row(word(0, 100)), row([...word(0, 100), 7])], 10_000)).toHaveLength(2)
  })
})
