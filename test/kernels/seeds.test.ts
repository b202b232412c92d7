import { describe, expect, it } from "vitest"
import { stream, streams } from "../../src/kernels/random.ts"
import { runtimePackSeed, stablePackSeed } from "../../src/kernels/seeds.ts"

describe("a stable pack seed", () => {
  // The specified values (lifecycle specification, section 3).
  it.each([
    [
      "(0,0)(0,1)(0,2)(0,3)",
      [
        [0, 0],
        [0, 1],
        [0, 2],
        [0, 3]
      ],
      15069623396018555611n
    ],
    [
      "(0,3)(0,1)",
      [
        [0, 3],
        [0, 1]
      ],
      13127333723055162601n
    ],
    [
      "(1,12)..(1,15)",
      [
        [1, 12],
        [1, 13],
        [1, 14],
        [1, 15]
      ],
      12188424515627538146n
    ],
    [
      "(0,7) four times",
      [
        [0, 7],
        [0, 7],
        [0, 7],
        [0, 7]
      ],
      3967992629961482717n
    ],
    [
      "(0,10)(0,9)",
      [
        [0, 10],
        [0, 9]
      ],
      15731346691357248873n
    ]
  ] as const)("of %s", (_, identities, seed) => {
    expect(stablePackSeed(identities)).toBe(seed)
  })
})

describe("a runtime pack seed", () => {
  const pack = { baseSeed: 1, phase: "train", environment: "guess", epoch: 0, number: 0 } as const

  it("is the same in every process", () => {
    expect(runtimePackSeed(pack)).toBe(runtimePackSeed({ ...pack }))
    expect(runtimePackSeed(pack)).toMatchInlineSnapshot(`17637060527788455100n`)
  })

  it.each([{ baseSeed: 2 }, { phase: "eval" as const }, { environment: "other" }, { epoch: 1 }, { number: 1 }])(
    "differs by %o",
    (change) => {
      expect(runtimePackSeed({ ...pack, ...change })).not.toBe(runtimePackSeed(pack))
    }
  )
})

describe("streams under one name", () => {
  const draws = (rng: { readonly uniform: () => number }) => Array.from({ length: 9 }, rng.uniform)

  it("are told apart by two integers", () => {
    const of = streams("name", 1)
    const all = [of(0, 0), of(0, 1), of(1, 0), of(1, 1), stream("other")].map(draws)
    expect(new Set(all.flat()).size).toBe(45)
    expect(draws(of(1, 0))).toEqual(all[2])
  })

  it("begin with the stream of that name", () => {
    expect(draws(streams("name", 1)(0, 0))).toEqual(draws(stream("name", 1)))
  })
})
