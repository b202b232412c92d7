/**
 * Rollout: many lifecycles at once, and packs to live them in.
 *
 * A lifecycle that is lost to an error or a timeout is lived again with fresh streams, at most `retries` times. A group that
 * still has fewer survivors than `minimum` is dropped whole: credit compares the runs of a pack, and a group with holes
 * compares something else. Everything lost or dropped is reported.
 */
import { Effect } from "effect"
import type { Environment } from "../environment.ts"
import { stream } from "../kernels/random.ts"
import { runtimePackSeed, stablePackSeed } from "../kernels/seeds.ts"
import type { Lifecycle } from "../machines/episode.ts"
import { type Fault, isFault, type Settings } from "../machines/lifecycle.ts"
import { makePack, type Pack, packRows, type Phase, type Row, type Strategy } from "../machines/packs.ts"
import type { Policy } from "../policies/policy.ts"
import { type Plan, runLifecycle } from "./lifecycle.ts"

/** An environment with its options: a source of tasks without end. */
export interface TaskSet {
  /** 0 when there is only one. */
  readonly id: number
  readonly environment: Environment
  readonly options: unknown
}

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
    readonly seeds: "runtime" | "stable"
    /** Number of the first pack; default 0. */
    readonly first?: number
  }
): Array<Pack> => {
  const { baseSeed, epoch, first = 0, phase } = options
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
      (purpose, position) => stream(baseSeed, phase, seed, purpose, position)
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
    readonly first?: number
  }
): Array<Pack> => {
  const { count, first = 0, size, strategy = "cod" } = options
  const width = strategy === "ralph-full" ? 1 : size
  const rows = Array.from({ length: count * width }, (_, i) => ({ taskSet: taskSet.id, index: first * width + i }))
  return dealPacks([taskSet], rows, { ...options, strategy, pad: false, seeds: "runtime" })
}

/** The G lifecycles of each pack, group by group. */
export const planGroups = (packs: ReadonlyArray<Pack>, groupSize: number, settings: Settings): Array<Plan> =>
  packs.flatMap((pack) => Array.from({ length: groupSize }, (_, run) => ({ pack, run, settings })))

export interface RolloutOptions {
  /** Lifecycles in flight, at least 1. */
  readonly concurrency: number
  /** Most new attempts at a lost lifecycle; default 2. */
  readonly retries?: number
  /** Survivors that a group needs; default all of them. 0 keeps every group, with its lost lifecycles. */
  readonly minimum?: number
  /** Called when a lifecycle is over, in order of arrival, for lost attempts too. */
  readonly onLifecycle?: (lifecycle: Lifecycle, plan: Plan) => Effect.Effect<void>
}

export interface Rollout {
  /** In the order of the plans. */
  readonly lifecycles: ReadonlyArray<Lifecycle>
  /** Attempts that ended by a fault, retried or not. */
  readonly lost: ReadonlyArray<{
    readonly lifecycle: string
    readonly attempt: number
    readonly outcome: Fault
    readonly why: string
  }>
  /** Packs whose group was dropped. */
  readonly dropped: ReadonlyArray<string>
}

/** How a lifecycle was lost; undefined when it was lived to its end. */
export const faultOf = ({ episodes }: Lifecycle): { readonly outcome: Fault; readonly why: string } | undefined => {
  const last = episodes.at(-1)
  return last !== undefined && isFault(last.outcome) ? { outcome: last.outcome, why: last.why ?? "" } : undefined
}

/** Lives all plans, at most `concurrency` at a time. */
export const rollout: (plans: ReadonlyArray<Plan>, options: RolloutOptions) => Effect.Effect<Rollout, never, Policy> =
  Effect.fnUntraced(function* (plans, { concurrency, minimum, onLifecycle, retries = 2 }) {
    const lost: Array<Rollout["lost"][number]> = []
    const live = Effect.fnUntraced(function* (plan: Plan) {
      for (let attempt = plan.attempt ?? 0; ; attempt++) {
        const lifecycle = yield* runLifecycle(attempt === 0 ? plan : { ...plan, attempt })
        if (onLifecycle !== undefined) yield* onLifecycle(lifecycle, plan)
        const fault = faultOf(lifecycle)
        if (fault === undefined) return lifecycle
        lost.push({ lifecycle: lifecycle.id, attempt, ...fault })
        if (attempt - (plan.attempt ?? 0) >= retries) return lifecycle
      }
    })
    const lived = yield* Effect.forEach(plans, live, { concurrency })
    const groups = [...Map.groupBy(lived, (lifecycle) => lifecycle.pack).entries()]
    const kept = groups.filter(([, group]) => {
      const survivors = group.filter((lifecycle) => faultOf(lifecycle) === undefined).length
      return survivors >= (minimum ?? group.length)
    })
    return {
      lifecycles:
        minimum === 0
          ? lived
          : kept.flatMap(([, group]) => group.filter((lifecycle) => faultOf(lifecycle) === undefined)),
      lost: lost.toSorted((a, b) =>
        a.lifecycle < b.lifecycle ? -1 : a.lifecycle > b.lifecycle ? 1 : a.attempt - b.attempt
      ),
      dropped: groups.filter((group) => !kept.includes(group)).map(([pack]) => pack)
    }
  })
