/**
 * Simulation: many lifecycles without learning, each with a pack of its own, in a window of bounded size.
 *
 * Lifecycles take turns, a task and its update each, so that none starves and as many are alive as the window holds. What
 * a lifecycle has lived through is kept packed. Texts come in the order of the packs whatever finishes first, so digest and
 * traces do not depend on the window; a lifecycle that is slow holds back what comes after it, and memory with it.
 */
import { type Cause, Effect, Exit, Latch, Scheduler } from "effect"
import { createHash } from "node:crypto"
import type { Outcome } from "../environment.ts"
import type { Episode } from "../machines/episode.ts"
import { isFault, type Settings } from "../machines/lifecycle.ts"
import type { Pack, Strategy } from "../machines/packs.ts"
import { type EpisodePlace, makeEpisodeText } from "./episode-text.ts"
import { liveThrough, type Plan } from "./lifecycle.ts"
import { freshPacks, type PackSeeds, type TaskSet } from "./rollout.ts"
import { makeScheduler } from "./scheduler.ts"

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

export interface Tally {
  /** Lifecycles lived. */
  done: number
  /** Model calls. */
  steps: number
  /** Tokens sampled. */
  tokens: number
  /** Of solve episodes. */
  readonly outcomes: Record<Outcome, number>
  /** Lifecycles that a timeout or an error ended. */
  lost: number
  /** False when a time limit of the wall clock has ended something. */
  deterministic: boolean
}

export const emptyTally = (): Tally => ({
  done: 0,
  steps: 0,
  tokens: 0,
  outcomes: { success: 0, failure: 0, truncated: 0, malformed: 0, timeout: 0, error: 0 },
  lost: 0,
  deterministic: true
})

/** Counts an episode. */
export const countEpisode = (tally: Tally, packSize: number, episode: Episode): void => {
  const { kind, outcome, steps } = episode
  tally.steps += steps.length
  for (const step of steps) tally.tokens += step.tokens.length
  if (kind === "solve") tally.outcomes[outcome]++
  if (isFault(outcome)) tally.lost++
  if (outcome === "timeout") tally.deterministic = false
  if (isLast(episode, packSize)) tally.done++
}

export const addTally = (to: Tally, from: Tally): void => {
  for (const key of ["done", "steps", "tokens", "lost"] as const) to[key] += from[key]
  for (const [outcome, count] of Object.entries(from.outcomes)) to.outcomes[outcome as Outcome] += count
  to.deterministic &&= from.deterministic
}

/** Whether a lifecycle ends with this episode. */
export const isLast = ({ index, kind, outcome }: Episode, packSize: number): boolean =>
  isFault(outcome) || (kind === "solve" && index === packSize - 1)

/** Canonical JSON of a few episodes of one lifecycle, overwritten when whoever gets it returns. */
export interface EpisodeTexts {
  readonly bytes: Uint8Array
  readonly places: ReadonlyArray<EpisodePlace>
  /** They are the first of their lifecycle, or the last. */
  readonly first: boolean
  readonly last: boolean
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
  readonly tally: Tally
  /** Called in the order of the numbers. The next texts wait for what it returns, if anything. */
  readonly onTexts: (texts: EpisodeTexts, place: number) => Effect.Effect<void, E, R> | undefined
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

const withTurns = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => Effect.provideService(effect, Scheduler.Scheduler, makeScheduler()))

/** Lives lifecycles of some numbers. */
export const simulateRange = Effect.fnUntraced(function* <E, R>(taskSet: TaskSet, options: RangeOptions<E, R>) {
  const { concurrency, count, numberOf, onTexts, packSize, settings, tally } = options
  const text = makeEpisodeText(settings.style)
  const shelve = makeShelf()
  const finished = new Map<number, Exit.Exit<ReadonlyArray<Uint8Array>>>()
  const next = yield* Latch.make(false)
  let emitted = 0

  const live = Effect.fnUntraced(function* (place: number) {
    const units: Array<Uint8Array> = []
    let pending: Array<Episode> = []
    const keep = (episode: Episode) => {
      countEpisode(tally, packSize, episode)
      pending.push(episode)
      if (episode.kind === "update" || isLast(episode, packSize)) {
        units.push(shelve(text.pack(pending)))
        pending = []
      }
      return Effect.void
    }
    yield* liveThrough(planOf(taskSet, options, numberOf(place)), keep, Effect.yieldNow)
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
  readonly onTexts?: (texts: EpisodeTexts) => Effect.Effect<void, E, R> | undefined
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
