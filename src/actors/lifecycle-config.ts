/**
 * What can be set of how lifecycles are lived: the key `lifecycle` of an evaluation or a simulation, and a part of `rollout`
 * in training.
 */
import { Effect, Schema } from "effect"
import { defaultSettings, type Settings } from "../machines/lifecycle.ts"

const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const positive = Schema.Int.check(Schema.isGreaterThan(0))
const notNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))
const seconds = Schema.Finite.check(Schema.isGreaterThan(0))
const share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

const withDefault = <A, I>(schema: Schema.Codec<A, I>, value: I, description: string) =>
  schema.annotate({ description }).pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

export const lifecycleFields = {
  maxTokens: withDefault(positive, defaultSettings.maxTokens, "Most tokens of one reply in chat style"),
  tokenLimit: withDefault(count, 0, "Advisory limit told to the agent in chat style; 0 for none"),
  maxSteps: withDefault(positive, defaultSettings.maxSteps, "The engine's cap on the steps of an episode"),
  compression: withDefault(
    Schema.Literals(["keep_all", "remove_think", "keep_answer"]),
    defaultSettings.compression,
    "What of a reply stands in the later prompts of its episode: all, what is outside of <think>, or the answer block"
  ),
  onParseFailure: withDefault(
    Schema.Literals(["fallback", "keep"]),
    defaultSettings.onParseFailure,
    "What becomes of the context when an update reply can't be read: it is lost, or kept"
  ),
  updateExample: withDefault(
    Schema.Boolean,
    false,
    "Show an example of its form in the prompt of an update, in chat style"
  ),
  updatePenalty: withDefault(
    notNegative,
    defaultSettings.updatePenalty.coefficient,
    "For an unreadable update reply, and at most for a long one"
  ),
  updateLength: Schema.optionalKey(
    Schema.Struct({ zeroTokens: positive, fullTokens: positive, minTokens: Schema.optionalKey(positive) })
      .check(
        Schema.makeFilter(({ zeroTokens, fullTokens }) =>
          zeroTokens < fullTokens ? undefined : "Expected zeroTokens below fullTokens"
        )
      )
      .annotate({ description: "An update reply is charged in proportion between two lengths, in full below a third" })
  ),
  rewardDecay: withDefault(share, defaultSettings.rewardDecay, "Discount of the task rewards in the total reward"),
  judge: Schema.optionalKey(
    Schema.NonEmptyString.annotate({
      description: "Policy that scores what rules of the environment do not reach; default: rules score it all"
    })
  ),
  replySeconds: withDefault(seconds, defaultSettings.replyMillis / 1000, "Time limit of one model call"),
  environmentSeconds: withDefault(
    seconds,
    defaultSettings.environmentMillis / 1000,
    "Time limit of one call of an environment"
  )
}

export const LifecycleConfig = Schema.Struct(lifecycleFields)
export type LifecycleConfig = typeof LifecycleConfig.Type

export const lifecycleSettings = (config: LifecycleConfig, temperature: number): Settings => {
  const { compression, environmentSeconds, judge, maxSteps, maxTokens, onParseFailure, replySeconds } = config
  const { rewardDecay, tokenLimit, updateExample, updateLength, updatePenalty } = config
  return {
    ...defaultSettings,
    temperature,
    maxTokens,
    ...(tokenLimit === 0 ? {} : { tokenLimit }),
    maxSteps,
    compression,
    onParseFailure,
    ...(updateExample ? { updateExample } : {}),
    updatePenalty: { coefficient: updatePenalty, ...(updateLength === undefined ? {} : { length: updateLength }) },
    rewardDecay,
    ...(judge === undefined ? {} : { judge }),
    replyMillis: replySeconds * 1000,
    environmentMillis: environmentSeconds * 1000
  }
}
