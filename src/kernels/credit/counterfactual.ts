/**
 * Counterfactual credit: an update against its siblings, other contexts sampled from the very same state.
 *
 * Runs of a pack differ in their histories long before an update, and the mean over runs puts what those histories are worth
 * on the update's account. Siblings share their past bit for bit, so what they are worth is all that differs but chance:
 *
 *   update with siblings        return over the tasks that all siblings have lived, minus the siblings' mean
 *   solve, update without any   as causal credit, among runs of the pack that have as many tasks to come
 *
 * Branches end early where their horizon is short. A mean of two tasks and a mean of four are no votes on the same thing, so
 * runs with fewer tasks to come are compared among themselves. Without forks and with lifecycles of equal lengths this is
 * causal credit to the bit. Filtering, returns, baseline, weighting and shift have the options of causal credit.
 */
import { causalBy, type CausalOptions, type Comparison } from "./causal.ts"
import { type Credit, type Experience, refuse } from "./estimator.ts"

export const counterfactual = (experiences: ReadonlyArray<Experience>, given: Partial<CausalOptions> = {}): Credit =>
  causalBy(experiences, given, siblings)

const siblings = (kept: ReadonlyArray<Experience>): Comparison => {
  const lived = new Map<string, number>()
  for (const experience of kept) {
    const { fork, id, kind, taskRewards } = experience
    if (fork === undefined) continue
    if (kind !== "update") refuse(id, "fork", fork, "none: only updates have siblings")
    const among = nameOf(experience)
    lived.set(among, Math.min(lived.get(among) ?? Infinity, taskRewards.length))
  }
  return (experience) => {
    const among = nameOf(experience)
    return { among, tasks: lived.get(among) ?? experience.taskRewards.length }
  }
}

/** Never text that two different groups could share. */
const nameOf = ({ fork, pack, taskRewards }: Experience): string =>
  JSON.stringify(fork === undefined ? [pack, taskRewards.length] : [pack, fork, "fork"])
