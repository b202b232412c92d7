/** The given cases: the estimators and the loss against numbers from elsewhere. */
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { causal } from "../../../src/kernels/credit/causal.ts"
import { grpo } from "../../../src/kernels/credit/grpo.ts"
import { recLoss } from "../../../src/kernels/credit/rec-loss.ts"

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), "utf8")) as {
    readonly tolerance: { readonly absolute: number; readonly relative: number }
    readonly cases: ReadonlyArray<any>
  }

/** Compares every number of `expected`, at any depth, with `actual`. */
const differences = (
  tolerance: { readonly absolute: number; readonly relative: number },
  actual: any,
  expected: any,
  path = ""
): Array<string> => {
  if (typeof expected === "number") {
    const close = Math.abs(actual - expected) <= tolerance.absolute + tolerance.relative * Math.abs(expected)
    return close ? [] : [`${path}: ${actual}, expected ${expected}`]
  }
  if (typeof expected !== "object" || expected === null) {
    return actual === expected ? [] : [`${path}: ${actual}, expected ${expected}`]
  }
  if (Array.isArray(expected) && actual?.length !== expected.length) return [`${path}: another length`]
  return Object.keys(expected).flatMap((key) => differences(tolerance, actual?.[key], expected[key], `${path}/${key}`))
}

describe("credit-assignment.json", () => {
  const { cases, tolerance } = read("credit-assignment")
  it.each(cases.map((given) => [given.id, given.description, given] as const))("%s %s", (_id, _description, given) => {
    const credit =
      given.mode === "causal" ? causal(given.experiences, given.options) : grpo(given.experiences, given.options)
    const { skippedPacks, ...expected } = given.expected
    expect(differences(tolerance, credit, expected)).toEqual([])
    for (const pack of skippedPacks ?? []) {
      const members = given.experiences.filter((experience: any) => experience.pack === pack)
      expect(credit.dropped).toEqual(expect.arrayContaining(members.map(({ id }: any) => id)))
    }
  })
})

describe("rec-loss.json", () => {
  const { cases, tolerance } = read("rec-loss")
  it.each(cases.map((given) => [given.id, given.description, given] as const))("%s %s", (_id, _description, given) => {
    const sequences = given.logprobs.map((logprobs: Array<number>, row: number) => ({
      logprobs,
      behaviourLogprobs: given.oldLogprobs[row],
      mask: given.mask[row],
      advantages: given.advantages[row]
    }))
    expect(differences(tolerance, recLoss(sequences, given.options), given.expected)).toEqual([])
  })
})
