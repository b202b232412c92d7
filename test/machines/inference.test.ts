import fc from "fast-check"
import { expect, it } from "vitest"
import { type Free, nextBatch } from "../../src/machines/inference.ts"

const places = 2

const requests = fc.array(
  fc.record({
    shape: fc.constantFrom("32 2", "48 2", "32 10"),
    cost: fc.integer({ min: 1, max: 60 }),
    home: fc.option(fc.nat(3), { nil: undefined })
  }),
  { maxLength: 40 }
)

/** Workers as the actor sees them, with so many batches in hand each. */
const freeOf = (inHand: ReadonlyArray<number>): ReadonlyArray<Free> =>
  inHand
    .flatMap((count, worker) => Array.from({ length: places - count }, () => ({ worker, busy: count > 0 })))
    .toSorted((a, b) => Number(a.busy) - Number(b.busy))

it("any sequence of batches serves every request once, the oldest that is not waited for elsewhere among them", () => {
  fc.assert(
    fc.property(
      requests.map((all) => all.map((request, number) => ({ ...request, number }))),
      fc.integer({ min: 4, max: 6 }),
      fc.integer({ min: 1, max: 500 }),
      fc.infiniteStream(fc.nat()),
      (arrived, workers, budget, draws) => {
        const inHand = Array.from({ length: workers }, () => 0)
        const end = () => {
          const busy = inHand.flatMap((count, worker) => (count > 0 ? [worker] : []))
          inHand[busy[draws.next().value! % busy.length]!]!--
        }
        let waiting: ReadonlyArray<(typeof arrived)[number]> = arrived
        const served: Array<number> = []
        while (waiting.length > 0) {
          const free = freeOf(inHand)
          if (free.length === 0) {
            end()
            continue
          }
          const welcome = waiting.filter(({ home }) => home === undefined || inHand[home]! < places)
          const choice = nextBatch(waiting, free, budget)
          if (choice === undefined) {
            expect(welcome).toEqual([])
            expect(free.every(({ busy }) => busy)).toBe(true)
            end()
            continue
          }
          const { batch, rest, worker } = choice
          expect(batch).toContain(welcome[0] ?? waiting[0])
          expect(new Set(batch.map(({ shape }) => shape)).size).toBe(1)
          expect(batch.length === 1 || batch[0]!.cost * batch.length <= budget).toBe(true)
          expect(batch.length).toBeLessThanOrEqual(Math.max(1, Math.ceil(waiting.length / free.length)))
          expect(batch.length + rest.length).toBe(waiting.length)
          // Somebody else's requests only for a worker that has nothing to do, and no others could be taken.
          const foreign = batch.filter(({ home }) => home !== undefined && home !== worker)
          expect(foreign.length === 0 || (inHand[worker] === 0 && welcome.length === 0)).toBe(true)
          served.push(...batch.map(({ number }) => number))
          inHand[worker]!++
          waiting = rest
        }
        expect(served.toSorted((a, b) => a - b)).toEqual(arrived.map(({ number }) => number))
      }
    )
  )
})

const some = (count: number, home?: number) =>
  Array.from({ length: count }, () => ({ shape: "32 2", cost: 34, ...(home === undefined ? {} : { home }) }))

it("leaves work for the other idle workers", () => {
  expect(nextBatch(some(10), freeOf([1, 1]), 10_000)!.batch).toHaveLength(5)
  expect(nextBatch(some(10), freeOf([1]), 10_000)!.batch).toHaveLength(10)
})

it("sends a request to the worker that read what it goes on from, unless another one has nothing to do", () => {
  const waiting = some(4, 1)
  expect(nextBatch(waiting, freeOf([0, 1]), 10_000)!.worker).toBe(1)
  expect(nextBatch(waiting, freeOf([1, 2]), 10_000)).toBeUndefined()
  expect(nextBatch(waiting, freeOf([0, 2]), 10_000)!.worker).toBe(0)
})

it("fills a batch with those who have no other home", () => {
  const waiting = [...some(1, 0), ...some(1, 1), ...some(1)]
  expect(nextBatch(waiting, [{ worker: 0, busy: false }], 10_000)).toEqual({
    worker: 0,
    batch: [waiting[0], waiting[2]],
    rest: [waiting[1]]
  })
})
