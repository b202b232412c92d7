/**
 * Returns: what follows an episode, averaged or summed (specification, section 3; CoD, arXiv 2606.20002, appendix A).
 *
 *   solve episode j:   R^x_j over [ r_j, r_{j+1}, ..., r_{S-1} ]
 *   update episode j:  R^z_j over [ rho, r_{j+1}, ..., r_{S-1} ]     (j here is the paper's index minus 1)
 *
 * An update never gets credit for the task that it has just seen.
 */
import type { Experience } from "./estimator.ts"

export interface ReturnOptions {
  /** `mean` of all of the list, `sliding_window_mean` of its first `window` entries, `discounted` sum, not normalised. */
  readonly returns: "mean" | "sliding_window_mean" | "discounted"
  /** At least 1 for `sliding_window_mean`; -1 stands for unset. The own reward of an update counts as its first entry. */
  readonly window: number
  /** In [0, 1], for `discounted`. gamma^0 is 1 for gamma 0 too. */
  readonly gamma: number
}

/** The return of one experience over the first `tasks` tasks. A solve episode needs `index < tasks`. */
export const returnOf = (
  experience: Experience,
  { returns, window, gamma }: ReturnOptions,
  tasks = experience.taskRewards.length
): number => {
  const { taskRewards, index } = experience
  const own = experience.kind === "solve" ? taskRewards[index]! : experience.reward
  const entries = returns === "sliding_window_mean" ? window : Infinity
  const end = Math.min(tasks, index + entries)
  let sum = own
  if (returns === "discounted") {
    let weight = 1
    for (let i = index + 1; i < end; i++) sum += (weight *= gamma) * taskRewards[i]!
    return sum
  }
  for (let i = index + 1; i < end; i++) sum += taskRewards[i]!
  return sum / Math.max(1, end - index)
}
