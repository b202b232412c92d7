/**
 * Whether an environment keeps its promises: a list of named checks, each with what it found.
 *
 * The checks play the environment as the engine would, with its own scripted agents, on packs that a seed names. They
 * know nothing of any particular environment. What an environment throws while it is checked is a finding.
 */
import { Effect } from "effect"
import type { Environment } from "../environment.ts"
import { agentChecks, live } from "./conformance-agents.ts"
import { type Sampling, specimen, type Specimen, type Verdict } from "./conformance-specimen.ts"
import { checkStates, type Resumption, stateChecks } from "./conformance-states.ts"
import { viewChecks } from "./conformance-views.ts"

export interface Check {
  readonly id: string
  readonly passed: boolean
  /** Passed, but an author should look at it. */
  readonly warning: boolean
  readonly message: string
  readonly evidence: unknown
}

/** Goes on with saved episodes somewhere else, in another process say, and tells how they ended. */
export type Elsewhere = (resumptions: ReadonlyArray<Resumption>) => Effect.Effect<ReadonlyArray<unknown>>

/** Told how the checks go on. */
export interface CheckNews {
  readonly begins: (id: string) => void
  readonly ends: (check: Check) => void
}

const checks: Readonly<Record<string, (specimen: Specimen) => Verdict>> = {
  ...stateChecks,
  ...viewChecks,
  ...agentChecks
}

export const checkEnvironment = Effect.fnUntraced(function* (
  environment: Environment,
  options: unknown,
  at: Sampling,
  elsewhere: Elsewhere,
  news: CheckNews = { begins: () => {}, ends: () => {} }
) {
  const subject = specimen({ id: 0, environment, options }, at, live)
  const results: Array<Check> = []
  const run = <R>(id: string, verdict: Effect.Effect<Verdict, never, R>) =>
    Effect.suspend(() => {
      news.begins(id)
      return Effect.map(verdict, (found) => {
        const check = { id, ...found }
        results.push(check)
        news.ends(check)
      })
    })
  // First of all, while no other check can have left anything behind.
  yield* run("isolation", checkStates.isolation(subject))
  for (const [id, check] of Object.entries(checks)) {
    yield* run(
      id,
      Effect.sync(() => guarded(() => check(subject)))
    )
    yield* Effect.yieldNow
  }
  yield* run("elsewhere", checkStates.elsewhere(subject, elsewhere))
  return results
})

const guarded = (check: () => Verdict): Verdict => {
  try {
    return check()
  } catch (thrown) {
    const message = `it throws: ${thrown instanceof Error ? thrown.message : String(thrown)}`
    return { passed: false, warning: false, message, evidence: null }
  }
}
