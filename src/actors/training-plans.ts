/** What a training run plans to live, batch by batch: it follows from the configuration alone. */
import { defaultSettings, type Settings } from "../machines/lifecycle.ts"
import type { Plan } from "./lifecycle.ts"
import { freshPacks, planGroups, shareOf, type TaskSet } from "./rollout.ts"
import type { TrainingConfig } from "./training-config.ts"

export const trainingSettings = ({ rollout, style }: TrainingConfig): Settings => ({
  ...defaultSettings,
  style,
  temperature: rollout.temperature,
  maxTokens: rollout.maxTokens,
  ...(rollout.tokenLimit === 0 ? {} : { tokenLimit: rollout.tokenLimit }),
  replyMillis: 1000 * rollout.replySeconds,
  onParseFailure: rollout.onParseFailure,
  updatePenalty: { coefficient: rollout.updatePenalty }
})

/** The lifecycles of a batch, group by group, the task sets mixed evenly. */
export const planBatch = (taskSets: ReadonlyArray<TaskSet>, config: TrainingConfig, batch: number): Array<Plan> => {
  const { rollout, seed } = config
  const settings = trainingSettings(config)
  let first = 0
  return taskSets.flatMap((taskSet, place) => {
    const count = shareOf(rollout.packs, taskSets.length, place)
    const at = { phase: "train", baseSeed: seed, epoch: batch, first, count, size: rollout.packSize } as const
    first += count
    return planGroups(freshPacks(taskSet, at), rollout.groupSize, settings)
  })
}
