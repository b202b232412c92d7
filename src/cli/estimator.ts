/** Estimators by what is written for `credit.estimator`: a built-in name, or the file of a plug-in. */
import { Effect, Result, Runtime, Schema } from "effect"
import { causal, published } from "../kernels/credit/causal.ts"
import { counterfactual } from "../kernels/credit/counterfactual.ts"
import { type Credit, CreditError, type Experience } from "../kernels/credit/estimator.ts"
import { grpo } from "../kernels/credit/grpo.ts"
import { policyLoss } from "../kernels/credit/loss.ts"
import { loadPlugin, type Plugin } from "../kernels/credit/plugin.ts"
import { UnknownName, WrongInput } from "./failure.ts"

/** An estimator that threw, or whose answer can't be trained on. */
export class EstimatorFailure extends Schema.TaggedError<EstimatorFailure>()("EstimatorFailure", {
  estimator: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `estimator ${this.estimator}: ${this.reason}`
  }
  override readonly [Runtime.errorExitCode] = 1
}

type Estimate = (experiences: ReadonlyArray<Experience>) => Effect.Effect<Credit, EstimatorFailure>
type Options = Readonly<Record<string, unknown>>

const builtIn: Readonly<Record<string, Plugin>> = {
  causal: (experiences, options) => causal(experiences, { ...published, ...options }),
  counterfactual: (experiences, options) => counterfactual(experiences, { ...published, ...options }),
  grpo
}

/** The estimator with its options; tried on no experiences at all, so that wrong options are refused before anything runs. */
export const openEstimator = Effect.fnUntraced(function* (credit: {
  readonly estimator: string
  readonly options: Options
}): Effect.fn.Return<Estimate, UnknownName | WrongInput> {
  const { estimator: name, options } = credit
  const estimator = builtIn[name] ?? (yield* openPlugin(name))
  const tried = Result.try(() => estimator([], options))
  if (Result.isFailure(tried) && tried.failure instanceof CreditError) {
    const { expected, field, value } = tried.failure
    return yield* new WrongInput({ field: `credit.options.${field}`, value, expected })
  }
  return (experiences) =>
    Effect.try({
      try: () => trainable(estimator(experiences, options), experiences),
      catch: (thrown) =>
        new EstimatorFailure({ estimator: name, reason: thrown instanceof Error ? thrown.message : String(thrown) })
    })
})

/** Refuses wrong options of the loss before anything runs; the loss itself would only meet them at the first update. */
export const checkLoss = (options: Options): Effect.Effect<void, WrongInput> => {
  const tried = Result.try(() => policyLoss([], options))
  if (Result.isSuccess(tried) || !(tried.failure instanceof CreditError)) return Effect.void
  const { expected, field, value } = tried.failure
  return Effect.fail(new WrongInput({ field: `loss.${field}`, value, expected }))
}

const openPlugin = Effect.fnUntraced(function* (name: string) {
  if (!/[/\\]|\.[cm]?[jt]s$/.test(name)) {
    return yield* new UnknownName({ kind: "estimator", name, valid: Object.keys(builtIn) })
  }
  return yield* Effect.tryPromise({
    try: () => loadPlugin(name),
    catch: (thrown) =>
      new WrongInput({
        field: "credit.estimator",
        value: name,
        expected: `a module that can be loaded: ${thrown instanceof Error ? thrown.message : String(thrown)}`
      })
  })
})

/** A plug-in owes an advantage for each experience or its drop; the rest is filled in. Throws where it owes. */
const trainable = (credit: Credit, experiences: ReadonlyArray<Experience>): Credit => {
  const dropped = credit.dropped ?? []
  const open = new Set(experiences.map(({ id }) => id))
  for (const { advantage, id } of credit.experiences) {
    if (!Number.isFinite(advantage)) throw new Error(`the advantage of ${id} is ${advantage}, expected a finite number`)
    if (!open.delete(id)) throw new Error(`${JSON.stringify(id)} is no experience of the call, or is answered twice`)
  }
  for (const id of dropped) open.delete(id)
  const [missing] = open
  if (missing !== undefined) throw new Error(`${missing} is neither answered nor dropped`)
  return {
    experiences: credit.experiences.map((scored) => ({ ...scored, score: scored.score ?? scored.advantage })),
    dropped,
    temperatures: credit.temperatures ?? [],
    metrics: credit.metrics ?? {}
  }
}
