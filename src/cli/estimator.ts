/** Estimators by what is written for `credit.estimator`: a built-in name, or the file of a plug-in. */
import { Effect } from "effect"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { causal, published } from "../kernels/credit/causal.ts"
import { type Credit, CreditError, type Experience } from "../kernels/credit/estimator.ts"
import { grpo } from "../kernels/credit/grpo.ts"
import { UnknownName, WrongInput } from "./failure.ts"

type Estimate = (experiences: ReadonlyArray<Experience>) => Credit
type Options = Readonly<Record<string, unknown>>

const builtIn: Readonly<Record<string, (options: Options) => Estimate>> = {
  causal: (options) => (experiences) => causal(experiences, { ...published, ...options }),
  grpo: (options) => (experiences) => grpo(experiences, options)
}

/** The estimator with its options; tried on no experiences at all, so that wrong options are refused before anything runs. */
export const openEstimator = Effect.fnUntraced(function* (credit: {
  readonly estimator: string
  readonly options: Options
}) {
  const { estimator: name, options } = credit
  const known = builtIn[name]
  if (known !== undefined) {
    const estimate = known(options)
    yield* Effect.try({
      try: () => estimate([]),
      catch: (thrown) => {
        if (!(thrown instanceof CreditError)) throw thrown
        return new WrongInput({
          field: `credit.options.${thrown.field}`,
          value: thrown.value,
          expected: thrown.expected
        })
      }
    })
    return estimate
  }
  if (!/[/\\]|\.[jt]s$/.test(name)) {
    return yield* new UnknownName({ kind: "estimator", name, valid: Object.keys(builtIn) })
  }
  const plugIn = yield* Effect.tryPromise({
    try: () => import(pathToFileURL(resolve(name)).href) as Promise<{ readonly default?: unknown }>,
    catch: (thrown) =>
      new WrongInput({
        field: "credit.estimator",
        value: name,
        expected: `a module that can be loaded: ${String(thrown)}`
      })
  })
  if (typeof plugIn.default !== "function") {
    const expected = "a module whose default export is (experiences, options) => credit"
    return yield* new WrongInput({ field: "credit.estimator", value: name, expected })
  }
  const estimate = plugIn.default as (experiences: ReadonlyArray<Experience>, options: Options) => Credit
  return (experiences: ReadonlyArray<Experience>) => estimate(experiences, options)
})
