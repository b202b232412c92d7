/**
 * Evaluation: success and reward by position on packs that training can never have seen (evaluation specification).
 *
 * The controls of design 3.8 change which context is in force and nothing else, not a single random number. So the first
 * position is byte-identical under `own`, `none` and `foreign`, and an agent that remembers is under `none` the agent
 * that forgets.
 */
import { Effect } from "effect"
import type { Operation, Outcome } from "../environment.ts"
import { stream } from "../kernels/random.ts"
import { bootstrapMeans, type Interval } from "../kernels/statistics.ts"
import { chatContext, initialContextOf } from "../machines/context-store.ts"
import { type Episode, isFlagged, type Lifecycle } from "../machines/episode.ts"
import { isFault, type Settings } from "../machines/lifecycle.ts"
import type { Pack, Strategy } from "../machines/packs.ts"
import { Policy } from "../policies/policy.ts"
import { freshPacks, liveOut, type PackSeeds, type RolloutOptions, type TaskSet } from "./rollout.ts"

/** Which context is in force: the agent's own, always the initial one, another pack's, or the truth. */
export type ContextControl = "own" | "none" | "foreign" | "oracle"

export const contextControls: ReadonlyArray<ContextControl> = ["own", "none", "foreign", "oracle"]

export interface EvaluationOptions extends Pick<RolloutOptions, "concurrency" | "onLifecycle"> {
  /** Packs for each seed. `foreign` needs two. */
  readonly packs: number
  readonly packSize: number
  readonly strategy: Strategy
  readonly context: ContextControl
  /** First seed. */
  readonly seed: number
  /** How many seeds, one after the other; their packs are pooled. */
  readonly seeds: number
  readonly settings: Settings
  /** Default `runtime`. */
  readonly packSeeds?: PackSeeds
  /** The packs of a seed, instead of fresh ones: `packs` of them. */
  readonly given?: (baseSeed: number) => ReadonlyArray<Pack>
}

export interface Evaluation {
  readonly environment: string
  /** The operators around it; absent where there are none. */
  readonly dynamics?: ReadonlyArray<Operation>
  readonly policy: string
  /** Of all seeds together. */
  readonly packs: number
  readonly packSize: number
  readonly strategy: Strategy
  readonly context: ContextControl
  readonly seed: number
  readonly seeds: number
  readonly positions: ReadonlyArray<{
    /** 0-based. */
    readonly position: number
    readonly episodes: number
    /** Over the episodes that were not lost to a timeout or an error. */
    readonly success: Interval
    /** Shaped, as it is trained on. */
    readonly reward: Interval
    readonly outcomes: Readonly<Record<Outcome, number>>
  }>
  /** Over all positions of a pack. Like `gain` over packs that were lived to their end. */
  readonly mean: Measures
  /** What the last position has over the first. */
  readonly gain: Measures
  readonly updates: {
    readonly episodes: number
    /** How many could be read as a context. */
    readonly parsed: number
    /** Of a reply; 0 for policies that have no tokens, null without update episodes. */
    readonly meanTokens: number | null
    /** Of the contexts that were read. Null without any. */
    readonly meanCharacters: number | null
  }
  /** Lifecycles that the means leave out because a judge could not be read. */
  readonly flagged: number
}

export interface Measures {
  readonly success: Interval
  readonly reward: Interval
}

/** How many lifecycles an evaluation lives. */
export const lifecyclesOf = ({
  context,
  packs,
  seeds
}: Pick<EvaluationOptions, "context" | "packs" | "seeds">): number => packs * seeds * (context === "foreign" ? 2 : 1)

export const evaluate: (taskSet: TaskSet, options: EvaluationOptions) => Effect.Effect<Evaluation, never, Policy> =
  Effect.fnUntraced(function* (taskSet, options) {
    const { context, given, packSeeds = "runtime", packSize, seed, seeds, strategy } = options
    const { name, style } = yield* Policy
    const lives: Array<Life> = []
    for (let baseSeed = seed; baseSeed < seed + seeds; baseSeed++) {
      const count = options.packs
      const at = { phase: "eval", baseSeed, epoch: 0, count, size: packSize, strategy, seeds: packSeeds } as const
      const packs = given?.(baseSeed) ?? freshPacks(taskSet, at)
      lives.push(...(yield* liveUnder(context, packs, { ...options, settings: { ...options.settings, style } })))
    }
    const { dynamics, id } = taskSet.environment
    return {
      environment: id,
      ...(dynamics === undefined ? {} : { dynamics }),
      policy: name,
      packs: options.packs * seeds,
      packSize,
      strategy,
      context,
      seed,
      seeds,
      ...measure(lives, packSize, seed, given === undefined ? lives.length : options.packs)
    }
  })

/** What an evaluation keeps of a lifecycle, which is one pack: prompts are long. */
export interface Life {
  /** By position; those after a fault are missing. */
  readonly solves: ReadonlyArray<Pick<Episode, "outcome" | "success" | "reward" | "contextBefore">>
  readonly updates: ReadonlyArray<{ readonly parsed: boolean; readonly tokens: number; readonly characters: number }>
  /** A judge could not be read, so its rewards are worth nothing. */
  readonly flagged: boolean
}

