/**
 * One lifecycle, one fiber: it steps the lifecycle, agent, environment and context-store machines inline and asks the
 * policy for replies. Everything random has a name that says which call it is for, so nothing depends on who else runs.
 *
 * Faults are data. An environment that throws, breaks a promise or takes too long, and a policy that fails or does not
 * answer in time, end the lifecycle with an episode whose outcome is `error` or `timeout`; its reward means nothing.
 */
import { Clock, Effect, Exit, Result } from "effect"
import type { EpisodeKind, Outcome } from "../environment.ts"
import { streams } from "../kernels/random.ts"
import { agent, type AgentSnapshot, outcomeOf, type Said } from "../machines/agent.ts"
import { contextStore, currentContext } from "../machines/context-store.ts"
import type { Episode, Lifecycle } from "../machines/episode.ts"
import { type Fault, lifecycle, type Settings, wantedEpisode } from "../machines/lifecycle.ts"
import type { Pack } from "../machines/packs.ts"
import { totalReward } from "../machines/reward.ts"
import { beginSolve, type Solve, takeSolveReply } from "../machines/solve.ts"
import { beginUpdate, takeUpdateReply } from "../machines/update.ts"
import { Policy, type PolicyError } from "../policies/policy.ts"

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
}

/** Who draws at a position: each has a stream of its own for each step. */
const purposes = { solve: 0, update: 1, environment: 2 } as const

export const lifecycleId = ({ pack, run }: Pick<Plan, "pack" | "run">): string => `${pack.id}/${run}`

