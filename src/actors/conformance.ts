/**
 * Whether an environment keeps its promises: a list of named checks, each with what it found.
 *
 * The checks play the environment as the engine would, with its own scripted agents, on packs that a seed names. They
 * know nothing of any particular environment. What an environment throws while it is checked is a finding.
 */
import { Effect } from "effect"
import type { Environment } from "../environment.ts"
import { agentChecks, live } from "./conformance-agents.ts"
import { specimen, type Specimen, type Verdict } from "./conformance-specimen.ts"
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

const checks: Readonly<Record<string, (specimen: Specimen) => Verdict>> = {
  ...stateChecks,
  ...viewChecks,
  ...agentChecks
}

export const checkEnvironment = Effect.fnUntraced(function* (
  environment: Environment,
  options: unknown,
  at: { readonly packs: number; readonly packSize: number; readonly seed: number },
  elsewhere: Elsewhere
) {
  const subject = specimen({ id: 0, environment, options }, at, live)
  // First of all, while no other check can have left anything behind.
  const results: Array<Check> = [{ id: "isolation", ...(yield* checkStates.isolation(subject)) }]
  for (const [id, check] of Object.entries(checks)) {
    results.push({ id, ...guarded(() => check(subject)) })
    yield* Effect.yieldNow
  }
  results.push({ id: "elsewhere", ...(yield* checkStates.elsewhere(subject, elsewhere)) })
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
