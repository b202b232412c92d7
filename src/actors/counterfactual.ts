/**
 * The rollout of counterfactual credit: at every update of a lifecycle other contexts are sampled from the same state, and
 * each is lived with for some tasks, with the updates in between.
 *
 * The lifecycle's own update is one of the M alternatives, so M - 1 branches leave it at each update; whatever they sample is
 * trained like anything else. With S tasks and a horizon of K a lifecycle costs S solves and S - 1 updates, and its branches
 * at the update of index j (M - 1) k solves and as many updates, k = min(K, S - 1 - j): equal numbers of lifecycles are not
 * equal numbers of tokens.
 */
import { Effect } from "effect"
import type { Lifecycle } from "../machines/episode.ts"
import type { Policy } from "../policies/policy.ts"
import { forkPlan } from "./fork.ts"
import { lifecycleId, type Plan } from "./lifecycle.ts"
import { rollout, type Rollout, type RolloutOptions } from "./rollout.ts"

export interface Counterfactual {
  /** Contexts sampled from one state (M), the lifecycle's own among them; 1 for no branches. */
  readonly alternatives: number
  /** Tasks that a branch lives (K); 0 for all that are left. */
  readonly horizon: number
}

/** The branches of a lifecycle that was lived by `plan`: by update, then by number. */
export const alternativesOf = (
  plan: Plan,
  lifecycle: Lifecycle,
  { alternatives, horizon }: Counterfactual
): Array<Plan> => {
  const { baseSeed: seed, size } = plan.pack
  return lifecycle.episodes
    .filter(({ kind }) => kind === "update")
    .flatMap(({ index: position, kind }) =>
      Array.from({ length: alternatives - 1 }, (_, i) => ({
        ...forkPlan(plan, lifecycle, { kind, position, seed, branch: i + 1 }),
        tasks: horizon === 0 ? size : Math.min(size, position + 1 + horizon)
      }))
    )
}

/**
 * Lives all plans, then the branches of those that survived, which come after them in the same order. A branch that is lost
 * for good leaves its siblings one fewer; a group that is dropped has no branches.
 */
export const rolloutWithAlternatives: <E = never>(
  plans: ReadonlyArray<Plan>,
  options: RolloutOptions<E>,
  counterfactual: Counterfactual
) => Effect.Effect<Rollout, E, Policy> = Effect.fnUntraced(function* (plans, options, counterfactual) {
  const lived = yield* rollout(plans, options)
  if (counterfactual.alternatives === 1) return lived
  const planOf = new Map(plans.map((plan) => [lifecycleId(plan), plan]))
  const branches = yield* rollout(
    lived.lifecycles.flatMap((lifecycle) => alternativesOf(planOf.get(lifecycle.id)!, lifecycle, counterfactual)),
    { ...options, minimum: 0 }
  )
  return {
    lifecycles: [...lived.lifecycles, ...branches.lifecycles],
    lost: [...lived.lost, ...branches.lost],
    dropped: lived.dropped
  }
})
