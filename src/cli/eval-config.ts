/** What `constellate eval` can be set to, and what both of its ways, by environment and by suite, go by. */
import { Clock, Effect, type Option, Schema } from "effect"
import { contextControls } from "../actors/evaluate.ts"
import { LifecycleConfig } from "../actors/lifecycle-config.ts"
import type { Lifecycle } from "../machines/episode.ts"
import { strategies } from "../machines/packs.ts"
import { WrongInput } from "./failure.ts"
import { policyFields } from "./policy.ts"
import { progress } from "./progress.ts"
import type { Reported } from "./suite-report.ts"
import { packingFields } from "./task-packs.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))

const count = (description: string) => Schema.Int.check(Schema.isGreaterThan(0)).annotate({ description })

export const EvalConfig = Schema.Struct({
  packs: Schema.optionalKey(count("Packs for each seed; default 128, all of --tasks, or what the suite has")),
  packSize: Schema.optionalKey(count("Tasks of a pack; default 8, or what the file of --tasks has")),
  strategy: withDefault(
    Schema.Literals(strategies).annotate({ description: "Packs: cod (default), ralph-sample or ralph-full" }),
    "cod"
  ),
  ...packingFields,
  context: withDefault(
    Schema.Literals(contextControls).annotate({
      description: "Context in force: own (default), none, foreign or oracle"
    }),
    "own"
  ),
  temperature: withDefault(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)).annotate({ description: "Of sampling; default 1" }),
    1
  ),
  seed: withDefault(Schema.Int.annotate({ description: "First seed; default 1" }), 1),
  seeds: Schema.optionalKey(count("How many seeds, their packs pooled; default 1, of suites 3")),
  concurrency: withDefault(count("Lifecycles in flight; default 256"), 256),
  ...policyFields,
  lifecycle: LifecycleConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
})

export type EvalConfig = typeof EvalConfig.Type

/** The options that are no settings. */
export interface Given {
  readonly policy: string
  readonly env: ReadonlyArray<string>
  readonly tasks: Option.Option<string>
  readonly suite: Option.Option<string>
  readonly out: Option.Option<string>
}

/** What is written and printed at the end. */
export interface Outcome {
  readonly document: unknown
  readonly text: string
  readonly page: Reported
}

export const onePack = (packs: number) =>
  new WrongInput({ field: "packs", value: packs, expected: "at least 2, to have another pack" })

export const policyOptionsOf = ({ device, dtype, remote, style, thinking }: EvalConfig) => ({
  ...(device === undefined ? {} : { device }),
  ...(dtype === undefined ? {} : { dtype }),
  ...(remote === undefined ? {} : { remote }),
  ...(style === undefined ? {} : { style }),
  ...(thinking === undefined ? {} : { thinking })
})

/** Says where the evaluation stands, once it has lasted two seconds. */
export const reporter = Effect.fnUntraced(function* (stage: string, total: number) {
  const clock = yield* Clock.Clock
  const { report } = yield* progress()
  const started = clock.currentTimeMillisUnsafe()
  let done = 0
  return (lifecycle: Lifecycle, part?: string) => {
    if (lifecycle.attempt === 0) done++
    return clock.currentTimeMillisUnsafe() - started < 2000
      ? Effect.void
      : report({ stage, done, total, unit: "lifecycle", ...(part === undefined ? {} : { details: [part] }) })
  }
})
