/** The options of Terminal. */
import { Schema } from "effect"
import { int, option } from "../option.ts"
import { types } from "./scenes.ts"

export const Options = Schema.Struct({
  stepCap: option(int(1, 1000), 15, "Command lines after which a task is over"),
  compositeRatio: option(
    Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
    0.5,
    "Probability that a task is a composite one"
  ),
  type: option(Schema.NullOr(Schema.Literals(types)), null, "The type of every task, instead of drawn ones")
})
export type Options = typeof Options.Type

/** The published training and evaluation. */
export const presets: Readonly<Record<string, Partial<Options>>> = { train: {}, eval: { stepCap: 12 } }
