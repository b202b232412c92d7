/**
 * `constellate simulate --fork TRACE:LIFECYCLE:POSITION`: other futures of a recorded lifecycle.
 *
 * The fork lies before the solve episode at POSITION: what was lived before it, the context included, is as recorded, the
 * task at POSITION is the same and is solved anew. Everything but the samples comes from the trace.
 */
import { Clock, Effect, FileSystem, Layer, Schema, Stream } from "effect"
import { forkPlan, reaches } from "../actors/fork.ts"
import { type Plan, runLifecycle } from "../actors/lifecycle.ts"
import { replayLifecycle } from "../actors/replay.ts"
import { countEpisode, countsOf, emptyTally } from "../actors/tally.ts"
import { makeDigest, planOfLines, readTraceLine, type TraceLine, traceLines } from "../actors/trace.ts"
import { traceFileLines } from "../actors/trace-file.ts"
import { ownEpisodes } from "../machines/fork.ts"
import { Policy } from "../policies/policy.ts"
import { resolveConfig, type Setting } from "./config.ts"
import { restoreDynamics } from "./dynamics.ts"
import { openEnvironment } from "./environments.ts"
import { WrongInput } from "./failure.ts"
import { openJudge } from "./judge.ts"
import { answer } from "./output.ts"
import { openPolicy, policyFields } from "./policy.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))

/** How the policy is talked to; its style is the trace's. */
const { style: _style, ...talking } = policyFields

const ForkConfig = Schema.Struct({
  concurrency: withDefault(Schema.Int.check(Schema.isGreaterThan(0)), 256),
  seed: withDefault(Schema.Int, 1),
  ...talking
})

export interface ForkOptions {
  /** TRACE:LIFECYCLE:POSITION. */
  readonly fork: string
  readonly branches: number
  /** Default: the recorded one. */
  readonly policy: string | undefined
  /** A file for the traces, which must not exist. */
  readonly out: string | undefined
  readonly settings: ReadonlyArray<Setting>
  /** Other options of the command, where they were given. */
  readonly beside: Readonly<Record<string, unknown>>
  readonly json: boolean
}

export const simulateFork = Effect.fnUntraced(function* (options: ForkOptions) {
  const { branches, out } = options
  const foreign =
    Object.entries(options.beside).find(([, value]) => value !== undefined) ??
    options.settings
      .filter(({ path }) => !Object.hasOwn(ForkConfig.fields, path[0]!))
      .map(({ path, value }) => [path.join("."), value] as const)[0]
  if (foreign !== undefined) {
    const [field, value] = foreign
    const expected = `nothing beside --fork, which takes all but ${Object.keys(ForkConfig.fields).join(", ")} from the trace`
    return yield* new WrongInput({ field, value, expected })
  }
  const { concurrency, seed, thinking, ...speech } = yield* resolveConfig(ForkConfig, options.settings)
  if (branches < 1) {
    return yield* new WrongInput({ field: "--branches", value: branches, expected: "an integer, at least 1" })
  }
  const { episodes, lifecycle, plan, position, recorded } = yield* openFork(options.fork)
  const name = options.policy ?? recorded.policy
  if (name === undefined) {
    return yield* new WrongInput({ field: "--policy", value: undefined, expected: "a policy: the trace names none" })
  }
  const switched = thinking ?? (options.policy === undefined ? recorded.thinking : undefined)
  const { environment } = plan.pack
  const { style } = plan.settings
  const opened = yield* openPolicy(name, {
    environment,
    ...(name.startsWith("scripted:") || name.startsWith("openai:") ? {} : { style }),
    ...speech,
    ...(switched === undefined ? {} : { thinking: switched })
  })
  const policy = { policy: name, ...(switched === undefined ? {} : { thinking: switched }) }
  const plans = Stream.map(Stream.range(1, branches), (branch): Plan =>
    forkPlan(plan, { attempt: plan.attempt ?? 0, episodes }, { kind: "solve", position, seed, branch })
  )

  const document = yield* Effect.scoped(
    Effect.gen(function* () {
      const speaks = yield* Effect.provide(Policy, yield* Layer.build(opened))
      if (speaks.style !== style) {
        const expected = `a policy that speaks ${style}, as the trace does, not ${speaks.style}`
        return yield* new WrongInput({ field: "--policy", value: name, expected })
      }
      const judge = yield* openJudge("lifecycle", plan.settings, [environment])
      const files = yield* FileSystem.FileSystem
      const file = out === undefined ? undefined : yield* files.open(out, { flag: "wx" })
      const clock = yield* Clock.Clock
      const started = clock.currentTimeMillisUnsafe()
      const tally = emptyTally()
      const digest = makeDigest()
      const encoder = new TextEncoder()
      const live = (branch: Plan) => Effect.map(runLifecycle(branch), (lived) => ({ branch, lived }))
      yield* plans.pipe(
        Stream.mapEffect(live, { concurrency }),
        Stream.runForEach(({ branch, lived }) => {
          const own = ownEpisodes(lived)
          for (const [i, episode] of own.entries()) countEpisode(tally, countsOf(episode), i === own.length - 1)
          digest.add(lived)
          return file === undefined ? Effect.void : file.writeAll(encoder.encode(traceLines(lived, branch, policy)))
        }),
        Effect.provideService(Policy, judge === undefined ? speaks : { ...speaks, judge })
      )
      if (file !== undefined) yield* file.sync
      const seconds = (clock.currentTimeMillisUnsafe() - started) / 1000
      const rate = (amount: number) => (seconds > 0 ? amount / seconds : 0)
      const { done: _done, ...counted } = tally
      return {
        environment: environment.id,
        policy: name,
        fork: { lifecycle, position },
        lifecycles: branches,
        concurrency,
        shards: 1,
        seed,
        ...counted,
        digest: digest.hex(),
        seconds,
        lifecyclesPerSecond: rate(branches),
        stepsPerSecond: rate(tally.steps),
        tokensPerSecond: rate(tally.tokens),
        peakRssBytes: process.resourceUsage().maxRSS * 1024
      }
    })
  )
  yield* answer(options.json, document, () => report(document))
})

