/**
 * Simulation: many lifecycles without learning, each with a pack of its own, in a window of bounded size.
 *
 * Lifecycles take turns, a task and its update each, so that none starves and as many are alive as the window holds. What
 * a lifecycle has lived through is kept packed. Texts come in the order of the packs whatever finishes first, so digest and
 * traces do not depend on the window; a lifecycle that is slow holds back what comes after it, and memory with it.
 */
import { type Cause, Effect, Exit, Latch, Scheduler } from "effect"
import { createHash } from "node:crypto"
import type { Environment } from "../environment.ts"
import type { Episode } from "../machines/episode.ts"
import type { Settings } from "../machines/lifecycle.ts"
import type { Pack, Strategy } from "../machines/packs.ts"
import { type EpisodePlace, type EpisodeTexts, makeEpisodeText } from "./episode-text.ts"
import { liveThrough, type Lost, type Plan } from "./lifecycle.ts"
import { freshPacks, type PackSeeds, type TaskSet } from "./rollout.ts"
import { makeScheduler } from "./scheduler.ts"
import { countEpisode, countsOf, emptyTally, isLast, type Tally } from "./tally.ts"

export type TextDigest = ReturnType<typeof makeTextDigest>

/** What is lived: lifecycle i plays pack i. */
export interface Living {
  readonly packSize: number
  readonly seed: number
  readonly settings: Settings
  /** The packs, instead of fresh ones. */
  readonly packs?: ReadonlyArray<Pack> | undefined
  /** Of fresh packs; default `cod`. */
  readonly strategy?: Strategy
  /** Of fresh packs; default `runtime`. */
  readonly packSeeds?: PackSeeds
}

/** What becomes known of a lifecycle, in the order in which it was lived; overwritten when whoever gets it returns. */
export interface LifecycleTexts extends EpisodeTexts {
  /** They are the first of their lifecycle, or the last. */
  readonly first: boolean
  readonly last: boolean
  /** Their lines in a trace, where these were made already. */
  readonly lines?: Uint8Array
}

/** Digest of a simulation, from the texts of all episodes by pack, run, index and kind. */
export const makeTextDigest = () => {
  const sha = createHash("sha256").update("[")
  let first = true
  return {
    add: (bytes: Uint8Array, places: ReadonlyArray<Pick<EpisodePlace, "start" | "end">>): void => {
      for (const { end, start } of places) {
        if (!first) sha.update(",")
        sha.update(bytes.subarray(start, end))
        first = false
      }
    },
    hex: (): string => sha.update("]").digest("hex")
  }
}

export const planOf = (taskSet: TaskSet, living: Living, number: number): Plan => {
  const { packs, packSeeds: seeds = "runtime", packSize: size, seed: baseSeed, settings, strategy = "cod" } = living
  const at = { phase: "eval", baseSeed, epoch: 0, count: 1, size, strategy, seeds, first: number } as const
  return { pack: packs?.[number] ?? freshPacks(taskSet, at)[0]!, run: 0, settings }
}

export interface RangeOptions<E, R> extends Living {
  /** How many lifecycles, and the number of each: increasing. */
  readonly count: number
  readonly numberOf: (place: number) => number
  /** Lifecycles in flight. */
  readonly concurrency: number
  /** Counts what has been lived, whether its texts are due or not. */
  readonly tally: Tally
  /** Called in the order of the numbers. The next texts wait for what it returns, if anything. */
  readonly onTexts: (texts: LifecycleTexts, place: number) => Effect.Effect<void, E, R> | undefined
  /** Called before each call into the environment: the lifecycle's number, and how many calls it has made. */
  readonly beforeCall?: ((number: number, calls: number) => Lost | undefined) | undefined
}

/** Copies bytes to where many such copies lie side by side, at no cost but their own; Node's own pool wastes a fifth. */
const makeShelf = () => {
  const length = 1 << 18
  let board = new Uint8Array(length)
  let used = 0
  return (bytes: Uint8Array): Uint8Array => {
    if (used + bytes.length > board.length) {
      board = new Uint8Array(Math.max(length, bytes.length))
      used = 0
    }
    const copy = board.subarray(used, used + bytes.length)
    copy.set(bytes)
    used += bytes.length
    return copy
  }
}

