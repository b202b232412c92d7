/** Fields of options: every option has a default and a description, both of which people are shown. */
import { Effect, Schema } from "effect"

/** An option with its default. The description goes into the JSON schema. */
export const option = <S extends Schema.Top>(schema: S, value: S["Type"], description: string) =>
  schema.pipe(
    Schema.withDecodingDefaultTypeKey(Effect.succeed(value)),
    Schema.annotateEncoded({ description: `${description}. Default: ${JSON.stringify(value)}` })
  )

const inOrder = Schema.makeFilter(([low, high]: readonly [number, number]) =>
  low <= high ? undefined : `Expected [lowest, highest], got [${low}, ${high}]`
)

/** Lowest and highest of what is drawn per pack or task, both inside the bounds. */
export const intRange = (minimum: number, maximum: number) => {
  const bound = Schema.Int.check(Schema.isBetween({ minimum, maximum }))
  return Schema.Tuple([bound, bound]).check(inOrder)
}

/** As `intRange`, of real numbers. */
export const range = (minimum: number, maximum: number) => {
  const bound = Schema.Finite.check(Schema.isBetween({ minimum, maximum }))
  return Schema.Tuple([bound, bound]).check(inOrder)
}

export const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Whether the environment's own memory lasts for the lifecycle; off, every task begins as the first one does. */
export const memoryOption = (what: string) =>
  option(Schema.Literals(["on", "off"]), "on", `Whether ${what} lasts from task to task of a lifecycle`)
