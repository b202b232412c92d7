/** `constellate eval`: success and reward by position. */
import { Clock, Effect, Schema } from "effect"
import { Argument, Command } from "effect/cli"
import { contextControls, evaluate as evaluateTaskSet, type Evaluation, lifecyclesOf } from "../actors/evaluate.ts"
import type { Interval } from "../kernels/statistics.ts"
import type { Lifecycle } from "../machines/episode.ts"
import { strategies } from "../machines/packs.ts"
import { resolveConfig, settingOptions, settingsOf } from "./config.ts"
import { type Chosen, env, openTaskSet } from "./environments.ts"
import { WrongInput } from "./failure.ts"
import { LifecycleConfig, lifecycleSettings } from "./lifecycle-config.ts"
import { answer, json, table } from "./output.ts"
import { openPolicy, policyFields } from "./policy.ts"
import { progress } from "./progress.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))

const count = (description: string) => Schema.Int.check(Schema.isGreaterThan(0)).annotate({ description })

const EvalConfig = Schema.Struct({
  packs: withDefault(count("Packs for each seed; default 128"), 128),
  packSize: withDefault(count("Tasks of a pack; default 8"), 8),
  strategy: withDefault(
    Schema.Literals(strategies).annotate({ description: "Packs: cod (default), ralph-sample or ralph-full" }),
    "cod"
  ),
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
  seeds: withDefault(count("How many seeds, their packs pooled; default 1"), 1),
  concurrency: withDefault(count("Lifecycles in flight; default 256"), 256),
  ...policyFields,
  lifecycle: LifecycleConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
})

type EvalConfig = typeof EvalConfig.Type

export const evaluate = Command.make(
  "eval",
  {
    policy: Argument.String("policy").pipe(
      Argument.withDescription("scripted:NAME, a checkpoint folder, a run folder, or openai:MODEL@URL")
    ),
    env,
    json,
    ...settingOptions(EvalConfig)
  },
  Effect.fnUntraced(function* ({ env, json, policy, ...given }) {
    const settings = yield* settingsOf(given)
    const config = yield* resolveConfig(
      EvalConfig,
      settings.filter(({ path }) => path[0] !== "environment")
    )
    if (config.context === "foreign" && config.packs < 2) {
      return yield* new WrongInput({
        field: "packs",
        value: config.packs,
        expected: "at least 2, to have another pack"
      })
    }
    const taskSets = yield* Effect.forEach(env, (text, id) => openTaskSet(text, id, settings))
    const evaluations = yield* Effect.scoped(
      Effect.forEach(taskSets, (taskSet) => evaluateWith(policy, taskSet, config))
    )
    const document = evaluations.length === 1 ? evaluations[0] : evaluations
    yield* answer(json, document, () => evaluations.map(report).join("\n\n"))
  })
).pipe(
  Command.withDescription("Success and reward by position, on packs that no training sees"),
  Command.withExamples([
    {
      command: "constellate eval scripted:careful --env frozen-lake-obscure --packs 500 --pack-size 4",
      description: "A reference agent that learns from task to task"
    },
    {
      command: "constellate eval scripted:careful --env frozen-lake-obscure:hard --context none --json",
      description: "The same on larger maps, without what it wrote"
    }
  ])
)

export const evalCommand = evaluate

const evaluateWith = Effect.fnUntraced(function* (policy: string, taskSet: Chosen, config: EvalConfig) {
  const { lifecycle, remote: _remote, style: _style, temperature, thinking: _thinking, ...options } = config
  const layer = yield* openPolicy(policy, { ...config, environment: taskSet.environment })
  const report = yield* reporter(`evaluation on ${taskSet.environment.id}`, lifecyclesOf(options))
  const settings = lifecycleSettings(lifecycle, temperature)
  const evaluation = yield* Effect.provide(
    evaluateTaskSet(taskSet, { ...options, settings, onLifecycle: report }),
    layer
  )
  return { ...evaluation, preset: taskSet.preset }
})

/** Says where the evaluation stands, once it has lasted two seconds. */
const reporter = Effect.fnUntraced(function* (stage: string, total: number) {
  const clock = yield* Clock.Clock
  const { report } = yield* progress()
  const started = clock.currentTimeMillisUnsafe()
  let done = 0
  return (lifecycle: Lifecycle) => {
    if (lifecycle.attempt === 0) done++
    return clock.currentTimeMillisUnsafe() - started < 2000
      ? Effect.void
      : report({ stage, done, total, unit: "lifecycle" })
  }
})

/** For people: a line a position, with a bar of twenty cells. */
const report = (evaluation: Evaluation): string => {
  const { context, environment, packs, packSize, policy, positions, seed, seeds, strategy, updates } = evaluation
  const lost = positions.reduce((sum, { outcomes }) => sum + outcomes.timeout + outcomes.error, 0)
  return [
    `${policy} on ${environment}: ${packs} packs of ${packSize} (${strategy}), context ${context}, ${
      seeds === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + seeds - 1}`
    }`,
    "",
    table(
      ["position", "success", "95 % interval", "reward", "95 % interval", ""],
      positions.map(({ position, reward, success }) => [
        `${position}`,
        share(success.mean),
        range(success),
        share(reward.mean),
        range(reward),
        bar(success.mean)
      ])
    ),
    "",
    `outcomes: ${outcomes(positions)}`,
    updates.episodes === 0
      ? "no update episodes"
      : `updates: ${updates.parsed} of ${updates.episodes} could be read${
          updates.meanTokens ? `, ${updates.meanTokens.toFixed(1)} tokens on average` : ""
        }`,
    ...(lost === 0 ? [] : [`${lost} lifecycles were lost to errors or timeouts; the means leave them out`])
  ].join("\n")
}

const share = (value: number | null): string => (value === null ? "-" : value.toFixed(3))

const range = ({ high, low }: Interval): string => `${share(low)} to ${share(high)}`

const bar = (value: number | null): string => {
  const eighths = Math.round((value ?? 0) * 160)
  return "█".repeat(Math.floor(eighths / 8)) + (eighths % 8 === 0 ? "" : " ▏▎▍▌▋▊▉"[eighths % 8]!)
}

const outcomes = (positions: Evaluation["positions"]): string => {
  const sums = new Map<string, number>()
  for (const { outcomes } of positions) {
    for (const [outcome, count] of Object.entries(outcomes)) sums.set(outcome, (sums.get(outcome) ?? 0) + count)
  }
  return [...sums].flatMap(([outcome, count]) => (count === 0 ? [] : [`${count} ${outcome}`])).join(", ")
}
