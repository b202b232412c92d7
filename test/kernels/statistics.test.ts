import { describe, expect, it } from "vitest"
import { stream } from "../../src/kernels/random.ts"
import { bootstrapMeans } from "../../src/kernels/statistics.ts"

describe("means with bootstrap intervals", () => {
  it("of packs that all agree are sure of it", () => {
    expect(bootstrapMeans([[1], [1], [1]], stream("s"))).toEqual([{ mean: 1, low: 1, high: 1 }])
  })

  it("leave out what a pack has no value for", () => {
    const [first, second] = bootstrapMeans(
      [
        [1, Number.NaN],
        [3, Number.NaN]
      ],
      stream("s")
    )
    expect(first!.mean).toBe(2)
    expect(second).toEqual({ mean: null, low: null, high: null })
  })

  it("cover the truth as often as they say", () => {
    const covered = Array.from({ length: 200 }, (_, trial) => {
      const rng = stream("trial", trial)
      const rows = Array.from({ length: 100 }, () => [rng.uniform() < 0.3 ? 1 : 0])
      const [{ high, low }] = bootstrapMeans(rows, stream("resampling", trial), 300) as any
      return low <= 0.3 && 0.3 <= high
    })
    const share = covered.filter(Boolean).length / covered.length
    expect(share).toBeGreaterThan(0.88)
    expect(share).toBeLessThan(0.99)
  })

  it("are as wide as the normal approximation says", () => {
    const rows = Array.from({ length: 400 }, (_, i) => [i % 2])
    const [{ high, low }] = bootstrapMeans(rows, stream("s")) as any
    const width = 2 * 1.96 * Math.sqrt(0.25 / 400)
    expect(high - low).toBeGreaterThan(0.85 * width)
    expect(high - low).toBeLessThan(1.15 * width)
  })
})
