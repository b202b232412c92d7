/** A simulation from its setup to what came of it: in this thread, or in worker threads that are watched. */
import { Clock, Effect } from "effect"
import { largestLag, measureLag, noLag } from "../actors/lag.ts"
import { type LifecycleTexts, simulate } from "../actors/simulate.ts"
import { makePulse, simulateInShards, standingOf, standingOfPulses } from "../actors/simulation-shards.ts"
import { emptyTally } from "../actors/tally.ts"
import { openTraceFile, readKnown } from "../actors/trace-file.ts"
import { Policy } from "../policies/policy.ts"
import { text, WrongInput } from "./failure.ts"
import { type Simulated, showStandings } from "./simulation-report.ts"
import { openSimulation, type SimulationSetup } from "./simulation.ts"

/** Where lifecycles are lived: in the thread of the command, or in threads of their own. */
export const isolations = ["inline", "worker"] as const

export interface SimulationRun {
  readonly setup: SimulationSetup
  /** Default: 1000, or all packs of the tasks. */
  readonly lifecycles: number | undefined
  readonly concurrency: number
  readonly shards: number
  readonly isolation: (typeof isolations)[number]
  /** A file for the traces, and whether it holds the beginning of them. */
  readonly out: string | undefined
  readonly resume: boolean
  readonly rotateBytes: number | undefined
}

const worker = new URL(
  import.meta.url.endsWith(".ts") ? "./simulate-worker.ts" : "./simulate-worker.js",
  import.meta.url
)

/** A thread that stands still longer than a call into the environment may take, and this, will not come back. */
const graceMillis = 2000

export const runSimulation = Effect.fnUntraced(function* (run: SimulationRun) {
  const { concurrency, isolation, out, resume, rotateBytes, setup, shards } = run
  const { living, planAt, policy, taskSet } = yield* openSimulation(setup, isolation === "inline" ? 2 : undefined)
  const { packs, packSize, settings } = living
  const lifecycles = run.lifecycles ?? packs?.length ?? 1000
  if (packs !== undefined && lifecycles > packs.length) {
    const expected = `at most ${packs.length}, the packs that the tasks make`
    return yield* new WrongInput({ field: "lifecycles", value: lifecycles, expected })
  }
  yield* checkWindow(Math.min(concurrency, lifecycles), packSize)
  const expected = { planAt, environment: taskSet.environment.id, packSize, most: lifecycles }
  const known = resume ? yield* readKnown(out!, expected) : undefined
  const traces = out === undefined ? undefined : yield* openTraceFile(out, planAt, { known, rotateBytes })
  const tally = known?.tally ?? emptyTally()
  const { done: first, steps, tokens } = tally

  let why: string | undefined
  const untraced = (error: unknown) => Effect.sync(() => void (why ??= text(error)))
  let done = first
  const onTexts = (texts: LifecycleTexts) => {
    if (texts.last) memory.look((done++ - first) / (lifecycles - first))
    const wait = why === undefined ? traces?.write(texts) : undefined
    return wait && Effect.catch(wait, untraced)
  }
  const options = {
    first,
    lifecycles,
    concurrency,
    tally,
    onTexts,
    ...(known === undefined ? {} : { digest: known.digest })
  }
  const clock = yield* Clock.Clock
  const started = clock.currentTimeMillisUnsafe()
  const lag = measureLag()
  const processor = process.cpuUsage()
  const memory = measureMemory()
  const simulated = Effect.gen(function* () {
    if (policy !== undefined) {
      yield* showStandings(() => standingOf(tally), { lifecycles, packSize, concurrency })
      const result = yield* Effect.provideService(simulate(taskSet, { ...living, ...options }), Policy, policy)
      return { ...result, lag: noLag }
    }
    const pulses = Array.from({ length: shards }, makePulse)
    const before = standingOf(tally)
    const standing = () => standingOfPulses([...pulses, { lived: Object.values(before) }])
    yield* showStandings(standing, { lifecycles, packSize, concurrency })
    const traced = traces !== undefined
    const stillMillis = settings.environmentMillis + graceMillis
    return yield* simulateInShards({ entry: worker, setup, pulses, traced, stillMillis, ...options, tally })
  })
  const { done: _done, lag: shardLag, ...result } = yield* Effect.scoped(simulated)
  if (traces !== undefined && why === undefined) yield* Effect.catch(traces.close, untraced)
  const { system, user } = process.cpuUsage(processor)
  const seconds = (clock.currentTimeMillisUnsafe() - started) / 1000
  const rate = (amount: number) => (seconds > 0 ? amount / seconds : 0)
  return {
    environment: taskSet.environment.id,
    ...(taskSet.environment.dynamics === undefined ? {} : { dynamics: taskSet.environment.dynamics }),
    preset: taskSet.preset,
    policy: setup.policy,
    lifecycles,
    concurrency,
    shards,
    isolation,
    seed: setup.seed,
    ...result,
    ...(why === undefined ? {} : { untraced: { lifecycles: lifecycles - traces!.written(), why } }),
    seconds,
    cpuSeconds: (system + user) / 1e6,
    lifecyclesPerSecond: rate(lifecycles - first),
    stepsPerSecond: rate(result.steps - steps),
    tokensPerSecond: rate(result.tokens - tokens),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    rssBytesByTenth: memory.byTenth(),
    eventLoopLagMillis: largestLag([lag(), shardLag]),
    ...(resume ? { resumedAt: first } : {})
  } satisfies Simulated
}, Effect.scoped)

/** Resident memory while the lifecycles become known, on the average of each tenth of them. */
const measureMemory = () => {
  const tenths = Array.from({ length: 10 }, () => ({ sum: 0, looks: 0 }))
  let last = 0
  return {
    /** `share` of the lifecycles that are known. Cheap enough to be called for each: it looks a few times a second. */
    look: (share: number): void => {
      const now = performance.now()
      if (now - last < lookMillis) return
      last = now
      const tenth = tenths[Math.floor(10 * share)]!
      tenth.sum += process.memoryUsage.rss()
      tenth.looks++
    },
    /** 0 for a tenth that was over too soon. */
    byTenth: (): ReadonlyArray<number> => tenths.map(({ looks, sum }) => (looks === 0 ? 0 : Math.round(sum / looks)))
  }
}
const lookMillis = 100

/** What a lifecycle in flight takes at least, as measured with environments of short texts: fiber, machines, packed episodes. */
const bytesOfLifecycle = (packSize: number): number => 4096 + 2048 * packSize

/** A window that cannot hold even lifecycles of few words is refused before anything is lived. */
const checkWindow = Effect.fnUntraced(function* (window: number, packSize: number) {
  const free = process.availableMemory()
  const bytes = bytesOfLifecycle(packSize)
  if (window * bytes <= free) return
  return yield* new WrongInput({
    field: "concurrency",
    value: window,
    expected: `at most ${Math.floor(free / bytes)}: a lifecycle of ${packSize} tasks takes ${bytes / 1024} KiB or more, and ${(free / 2 ** 30).toFixed(1)} GiB of memory are free`
  })
})
