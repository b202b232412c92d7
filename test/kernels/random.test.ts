import { describe, expect, it } from "vitest"
import { hash64, philox, stream } from "../../src/kernels/random.ts"

describe("philox", () => {
  // The known answers that come with the reference implementation (Salmon et al. 2011, Random123).
  it.each([
    ["zeros", [0, 0, 0, 0, 0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    ["ones", [-1, -1, -1, -1, -1, -1], "408f276d 41c83b0e a20bc7c6 6d5451fd"],
    [
      "digits of pi",
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0],
      "d16cfe09 94fdcceb 5001e420 24126ea1"
    ]
  ])("of %s", (_, [c0, c1, c2, c3, k0, k1], expected) => {
    const out = new Uint32Array(4)
    philox(c0! | 0, c1! | 0, c2! | 0, c3! | 0, k0! | 0, k1! | 0, out)
    expect(Array.from(out, (word) => word.toString(16).padStart(8, "0")).join(" ")).toBe(expected)
  })
})

describe("a stream", () => {
  it("is the same by the same name, whoever drew before", () => {
    const { uniform } = stream("a", 1)
    const first = [uniform(), uniform(), uniform()]
    const [again, other] = [stream("a", 1), stream("a", 2)]
    const interleaved = first.map(() => [other.uniform(), again.uniform()][1])
    expect(interleaved).toEqual(first)
  })

  it("differs by every part of its name", () => {
    const names = [["a"], ["a", 1], ["a", "1"], ["a", 1n], ["a", 2], ["a1"], ["a", 1, 0], ["a", "1,0"], [1, "a"]]
    expect(new Set(names.map((name) => hash64(...name))).size).toBe(names.length)
    expect(new Set(names.map((name) => stream(...name).uniform())).size).toBe(names.length)
  })

  it("has uniforms in [0, 1) that fill it evenly, and no two streams agree", () => {
    const [a, b] = [stream("even", 0), stream("even", 1)]
    const bins = Array.from({ length: 16 }, () => 0)
    let product = 0
    const draws = 16_000
    for (let i = 0; i < draws; i++) {
      const [x, y] = [a.uniform(), b.uniform()]
      expect(x >= 0 && x < 1).toBe(true)
      bins[Math.floor(16 * x)]!++
      product += (x - 0.5) * (y - 0.5)
    }
    const chiSquare = bins.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)
    expect(chiSquare).toBeLessThan(37.7) // 15 degrees of freedom, one in a thousand.
    expect(Math.abs(product / draws)).toBeLessThan((3.3 * (1 / 12)) / Math.sqrt(draws))
  })

  it("has integers within both bounds, and normals of mean 0 and deviation 1", () => {
    const { int, normal } = stream("kinds")
    expect(new Set(Array.from({ length: 200 }, () => int(-1, 2)))).toEqual(new Set([-1, 0, 1, 2]))
    const numbers = Array.from({ length: 10_000 }, normal)
    const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length
    const variance = numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length
    expect(Math.abs(mean)).toBeLessThan(0.033)
    expect(Math.abs(variance - 1)).toBeLessThan(0.05)
  })

  it("shuffles to a permutation and picks what is there", () => {
    const { pick, shuffle } = stream("order")
    const items = Array.from({ length: 20 }, (_, i) => i)
    const shuffled = shuffle(items)
    expect(shuffled).not.toEqual(items)
    expect(shuffled.toSorted((a, b) => a - b)).toEqual(items)
    expect(items).toContain(pick(items))
  })
})