/** Whether later prompts of an episode hold what was said and seen as it was. */
const keepsPrompts = ({ chat }: Environment, { compression, style }: Settings): boolean =>
  style === "terse" || (compression === "keep_all" && chat.shorten === undefined)

const withTurns = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(effect, Scheduler.Scheduler, makeScheduler()))

/** Lives lifecycles of some numbers. */
export const simulateRange = Effect.fnUntraced(function* <E, R>(taskSet: TaskSet, options: RangeOptions<E, R>) {
  const { beforeCall, concurrency, count, numberOf, onTexts, packSize, settings, tally } = options
  const text = makeEpisodeText(settings.style, keepsPrompts(taskSet.environment, settings))
  const shelve = makeShelf()
  const finished = new Map<number, Exit.Exit<ReadonlyArray<Uint8Array>>>()
  const next = yield* Latch.make(false)
  let emitted = 0

  const live = Effect.fnUntraced(function* (place: number) {
    const units: Array<Uint8Array> = []
    let pending: Array<Episode> = []
    const keep = (episode: Episode) => {
      const last = isLast(episode, packSize)
      countEpisode(tally, countsOf(episode), last)
      pending.push(episode)
      if (episode.kind === "update" || last) {
        units.push(shelve(text.pack(pending)))
        pending = []
      }
      return Effect.void
    }
    const number = numberOf(place)
    let calls = 0
    const before = beforeCall === undefined ? undefined : () => beforeCall(number, calls++)
    yield* liveThrough(planOf(taskSet, options, number), keep, Effect.yieldNow, before)
    return units
  })
  const start = (place: number) =>
    live(place).pipe(
      Effect.exit,
      Effect.map((exit) => {
        finished.set(place, exit)
        if (place === emitted) next.openUnsafe()
      }),
      Effect.forkChild
    )
  const emit = Effect.fnUntraced(function* (exit: Exit.Exit<ReadonlyArray<Uint8Array>>) {
    const units = Exit.isSuccess(exit) ? exit.value : yield* Effect.failCause(exit.cause as Cause.Cause<never>)
    for (const [i, unit] of units.entries()) {
      const texts = { ...text.unpack(unit), first: i === 0, last: i === units.length - 1 }
      const wait = onTexts(texts, emitted)
      if (wait !== undefined) yield* wait
    }
  })
  let started = 0
  while (emitted < count) {
    while (started < Math.min(count, emitted + concurrency)) yield* start(started++)
    yield* next.await
    next.closeUnsafe()
    for (let exit = finished.get(emitted); exit !== undefined; exit = finished.get(emitted)) {
      finished.delete(emitted)
      yield* emit(exit)
      emitted++
      if (started < count) yield* start(started++)
    }
  }
}, withTurns)

export interface Simulation extends Tally {
  readonly digest: string
}

export interface SimulationOptions<E, R> extends Living {
  /** Number of the first lifecycle, where earlier ones are known already; default 0. */
  readonly first?: number
  /** Number after the last. */
  readonly lifecycles: number
  readonly concurrency: number
  /** Continued where earlier lifecycles are known already. */
  readonly tally?: Tally
  readonly digest?: TextDigest
  /** What else becomes of the texts, in the order of the packs. */
  readonly onTexts?: (texts: LifecycleTexts) => Effect.Effect<void, E, R> | undefined
}

/** Lives lifecycles in this thread. */
export const simulate = Effect.fnUntraced(function* <E = never, R = never>(
  taskSet: TaskSet,
  options: SimulationOptions<E, R>
) {
  const { digest = makeTextDigest(), first = 0, lifecycles, onTexts, tally = emptyTally() } = options
  yield* simulateRange(taskSet, {
    ...options,
    tally,
    count: lifecycles - first,
    numberOf: (place) => first + place,
    onTexts: (texts) => {
      digest.add(texts.bytes, texts.places)
      return onTexts?.(texts)
    }
  })
  const simulation: Simulation = { ...tally, digest: digest.hex() }
  return simulation
})
