/** The key `lifecycle` of a configuration: how lifecycles are lived. */
import { Effect, Schema } from "effect"
import { defaultSettings, type Settings } from "../machines/lifecycle.ts"

const positive = Schema.Int.check(Schema.isGreaterThan(0))
const notNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
const seconds = Schema.Finite.check(Schema.isGreaterThan(0))

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))

const UpdatePenalty = Schema.Struct({
  /** Charged when the reply of an update episode cannot be read. */
  coefficient: withDefault(notNegative, defaultSettings.updatePenalty.coefficient),
  /** Bounds on the length of such a reply; charged in proportion between the first two, in full below the third. */
  length: Schema.optionalKey(
    Schema.Struct({ zeroTokens: positive, fullTokens: positive, minTokens: Schema.optionalKey(positive) }).check(
      Schema.makeFilter(({ zeroTokens, fullTokens }) =>
        zeroTokens < fullTokens ? undefined : "Expected zeroTokens below fullTokens"
      )
    )
  )
})

export const LifecycleConfig = Schema.Struct({
  /** Most tokens of one reply in `chat` style. */
  maxTokens: withDefault(positive, defaultSettings.maxTokens),
  /** Advisory limit told to the agent in `chat` style. */
  tokenLimit: Schema.optionalKey(positive),
  /** Engine's cap on the steps of an episode. */
  maxSteps: withDefault(positive, defaultSettings.maxSteps),
  /** `fallback` loses the context when an update cannot be read, `keep` keeps it. */
  onParseFailure: withDefault(Schema.Literals(["fallback", "keep"]), defaultSettings.onParseFailure),
  updatePenalty: UpdatePenalty.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
  /** Discount of the total reward. */
  rewardDecay: withDefault(
    Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })),
    defaultSettings.rewardDecay
  ),
  /** Time limit of one model call. */
  replySeconds: withDefault(seconds, defaultSettings.replyMillis / 1000),
  /** Time limit of one call of an environment. */
  environmentSeconds: withDefault(seconds, defaultSettings.environmentMillis / 1000)
})

export const lifecycleSettings = (
  { environmentSeconds, replySeconds, ...config }: typeof LifecycleConfig.Type,
  temperature: number
): Settings => ({
  ...defaultSettings,
  ...config,
  temperature,
  replyMillis: replySeconds * 1000,
  environmentMillis: environmentSeconds * 1000
})
