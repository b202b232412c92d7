/**
 * One lifecycle, one fiber: it steps the lifecycle, agent, environment and context-store machines inline and asks the
 * policy for replies. Everything random has a name that says which call it is for, so nothing depends on who else runs.
 *
 * Faults are data. An environment that throws, breaks a promise or takes too long, and a policy that fails or does not
 * answer in time, end the lifecycle with an episode whose outcome is `error` or `timeout`; its reward means nothing.
 */
import { Clock, Effect, Exit, Result } from "effect"
import type { EpisodeKind, Outcome, Rng } from "../environment.ts"
import { type Name, streams } from "../kernels/random.ts"
import { agent, type AgentSnapshot, outcomeOf, type Said } from "../machines/agent.ts"
import { contextStore, currentContext } from "../machines/context-store.ts"
import type { Episode, Lifecycle, LostBy } from "../machines/episode.ts"
import { branchName, type Fork, isBefore } from "../machines/fork.ts"
import { type Fault, lifecycle, type LifecycleEvent, type Settings, wantedEpisode } from "../machines/lifecycle.ts"
import type { Pack } from "../machines/packs.ts"
import { totalReward } from "../machines/reward.ts"
import { beginSolve, type Solve, takeSolveReply } from "../machines/solve.ts"
import { beginUpdate, takeUpdateReply } from "../machines/update.ts"
import { Policy, type PolicyError } from "../policies/policy.ts"
import { judged } from "./judging.ts"

/** A lifecycle to be lived. */
export interface Plan {
  readonly pack: Pack
  /** 0-based place in the group. */
  readonly run: number
  readonly settings: Settings
  /** Counts retries; each attempt has streams of its own. Default 0. */
  readonly attempt?: number
  /** What the lifecycle begins with, instead of knowing nothing: lifecycles of a warm start. */
  readonly firstContext?: string
  /** Contexts in force by position, whatever is written: the controls of an evaluation. */
  readonly contexts?: ReadonlyArray<string>
  /** How many of its pack's tasks are lived; default all. */
  readonly tasks?: number
  /** Where it leaves the lifecycle that it continues, in order. */
  readonly forks?: ReadonlyArray<Fork>
  /** The replies before the last fork, which the policy is not asked for. */
  readonly past?: ReadonlyArray<Said>
}

export const lifecycleId = ({ forks = [], pack, run }: Pick<Plan, "pack" | "run" | "forks">): string =>
  `${pack.id}/${run}${forks.map(branchName).join("")}`

/** Names the streams of a lifecycle where that many of its forks lie behind it. */
const streamName = ({ attempt = 0, forks = [], pack, run }: Plan, passed: number): ReadonlyArray<Name> => {
  const attempts = [...forks.map((fork) => fork.attempt), attempt]
  const branches = forks
    .slice(0, passed)
    .flatMap(({ branch, kind, position, seed }, i) => ["fork", kind, position, seed, branch, attempts[i + 1]!])
  return [pack.baseSeed, pack.phase, pack.seed, run, attempts[0]!, ...branches]
}

/** Lives a lifecycle to its end. Never fails: see the outcome of its last episode. */
export const runLifecycle = (plan: Plan): Effect.Effect<Lifecycle, never, Policy> => {
  const episodes: Array<Episode> = []
  const keep = (episode: Episode) => Effect.sync(() => void episodes.push(episode))
  return Effect.map(liveThrough(plan, keep), (lived) => ({ ...lived, episodes }))
}

/**
 * The same for those who do not keep episodes: each is handed over when it ends. `turn` is run after each task and its
 * update, when a lifecycle holds nothing but its contexts: the place to wait, and to let others go on.
 * `beforeCall` is run before each call into the environment, and may say why it is not to be made.
 */
