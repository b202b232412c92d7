/**
 * Planted credit: small synthetic lifecycles whose true causal effects are known in closed form.
 *
 * Every episode makes one binary choice, better or worse with equal odds. The reward of task l is
 *
 *   r_l = sum over episodes e of effect(e, l) (choice_e - 1/2) + drift_l + noise
 *
 * so the true credit of an episode, all later rewards taken together, is (choice - 1/2) (own effect + sum over l of
 * effect(e, l)). Estimators see rewards only. Credit of the right size and sign from them, at few runs and much noise, is
 * what is asked. A lifecycle may fork at its updates, as in counterfactual rollouts; an episode
 * costs one token.
 */
import type { Stream } from "../random.ts"
import type { Credit, Experience } from "./estimator.ts"

export const families = ["chain", "delayed", "decoy", "drift", "discovery", "costly"] as const
export type Family = (typeof families)[number]

export interface PlantedOptions {
  readonly family: Family
  /** Runs of a pack, at least 1. */
  readonly groupSize: number
  /** Tasks of a lifecycle, at least 1. */
  readonly packSize: number
  /** Standard deviation of the noise on each reward. */
  readonly noise: number
  /** Alternatives sampled from the state at each update, the run's own among them; default 1, no branches. */
  readonly alternatives?: number
  /** Tasks that a branch lives; default 0, all that are left. */
  readonly horizon?: number
  /** Tokens of an attempt that chose worse; default 1, as of every other episode. */
  readonly failureTokens?: number
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
  drift: (kind, index, later) => effects.chain(kind, index, later),
  // What an attempt finds out pays in all later tasks; how it is written down matters less than that it was found.
  discovery: (kind, index, later) => (kind === "solve" ? 0.9 ** (later - index) : 0.3 * 0.8 ** (later - index - 1)),
  costly: (kind, index, later) => effects.chain(kind, index, later)
}

/** What a better choice adds to the own reward of an update: a good context of the family costly is paid for. */
const ownEffect = (family: Family, kind: Kind): number => (family === "costly" && kind === "update" ? -0.3 : 0)

/** True credit of an episode that chose well; of one that did not, its negative. */
export const trueCredit = ({ family, packSize }: PlantedOptions, kind: Kind, index: number): number => {
  let total = ownEffect(family, kind)
  for (let later = kind === "solve" ? index : index + 1; later < packSize; later++)
    total += effects[family](kind, index, later)
  return total / 2
}

/** Tokens that a run costs with its branches: one an episode. */
export const tokensOfRun = ({ alternatives = 1, horizon = 0, packSize }: PlantedOptions): number => {
  let tokens = 2 * packSize - 1
  for (let left = 1; left < packSize; left++)
    tokens += (alternatives - 1) * 2 * (horizon === 0 ? left : Math.min(horizon, left))
  return tokens
}

export interface Planted extends Experience {
  /** True credit of this very episode. */
  readonly truth: number
}

/** A lifecycle as far as it was lived. An update follows every solve but the last. */
interface Life {
  readonly solves: ReadonlyArray<number>
  readonly updates: ReadonlyArray<number>
  readonly rewards: ReadonlyArray<number>
  /** How much harder or easier tasks have become, by task. */
  readonly drifts: ReadonlyArray<number>
}

const unborn: Life = { solves: [], updates: [], rewards: [], drifts: [] }

/** Goes on with a life, of which as many updates are given as solves or one fewer, until so many tasks are solved. */
const live = (rng: Stream, { family, noise }: PlantedOptions, given: Life, tasks: number): Life => {
  const solves = [...given.solves]
  const updates = [...given.updates]
  const rewards = [...given.rewards]
  const drifts = [...given.drifts]
  while (solves.length < tasks) {
    if (updates.length < solves.length) {
      updates.push(family === "decoy" && rng.uniform() < 0.8 ? solves.at(-1)! : rng.int(0, 1))
    }
    const later = solves.push(rng.int(0, 1)) - 1
    const drift = (drifts.at(-1) ?? 0) + (family === "drift" ? 0.3 * rng.normal() : 0)
    const sum = (kind: Kind, choices: ReadonlyArray<number>) =>
      choices.reduce((all, choice, index) => all + effects[family](kind, index, later) * (choice - 0.5), 0)
    drifts.push(drift)
    rewards.push(sum("solve", solves) + sum("update", updates) + drift + noise * rng.normal())
  }
  return { solves, updates, rewards, drifts }
}

