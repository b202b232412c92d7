/** The weighting's own arithmetic: where the search ends, and numbers that overflow when they are taken as they come. */
import { describe, expect, it } from "vitest"
import { adaptiveTemperature, shiftOf, weigh } from "../../../src/kernels/credit/red.ts"

const [coldest, hottest] = [0.8 + 99.2 / 2 ** 11, 100 - 99.2 / 2 ** 11]
const temperature = (scores: ReadonlyArray<number>, tokens: ReadonlyArray<number>, strict = false) =>
  adaptiveTemperature({ scores, tokens }, strict)

describe("adaptiveTemperature", () => {
  it("ends at the bounds, or where the weighted sum changes sign", () => {
    expect(temperature([-1], [1])).toBeCloseTo(coldest, 12)
    expect(temperature([1, -1], [1e9, 1e9 + 3])).toBeCloseTo(hottest, 12)
    // exp(1/T) 10 = exp(-1/T) 12 at T = 2 / ln 1.2.
    expect(Math.abs(temperature([1, -1], [10, 12])! - 2 / Math.log(1.2))).toBeLessThan(99.2 / 2 ** 11)
  })

  it("keeps the lower side where asked, the lower bound where no other is known", () => {
    expect(temperature([-1], [1], true)).toBe(0.8)
    expect(temperature([1, -1], [10, 12], true)).toBeLessThanOrEqual(2 / Math.log(1.2))
  })

  it("takes a sum within a billionth of its terms for 0", () => {
    expect(temperature([1, -1], [1e9, 1e9 + 1])).toBeNull()
    expect(temperature([1, -1], [2e8, 2e8 + 1])).not.toBeNull()
    expect(temperature([1, -1], [5, 5])).toBeNull()
    expect(temperature([], [])).toBeNull()
  })

  it("is not moved by what has no tokens, however large its score", () => {
    expect(temperature([1e6, 1, -1], [0, 10, 12])).toBe(temperature([1, -1], [10, 12]))
    expect(temperature([0, 1, -1], [7, 10, 12])).toBe(temperature([1, -1], [10, 12]))
  })

  it("asks for signs only, so neither huge nor tiny scores overflow", () => {
    for (const scale of [1e6, 1e200]) {
      expect(temperature([-scale], [1])).toBeCloseTo(coldest, 12)
      expect(temperature([-scale, -3 * scale], [1, 1])).toBeCloseTo(coldest, 12)
      expect(temperature([scale, -scale], [1, 2])).toBeCloseTo(hottest, 12)
    }
    expect(temperature([1e-300, -1e-300], [1, 2])).toBeCloseTo(coldest, 12)
  })
})

describe("weigh", () => {
  it("multiplies a score by exp(score / T), and is finite", () => {
    expect(weigh(2, null)).toBe(2)
    expect(weigh(2, 4)).toBeCloseTo(2 * Math.exp(0.5), 12)
    expect(weigh(-2, 4)).toBeCloseTo(-2 * Math.exp(-0.5), 12)
    expect(weigh(1e6, 1)).toBe(Number.MAX_VALUE)
    expect(weigh(700, 1)).toBe(700 * Math.exp(700))
    expect(weigh(701, 1)).toBe(701 * Math.exp(700))
    expect(weigh(-1e6, 1)).toBe(-0)
  })
})

describe("shiftOf", () => {
  it("is the token mean where that is negative", () => {
    expect(shiftOf({ scores: [1, -2], tokens: [1, 3] })).toBe(-1.25)
    expect(shiftOf({ scores: [1, -2], tokens: [3, 1] })).toBe(0)
    expect(shiftOf({ scores: [-1], tokens: [0] })).toBe(0)
    expect(shiftOf({ scores: [], tokens: [] })).toBe(0)
  })
})
