/** The options, hidden knowledge and tasks of PDE Discovery, as schemas and draws. */
import { Schema } from "effect"
import type { Rng } from "../../src/environment.ts"
import { int, intRange, memoryOption, option } from "../option.ts"
import { type TermName, termNames } from "./dictionary.ts"
import type { Equation } from "./equation.ts"
import { families, type Family, type Template } from "./families.ts"
import { amplitudeBound, isStable } from "./simulation.ts"

const positive = (maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum: 1e-6, maximum }))
/** Those of a family with so many terms, in its own order. */
export const templatesOf = (family: Family, terms: readonly [number, number]): ReadonlyArray<Template> =>
  families[family].filter(({ signs }) => {
    const size = Object.keys(signs).length
    return size >= terms[0] && size <= terms[1]
  })

const familyNames = Object.keys(families) as [Family, ...Array<Family>]

export const Options = Schema.Struct({
  family: option(Schema.Literals(familyNames), "general", "Family of reactions that packs draw from"),
  maxSteps: option(int(1, 100), 10, "Actions of a task"),
  pointBudget: option(int(1, 200), 15, "Points that a task may sample"),
  template: option(
    Schema.NullOr(Schema.String),
    null,
    "The reaction's terms and signs in every pack, such as +u -u^3, instead of drawn ones of the family"
  ),
  templateOrder: option(
    Schema.Literals(["drawn", "fixed"]),
    "drawn",
    "Templates of an evaluation's packs: drawn, or those of the family one after the other and around"
  ),
  terms: option(intRange(1, 4), [1, 2], "Fewest and most terms of a reaction, told to the agent"),
  stateLimit: option(positive(100), 3, "Values are clipped to this size; hidden equations stay below it"),
  initialModes: option(intRange(1, 8), [1, 2], "Fewest and most sine modes of an initial condition"),
  noiseLevel: option(
    Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
    0.002,
    "Standard deviation of the noise on measured u; a quarter of it on y"
  ),
  kappaThreshold: option(positive(1e12), 100, "Condition number from which a regression is called ill-conditioned"),
  grid: option(
    Schema.Tuple([int(9, 2049), int(9, 100_001)]),
    [257, 2001],
    "Points of the simulation in space and in time, ends included"
  ),
  memory: memoryOption("what was sampled and committed")
}).check(
  Schema.makeFilter(({ family, template, terms }) => {
    if (template === null || templatesOf(family, terms).some(({ name }) => name === template)) return undefined
    return { path: ["template"], issue: `Expected a template of ${family} with ${terms[0]} to ${terms[1]} terms` }
  })
)
export type Options = typeof Options.Type

/** The published training and evaluation. */
export const presets = {
  train: { family: "full_train", maxSteps: 6, pointBudget: 6 },
  hard: { family: "full_eval_4000", maxSteps: 6, pointBudget: 6, templateOrder: "fixed", terms: [1, 3] }
} as const

const Coefficient = Schema.Finite.check(Schema.isBetween({ minimum: -1000, maximum: 1000 }))
const Coefficients = Schema.Record(Schema.String, Coefficient).check(
  Schema.makeFilter((equation) => {
    const stranger = Object.keys(equation).find((term) => !termNames.includes(term as TermName))
    if (stranger !== undefined) return `Expected terms of ${termNames.join(", ")}, got ${stranger}`
    return Object.values(equation).some((coefficient) => coefficient !== 0) ? undefined : "Expected a term"
  })
)

/** `{ "equation": { "u": 1, "u^3": -0.8 }, "trajectories": [{ "amplitude": 2, "modes": [1] }] }`. */
export const Knowledge = Schema.Struct({
  equation: Coefficients.annotate({ description: "The hidden reaction: the coefficient of each of its terms" }),
  trajectories: Schema.NonEmptyArray(
    Schema.Struct({ amplitude: Coefficient, modes: Schema.NonEmptyArray(Coefficient) })
  ).annotate({ description: "Initial conditions: largest value, and coefficients of a sine series" }),
  template: Schema.optionalKey(Schema.String)
})
export type Knowledge = typeof Knowledge.Type

/** `{ "trajectory": 0 }`: which of the pack's initial conditions the task observes. */
export const Task = Schema.Struct({ trajectory: int(0, 9999) })
export type Task = typeof Task.Type

const between = (rng: Rng, low: number, high: number): number => low + (high - low) * rng.uniform()

/** Redraws of an equation that is not stable. */
const mostDraws = 128

/**
 * One equation and an initial condition for each position, with amplitudes in equal bands up to the family's bound. The
 * equation is drawn again, template and coefficients, until no trajectory touches the state limit. `number` is the
 * pack's in an evaluation, whose templates may have a fixed order.
 */
export const drawKnowledge = (rng: Rng, options: Options, packSize: number, number?: number): Knowledge => {
  const { family, grid, initialModes, stateLimit, template, templateOrder, terms } = options
  const templates = templatesOf(family, terms).filter(({ name }) => template === null || name === template)
  if (templates.length === 0) throw new Error(`family ${family} has no reaction of ${terms[0]} to ${terms[1]} terms`)
  const bound = amplitudeBound(family, stateLimit)
  const bands = rng.shuffle(Array.from({ length: packSize }, (_, band) => band))
  const trajectories = bands.map((band) => ({
    amplitude: (bound * (band + rng.uniform())) / packSize,
    modes: Array.from({ length: rng.int(...initialModes) }, () => rng.normal())
  }))
  for (let draw = 0; draw < mostDraws; draw++) {
    const isFixed = templateOrder === "fixed" && number !== undefined
    const { name, signs } = isFixed ? templates[number % templates.length]! : rng.pick(templates)
    const coefficients = Object.entries(signs).map(([term, sign]) => [
      term,
      (sign * Math.round(between(rng, 50, 200))) / 100
    ])
    const equation: Equation = Object.fromEntries(coefficients)
    if (isStable(equation, trajectories, grid, stateLimit)) {
      return { equation: Object.fromEntries(coefficients), trajectories, template: name } as unknown as Knowledge
    }
  }
  throw new Error(`family ${family}: no stable equation in ${mostDraws} draws`)
}