/** One pack of a family: all its runs and their branches, one model call an episode. */
export const plant = (rng: Stream, options: PlantedOptions): ReadonlyArray<Planted> => {
  const { alternatives = 1, failureTokens = 1, family, groupSize, horizon = 0, packSize } = options
  const planted: Array<Planted> = []
  let run = 0
  /** The episodes of a life from an update on; of a branch that update has siblings, of a run all have. */
  const add = (life: Life, of: number, branchedAt?: number): void => {
    const { rewards, solves, updates } = life
    const number = run++
    const add = (kind: Kind, choice: number, index: number): void => {
      const forks = kind === "update" && alternatives > 1 && (branchedAt === undefined || index === branchedAt)
      planted.push({
        id: `${number}/${kind}/${index}`,
        pack: "planted",
        taskset: 0,
        run: number,
        kind,
        index,
        step: 0,
        reward: kind === "solve" ? rewards[index]! : ownEffect(family, kind) * (choice - 0.5),
        totalReward: rewards.reduce((a, b) => a + b),
        taskRewards: rewards,
        responseTokens: kind === "solve" && choice === 0 ? failureTokens : 1,
        ...(forks ? { fork: `${of}/${index}` } : {}),
        truth: (choice === 1 ? 1 : -1) * trueCredit(options, kind, index)
      })
    }
    solves.forEach((choice, index) => {
      if (branchedAt === undefined || index > branchedAt) add("solve", choice, index)
      if (index < updates.length && index >= (branchedAt ?? 0)) add("update", updates[index]!, index)
    })
  }
  const runs = Array.from({ length: groupSize }, () => live(rng, options, unborn, packSize))
  runs.forEach((life) => add(life, run))
  runs.forEach(({ drifts, rewards, solves, updates }, of) => {
    for (let index = 0; index < packSize - 1; index++) {
      const past = {
        solves: solves.slice(0, index + 1),
        updates: updates.slice(0, index),
        rewards: rewards.slice(0, index + 1),
        drifts: drifts.slice(0, index + 1)
      }
      const tasks = horizon === 0 ? packSize : Math.min(packSize, index + 1 + horizon)
      for (let branch = 1; branch < alternatives; branch++) add(live(rng, options, past, tasks), of, index)
    }
  })
  return planted
}

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
  /** Tokens generated for each score. */
  readonly tokensPerScore: number
}

/**
 * Scores many groups. What an episode is worth depends on kind, position and choice only, so errors are averaged there.
 *
 * @param only the kind of episodes whose scores are held against the truth; default both
 */
export const measure = (
  options: PlantedOptions,
  groups: number,
  streamOf: (group: number) => Stream,
  estimate: (experiences: ReadonlyArray<Experience>) => Credit,
  only?: Kind
): Accuracy => {
  const cells = new Map<string, { readonly truth: number; readonly scores: Array<number> }>()
  let tokens = 0
  for (let group = 0; group < groups; group++) {
    const planted = plant(streamOf(group), options)
    const scores = new Map(estimate(planted).experiences.map(({ id, score }) => [id, score]))
    for (const { responseTokens } of planted) tokens += responseTokens
    for (const { id, kind, index, truth } of planted) {
      if (only !== undefined && kind !== only) continue
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
    correlation: count === 0 || squares === 0 || truths === 0 ? 0 : products / Math.sqrt(truths * squares),
    tokensPerScore: count === 0 ? 0 : tokens / count
  }
}