export const liveThrough: (
  plan: Plan,
  onEpisode: (episode: Episode) => Effect.Effect<void>,
  turn?: Effect.Effect<void>,
  beforeCall?: () => Lost | undefined
) => Effect.Effect<Omit<Lifecycle, "episodes">, never, Policy> = Effect.fnUntraced(function* (
  plan,
  onEpisode,
  turn = Effect.void,
  beforeCall
) {
  const { attempt = 0, contexts: given, firstContext: first, forks = [], pack, run, settings } = plan
  const { onParseFailure, style } = settings
  const [walk, asked] = lifecycle.initial({ packSize: plan.tasks ?? pack.size })
  const life: Life = {
    plan,
    policy: yield* Policy,
    clock: yield* Clock.Clock,
    streamOf: streams(...streamName(plan, 0)),
    recalled: 0,
    onEpisode,
    beforeCall,
    walk,
    contexts: contextStore.initial({ style, onParseFailure, first, given })[0],
    memory: undefined,
    solved: undefined
  }
  let passed = 0
  for (let wanted = wantedEpisode(asked); wanted !== undefined;) {
    const { type } = wanted
    const here = { kind: type, position: wanted.params.position }
    const behind = forks.filter((fork) => !isBefore(here, fork)).length
    if (behind > passed) life.streamOf = streams(...streamName(plan, (passed = behind)))
    wanted = yield* type === "solve" ? solve(life, wanted.params.position) : update(life, wanted.params.position)
    if (type === "update" && wanted !== undefined) yield* turn
  }
  const reward = totalReward(life.walk.context.rewards, settings.rewardDecay)
  const lived = { id: lifecycleId(plan), pack: pack.id, run, attempt, totalReward: reward }
  return forks.length === 0 ? lived : { ...lived, forks }
})

/** Plays a solve episode; the episode that comes next. */
const solve = function* (life: Life, position: number) {
  const { pack, settings } = life.plan
  const { options, size: packSize } = pack
  const context = currentContext(life.contexts.context)
  const state = yield* play(life, "solve", position, context, {
    begin: () => {
      const knowledge = pack.knowledge(position)
      if (position === 0 || knowledge !== pack.knowledge(position - 1)) {
        life.memory = pack.environment.memory?.({ options, knowledge, packSize, before: life.memory })
      }
      return beginSolve(pack, settings, { position, context, memory: life.memory })
    },
    take: (solve: Solve, said) => {
      const rng = life.streamOf(purposes.environment + 3 * position, solve.agent.context.steps.length)
      return takeSolveReply(solve, pack, settings, said, rng)
    },
    contextAfter: () => context,
    askJudge: (solve, said) => {
      const { judge } = life.policy
      if (judge === undefined) return undefined
      const { forks = [] } = life.plan
      const streamOf = streams(...streamName(life.plan, forks.length), "judge")
      return judged(judge, solve, said, { pack, settings, rngOf: (call) => streamOf(position, call) })
    }
  })
  if (state instanceof Lost) return goOn(life, { type: "lost" })
  life.solved = state
  life.memory = state.memory
  return goOn(life, { type: "solved", reward: state.agent.context.reward })
}

/** Plays the update episode after it; the episode that comes next. */
const update = function* (life: Life, position: number) {
  const { pack, settings } = life.plan
  const context = currentContext(life.contexts.context)
  const state = yield* play(life, "update", position, context, {
    begin: () => beginUpdate(pack, settings, life.solved!, context),
    take: (update, said) => takeUpdateReply(update, pack, settings, said),
    contextAfter: ({ told }) => {
      ;[life.contexts] = contextStore.transition(life.contexts, told!)
      return currentContext(life.contexts.context)
    }
  })
  life.solved = undefined
  return goOn(life, { type: state instanceof Lost ? "lost" : "updated" })
}

const goOn = (life: Life, event: LifecycleEvent) => {
  const [walk, asked] = lifecycle.transition(life.walk, event)
  life.walk = walk
  return wantedEpisode(asked)
}

/** What a lifecycle has at hand while it is lived. */
interface Life {
  readonly plan: Plan
  readonly policy: Policy["Service"]
  readonly clock: Clock.Clock
  /** A stream for who draws at a position, and for a step. */
  streamOf: (purposeAndPosition: number, step: number) => Rng
  /** Replies of the past that were given again. */
  recalled: number
  readonly onEpisode: (episode: Episode) => Effect.Effect<void>
  readonly beforeCall: (() => Lost | undefined) | undefined
  walk: ReturnType<typeof lifecycle.initial>[0]
  contexts: ReturnType<typeof contextStore.initial>[0]
  /** The environment's own. */
  memory: unknown
  /** The solve episode that the next update looks back at. */
  solved: Solve | undefined
}

/** Who draws at a position: `purpose + 3 * position` tells them apart. */
const purposes = { solve: 0, update: 1, environment: 2 } as const

/** Why nobody knows how an episode would have gone on. */
export class Lost {
  readonly by: LostBy
  readonly outcome: Fault
  readonly why: string
  constructor(by: LostBy, outcome: Fault, why: string) {
    this.by = by
    this.outcome = outcome
    this.why = why
  }
}

/** An episode: how it begins, what a reply does to it, and the context that it leaves. */
interface Moves<S> {
  readonly begin: () => S
  readonly take: (state: S, said: Said) => S
  readonly contextAfter: (state: S) => string
  /** A reply with what a judge says of it; undefined where nobody is to be asked. */
  readonly askJudge?: (state: S, said: Said) => Effect.Effect<Said> | undefined
}

