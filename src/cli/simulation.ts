/** What a simulation is made of, opened by name: by the command, and again by each of its worker threads. */
import { Effect, Layer } from "effect"
import type { Living } from "../actors/simulate.ts"
import { Policy } from "../policies/policy.ts"
import type { Setting } from "./config.ts"
import { openTaskSet } from "./environments.ts"
import { lifecycleSettings } from "./lifecycle-config.ts"
import { openPolicy, type PolicyOptions } from "./policy.ts"

/** Plain data: it goes to threads as it is. */
export interface SimulationSetup {
  readonly env: string
  readonly policy: string
  /** Among others those of the environment's options. */
  readonly settings: ReadonlyArray<Setting>
  readonly packSize: number
  readonly seed: number
  readonly temperature: number
  readonly lifecycle: Parameters<typeof lifecycleSettings>[0]
  readonly policyOptions: Omit<PolicyOptions, "environment" | "shards">
}

/** `workers`: model workers of a policy that has some. */
export const openSimulation = Effect.fnUntraced(function* (setup: SimulationSetup, workers: number) {
  const { env, lifecycle, packSize, policy, policyOptions, seed, settings, temperature } = setup
  const taskSet = yield* openTaskSet(env, 0, settings)
  const opened = yield* openPolicy(policy, { ...policyOptions, environment: taskSet.environment, shards: workers })
  const context = yield* Layer.build(opened)
  const { style } = yield* Effect.provide(Policy, context)
  const living: Living = { packSize, seed, settings: { ...lifecycleSettings(lifecycle, temperature), style } }
  return { taskSet, living, layer: context }
})
