/**
 * The part of `constellate credit compare` about updates alone: runs of a pack against siblings from the same state, on the
 * same number of generated tokens.
 *
 * An episode costs one token, branches included. The budget is what a group of the published size costs; counterfactual
 * rollouts spend it on as many whole runs with all their branches as come nearest to it.
 */
import { causal } from "../kernels/credit/causal.ts"
import { counterfactual } from "../kernels/credit/counterfactual.ts"
import type { Credit, Experience } from "../kernels/credit/estimator.ts"
import { type Accuracy, families, measure, type PlantedOptions, tokensOfRun } from "../kernels/credit/planted.ts"
import { stream } from "../kernels/random.ts"
import { table } from "./output.ts"

interface Compared {
  readonly estimate: (experiences: ReadonlyArray<Experience>) => Credit
  readonly branches: Pick<PlantedOptions, "alternatives" | "horizon">
}

const compared: Readonly<Record<string, Compared>> = {
  "runs (published)": { estimate: (all) => causal(all), branches: {} },
  "3 siblings, 1 ahead": { estimate: (all) => counterfactual(all), branches: { alternatives: 3, horizon: 1 } },
  "3 siblings, to the end": { estimate: (all) => counterfactual(all), branches: { alternatives: 3 } },
  "8 siblings, 1 ahead": { estimate: (all) => counterfactual(all), branches: { alternatives: 8, horizon: 1 } },
  "the same, as runs": { estimate: (all) => causal(all), branches: { alternatives: 3, horizon: 1 } }
}

/** Runs of a group that the budgets are made of. */
export const budgets = [4, 8, 16, 32] as const

export interface SiblingMeasurement extends PlantedOptions, Accuracy {
  readonly factor: "tokens"
  readonly estimator: string
  /** What a group of the published size costs. */
  readonly budget: number
  /** What was spent on a pack. */
  readonly tokens: number
  /** Variance of an update's score in units of the truth's, for as many scores as the budget buys of the published kind. */
  readonly varianceAtBudget: number
}

const usual = { packSize: 4, noise: 0.5 }

/** Every estimator on every family and budget, updates only. */
export const measureSiblings = (groups: number, seed: number): ReadonlyArray<SiblingMeasurement> =>
  budgets.flatMap((size) =>
    families.flatMap((family) =>
      Object.entries(compared).map(([estimator, { branches, estimate }]): SiblingMeasurement => {
        const runs: PlantedOptions = { family, ...usual, groupSize: size }
        const budget = size * tokensOfRun(runs)
        const cost = tokensOfRun({ ...runs, ...branches })
        const options = { ...runs, ...branches, groupSize: Math.max(1, Math.round(budget / cost)) }
        const streamOf = (group: number) => stream(seed, "planted siblings", family, size, group)
        const accuracy = measure(options, groups, streamOf, estimate, "update")
        const published = (2 * usual.packSize - 1) / (usual.packSize - 1)
        const varianceAtBudget = (accuracy.variance * accuracy.tokensPerScore) / published
        const tokens = options.groupSize * cost
        return { factor: "tokens", estimator, ...options, budget, tokens, ...accuracy, varianceAtBudget }
      })
    )
  )

/** The budget of eight runs. */
export const reportSiblings = (measured: ReadonlyArray<SiblingMeasurement>): string => {
  const here = measured.filter(({ budget }) => budget === 8 * (2 * usual.packSize - 1))
  const rows = here.map((each) => [
    each.family,
    each.estimator,
    `${each.groupSize}`,
    `${each.tokens}`,
    each.tokensPerScore.toFixed(2),
    ...[each.bias, each.variance, each.varianceAtBudget, each.signErrors, each.correlation].map((value) =>
      value.toFixed(3)
    )
  ])
  const heads = ["family", "updates against", "runs", "tokens", "a score", "bias", "variance", "at budget"]
  return [
    `updates alone, on the tokens of 8 runs, ${usual.packSize} tasks, noise ${usual.noise}`,
    table([...heads, "sign errors", "correlation"], rows)
  ].join("\n")
}
