/** The options, hidden knowledge and tasks of Optimal Control, as schemas and draws. */
import { Effect, Schema } from "effect"
import type { Rng } from "../../src/environment.ts"
import { int, memoryOption, option, range } from "../option.ts"

const Range = range(-100, 100)
const Penalty = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1000 }))

export const Options = Schema.Struct({
  a: option(range(-2, 2), [0.55, 1.2], "Lowest and highest drift a, drawn per pack"),
  b: option(range(-10, 10), [-1.5, 1.5], "Lowest and highest gain b, drawn per pack"),
  bGap: option(Penalty, 0.35, "Gains nearer to zero than this are not drawn"),
  horizon: option(int(1, 200), 12, "Steps of a task"),
  x0: option(Range, [-2, 2], "Lowest and highest start"),
  v0: option(Range, [-1.5, 1.5], "Lowest and highest speed at the start"),
  xTarget: option(Range, [-8, 8], "Lowest and highest target"),
  vTarget: option(Range, [0, 0], "Lowest and highest speed wanted at the end"),
  controlPenalty: option(Penalty, 0.03, "Weight of the squared controls in the loss"),
  noise: option(Penalty, 0, "Standard deviation of the noise on the speed in every step"),
  memory: memoryOption("the last expression that ran to completion")
})
export type Options = typeof Options.Type

/** The published difficulties; training and evaluation were on `hard`, which is what the defaults are. */
export const presets = {
  train: {},
  easy: { horizon: 8, x0: [-1, 1], v0: [-0.5, 0.5], xTarget: [-3, 3] },
  medium: { horizon: 12, x0: [-2, 2], v0: [-1, 1], xTarget: [-5, 5] },
  hard: {}
} as const

const Parameter = Schema.Finite.check(Schema.isBetween({ minimum: -10, maximum: 10 }))

/** `{ "a": 0.9, "b": 0.5 }`. */
export const Knowledge = Schema.Struct({
  a: Parameter.annotate({ description: "The part of the speed that stays" }),
  b: Parameter.annotate({ description: "What a control of 1 adds to the speed" })
})
export type Knowledge = typeof Knowledge.Type

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))
const Number = Schema.Finite.check(Schema.isBetween({ minimum: -1e6, maximum: 1e6 }))

/** `{ "x0": 0, "v0": 0, "xTarget": 2, "horizon": 4 }`. */
export const Task = Schema.Struct({
  x0: Number,
  v0: Number,
  xTarget: Number,
  vTarget: withDefault(Number, 0),
  horizon: int(1, 1000),
  controlPenalty: withDefault(Penalty, 0.03),
  noise: withDefault(
    Schema.Array(Number).annotate({ description: "Added to the speed, step by step; steps without one have none" }),
    []
  ),
  seed: Schema.optionalKey(Schema.Int)
})
export type Task = typeof Task.Type

const between = (rng: Rng, [low, high]: readonly [number, number]): number => low + (high - low) * rng.uniform()

/** Three decimals, so that a prompt tells all of it. */
const rounded = (value: number): number => Math.round(1000 * value) / 1000 + 0

/** `a` first, then `b`, uniformly over what its gap leaves of its range. */
export const drawKnowledge = (rng: Rng, { a, b: [low, high], bGap }: Options): Knowledge => {
  const below = Math.max(0, Math.min(high, -bGap) - low)
  const above = Math.max(0, high - Math.max(low, bGap))
  const drawnA = between(rng, a)
  const along = (below + above) * rng.uniform()
  return { a: drawnA, b: along < below ? low + along : Math.max(low, bGap) + (along - below) }
}

/** The noise is drawn with the task, so that all runs of a group meet the same. */
export const drawTask = (rng: Rng, options: Options): Task => ({
  seed: rng.int(0, 9_999_999),
  x0: rounded(between(rng, options.x0)),
  v0: rounded(between(rng, options.v0)),
  xTarget: rounded(between(rng, options.xTarget)),
  vTarget: rounded(between(rng, options.vTarget)),
  horizon: options.horizon,
  controlPenalty: options.controlPenalty,
  noise: options.noise === 0 ? [] : Array.from({ length: options.horizon }, () => options.noise * rng.normal())
})
