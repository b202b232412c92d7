import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { makePack, packRows, type Row, strategies } from "../../src/machines/packs.ts"
import { guess } from "../fixtures/guess.ts"

/** Rows by letter: a b c d e f are of task set 0, x y of task set 1. */
const row = (letter: string): Row =>
  letter < "x"
    ? { taskSet: 0, index: letter.charCodeAt(0) - "a".charCodeAt(0) }
    : { taskSet: 1, index: letter.charCodeAt(0) - "x".charCodeAt(0) }
const letter = ({ index, taskSet }: Row): string =>
  String.fromCharCode((taskSet === 0 ? "a" : "x").charCodeAt(0) + index)
const packed = (letters: string, strategy: "cod" | "ralph-sample" | "ralph-full", pad: boolean) =>
  packRows([...letters].map(row), { strategy, size: 4, pad }).map((pack) => pack.rows.map(letter).join(""))

describe("packing", () => {
  it.each([
    ["cod", true, "abcdefxy", ["abcd", "efab"]],
    ["cod", false, "abcdefxy", ["abcd"]],
    ["cod", true, "axbycd", ["abcd"]],
    ["ralph-sample", true, "abcdefxy", ["aaaa", "eeee"]],
    ["ralph-full", true, "abcdefxy", ["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff", "xxxx", "yyyy"]]
  ] as const)("%s, padding %s: %s", (strategy, pad, letters, packs) => {
    expect(packed(letters, strategy, pad)).toEqual(packs)
  })

  it("tells an environment the loop position, 0 for a sampled task, the place in its pack for every task", () => {
    const told = (strategy: "cod" | "ralph-sample" | "ralph-full") =>
      packRows([..."abcdefxy"].map(row), { strategy, size: 4, pad: true }).map((pack) =>
        pack.environmentPositions.join("")
      )
    expect(told("cod")).toEqual(["0123", "0123"])
    expect(told("ralph-sample")).toEqual(["0000", "0000"])
    expect(told("ralph-full")).toEqual(["0000", "1111", "2222", "3333", "0000", "1111", "0000", "1111"])
  })

  it.each([0, -1, 1.5])("refuses a pack size of %s", (size) => {
    expect(() => packRows([], { strategy: "cod", size, pad: true })).toThrow(`pack size is ${size}`)
  })

  it("never mixes task sets and fills every pack, whatever is packed", () => {
    const rows = fc.array(fc.record({ taskSet: fc.integer({ min: 0, max: 3 }), index: fc.nat(50) }), { maxLength: 40 })
    fc.assert(
      fc.property(
        rows,
        fc.constantFrom(...strategies),
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        (rows, strategy, size, pad) => {
          for (const pack of packRows(rows, { strategy, size, pad })) {
            expect(pack.rows).toHaveLength(size)
            expect(new Set(pack.rows.map(({ taskSet }) => taskSet)).size).toBe(1)
          }
        }
      ),
      { seed: 1 }
    )
  })
})

describe("a pack", () => {
  const constant = {
    uniform: () => 0,
    int: (low: number) => low,
    normal: () => 0,
    pick: <A>(items: ReadonlyArray<A>) => items[0]!,
    shuffle: <A>(items: ReadonlyArray<A>) => [...items]
  }
  const pack = (environmentPositions: ReadonlyArray<number>, drawn: Array<string>) =>
    makePack(
      {
        id: "p",
        seed: 1n,
        baseSeed: 1,
        phase: "eval",
        environment: guess,
        options: { doors: 4 },
        environmentPositions
      },
      (purpose, position) => {
        drawn.push(`${purpose} ${position}`)
        return constant
      }
    )

  it("samples nothing before it is asked, and everything once", () => {
    const drawn: Array<string> = []
    const { knowledge, task } = pack([0, 1, 2], drawn)
    expect(drawn).toEqual([])
    task(2)
    task(2)
    knowledge()
    expect(drawn).toEqual(["knowledge 0", "task 2"])
  })

  it("gives a repeated task at every position", () => {
    const drawn: Array<string> = []
    const { task } = pack([3, 3, 3], drawn)
    expect([task(0), task(1), task(2)]).toEqual(["gold", "gold", "gold"])
    expect(drawn.filter((name) => name.startsWith("task"))).toEqual(["task 3"])
  })
})