/** The recorded lifecycle and the point of it, both checked. */
const openFork = Effect.fnUntraced(function* (text: string) {
  const files = yield* FileSystem.FileSystem
  const [, trace, lifecycle, place] = /^(.+):([^:]+):(\d+)$/s.exec(text) ?? []
  if (trace === undefined || lifecycle === undefined) {
    const expected = "TRACE:LIFECYCLE:POSITION, such as traces.jsonl:eval-0000-0000003/0:2"
    return yield* new WrongInput({ field: "--fork", value: text, expected })
  }
  if (!(yield* files.exists(trace))) {
    return yield* new WrongInput({ field: "--fork", value: trace, expected: "a trace file" })
  }
  const position = Number(place)
  const lines: Array<TraceLine> = []
  let known: string | undefined
  yield* Stream.runForEach(traceFileLines(trace), ({ file, number, text }) => {
    const read = readTraceLine(text)
    const at = { file: `${file}:${number}`, field: "line" }
    if (read === undefined) {
      const value = text.length > 60 ? `${text.slice(0, 60)}...` : text
      return Effect.fail(new WrongInput({ ...at, value, expected: "an episode with its checksum" }))
    }
    known ??= read.line.lifecycle
    if (read.line.lifecycle !== lifecycle) return Effect.void
    if (!read.intact) {
      return Effect.fail(new WrongInput({ ...at, value: "altered", expected: "an episode as it was written" }))
    }
    lines.push(read.line)
    return Effect.void
  })
  const [first] = lines
  if (first === undefined) {
    const expected =
      known === undefined ? "a lifecycle of a trace that is not empty" : `one in ${trace}, such as ${known}`
    return yield* new WrongInput({ field: "--fork", value: lifecycle, expected })
  }
  const { plan: recorded } = first
  if (recorded === undefined) {
    return yield* new WrongInput({ file: trace, field: lifecycle, value: undefined, expected: "all its episodes" })
  }
  const episodes = lines.map(({ plan: _plan, ...episode }) => episode)
  if (!reaches(episodes, { kind: "solve", position })) {
    const last = Math.max(...episodes.map(({ index }) => index))
    const expected = `a position that ${lifecycle} has reached, 0 to ${last}`
    return yield* new WrongInput({ field: "--fork", value: position, expected })
  }
  const environment = restoreDynamics(yield* openEnvironment(first.environment), recorded.dynamics)
  const plan = planOfLines(lines, environment)
  const difference = yield* replayLifecycle(plan, episodes)
  if (difference !== undefined) {
    const { field, index, kind, step } = difference
    const where = [lifecycle, `${kind} ${index}`, ...(step === undefined ? [] : [`step ${step}`]), field || "all of it"]
    const expected = `${short(difference.replayed)}, which environment ${environment.id} leads to here: it differs from that of the trace`
    return yield* new WrongInput({ file: trace, field: where.join(", "), value: difference.recorded, expected })
  }
  return { episodes, lifecycle, plan, position, recorded }
})

const short = (value: unknown): string => {
  const json = JSON.stringify(value) ?? "nothing"
  return json.length > 80 ? `${json.slice(0, 80)}...` : json
}

const report = (result: {
  readonly policy: string
  readonly environment: string
  readonly fork: { readonly lifecycle: string; readonly position: number }
  readonly lifecycles: number
  readonly seed: number
  readonly steps: number
  readonly tokens: number
  readonly seconds: number
  readonly outcomes: Readonly<Record<string, number>>
  readonly lost: number
  readonly digest: string
  readonly deterministic: boolean
}): string => {
  const { environment, fork, lifecycles, policy, seconds, seed, steps, tokens } = result
  const outcomes = Object.entries(result.outcomes).flatMap(([name, n]) => (n === 0 ? [] : [`${n} ${name}`]))
  return [
    `${policy} on ${environment}: ${lifecycles} branches of ${fork.lifecycle} before task ${fork.position}, seed ${seed}`,
    `${steps} steps${tokens === 0 ? "" : ` and ${tokens} tokens`} of their own in ${seconds.toFixed(1)} s`,
    `outcomes: ${outcomes.join(", ")}`,
    ...(result.lost === 0 ? [] : [`${result.lost} branches were lost to errors or timeouts`]),
    `digest ${result.digest}${result.deterministic ? "" : " (time limits were reached: not repeatable)"}`
  ].join("\n")
}
