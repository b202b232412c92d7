/** The key `environment.dynamics` of a configuration: a list of dynamics operators, the first one innermost. */
import { Effect, Result, Schema } from "effect"
import { operators, withDynamics } from "../dynamics/operators.ts"
import type { Environment, Operation } from "../environment.ts"
import { fromObject, resolveConfig, type Setting } from "./config.ts"
import { UnknownName, WrongInput } from "./failure.ts"

const key = "environment.dynamics"

export const isDynamics = ({ path }: Setting): boolean => path[0] === "environment" && path[1] === "dynamics"

/** The environment with the operators around it that the settings ask for. */
export const applyDynamics = Effect.fnUntraced(function* (environment: Environment, settings: ReadonlyArray<Setting>) {
  const setting = settings.findLast(isDynamics)
  if (setting === undefined) return environment
  const { path, value } = setting
  const file = setting.file === undefined ? {} : { file: setting.file }
  if (path.length > 2 || !Array.isArray(value)) {
    const expected = "a list of operators, such as [{drift: {rate: 0.2}}]"
    return yield* new WrongInput({ ...file, field: path.join("."), value, expected })
  }
  let inner = environment
  for (const [i, item] of value.entries()) {
    const entries = typeof item === "object" && item !== null ? Object.entries<unknown>(item) : []
    const [named] = entries
    if (named === undefined || entries.length !== 1) {
      const expected = "one operator with its parameters, such as {drift: {rate: 0.2}}"
      return yield* new WrongInput({ ...file, field: `${key}.${i}`, value: item, expected })
    }
    inner = yield* applyOperator(inner, `${key}.${i}`, named, file)
  }
  return inner
})

const applyOperator = Effect.fnUntraced(function* (
  environment: Environment,
  at: string,
  [name, parameters]: readonly [string, unknown],
  file: { readonly file?: string }
) {
  if (!Object.hasOwn(operators, name)) {
    return yield* new UnknownName({ ...file, kind: `operator of ${at}`, name, valid: Object.keys(operators) })
  }
  const operator = operators[name]!
  const field = `${at}.${name}`
  if (parameters !== null && (typeof parameters !== "object" || Array.isArray(parameters))) {
    return yield* new WrongInput({ ...file, field, value: parameters, expected: "keys and values" })
  }
  const schema = Schema.Struct({ [field]: operator.parameters })
  const given = fromObject({ [field]: {} }).concat(fromObject({ [field]: parameters ?? {} }))
  const { [field]: decoded } = yield* resolveConfig(
    schema,
    given.map((one) => ({ ...one, ...file }))
  )
  return yield* Effect.fromResult(
    Result.try({
      try: () => operator(environment, decoded as object),
      catch: (thrown) => {
        const expected = (thrown as Error).message.replace(/^expected /, "")
        return new WrongInput({ ...file, field, value: decoded, expected })
      }
    })
  )
})

/** The environment as it was when something was recorded with it. It may have operators in its own module. */
export const restoreDynamics = (environment: Environment, recorded: ReadonlyArray<Operation> = []): Environment =>
  withDynamics(environment, recorded.slice(environment.dynamics?.length ?? 0))
