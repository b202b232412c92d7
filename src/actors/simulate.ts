/**
 * Simulation: many lifecycles without learning, each with a pack of its own, in a window of bounded size.
 *
 * Results come in the order of the packs whatever finishes first, so digest and trace do not depend on the window; a
 * lifecycle that is slow holds back what comes after it, and memory with it.
 */
import { Clock, Effect, Stream } from "effect"
import type { Outcome } from "../environment.ts"
import type { Lifecycle } from "../machines/episode.ts"
import type { Settings } from "../machines/lifecycle.ts"
import { Policy } from "../policies/policy.ts"
import { type Plan, runLifecycle } from "./lifecycle.ts"
import { faultOf, freshPacks, type TaskSet } from "./rollout.ts"
import { makeDigest } from "./trace.ts"

export interface SimulationOptions<E, R> {
  readonly lifecycles: number
  readonly packSize: number
  /** Lifecycles in flight. */
  readonly concurrency: number
  readonly seed: number
  readonly settings: Settings
  /** Called in the order of the packs. */
  readonly onLifecycle: (lifecycle: Lifecycle, plan: Plan) => Effect.Effect<void, E, R>
}

export interface Simulation {
  /** Model calls. */
  readonly steps: number
  /** Tokens sampled. */
  readonly tokens: number
  readonly seconds: number
  /** Of solve episodes. */
  readonly outcomes: Readonly<Record<Outcome, number>>
  /** Lifecycles that a timeout or an error ended. */
  readonly lost: number
  /** False when a time limit of the wall clock has ended something. */
  readonly deterministic: boolean
  readonly digest: string
}

export const simulate = Effect.fnUntraced(function* <E, R>(taskSet: TaskSet, options: SimulationOptions<E, R>) {
  const { concurrency, lifecycles, onLifecycle, packSize, seed } = options
  const settings = { ...options.settings, style: (yield* Policy).style }
  const clock = yield* Clock.Clock
  const started = clock.currentTimeMillisUnsafe()
  const outcomes = { success: 0, failure: 0, truncated: 0, malformed: 0, timeout: 0, error: 0 }
  const digest = makeDigest()
  let steps = 0
  let tokens = 0
  let lost = 0
  let deterministic = true
  const count = (lifecycle: Lifecycle) => {
    const fault = faultOf(lifecycle)
    if (fault !== undefined) lost++
    if (fault?.outcome === "timeout") deterministic = false
    for (const episode of lifecycle.episodes) {
      if (episode.kind === "solve") outcomes[episode.outcome]++
      steps += episode.steps.length
      for (const step of episode.steps) tokens += step.tokens.length
    }
    digest.add(lifecycle)
  }
  const planOf = (first: number): Plan => {
    const packs = freshPacks(taskSet, { phase: "eval", baseSeed: seed, epoch: 0, count: 1, size: packSize, first })
    return { pack: packs[0]!, run: 0, settings }
  }
  yield* Stream.range(0, lifecycles - 1).pipe(
    Stream.mapEffect(
      (number) => {
        const plan = planOf(number)
        return Effect.map(runLifecycle(plan), (lifecycle) => ({ lifecycle, plan }))
      },
      { concurrency }
    ),
    Stream.runForEach(({ lifecycle, plan }) => {
      count(lifecycle)
      return onLifecycle(lifecycle, plan)
    })
  )
  const seconds = (clock.currentTimeMillisUnsafe() - started) / 1000
  const simulation: Simulation = { steps, tokens, seconds, outcomes, lost, deterministic, digest: digest.hex() }
  return simulation
})
