/**
 * The fuzzer itself: never silent on what is wrong. (`silence.test.ts`: always on what is right.)
 *
 * Seed 1 finds every planted fault within three hundred cases, which take a second.
 */
import { describe, expect, it } from "vitest"
import { causal } from "../../../src/kernels/credit/causal.ts"
import {
  examine,
  fuzzOne,
  laws,
  shrunk,
  type Finding,
  type FuzzOptions
} from "../../../src/kernels/credit/fuzz/fuzz.ts"
import { generate } from "../../../src/kernels/credit/fuzz/generator.ts"
import { shrink } from "../../../src/kernels/credit/fuzz/shrink.ts"
import type { Plugin } from "../../../src/kernels/credit/fuzz/subject.ts"
import { faults, mutant } from "./mutants.ts"

const options: FuzzOptions = { mode: "causal", claimed: true, hostile: false, seed: 1 }

const first = (plugin: Plugin, given: FuzzOptions, from: number, to: number): Finding | undefined => {
  for (let number = from; number < to; number++) {
    const found = fuzzOne(number, plugin, given)
    if (found !== undefined) return found
  }
  return undefined
}

describe("planted faults", () => {
  it.each(faults)("%s", (fault) => {
    expect(first(mutant(fault), options, 0, 300)).toBeDefined()
  })

  it.each([
    ["causality", "update credits the task it has just seen"],
    ["isolation", "key with the task set instead of the pack"],
    ["judged", "own flags are ignored"],
    ["one-vote", "every step votes"],
    ["dead-groups", "baseline divides by one less"],
    ["zero-mean", "baseline is the median"],
    ["translation", "state between calls"],
    ["permutation", "adaptive with one temperature for all groups"],
    ["grouping", "adaptive over the whole call"],
    ["conservation", "last experience is lost"],
    ["identity", "adaptive falls back to the fixed temperature"],
    ["temperature", "adaptive keeps the low side"],
    ["bracket", "adaptive ignores tokens"],
    ["lift", "shift ignores tokens"],
    ["padding", "adaptive ignores tokens"]
  ] as const)("the law %s alone finds an estimator in which %s", (law, fault) => {
    const found = first(mutant(fault), { ...options, laws: [law] }, 0, 400)
    expect(found?.law).toBe(law)
  })

  it.each([
    ["sign", (score: number) => Math.abs(score)],
    ["order", (score: number) => Math.sign(score) / (1 + Math.abs(score))]
  ] as const)("the law %s alone finds a weighting that breaks it", (law, weigh) => {
    const bent = (experiences: any, given: any) => {
      const credit = causal(experiences, given)
      return { ...credit, experiences: credit.experiences.map((each) => ({ ...each, advantage: weigh(each.score) })) }
    }
    expect(first(bent, { ...options, laws: [law] }, 0, 100)?.law).toBe(law)
  })

  it("the law purity alone finds an estimator that remembers", () => {
    let calls = 0
    const plugin: Plugin = (experiences: any, given: any) => {
      const credit = causal(experiences, given)
      calls++
      return {
        ...credit,
        experiences: credit.experiences.map((each) => ({ ...each, advantage: each.advantage + calls }))
      }
    }
    expect(first(plugin, { ...options, laws: ["purity"] }, 0, 10)?.law).toBe("purity")
  })

  it.each([
    [
      "throws",
      () => {
        throw new Error("no")
      }
    ],
    ["returns nothing", () => undefined],
    ["returns fewer rows", (e: any) => ({ experiences: [], dropped: e.slice(1).map(({ id }: any) => id) })],
    ["returns rows of its own", (e: any) => ({ experiences: e.map(() => ({ id: "x", advantage: 0 })) })],
    ["returns text for numbers", (e: any) => ({ experiences: e.map(({ id }: any) => ({ id, advantage: "1" })) })],
    ["returns a promise", async () => ({})]
  ] as ReadonlyArray<readonly [string, Plugin]>)("an estimator that %s", (_, plugin) => {
    expect(["answer", "conservation"]).toContain(first(plugin, { ...options, claimed: false }, 0, 20)?.law)
  })

  it("an estimator that answers to NaN, or refuses without a name", () => {
    const hostile = { ...options, hostile: true, laws: ["refusal"] }
    const lenient = (experiences: any, given: any) => {
      try {
        return causal(experiences, given)
      } catch {
        return { experiences: [], dropped: experiences.map(({ id }: any) => id) }
      }
    }
    const nameless = (experiences: any, given: any) => {
      try {
        return causal(experiences, given)
      } catch {
        throw new Error("something is not finite")
      }
    }
    expect(first(lenient, hostile, 0, 20)?.message).toContain("answered although")
    expect(first(nameless, hostile, 0, 20)?.message).toContain("refused without naming")
  })
})

describe("shrinking", () => {
  it("ends with two runs of one task for an estimator that lets every step vote", () => {
    const plugin = mutant("every step votes")
    const smallest = shrunk(first(plugin, { ...options, laws: ["one-vote"] }, 0, 50)!, plugin, options)
    expect(smallest.case.experiences).toHaveLength(2)
    expect(examine(smallest.case, plugin, { claimed: true, laws: ["one-vote"] })).toBeDefined()
  })

  it("ends, whatever it is told", () => {
    for (let number = 0; number < 20; number++) {
      for (const mode of ["causal", "grpo"] as const) {
        const search = shrink(generate(mode, 3, number))
        let candidates = 0
        for (let next = search.next(); !next.done; next = search.next(candidates % 3 === 0)) candidates++
        expect(candidates).toBeLessThan(20_000)
      }
    }
  })
})

it("names and states every law once", () => {
  expect(new Set(laws.map(({ name }) => name)).size).toBe(laws.length)
  for (const { statement } of laws) expect(statement).toMatch(/^[A-Z].*\.$/)
})
