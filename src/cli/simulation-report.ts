/** What `simulate` says: where it stands while it goes on, and what came of it. */
import { Clock, Effect, Schedule } from "effect"
import type { Lag } from "../actors/lag.ts"
import type { Simulation } from "../actors/simulate.ts"
import type { Standing } from "../actors/simulation-shards.ts"
import type { Faults } from "../actors/tally.ts"
import type { Operation } from "../environment.ts"
import { count, progress } from "./progress.ts"

/** A simulation that has come to its end. */
export interface Simulated extends Omit<Simulation, "done"> {
  readonly environment: string
  /** The operators around it; absent where there are none. */
  readonly dynamics?: ReadonlyArray<Operation>
  readonly preset: string
  readonly policy: string
  readonly lifecycles: number
  readonly concurrency: number
  readonly shards: number
  readonly isolation: string
  readonly seed: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly lifecyclesPerSecond: number
  readonly stepsPerSecond: number
  readonly tokensPerSecond: number
  readonly peakRssBytes: number
  readonly rssBytesByTenth: ReadonlyArray<number>
  readonly eventLoopLagMillis: Lag
  /** Lifecycles that were known already. */
  readonly resumedAt?: number
  /** Lifecycles whose traces are not on the disk, and why; absent where all are, or none were wanted. */
  readonly untraced?: { readonly lifecycles: number; readonly why: string }
}

/** Looked at so often; what is shown is decided by the progress line. */
const everyMillis = 200

/** Shows where a simulation stands until the scope closes. */
export const showStandings = Effect.fnUntraced(function* (
  standing: () => Standing,
  whole: { readonly lifecycles: number; readonly packSize: number; readonly concurrency: number }
) {
  const { concurrency, lifecycles, packSize } = whole
  const { report } = yield* progress()
  const clock = yield* Clock.Clock
  const started = clock.currentTimeMillisUnsafe()
  const before = standing()
  const show = Effect.suspend(() => {
    const { done, lost, steps, tasks, tokens } = standing()
    const seconds = (clock.currentTimeMillisUnsafe() - started) / 1000
    if (seconds < 2) return Effect.void
    const rate = (amount: number) => count(amount / seconds)
    // In a wide window all lifecycles end together: their tasks say better than they do how far it is.
    const share = (tasks - before.tasks) / (lifecycles * packSize - before.tasks)
    return report({
      stage: "simulation",
      done,
      total: lifecycles,
      unit: "lifecycle",
      ...(share > 0 ? { secondsLeft: seconds / share - seconds } : {}),
      details: [
        `${rate(done - before.done)} lifecycles/s`,
        `${rate(steps - before.steps)} steps/s`,
        ...(tokens === before.tokens ? [] : [`${rate(tokens - before.tokens)} tokens/s`]),
        `${Math.min(concurrency, lifecycles - done)} in flight`,
        `${lost} failed`
      ]
    })
  })
  yield* Effect.addFinalizer(() => show)
  yield* Effect.repeat(show, Schedule.spaced(everyMillis)).pipe(Effect.forkScoped)
})

const faultNames: Record<keyof Faults, string> = {
  hungEnvironment: "lifecycles lost to an environment that took too long",
  brokenEnvironment: "lifecycles lost to an environment that failed",
  silentPolicy: "lifecycles lost to a policy that did not answer in time",
  failedPolicy: "lifecycles lost to a policy that could not answer",
  lostThread: "lifecycles lost to a thread that ended",
  unreadableAnswers: "solve episodes ended by an answer that could not be read",
  unreadableContexts: "update episodes whose reply could not be read",
  emptyReplies: "empty replies",
  cutReplies: "replies cut off at their greatest length"
}

export const describe = (result: Simulated): string => {
  const { concurrency, eventLoopLagMillis: lag, faults, lifecycles, outcomes, seconds, shards, untraced } = result
  const rates = [
    `${count(result.lifecyclesPerSecond)} lifecycles/s`,
    `${count(result.stepsPerSecond)} steps/s`,
    ...(result.tokens === 0 ? [] : [`${count(result.tokensPerSecond)} tokens/s`])
  ]
  const counted = Object.entries(outcomes).flatMap(([name, n]) => (n === 0 ? [] : [`${n} ${name}`]))
  return [
    `${result.policy} on ${result.environment}: ${lifecycles} lifecycles, ${concurrency} in flight${
      shards === 1 ? "" : ` in ${shards} shards`
    }, seed ${result.seed}`,
    `${result.steps} steps in ${seconds.toFixed(1)} s: ${rates.join(", ")}, at most ${(result.peakRssBytes / 2 ** 20).toFixed(0)} MiB`,
    `outcomes: ${counted.join(", ")}`,
    ...Object.entries(faultNames).flatMap(([name, words]) =>
      faults[name as keyof Faults] === 0 ? [] : [`${faults[name as keyof Faults]} ${words}`]
    ),
    ...(untraced === undefined ? [] : [`${untraced.lifecycles} lifecycles without traces: ${untraced.why}`]),
    `the event loop was late by ${lag.p50} ms (median), ${lag.p99} ms (99 of 100), ${lag.max} ms (at most)`,
    `digest ${result.digest}${result.deterministic ? "" : " (time limits were reached: not repeatable)"}`
  ].join("\n")
}
