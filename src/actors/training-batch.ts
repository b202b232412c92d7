/** What a training run lives for one policy update: it follows from the configuration, and from what the policy replies. */
import { Effect } from "effect"
import type { Settings } from "../machines/lifecycle.ts"
import type { Policy } from "../policies/policy.ts"
import { rolloutWithAlternatives } from "./counterfactual.ts"
import { lifecycleSettings } from "./lifecycle-config.ts"
import type { Plan } from "./lifecycle.ts"
import { freshPacks, planGroups, type Rollout, type RolloutOptions, shareOf, type TaskSet } from "./rollout.ts"
import type { TrainingConfig } from "./training-config.ts"

export const trainingSettings = ({ rollout, style }: TrainingConfig): Settings => ({
  ...lifecycleSettings(rollout, rollout.temperature),
  style
})

/** The lifecycles of a batch, group by group, the task sets mixed evenly. */
const planBatch = (taskSets: ReadonlyArray<TaskSet>, config: TrainingConfig, batch: number): Array<Plan> => {
  const { rollout, seed } = config
  const settings = trainingSettings(config)
  let first = 0
  return taskSets.flatMap((taskSet, place) => {
    const count = shareOf(rollout.packs, taskSets.length, place)
    const { packSeeds: seeds, packSize: size } = rollout
    // Stable seeds come from the tasks' places in an endless data set, of which every batch reads on.
    const start = seeds === "stable" ? batch * rollout.packs + first : first
    const at = { phase: "train", baseSeed: seed, epoch: batch, first: start, count, size, seeds } as const
    first += count
    return planGroups(freshPacks(taskSet, at), rollout.groupSize, settings)
  })
}

/** Lives a batch, branches included. Batches count from 0: the update that learns from one first has the next number. */
export const rolloutBatch = <E = never>(
  taskSets: ReadonlyArray<TaskSet>,
  config: TrainingConfig,
  batch: number,
  options: Pick<RolloutOptions<E>, "journal" | "permits" | "onLifecycle">
): Effect.Effect<Rollout, E, Policy> => {
  const { concurrency, rollout } = config
  const minimum = rollout.minimum === 0 ? undefined : rollout.minimum
  const plans = planBatch(taskSets, config, batch)
  return rolloutWithAlternatives(plans, { ...options, concurrency, minimum }, rollout.counterfactual)
}
