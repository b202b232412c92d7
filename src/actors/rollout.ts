/**
 * Rollout: many lifecycles at once, and packs to live them in.
 *
 * A lifecycle that is lost to an error or a timeout is lived again with fresh streams, at most `retries` times. A group that
 * still has fewer survivors than `minimum` is dropped whole: credit compares the runs of a pack, and a group with holes
 * compares something else. Everything lost or dropped is reported.
 */
import { Effect, type Semaphore } from "effect"
import type { Environment } from "../environment.ts"
import { stream } from "../kernels/random.ts"
import { runtimePackSeed, stablePackSeed } from "../kernels/seeds.ts"
import type { Lifecycle } from "../machines/episode.ts"
import { type Fault, isFault, type Settings } from "../machines/lifecycle.ts"
import { makePack, type Pack, packRows, type Phase, type Row, type Strategy } from "../machines/packs.ts"
import { Policy } from "../policies/policy.ts"
import { type Recorder, replayPolicy } from "./journal.ts"
import { type Plan, runLifecycle } from "./lifecycle.ts"

/** An environment with its options: a source of tasks without end. */
export interface TaskSet {
  /** 0 when there is only one. */
  readonly id: number
  readonly environment: Environment
  readonly options: unknown
}

/** `runtime`: a pack's seed comes from base seed, read and number. `stable`: from the identities of its rows. */
export type PackSeeds = "runtime" | "stable"

/**
 * The packs that rows of task sets make. `epoch` counts reads (a training run reads once an update), so that no two reads
 * give the same packs; `seeds: "stable"` names a pack by its rows instead.
 */
export const dealPacks = (
  taskSets: ReadonlyArray<TaskSet>,
  rows: ReadonlyArray<Row>,
  options: {
    readonly phase: Phase
    readonly baseSeed: number
    readonly epoch: number
    readonly strategy: Strategy
    readonly size: number
    readonly pad: boolean
    readonly seeds: PackSeeds
    /** What knowledge and tasks are drawn with, where other base seeds are to meet the same packs; default `baseSeed`. */
    readonly drawSeed?: number | undefined
    /** Number of the first pack; default 0. */
    readonly first?: number
  }
): Array<Pack> => {
  const { baseSeed, drawSeed = baseSeed, epoch, first = 0, phase } = options
  const sets = new Map(taskSets.map((set) => [set.id, set]))
  return packRows(rows, options).map((packed, i) => {
    const number = first + i
    const { environment, options: own } = sets.get(packed.rows[0]!.taskSet)!
    const seed =
      options.seeds === "stable"
        ? stablePackSeed(packed.rows.map((row) => [row.taskSet, row.index]))
        : runtimePackSeed({ baseSeed, phase, environment: environment.id, epoch, number })
    const id = `${phase}-${String(epoch).padStart(4, "0")}-${String(number).padStart(7, "0")}`
    const { environmentPositions } = packed
    return makePack(
      { id, seed, baseSeed, phase, environment, options: own, environmentPositions },
      (purpose, position) => stream(drawSeed, phase, seed, purpose, position)
    )
  })
}

/** `count` fresh packs of one task set. */
export const freshPacks = (
  taskSet: TaskSet,
  options: {
    readonly phase: Phase
    readonly baseSeed: number
    readonly epoch: number
    readonly count: number
    readonly size: number
    readonly strategy?: Strategy
    /** Default `runtime`. */
    readonly seeds?: PackSeeds
    readonly drawSeed?: number | undefined
    readonly first?: number
  }
): Array<Pack> => {
  const { count, first = 0, seeds = "runtime", size, strategy = "cod" } = options
  const width = strategy === "ralph-full" ? 1 : size
  const rows = Array.from({ length: count * width }, (_, i) => ({ taskSet: taskSet.id, index: first * width + i }))
  return dealPacks([taskSet], rows, { ...options, strategy, pad: false, seeds })
}

/** How many of `total` fall to one of `parts`, as evenly as possible, the first ones more. */
export const shareOf = (total: number, parts: number, place: number): number =>
  Math.floor(total / parts) + (place < total % parts ? 1 : 0)

/** The G lifecycles of each pack, group by group. */
export const planGroups = (packs: ReadonlyArray<Pack>, groupSize: number, settings: Settings): Array<Plan> =>
  packs.flatMap((pack) => Array.from({ length: groupSize }, (_, run) => ({ pack, run, settings })))