/** Plays an episode to its outcome and records it. */
const play = function* <S extends { readonly agent: AgentSnapshot }>(
  life: Life,
  kind: EpisodeKind,
  index: number,
  context: string,
  { askJudge, begin, contextAfter, take }: Moves<S>
) {
  const startedMillis = life.clock.currentTimeMillisUnsafe()
  let state = guarded(life, begin)
  let now = state instanceof Lost ? undefined : state.agent
  while (!(state instanceof Lost) && outcomeOf(state.agent) === undefined) {
    let said: Said | Lost = yield* ask(life, state.agent, index, context)
    const last: S = state
    const judging = said instanceof Lost ? undefined : askJudge?.(last, said)
    if (judging !== undefined) said = yield* judging
    state = said instanceof Lost ? said : guarded(life, () => take(last, said))
    if (!(state instanceof Lost)) now = state.agent
  }
  if (state instanceof Lost && now !== undefined) {
    ;[now] = agent.transition(now, { type: state.outcome, reward: 0, why: state.why })
  }
  const { pack, run } = life.plan
  const { reward, steps, why } = now?.context ?? { reward: 0, steps: [], why: (state as Lost).why }
  const outcome: Outcome = state instanceof Lost ? state.outcome : outcomeOf(state.agent)!
  yield* life.onEpisode({
    lifecycle: lifecycleId(life.plan),
    pack: pack.id,
    run,
    kind,
    index,
    environment: pack.environment.id,
    task: state instanceof Lost && state.by === "thread" && now === undefined ? null : taskOf(pack, index),
    seed: String(pack.seed),
    contextBefore: context,
    contextAfter: state instanceof Lost ? context : contextAfter(state),
    steps,
    reward,
    success: outcome === "success",
    outcome,
    ...(why === undefined ? {} : { why }),
    ...(state instanceof Lost ? { lostBy: state.by } : {}),
    timing: { startedMillis, endedMillis: life.clock.currentTimeMillisUnsafe() }
  })
  return state
}

/** Asks the policy for the next reply of an episode. */
const ask = (
  life: Life,
  { context: { goesOn, kind, messages, steps } }: AgentSnapshot,
  index: number,
  context: string
): Effect.Effect<Said | Lost> => {
  const {
    plan: { pack, past = [], settings },
    policy,
    streamOf
  } = life
  if (life.recalled < past.length) return Effect.succeed(past[life.recalled++]!)
  const { replyMillis, style, temperature } = settings
  const asked: Effect.Effect<Said, PolicyError> = policy.reply({
    kind,
    messages,
    previous: goesOn ? steps.at(-1) : undefined,
    context,
    knowledge: pack.knowledge(index),
    rng: streamOf(purposes[kind] + 3 * index, steps.length),
    temperature,
    maxTokens: style === "terse" ? pack.environment.terse!.replyTokens[kind] : settings.maxTokens
  })
  // A reply that is already there cannot be late; a timer for each would cost more than the lifecycle itself.
  if (Exit.isExit(asked) && Exit.isSuccess(asked)) return asked as Exit.Exit<Said>
  return asked.pipe(
    Effect.timeoutOrElse({
      duration: replyMillis,
      orElse: () =>
        Effect.succeed(new Lost("policy", "timeout", `policy ${policy.name} did not answer in ${replyMillis} ms`))
    }),
    Effect.catchTag("PolicyError", (error) =>
      Effect.succeed(new Lost(error.by ?? "policy", error.outcome ?? "error", error.reason))
    )
  )
}

/** Calls into the environment: what it throws and how long it takes becomes data. */
const guarded = <A>({ beforeCall, clock, plan: { pack, settings } }: Life, call: () => A): A | Lost => {
  const refused = beforeCall?.()
  if (refused !== undefined) return refused
  const started = clock.currentTimeMillisUnsafe()
  const result = Result.try({ try: call, catch: (thrown) => new Lost("environment", "error", messageOf(thrown)) })
  const millis = clock.currentTimeMillisUnsafe() - started
  if (Result.isFailure(result)) return result.failure
  if (millis <= settings.environmentMillis) return result.success
  return new Lost("environment", "timeout", `environment ${pack.environment.id} took ${Math.round(millis)} ms`)
}

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))

/** Null when the environment cannot even make the task. */
const taskOf = (pack: Pack, position: number): unknown =>
  Result.getOrElse(
    Result.try(() => pack.task(position)),
    () => null
  )
