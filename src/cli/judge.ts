/** The judge that a configuration names: a policy that is asked what an environment's rules do not reach. */
import { Context, Effect, Layer } from "effect"
import type { LifecycleConfig } from "../actors/lifecycle-config.ts"
import type { Environment, Style } from "../environment.ts"
import { Policy } from "../policies/policy.ts"
import { WrongInput } from "./failure.ts"
import { openPolicy } from "./policy.ts"

/** Opens it until the scope closes; undefined where none is named. `key` is where it stands: `lifecycle` or `rollout`. */
export const openJudge = Effect.fnUntraced(function* (
  key: string,
  { judge }: Pick<LifecycleConfig, "judge">,
  environments: ReadonlyArray<Environment>
) {
  if (judge === undefined) return undefined
  const fail = (expected: string) => new WrongInput({ field: `${key}.judge`, value: judge, expected })
  const ruled = environments.find((environment) => environment.judge === undefined)
  if (ruled !== undefined) return yield* fail(`nothing: ${ruled.id} is scored by its rules alone`)
  if (judge.startsWith("scripted:")) {
    return yield* fail("a policy that can judge: a checkpoint folder, a run folder or openai:MODEL@URL")
  }
  const opened = yield* Layer.build(
    yield* openPolicy(judge, { environment: environments[0]!, style: "chat", shards: 1 })
  )
  return Context.get(opened, Policy).reply
})

/** Refuses lifecycle options that mean nothing in a style. */
export const checkStyle = Effect.fnUntraced(function* (
  key: string,
  { compression, judge, tokenLimit, updateExample }: LifecycleConfig,
  style: Style
) {
  if (style === "chat") return
  const given =
    compression !== "keep_all"
      ? { field: "compression", value: compression }
      : tokenLimit !== 0
        ? { field: "tokenLimit", value: tokenLimit }
        : updateExample
          ? { field: "updateExample", value: updateExample }
          : judge !== undefined
            ? { field: "judge", value: judge }
            : undefined
  if (given === undefined) return
  const { field, value } = given
  return yield* new WrongInput({ field: `${key}.${field}`, value, expected: "nothing in terse style" })
})