export interface LivingOptions<E = never> {
  /** Most new attempts at a lost lifecycle; default 2. */
  readonly retries?: number | undefined
  /** Records what is lived, and answers what it has recorded already instead of the policy. */
  readonly journal?: Recorder<E> | undefined
  /** Called when a lifecycle is over, in order of arrival, for lost attempts too. */
  readonly onLifecycle?: ((lifecycle: Lifecycle, plan: Plan) => Effect.Effect<void>) | undefined
}

export interface RolloutOptions<E = never> extends LivingOptions<E> {
  /** Lifecycles in flight, at least 1. */
  readonly concurrency: number
  /** Bounds them instead, together with those of other rollouts: whoever asks for a permit first goes first. */
  readonly permits?: Semaphore.Semaphore | undefined
  /** Survivors that a group needs; default all of them. */
  readonly minimum?: number | undefined
}

/** An attempt that ended by a fault, retried or not. */
export interface LostAttempt {
  readonly lifecycle: string
  readonly attempt: number
  readonly outcome: Fault
  readonly why: string
}

export interface Rollout {
  /** Survivors of the groups that were kept, in the order of the plans. */
  readonly lifecycles: ReadonlyArray<Lifecycle>
  /** In the order of the plans. */
  readonly lost: ReadonlyArray<LostAttempt>
  /** Packs whose group was dropped. */
  readonly dropped: ReadonlyArray<string>
}

/** How a lifecycle was lost; undefined when it was lived to its end. */
export const faultOf = ({ episodes }: Lifecycle): { readonly outcome: Fault; readonly why: string } | undefined => {
  const last = episodes.at(-1)
  return last !== undefined && isFault(last.outcome) ? { outcome: last.outcome, why: last.why ?? "" } : undefined
}

/** Lives a plan, again with fresh streams while it is lost. All attempts, the last of them lost or not. */
export const liveOut: <E = never>(
  plan: Plan,
  options: LivingOptions<E>
) => Effect.Effect<ReadonlyArray<Lifecycle>, E, Policy> = Effect.fnUntraced(function* (
  plan,
  { journal, onLifecycle, retries = 2 }
) {
  const attempts: Array<Lifecycle> = []
  for (let attempt = 0; attempt <= retries; attempt++) {
    const again = attempt === 0 ? plan : { ...plan, attempt }
    const entry = journal?.recorded(again)
    const living = runLifecycle(again)
    const lifecycle =
      entry === undefined
        ? yield* living
        : yield* Effect.updateService(living, Policy, (policy) => replayPolicy(entry, policy))
    attempts.push(lifecycle)
    if (journal !== undefined && entry === undefined) yield* journal.write(lifecycle, again)
    if (onLifecycle !== undefined) yield* onLifecycle(lifecycle, again)
    if (faultOf(lifecycle) === undefined) break
  }
  return attempts
})

/** Lives all plans, at most `concurrency` at a time. What a journal was given is on the disk when this ends. */
export const rollout: <E = never>(
  plans: ReadonlyArray<Plan>,
  options: RolloutOptions<E>
) => Effect.Effect<Rollout, E, Policy> = Effect.fnUntraced(function* (plans, options) {
  const { concurrency, permits } = options
  const lived =
    permits === undefined
      ? yield* Effect.forEach(plans, (plan) => liveOut(plan, options), { concurrency })
      : yield* Effect.forEach(plans, (plan) => permits.withPermit(liveOut(plan, options)), { concurrency: "unbounded" })
  if (options.journal !== undefined) yield* options.journal.flush
  const lost = lived.flat().flatMap((lifecycle): ReadonlyArray<LostAttempt> => {
    const fault = faultOf(lifecycle)
    return fault === undefined ? [] : [{ lifecycle: lifecycle.id, attempt: lifecycle.attempt, ...fault }]
  })
  const groups = Map.groupBy(
    lived.map((attempts) => attempts.at(-1)!),
    (lifecycle) => lifecycle.pack
  )
  const lifecycles: Array<Lifecycle> = []
  const dropped: Array<string> = []
  for (const [pack, group] of groups) {
    const survivors = group.filter((lifecycle) => faultOf(lifecycle) === undefined)
    if (survivors.length >= (options.minimum ?? group.length)) lifecycles.push(...survivors)
    else dropped.push(pack)
  }
  return { lifecycles, lost, dropped }
})
