/** The fuzzer finds nothing wrong with what is right. Mutation testing runs these alone to measure what it would find. */
import { expect, it } from "vitest"
import { causal } from "../../../src/kernels/credit/causal.ts"
import { fuzzOne, type FuzzOptions } from "../../../src/kernels/credit/fuzz/fuzz.ts"
import type { Plugin } from "../../../src/kernels/credit/fuzz/subject.ts"
import { grpo } from "../../../src/kernels/credit/grpo.ts"
import { mutant } from "./mutants.ts"

const options: FuzzOptions = { mode: "causal", claimed: true, hostile: false, seed: 1 }
const leaveOneOut: Plugin = (experiences, given) => causal(experiences, { ...given, baseline: "leave-one-out" })

it.each([
  ["our causal estimator", causal, options, 250],
  ["a causal estimator written apart from it", mutant(undefined), options, 250],
  ["our GRPO", grpo, { ...options, mode: "grpo" }, 150],
  ["our causal estimator under hostile numbers", causal, { ...options, hostile: true }, 100],
  ["our GRPO under hostile numbers", grpo, { ...options, mode: "grpo", hostile: true }, 100],
  ["an estimator beyond the specification", leaveOneOut, { ...options, claimed: false }, 200]
] as ReadonlyArray<readonly [string, Plugin, FuzzOptions, number]>)("%s", (_, plugin, given, cases) => {
  for (let number = 0; number < cases; number++) expect(fuzzOne(number, plugin, given)).toBeUndefined()
})
