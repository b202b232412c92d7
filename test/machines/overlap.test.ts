/** Which policy samples a batch, and which groups an update learns from: promises over whole runs. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { stream } from "../../src/kernels/random.ts"
import { chooseGroups, type Held, neededStaleness, type Overlap, sampledAfter } from "../../src/machines/overlap.ts"

/** Overlaps that need no more staleness than they have, as the command line admits them. */
const overlaps = fc
  .record({
    ahead: fc.nat(5),
    syncInterval: fc.integer({ min: 1, max: 5 }),
    uses: fc.integer({ min: 1, max: 4 }),
    spare: fc.nat(3),
    noise: fc.constantFrom(0, 2, 10)
  })
  .map(({ spare, ...rest }): Overlap => ({ ...rest, staleness: neededStaleness(rest) + spare }))

/** The groups that each update of a run learns from. */
const live = (overlap: Overlap, { count, updates }: { readonly count: number; readonly updates: number }) => {
  let held: ReadonlyArray<Held> = []
  return Array.from({ length: updates }, (_, update) => {
    const arrived = Array.from({ length: count }, (_, i) => ({ pack: `${update}/${i}`, batch: update, uses: 0 }))
    const choice = chooseGroups([...held, ...arrived], overlap, { update, count }, ({ pack, uses }) =>
      stream(1, "overlap", pack, uses)
    )
    held = choice.kept
    return choice.taken
  })
}

const runs = fc.record({ count: fc.integer({ min: 1, max: 4 }), updates: fc.integer({ min: 1, max: 24 }) })

describe("overlap", () => {
  it("takes turns with the newest policy unless told otherwise", () => {
    const turns: Overlap = { staleness: 0, ahead: 0, syncInterval: 1, uses: 1, noise: 0 }
    expect([0, 1, 2, 7].map((batch) => sampledAfter(batch, turns))).toEqual([0, 1, 2, 7])
    expect(live(turns, { count: 2, updates: 3 }).map((taken) => taken.map(({ pack }) => pack))).toEqual([
      ["0/0", "0/1"],
      ["1/0", "1/1"],
      ["2/0", "2/1"]
    ])
  })

  it("samples two batches ahead with weights that are taken every third batch", () => {
    const overlap: Overlap = { staleness: 4, ahead: 2, syncInterval: 3, uses: 1, noise: 0 }
    expect(Array.from({ length: 10 }, (_, batch) => sampledAfter(batch, overlap))).toEqual([
      0, 0, 0, 0, 0, 3, 3, 3, 6, 6
    ])
  })

  it("never learns from a policy that is older than the bound, nor from a group more often than allowed", () => {
    fc.assert(
      fc.property(overlaps, runs, (overlap, run) => {
        const uses = new Map<string, number>()
        live(overlap, run).forEach((taken, update) => {
          expect(taken.length).toBe(run.count)
          expect(new Set(taken.map(({ pack }) => pack)).size).toBe(run.count)
          for (const { batch, pack } of taken) {
            expect(update - sampledAfter(batch, overlap)).toBeLessThanOrEqual(overlap.staleness)
            uses.set(pack, (uses.get(pack) ?? 0) + 1)
          }
        })
        expect(Math.max(...uses.values())).toBeLessThanOrEqual(overlap.uses)
      })
    )
  })

  it("a batch never waits for a policy that comes after its turn, and policies never go back", () => {
    fc.assert(
      fc.property(overlaps, fc.nat(100), (overlap, batch) => {
        expect(sampledAfter(batch, overlap)).toBeLessThanOrEqual(Math.max(0, batch - overlap.ahead))
        expect(sampledAfter(batch + 1, overlap)).toBeGreaterThanOrEqual(sampledAfter(batch, overlap))
      })
    )
  })

  it("learns from everything once where groups are used once: nothing sampled is thrown away", () => {
    fc.assert(
      fc.property(overlaps, runs, (overlap, run) => {
        const once = { ...overlap, uses: 1 }
        const taken = live(once, run).flatMap((groups) => groups.map(({ pack }) => pack))
        expect(new Set(taken).size).toBe(run.count * run.updates)
      })
    )
  })

  it("without noise a group that was not learnt from yet comes before one that was", () => {
    fc.assert(
      fc.property(overlaps, runs, (overlap, run) => {
        for (const [update, taken] of live({ ...overlap, noise: 0 }, run).entries()) {
          expect(taken.every(({ batch }) => batch === update)).toBe(true)
        }
      })
    )
  })
})
