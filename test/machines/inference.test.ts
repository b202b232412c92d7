import fc from "fast-check"
import { expect, it } from "vitest"
import { nextBatch } from "../../src/machines/inference.ts"

const requests = fc.array(
  fc.record({
    shape: fc.constantFrom("32 2", "48 2", "32 10"),
    cost: fc.integer({ min: 1, max: 60 }),
    home: fc.option(fc.nat(2), { nil: undefined })
  }),
  { maxLength: 40 }
)

it("any sequence of batches serves every request once, the oldest always among them", () => {
  fc.assert(
    fc.property(requests, fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 500 }), (arrived, idle, budget) => {
      let waiting: ReadonlyArray<(typeof arrived)[number]> = arrived
      const served = new Set<object>()
      while (waiting.length > 0) {
        const { batch, rest } = nextBatch(waiting, 0, idle, budget)
        expect(batch[0]).toBe(waiting[0])
        expect(new Set(batch.map(({ shape }) => shape)).size).toBe(1)
        expect(batch.length === 1 || batch[0]!.cost * batch.length <= budget).toBe(true)
        expect(batch.length).toBeLessThanOrEqual(Math.max(1, Math.ceil(waiting.length / idle)))
        expect(batch.length + rest.length).toBe(waiting.length)
        const loses = ({ home }: { readonly home?: number | undefined }) => home !== undefined && home !== 0
        const left = rest.filter(({ shape }) => shape === batch[0]!.shape)
        expect(batch.slice(1).some(loses) && !left.every(loses)).toBe(false)
        for (const request of batch) {
          expect(served.has(request)).toBe(false)
          served.add(request)
        }
        waiting = rest
      }
      expect(served.size).toBe(arrived.length)
    })
  )
})

it("leaves work for the other idle workers", () => {
  const waiting = Array.from({ length: 10 }, () => ({ shape: "32 2", cost: 34 }))
  expect(nextBatch(waiting, 0, 2, 10_000).batch).toHaveLength(5)
  expect(nextBatch(waiting, 0, 1, 10_000).batch).toHaveLength(10)
})

it("takes those first that go on from what the worker has read", () => {
  const [oldest, elsewhere, fresh, own] = [1, 1, undefined, 0].map((home) => ({ shape: "32 2", cost: 34, home }))
  const waiting = [oldest!, elsewhere!, fresh!, own!]
  expect(nextBatch(waiting, 0, 2, 10_000)).toEqual({ batch: [oldest, fresh], rest: [elsewhere, own] })
  expect(nextBatch(waiting, 1, 2, 10_000)).toEqual({ batch: [oldest, elsewhere], rest: [fresh, own] })
  expect(nextBatch(waiting, 1, 1, 10_000)).toEqual({ batch: waiting, rest: [] })
})
