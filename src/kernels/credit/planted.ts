/**
 * Planted credit: small synthetic lifecycles whose true causal effects are known in closed form.
 *
 * Every episode makes one binary choice, better or worse with equal odds. The reward of task l is
 *
 *   r_l = sum over episodes e of effect(e, l) (choice_e - 1/2) + drift_l + noise
 *
 * so the true credit of an episode, all later rewards taken together, is (choice - 1/2) sum over l of effect(e, l).
 * Estimators see rewards only. Credit of the right size and sign from them, at few runs and much noise, is what is asked.
 */
import type { Stream } from "../random.ts"
import type { Credit, Experience } from "./estimator.ts"

export const families = ["chain", "delayed", "decoy", "drift"] as const
export type Family = (typeof families)[number]

export interface PlantedOptions {
  readonly family: Family
  /** Runs of a pack, at least 2. */
  readonly groupSize: number
  /** Tasks of a lifecycle, at least 1. */
  readonly packSize: number
  /** Standard deviation of the noise on each reward. */
  readonly noise: number
}

type Kind = Experience["kind"]

/** What a better choice at one episode adds to the reward of task `later`. */
const effects: Record<Family, (kind: Kind, index: number, later: number) => number> = {
  // The quality of a context lasts, and fades.
  chain: (kind, index, later) => (kind === "solve" ? Number(later === index) : 0.6 * 0.8 ** (later - index - 1)),
  // What was written pays off not in the next task but in the one after it.
  delayed: (kind, index, later) => Number(kind === "solve" ? later === index : later === index + 2),
  // A lucky solve makes a confident update: the choice follows the task just seen and harms the next a little.
  decoy: (kind, index, later) => (kind === "solve" ? Number(later === index) : -0.3 * Number(later === index + 1)),
  drift: (kind, index, later) => effects.chain(kind, index, later)
}

/** True credit of an episode that chose well; of one that did not, its negative. */
export const trueCredit = ({ family, packSize }: PlantedOptions, kind: Kind, index: number): number => {
  let total = 0
  for (let later = kind === "solve" ? index : index + 1; later < packSize; later++)
    total += effects[family](kind, index, later)
  return total / 2
}

export interface Planted extends Experience {
  /** True credit of this very episode. */
  readonly truth: number
}

/** One pack of a family: all its runs, one model call an episode. */
export const plant = (rng: Stream, options: PlantedOptions): ReadonlyArray<Planted> =>
  Array.from({ length: options.groupSize }, (_, run) => {
    const { family, packSize, noise } = options
    const solves = Array.from({ length: packSize }, () => rng.int(0, 1))
    const updates = solves
      .slice(0, -1)
      .map((solve) => (family === "decoy" && rng.uniform() < 0.8 ? solve : rng.int(0, 1)))
    let drift = 0
    const taskRewards = solves.map((_, later) => {
      if (family === "drift") drift += 0.3 * rng.normal()
      const sum = (kind: Kind, choices: ReadonlyArray<number>, until: number) =>
        choices
          .slice(0, until)
          .reduce((all, choice, index) => all + effects[family](kind, index, later) * (choice - 0.5), 0)
      return sum("solve", solves, later + 1) + sum("update", updates, later) + drift + noise * rng.normal()
    })
    const totalReward = taskRewards.reduce((a, b) => a + b)
    const episode = (kind: Kind, choice: number, index: number): Planted => ({
      id: `${run}/${kind}/${index}`,
      pack: "planted",
      taskset: 0,
      run,
      kind,
      index,
      step: 0,
      reward: kind === "solve" ? taskRewards[index]! : 0,
      totalReward,
      taskRewards,
      responseTokens: 1,
      truth: (choice === 1 ? 1 : -1) * trueCredit(options, kind, index)
    })
    return solves.flatMap((solve, index) => [
      episode("solve", solve, index),
      ...(index < packSize - 1 ? [episode("update", updates[index]!, index)] : [])
    ])
  }).flat()

/** How well an estimator finds what was planted. Scores are first brought to the scale of the truth by least squares. */
export interface Accuracy {
  /** Root mean square of the error that no number of groups averages away, in units of the truth's. */
  readonly bias: number
  /** Variance of a score around its mean, in units of the truth's mean square. */
  readonly variance: number
  /** Share of scores with the wrong sign, among episodes that have an effect; a score of 0 counts as half. */
  readonly signErrors: number
  /** Of score and truth. */
  readonly correlation: number
}

/** Scores many groups. What an episode is worth depends on kind, position and choice only, so errors are averaged there. */
export const measure = (
  options: PlantedOptions,
  groups: number,
  streamOf: (group: number) => Stream,
  estimate: (experiences: ReadonlyArray<Experience>) => Credit
): Accuracy => {
  const cells = new Map<string, { readonly truth: number; readonly scores: Array<number> }>()
  for (let group = 0; group < groups; group++) {
    const planted = plant(streamOf(group), options)
    const scores = new Map(estimate(planted).experiences.map(({ id, score }) => [id, score]))
    for (const { id, kind, index, truth } of planted) {
      const cell = JSON.stringify([kind, index, truth])
      if (!cells.has(cell)) cells.set(cell, { truth, scores: [] })
      cells.get(cell)!.scores.push(scores.get(id) ?? 0)
    }
  }
  let [count, truths, products, squares, wrong, decided] = [0, 0, 0, 0, 0, 0]
  for (const { truth, scores } of cells.values()) {
    for (const score of scores) {
      count++
      truths += truth * truth
      products += truth * score
      squares += score * score
      if (truth === 0) continue
      decided++
      wrong += score * truth < 0 ? 1 : score === 0 ? 0.5 : 0
    }
  }
  // Every score is 0 on average, over the runs of a key and so over all.
  const scale = products === 0 ? 0 : truths / products
  let [bias, variance] = [0, 0]
  for (const { truth, scores } of cells.values()) {
    const center = scores.reduce((a, b) => a + b) / scores.length
    bias += scores.length * (scale * center - truth) ** 2
    variance += scores.reduce((sum, score) => sum + (scale * (score - center)) ** 2, 0)
  }
  return {
    bias: truths === 0 ? 0 : Math.sqrt(bias / truths),
    variance: truths === 0 ? 0 : variance / truths,
    signErrors: decided === 0 ? 0 : wrong / decided,
    correlation: count === 0 || squares === 0 || truths === 0 ? 0 : products / Math.sqrt(truths * squares)
  }
}