/** Lives a lifecycle to its end. Never fails: see the outcome of its last episode. */
export const runLifecycle: (plan: Plan) => Effect.Effect<Lifecycle, never, Policy> = Effect.fnUntraced(
  function* (plan) {
    const policy = yield* Policy
    const clock = yield* Clock.Clock
    const { attempt = 0, pack, run, settings } = plan
    const { environment } = pack
    const { style } = settings
    const id = lifecycleId(plan)
    const episodes: Array<Episode> = []

    const streamOf = streams(pack.baseSeed, pack.phase, pack.seed, run, attempt)

    /** Calls into the environment: what it throws and how long it takes becomes data. */
    const guarded = <A>(call: () => A): A | Lost => {
      const started = clock.currentTimeMillisUnsafe()
      const result = Result.try({ try: call, catch: (thrown) => new Lost("error", messageOf(thrown)) })
      const millis = clock.currentTimeMillisUnsafe() - started
      if (Result.isFailure(result)) return result.failure
      if (millis <= settings.environmentMillis) return result.success
      return new Lost("timeout", `environment ${environment.id} took ${Math.round(millis)} ms`)
    }

    const ask = ({ context: { kind, messages, steps } }: AgentSnapshot, index: number, context: string) => {
      const asked: Effect.Effect<Said, PolicyError> = policy.reply({
        kind,
        messages,
        previous: steps.at(-1),
        context,
        knowledge: pack.knowledge(),
        rng: streamOf(purposes[kind] + 3 * index, steps.length),
        temperature: settings.temperature,
        maxTokens: style === "terse" ? environment.terse!.replyTokens[kind] : settings.maxTokens
      })
      // A reply that is already there cannot be late; a timer for each would cost more than the lifecycle itself.
      if (Exit.isExit(asked) && Exit.isSuccess(asked)) return asked as Exit.Exit<Said>
      return asked.pipe(
        Effect.timeoutOrElse({
          duration: settings.replyMillis,
          orElse: () =>
            Effect.succeed(new Lost("timeout", `policy ${policy.name} did not answer in ${settings.replyMillis} ms`))
        }),
        Effect.catchTag("PolicyError", (error) => Effect.succeed(new Lost(error.outcome ?? "error", error.reason)))
      )
    }

    /** Plays one episode and records it. `take` answers a reply; `finish` gives the context that follows. */
    const play = function* <S extends { readonly agent: AgentSnapshot }>(
      kind: EpisodeKind,
      index: number,
      context: string,
      begin: () => S,
      take: (state: S, said: Said) => S,
      contextAfter: (state: S) => string
    ) {
      const startedMillis = clock.currentTimeMillisUnsafe()
      let state = guarded(begin)
      let now = state instanceof Lost ? undefined : state.agent
      while (!(state instanceof Lost) && outcomeOf(state.agent) === undefined) {
        const said: Said | Lost = yield* ask(state.agent, index, context)
        const last: S = state
        state = said instanceof Lost ? said : guarded(() => take(last, said))
        if (!(state instanceof Lost)) now = state.agent
      }
      if (state instanceof Lost && now !== undefined) {
        ;[now] = agent.transition(now, { type: state.outcome, reward: 0, why: state.why })
      }
      const { reward, steps, why } = now?.context ?? { reward: 0, steps: [], why: (state as Lost).why }
      const outcome: Outcome = state instanceof Lost ? state.outcome : outcomeOf(state.agent)!
      episodes.push({
        lifecycle: id,
        pack: pack.id,
        run,
        kind,
        index,
        environment: environment.id,
        task: taskOf(pack, index),
        seed: String(pack.seed),
        contextBefore: context,
        contextAfter: state instanceof Lost ? context : contextAfter(state),
        steps,
        reward,
        success: outcome === "success",
        outcome,
        ...(why === undefined ? {} : { why }),
        timing: { startedMillis, endedMillis: clock.currentTimeMillisUnsafe() }
      })
      return state
    }

    let [walk, asked] = lifecycle.initial({ packSize: pack.size })
    let [contexts] = contextStore.initial({
      style,
      onParseFailure: settings.onParseFailure,
      first: plan.firstContext,
      given: plan.contexts
    })
    let memory: unknown
    let solved: Solve | undefined
    const begin = (position: number, context: string) => {
      if (position === 0)
        memory = environment.memory?.({ options: pack.options, knowledge: pack.knowledge(), packSize: pack.size })
      return beginSolve(pack, settings, { position, context, memory })
    }

    for (let wanted = wantedEpisode(asked); wanted !== undefined; wanted = wantedEpisode(asked)) {
      const { position } = wanted.params
      const context = currentContext(contexts.context)
      if (wanted.type === "solve") {
        const state = yield* play(
          "solve",
          position,
          context,
          () => begin(position, context),
          (solve, said) =>
            takeSolveReply(
              solve,
              pack,
              settings,
              said,
              streamOf(purposes.environment + 3 * position, solve.agent.context.steps.length)
            ),
          () => context
        )
        if (state instanceof Lost) {
          ;[walk, asked] = lifecycle.transition(walk, { type: "lost" })
        } else {
          solved = state
          memory = state.memory
          ;[walk, asked] = lifecycle.transition(walk, { type: "solved", reward: state.agent.context.reward })
        }
      } else {
        const state = yield* play(
          "update",
          position,
          context,
          () => beginUpdate(pack, settings, solved!, context),
          (update, said) => takeUpdateReply(update, pack, settings, said),
          ({ told }) => {
            ;[contexts] = contextStore.transition(contexts, told!)
            return currentContext(contexts.context)
          }
        )
        ;[walk, asked] = lifecycle.transition(walk, { type: state instanceof Lost ? "lost" : "updated" })
      }
    }
    const total = totalReward(walk.context.rewards, settings.rewardDecay)
    return { id, pack: pack.id, run, attempt, totalReward: total, episodes }
  }
)

/** Why nobody knows how an episode would have gone on. */
class Lost {
  readonly outcome: Fault
  readonly why: string
  constructor(outcome: Fault, why: string) {
    this.outcome = outcome
    this.why = why
  }
}

const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))

/** Null when the environment cannot even make the task. */
const taskOf = (pack: Pack, position: number): unknown =>
  Result.getOrElse(
    Result.try(() => pack.task(position)),
    () => null
  )
