/** `constellate simulate`: many lifecycles without learning. */
import { Clock, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { emptyTally, planOf, type Simulation, simulate as simulateHere, type Tally } from "../actors/simulate.ts"
import { simulateInShards } from "../actors/simulation-shards.ts"
import { type Known, openTraceFile, readKnown } from "../actors/trace-file.ts"
import { recordedPlan } from "../actors/trace.ts"
import { strategies } from "../machines/packs.ts"
import { resolveConfig, settingOptions, settingsOf } from "./config.ts"
import { envs } from "./environments.ts"
import { WrongInput } from "./failure.ts"
import { LifecycleConfig } from "./lifecycle-config.ts"
import { answer, json } from "./output.ts"
import { policyFields } from "./policy.ts"
import { count, progress } from "./progress.ts"
import { openSimulation, type SimulationSetup } from "./simulation.ts"
import { packingFields } from "./task-packs.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))

const positive = (description: string) => Schema.Int.check(Schema.isGreaterThan(0)).annotate({ description })

const SimulationConfig = Schema.Struct({
  lifecycles: Schema.optionalKey(positive("How many; lifecycle i plays pack i; default 1000, or all packs of --tasks")),
  packSize: Schema.optionalKey(positive("Tasks of a pack; default 4, or what the file of --tasks has")),
  strategy: withDefault(
    Schema.Literals(strategies).annotate({ description: "Packs: cod (default), ralph-sample or ralph-full" }),
    "cod"
  ),
  ...packingFields,
  concurrency: withDefault(positive("Lifecycles in flight; default 256"), 256),
  shards: withDefault(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 })).annotate({
      description: "Worker threads to share the lifecycles among, 1 to 64; default 1"
    }),
    1
  ),
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
    env: envs,
    tasks: Flag.String("tasks").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Tasks as env tasks writes them, instead of drawn ones"),
      Flag.optional
    ),
    policy: Flag.String("policy").pipe(
      Flag.withMetavar("POLICY"),
      Flag.withDescription("scripted:NAME, a checkpoint folder, a run folder, or openai:MODEL@URL")
    ),
    out: Flag.String("out").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to write the traces, one line of JSON an episode; must not exist"),
      Flag.optional
    ),
    rotateMb: Flag.Finite("rotate-mb").pipe(
      Flag.withMetavar("MB"),
      Flag.withDescription("Go on in FILE.0001, FILE.0002, ... once a part has this size; default: one file"),
      Flag.optional
    ),
    resume: Flag.Boolean("resume").pipe(
      Flag.withoutNegation,
      Flag.withDefault(false),
      Flag.withDescription("Go on behind the whole lifecycles that FILE holds already")
    ),
    json,
    ...settingOptions(SimulationConfig)
  },
  Effect.fnUntraced(function* ({ env, json, out, policy, resume, rotateMb, tasks, ...given }) {
    const all = yield* settingsOf(given)
    const config = yield* resolveConfig(
      SimulationConfig,
      all.filter(({ path }) => path[0] !== "environment")
    )
    if (env.length === 0 && Option.isNone(tasks)) {
      return yield* new WrongInput({ field: "--env", value: undefined, expected: "an environment, or --tasks" })
    }
    if (config.pad !== undefined && Option.isNone(tasks)) {
      const expected = "nothing without --tasks: drawn packs are full"
      return yield* new WrongInput({ field: "pad", value: config.pad, expected })
    }
    if (env.length > 1) return yield* new WrongInput({ field: "--env", value: env, expected: "one environment" })
    if (resume && Option.isNone(out)) {
      return yield* new WrongInput({ field: "--out", value: undefined, expected: "the file to resume" })
    }
    const megabytes = Option.getOrUndefined(rotateMb)
    if (megabytes !== undefined && (Option.isNone(out) || !(megabytes > 0))) {
      const expected = Option.isNone(out) ? "nothing without --out" : "a number above 0"
      return yield* new WrongInput({ field: "--rotate-mb", value: megabytes, expected })
    }
    const rotateBytes = megabytes === undefined ? undefined : megabytes * 1e6
    const { concurrency, lifecycle, packSize, seed, shards, temperature, ...others } = config
    const { lifecycles: wanted, packSeeds = "runtime", pad = true, strategy, ...policyOptions } = others
    const settings = all.filter(({ path }) => path[0] === "environment")
    const packing = { strategy, pad, packSeeds }
    const from = { env: env[0], tasks: Option.getOrUndefined(tasks), packing, packSize }
    const setup: SimulationSetup = { ...from, policy, settings, seed, temperature, lifecycle, policyOptions }
    const delay = monitorEventLoopDelay({ resolution: 10 })
    const { environment, preset, lifecycles, result, seconds, already } = yield* Effect.scoped(
      Effect.gen(function* () {
        const { layer, living, taskSet } = yield* openSimulation(setup, shards > 1 ? 1 : 2)
        const { packs } = living
        const lifecycles = wanted ?? packs?.length ?? 1000
        if (packs !== undefined && lifecycles > packs.length) {
          const expected = `at most ${packs.length}, the packs that the tasks make`
          return yield* new WrongInput({ field: "lifecycles", value: lifecycles, expected })
        }
        const path = Option.getOrUndefined(out)
        const { thinking } = policyOptions
        const plan = {
          ...recordedPlan(planOf(taskSet, living, 0)),
          policy,
          ...(thinking === undefined ? {} : { thinking })
        }
        const planAt = (number: number) =>
          packs === undefined ? plan : { ...plan, ...recordedPlan(planOf(taskSet, living, number)) }
        const expected = { planAt, environment: taskSet.environment.id, packSize: living.packSize, most: lifecycles }
        const known: Known | undefined = resume ? yield* readKnown(path!, expected) : undefined
        const traces = path === undefined ? undefined : yield* openTraceFile(path, planAt, { known, rotateBytes })
        const clock = yield* Clock.Clock
        const started = clock.currentTimeMillisUnsafe()
        const elapsed = () => (clock.currentTimeMillisUnsafe() - started) / 1000
        const tally = known?.tally ?? emptyTally()
        const already = { lifecycles: tally.done, steps: tally.steps, tokens: tally.tokens }
        const report = yield* reporter(tally, { already: already.lifecycles, lifecycles, concurrency, elapsed })
        const options = {
          first: already.lifecycles,
          lifecycles,
          concurrency,
          tally,
          ...(known === undefined ? {} : { digest: known.digest }),
          onTexts: (texts: Parameters<NonNullable<typeof traces>["write"]>[0]) => {
            const wait = traces?.write(texts)
            const said = texts.last ? report() : undefined
            return wait === undefined ? said : said === undefined ? wait : Effect.andThen(wait, said)
          }
        }
        delay.enable()
        const result: Simulation =
          shards === 1
            ? yield* Effect.provide(simulateHere(taskSet, { ...living, ...options }), layer)
            : yield* simulateInShards({ entry: worker, setup, shards }, options)
        if (traces !== undefined) yield* traces.close
        const { environment, preset } = taskSet
        return { environment: environment.id, preset, lifecycles, result, seconds: elapsed(), already }
      })
    )
    delay.disable()
    const { done: _done, ...outcome } = result
    const rate = (amount: number) => (seconds > 0 ? amount / seconds : 0)
    const millis = (nanos: number) => Math.round(nanos / 1e4) / 100
    const document = {
      environment,
      preset,
      policy,
      lifecycles,
      concurrency,
      shards,
      seed,
      ...outcome,
      seconds,
      lifecyclesPerSecond: rate(lifecycles - already.lifecycles),
      stepsPerSecond: rate(result.steps - already.steps),
      tokensPerSecond: rate(result.tokens - already.tokens),
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
      eventLoopLagMillis: {
        p50: millis(delay.percentile(50)),
        p99: millis(delay.percentile(99)),
        max: millis(delay.max)
      },
      ...(resume ? { resumedAt: already.lifecycles } : {})
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

const worker = new URL(
  import.meta.url.endsWith(".ts") ? "./simulate-worker.ts" : "./simulate-worker.js",
  import.meta.url
)

/** Says where the simulation stands, once it has lasted two seconds, and not at every lifecycle. */
const reporter = Effect.fnUntraced(function* (
  tally: Tally,
  standing: {
    readonly already: number
    readonly lifecycles: number
    readonly concurrency: number
    readonly elapsed: () => number
  }
) {
  const { already, concurrency, elapsed, lifecycles } = standing
  const { report } = yield* progress()
  const before = tally.steps
  let done = already
  return () => {
    done++
    const seconds = elapsed()
    if (seconds < 2 || (done % 16 !== 0 && done < lifecycles)) return undefined
    const details = [
      `${count((done - already) / seconds)} lifecycles/s`,
      `${count((tally.steps - before) / seconds)} steps/s`,
      `${Math.min(concurrency, lifecycles - done)} in flight`,
      ...(tally.lost === 0 ? [] : [`${tally.lost} failed`])
    ]
    return report({ stage: "simulation", done, total: lifecycles, unit: "lifecycle", details })
  }
})

const describe = (
  result: Omit<Simulation, "done"> & {
    readonly seconds: number
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