const keep = ({ episodes }: Lifecycle): Life => ({
  solves: episodes
    .filter(({ kind }) => kind === "solve")
    .map(({ outcome, success, reward, contextBefore }) => ({ outcome, success, reward, contextBefore })),
  updates: episodes
    .filter(({ kind, steps }) => kind === "update" && steps.length > 0)
    .map(({ contextAfter, success, steps }) => ({
      parsed: success,
      tokens: steps[0]!.tokens.length,
      characters: contextAfter.length
    })),
  flagged: isFlagged(episodes)
})

/** One lifecycle a pack, under a control. `own`: how they are lived under their own contexts, where that is known. */
export const liveUnder = Effect.fnUntraced(function* (
  control: ContextControl,
  packs: ReadonlyArray<Pack>,
  { concurrency, onLifecycle, settings }: Pick<EvaluationOptions, "concurrency" | "onLifecycle" | "settings">,
  known?: ReadonlyArray<Life>
) {
  const live = (contexts: (pack: Pack, i: number) => ReadonlyArray<string> | undefined) =>
    Effect.forEach(
      packs,
      (pack, i) => {
        const given = contexts(pack, i)
        const plan = { pack, run: 0, settings, ...(given === undefined ? {} : { contexts: given }) }
        return Effect.map(liveOut(plan, { onLifecycle }), (attempts) => keep(attempts.at(-1)!))
      },
      { concurrency }
    )
  const everywhere = (pack: Pack, context: string) => Array.from({ length: pack.size }, () => context)
  switch (control) {
    case "own":
      return yield* live(() => undefined)
    case "none":
      return yield* live((pack) => everywhere(pack, initialContextOf(settings.style)))
    case "oracle":
      return yield* live((pack) => everywhere(pack, "").map((_, position) => truth(pack, position, settings)))
    case "foreign": {
      const own = known ?? (yield* live(() => undefined))
      return yield* live((_, i) => own[(i + 1) % own.length]!.solves.map(({ contextBefore }) => contextBefore))
    }
  }
})

const truth = ({ environment, knowledge }: Pack, position: number, { style }: Settings): string =>
  style === "chat"
    ? chatContext(environment.knowledge.describe(knowledge(position)))
    : (environment.terse?.describe ?? environment.knowledge.describe)(knowledge(position))

/**
 * Means over lifecycles with their intervals; the same lifecycles and seed give the same intervals.
 *
 * @param distinct where the same packs were lived several times over, how many there are: lifecycle i lived pack i modulo
 *   that, and the lifecycles of a pack are resampled together
 */
export const measure = (
  lives: ReadonlyArray<Life>,
  packSize: number,
  seed: number,
  distinct: number = lives.length
): Pick<Evaluation, "positions" | "mean" | "gain" | "updates" | "flagged"> => {
  const positions = Array.from({ length: packSize }, (_, position) => position)
  const rowOf = ({ flagged, solves }: Life) => {
    const curves = [
      (solve: Life["solves"][number]) => (solve.success ? 1 : 0),
      (solve: Life["solves"][number]) => solve.reward
    ].map((value) =>
      positions.map((position) => {
        const solve = solves[position]
        return flagged || solve === undefined || isFault(solve.outcome) ? NaN : value(solve)
      })
    )
    return curves.flatMap((curve) => [
      ...curve,
      curve.reduce((sum, value) => sum + value, 0) / packSize,
      curve.at(-1)! - curve[0]!
    ])
  }
  const rows = [...Map.groupBy(lives.map(rowOf), (_, i) => i % distinct).values()].map((own) =>
    own[0]!.map((_, column) => {
      const values = own.map((row) => row[column]!).filter((value) => !Number.isNaN(value))
      return values.length === 0 ? NaN : values.reduce((sum, value) => sum + value, 0) / values.length
    })
  )
  const intervals = bootstrapMeans(rows, stream("bootstrap", seed))
  const measures = (column: number): Measures => ({
    success: intervals[column]!,
    reward: intervals[packSize + 2 + column]!
  })
  return {
    positions: positions.map((position) => {
      const solves = lives.flatMap(({ solves }) => solves.slice(position, position + 1))
      const outcomes = { success: 0, failure: 0, truncated: 0, malformed: 0, timeout: 0, error: 0 }
      for (const { outcome } of solves) outcomes[outcome]++
      return { position, episodes: solves.length, ...measures(position), outcomes }
    }),
    mean: measures(packSize),
    gain: measures(packSize + 1),
    updates: ofUpdates(lives.flatMap(({ updates }) => updates)),
    flagged: lives.filter(({ flagged }) => flagged).length
  }
}

const ofUpdates = (updates: Life["updates"]): Evaluation["updates"] => {
  const read = updates.filter(({ parsed }) => parsed)
  const mean = (numbers: ReadonlyArray<number>) =>
    numbers.length === 0 ? null : numbers.reduce((sum, number) => sum + number, 0) / numbers.length
  return {
    episodes: updates.length,
    parsed: read.length,
    meanTokens: mean(updates.map(({ tokens }) => tokens)),
    meanCharacters: mean(read.map(({ characters }) => characters))
  }
}
