/**
 * PPO-style training on rewards-to-go (specification, section 12): each experience's reward becomes its computed return,
 * so that a critic can be trained on it. Nothing else is touched.
 */
import type { Credit, Experience } from "./estimator.ts"

/** The experiences that were scored, in arrival order, with their returns for rewards; what was dropped stays away. */
export const returnRewards = (experiences: ReadonlyArray<Experience>, credit: Credit): ReadonlyArray<Experience> => {
  const returns = new Map(credit.experiences.map((scored) => [scored.id, scored.return]))
  return experiences.flatMap((experience) => {
    const reward = returns.get(experience.id)
    return reward === undefined ? [] : [{ ...experience, reward }]
  })
}
