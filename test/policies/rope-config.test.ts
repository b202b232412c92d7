/** Rotary positions of published layouts against the reference implementation: `test/vectors/rope/make.py`. */
import { Result } from "effect"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { rotaryFrequencies, rotaryTables } from "../../src/kernels/rope.ts"
import { printConfig, readConfig } from "../../src/policies/config.ts"

interface Expected {
  readonly config: object
  readonly frequencies: ReadonlyArray<number>
  readonly positions: ReadonlyArray<number>
  readonly cos: ReadonlyArray<ReadonlyArray<number>>
  readonly sin: ReadonlyArray<ReadonlyArray<number>>
}

const expected: Readonly<Record<string, Expected>> = JSON.parse(
  readFileSync(`${import.meta.dirname}/../vectors/rope/expected.json`, "utf8")
)

const largest = (a: ArrayLike<number>, b: ReadonlyArray<number>, of: (x: number, y: number) => number): number => {
  expect(a).toHaveLength(b.length)
  return b.reduce((most, y, i) => Math.max(most, of(a[i]!, y)), 0)
}

describe.each(Object.entries(expected))("%s", (_, { config: json, cos, frequencies, positions, sin }) => {
  const config = Result.getOrThrow(readConfig(json))

  it("has the reference's frequencies and tables", () => {
    const relative = largest(rotaryFrequencies(config), frequencies, (x, y) => Math.abs(x / y - 1))
    expect(relative).toBeLessThan(6e-7)
    const tables = rotaryTables(config)
    const half = config.headSize / 2
    // A frequency may differ in its last bit, which far positions magnify.
    positions.forEach((position, i) => {
      const bound = 1e-6 + 1.3e-7 * position
      for (const [table, rows] of [
        [tables.cos, cos],
        [tables.sin, sin]
      ] as const) {
        const row = table.subarray(position * half, (position + 1) * half)
        expect(
          largest(row, rows[i]!, (x, y) => Math.abs(x - y)),
          `position ${position}`
        ).toBeLessThan(bound)
      }
    })
  })

  it("is saved as it was read", () => {
    const printed = printConfig(config, { end: 1, pad: 0 })
    expect(Result.getOrThrow(readConfig(JSON.parse(JSON.stringify(printed))))).toEqual(config)
  })
})

it("differs from kind to kind", () => {
  const tables = Object.values(expected).map(({ frequencies }) => frequencies.join())
  // Dynamic scaling sets in behind the last position only, so it has the frequencies of none.
  expect(new Set(tables).size).toBeGreaterThanOrEqual(tables.length - 1)
})

describe("what can't be done is refused by name", () => {
  const base = expected["default"]!.config
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 2048 }
  const llama3 = { rope_type: "llama3", factor: 8, low_freq_factor: 1, original_max_position_embeddings: 8192 }
  it.each([
    [
      { rope_scaling: { rope_type: "longrope", factor: 4 } },
      "rope_scaling.rope_type",
      "longrope",
      "supported kinds: default"
    ],
    [{ rope_scaling: { type: "su" } }, "rope_scaling.type", "su", "linear, dynamic, llama3, yarn"],
    [{ rope_parameters: { rope_type: "proportional" } }, "rope_parameters.rope_type", "proportional", "one of"],
    [{ rope_scaling: { type: "linear" } }, "rope_scaling.factor", undefined, "a number above 0"],
    [{ rope_scaling: { type: "linear", factor: "2" } }, "rope_scaling.factor", "2", "a number above 0"],
    [{ rope_scaling: llama3 }, "rope_scaling.high_freq_factor", undefined, "a number above 0"],
    [
      { rope_scaling: { ...llama3, high_freq_factor: 1 } },
      "rope_scaling.high_freq_factor",
      1,
      "more than low_freq_factor, 1"
    ],
    [{ rope_scaling: { ...yarn, truncate: 1 } }, "rope_scaling.truncate", 1, "true or false"],
    [{ rope_scaling: { ...yarn, beta_fast: -1 } }, "rope_scaling.beta_fast", -1, "a number above 0"],
    [
      { rope_parameters: { full_attention: {} } },
      "rope_parameters.full_attention",
      {},
      "one description for all layers"
    ],
    [{ partial_rotary_factor: 0.5 }, "partial_rotary_factor", 0.5, "1: heads that turn in part"],
    [{ rope_parameters: { partial_rotary_factor: 0.5 } }, "rope_parameters.partial_rotary_factor", 0.5, "1: heads"],
    [{ rope_scaling: 7 }, "rope_scaling", 7, "keys and values"]
  ])("%j", (change, field, value, words) => {
    const fault = Result.getFailure(readConfig({ ...base, ...change }))
    expect(fault).toMatchObject({ _tag: "Some", value: { field, value, expected: expect.stringContaining(words) } })
  })
})
