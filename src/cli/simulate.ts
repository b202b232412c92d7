/** `constellate simulate`: many lifecycles without learning. */
import { Clock, Effect, FileSystem, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import type { Plan } from "../actors/lifecycle.ts"
import { simulate as simulateTaskSet, type Simulation } from "../actors/simulate.ts"
import { traceLines } from "../actors/trace.ts"
import type { Lifecycle } from "../machines/episode.ts"
import { resolveConfig, settingOptions, settingsOf } from "./config.ts"
import { env, openTaskSet } from "./environments.ts"
import { WrongInput } from "./failure.ts"
import { LifecycleConfig, lifecycleSettings } from "./lifecycle-config.ts"
import { answer, json } from "./output.ts"
import { openPolicy, policyFields } from "./policy.ts"
import { count, progress } from "./progress.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))

const positive = (description: string) => Schema.Int.check(Schema.isGreaterThan(0)).annotate({ description })

const SimulationConfig = Schema.Struct({
  lifecycles: withDefault(positive("How many; lifecycle i plays pack i; default 1000"), 1000),
  packSize: withDefault(positive("Tasks of a pack; default 4"), 4),
  concurrency: withDefault(positive("Lifecycles in flight; default 256"), 256),
  seed: withDefault(Schema.Int.annotate({ description: "Default 1" }), 1),
  temperature: withDefault(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)).annotate({ description: "Of sampling; default 1" }),
    1
  ),
  ...policyFields,
  lifecycle: LifecycleConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
})

export const simulate = Command.make(
  "simulate",
  {
    env,
    policy: Flag.String("policy").pipe(
      Flag.withMetavar("POLICY"),
      Flag.withDescription("scripted:NAME, a checkpoint folder, a run folder, or openai:MODEL@URL")
    ),
    out: Flag.String("out").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to write the traces, one line of JSON an episode; must not exist"),
      Flag.optional
    ),
    json,
    ...settingOptions(SimulationConfig)
  },
  Effect.fnUntraced(function* ({ env, json, out, policy, ...given }) {
    const all = yield* settingsOf(given)
    const config = yield* resolveConfig(
      SimulationConfig,
      all.filter(({ path }) => path[0] !== "environment")
    )
    if (env.length > 1) return yield* new WrongInput({ field: "--env", value: env, expected: "one environment" })
    const taskSet = yield* openTaskSet(env[0]!, 0, all)
    const layer = yield* openPolicy(policy, { ...config, environment: taskSet.environment })
    const { lifecycle, remote: _remote, style: _style, temperature, thinking: _thinking, ...options } = config
    const result = yield* Effect.scoped(
      Effect.gen(function* () {
        const write = Option.isSome(out) ? yield* traceFile(out.value) : () => Effect.void
        const report = yield* reporter(config.lifecycles)
        const settings = lifecycleSettings(lifecycle, temperature)
        return yield* simulateTaskSet(taskSet, {
          ...options,
          settings,
          onLifecycle: (lived, plan) => Effect.flatMap(write(lived, plan), report)
        })
      })
    ).pipe(Effect.provide(layer))
    const { lifecycles, concurrency, seed } = config
    const rate = (amount: number) => (result.seconds > 0 ? amount / result.seconds : 0)
    const document = {
      environment: taskSet.environment.id,
      preset: taskSet.preset,
      policy,
      lifecycles,
      concurrency,
      shards: 1,
      seed,
      ...result,
      lifecyclesPerSecond: rate(lifecycles),
      stepsPerSecond: rate(result.steps),
      tokensPerSecond: rate(result.tokens),
      peakRssBytes: process.resourceUsage().maxRSS * 1024
    }
    yield* answer(json, document, () => describe(document))
  })
).pipe(
  Command.withDescription("Live many lifecycles without learning: to test, to compare, to collect data"),
  Command.withExamples([
    {
      command: "constellate simulate --env frozen-lake-obscure --policy scripted:careful --lifecycles 1000",
      description: "How fast, how well, and a digest of everything that happened"
    },
    {
      command: "constellate simulate --env frozen-lake --policy scripted:random --lifecycles 100 --out traces.jsonl",
      description: "Keep the traces"
    }
  ])
)

/** Appends to a new file, which stays open until the scope closes. */
const traceFile = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const file = yield* files.open(path, { flag: "wx" })
  const encoder = new TextEncoder()
  return (lifecycle: Lifecycle, plan: Plan) => file.writeAll(encoder.encode(traceLines(lifecycle, plan)))
})

/** Says where the simulation stands, once it has lasted two seconds. */
const reporter = Effect.fnUntraced(function* (total: number) {
  const clock = yield* Clock.Clock
  const { report } = yield* progress()
  const started = clock.currentTimeMillisUnsafe()
  let done = 0
  return () => {
    done++
    return clock.currentTimeMillisUnsafe() - started < 2000
      ? Effect.void
      : report({ stage: "simulation", done, total, unit: "lifecycle" })
  }
})

const describe = (
  result: Simulation & {
    readonly environment: string
    readonly policy: string
    readonly lifecycles: number
    readonly concurrency: number
    readonly seed: number
    readonly lifecyclesPerSecond: number
    readonly stepsPerSecond: number
    readonly tokensPerSecond: number
    readonly peakRssBytes: number
  }
): string => {
  const outcomes = Object.entries(result.outcomes).flatMap(([name, n]) => (n === 0 ? [] : [`${n} ${name}`]))
  return [
    `${result.policy} on ${result.environment}: ${result.lifecycles} lifecycles, ${result.concurrency} in flight, seed ${result.seed}`,
    `${result.steps} steps in ${result.seconds.toFixed(1)} s: ${count(result.lifecyclesPerSecond)} lifecycles/s, ${count(result.stepsPerSecond)} steps/s${
      result.tokens === 0 ? "" : `, ${count(result.tokensPerSecond)} tokens/s`
    }, at most ${(result.peakRssBytes / 2 ** 20).toFixed(0)} MiB`,
    `outcomes: ${outcomes.join(", ")}`,
    ...(result.lost === 0 ? [] : [`${result.lost} lifecycles were lost to errors or timeouts`]),
    `digest ${result.digest}${result.deterministic ? "" : " (time limits were reached: not repeatable)"}`
  ].join("\n")
}
