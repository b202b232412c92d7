/**
 * Awkward groups of lifecycles, drawn from a named stream: the same seed and number always give the same case.
 *
 * Every trait is drawn per case and applied to all of it, so that a case is about something: ragged lengths, missing
 * episodes, flags, ties, tokens that grow with failure, names that run into each other when they are glued together.
 */
import { stream, type Stream } from "../../random.ts"
import { causalDefaults, type CausalOptions } from "../causal.ts"
import type { Experience, RunExperience } from "../estimator.ts"
import type { GrpoOptions } from "../grpo.ts"

/** What the options of the specification are; estimators claim no others. */
export type PublishedOptions = Omit<CausalOptions, "baseline" | "redStrict" | "dropZeroScores">

export interface CausalCase {
  readonly mode: "causal"
  readonly options: PublishedOptions
  readonly experiences: ReadonlyArray<Experience>
}

export interface GrpoCase {
  readonly mode: "grpo"
  readonly options: GrpoOptions
  readonly experiences: ReadonlyArray<RunExperience>
}

export type FuzzCase = CausalCase | GrpoCase

/** Case number `number` of a seed. */
export const generate = (mode: FuzzCase["mode"], seed: number, number: number): FuzzCase => {
  const rng = stream(seed, "credit fuzz", mode, number)
  const traits = drawTraits(rng)
  const experiences = arrive(rng, traits, lifecycles(rng, traits))
  if (mode === "causal") return { mode, options: causalOptions(rng, traits, experiences), experiences }
  return {
    mode,
    options: grpoOptions(rng),
    // Judges are no part of standard GRPO.
    experiences: experiences.map(({ id, pack, run, step, reward, responseTokens, taskRewards }) => ({
      id,
      pack,
      run,
      step,
      reward,
      totalReward: taskRewards.reduce((a, b) => a + b, 0),
      responseTokens
    }))
  }
}

const chance = (rng: Stream, probability: number): boolean => rng.uniform() < probability

interface Traits {
  readonly packs: ReadonlyArray<{ readonly name: string; readonly taskset: number }>
  readonly runs: (rng: Stream) => ReadonlyArray<number>
  readonly tasks: number
  /** Lifecycles that end early. */
  readonly ragged: number
  readonly missingUpdates: number
  readonly missingSolves: number
  /** Most model calls of a solve episode. */
  readonly steps: number
  /** Update episodes recorded twice, with rewards of their own. */
  readonly twice: number
  readonly reward: (rng: Stream) => number
  readonly own: (rng: Stream) => number
  readonly tokens: (rng: Stream, reward: number) => number
  readonly flags: "none" | "own" | "run" | "one" | "all"
  readonly arrival: "in order" | "interleaved" | "reversed" | "round robin" | "shuffled"
}

/** Names that collide when they are joined, trimmed, normalised, lower-cased or read as numbers: mostly neighbours. */
const names = [
  ..."p p1 p11 p_1 p_11 p_solve p_solve_0 p_solve_1 p_update_0 psolve P p".split(" "),
  "p ",
  "p/1",
  "p,1",
  "p:1",
  "p|1",
  ..."0 00 1 11 10 1_1 batch null".split(" "),
  " ",
  "e\u0301",
  "é",
  "É"
]

const drawTraits = (rng: Stream): Traits => {
  const count = rng.pick([1, 1, 1, 1, 2, 2, 2, 3, 3, 5])
  const tasksets = rng.pick([[0], [0, 1], [1, 11, 0], [2, 10]])
  const long = chance(rng, 0.08)
  // A number glued to a name runs into another name where it has two digits, as positions of long lifecycles have.
  const at = long ? rng.int(0, 1) : rng.int(0, names.length - 1)
  const chosen = chance(rng, 0.6)
    ? Array.from({ length: count }, (_, i) => `p${i}`)
    : Array.from({ length: count }, (_, i) => names[(at + i) % names.length]!)
  const size = chance(rng, 0.02) ? 16 : rng.pick([1, 2, 2, 2, 3, 3, 4, 5, 8])
  const sparse = chance(rng, 0.25)
  return {
    packs: chosen.map((name) => ({ name, taskset: rng.pick(tasksets) })),
    runs: (rng) => {
      const actual = chance(rng, 0.15) ? rng.int(chance(rng, 0.1) ? 0 : 1, size) : size
      return sparse
        ? rng.shuffle([0, 1, 2, 10, 11, 12, 21, 111, 1e6, 2 ** 31]).slice(0, actual)
        : Array.from({ length: actual }, (_, i) => i)
    },
    tasks: long ? 12 : rng.pick([1, 2, 2, 3, 3, 3, 4, 4, 5]),
    ragged: rng.pick([0, 0, 0, 0.4]),
    missingUpdates: rng.pick([0, 0, 0, 0.3, 1]),
    missingSolves: rng.pick([0, 0, 0, 0.2]),
    steps: long ? 1 : rng.pick([1, 1, 2, 3, 4]),
    twice: rng.pick([0, 0, 0, 0.3]),
    reward: rng.pick<(rng: Stream) => number>([
      (rng) => rng.int(0, 1),
      (rng) => rng.int(0, 1),
      (rng) => rng.int(-8, 8) / 8,
      (rng) => rng.pick([0, 0.1, 0.35, 0.7, 0.9, 0.9875, 1]),
      (rng) => rng.normal(),
      (rng) => rng.normal() * 3,
      (rng) => rng.uniform(),
      (rng) => -rng.uniform(),
      (rng) => rng.normal() * 1e-6,
      (rng) => rng.normal() * 10 ** rng.int(0, 6),
      constant(rng.pick([0, 1, 0.1, 1 / 3, -0.7, 1e6])),
      mostly(rng.pick([0, 0.1, 1 / 3]))
    ]),
    own: rng.pick<(rng: Stream) => number>([
      () => 0,
      (rng) => (chance(rng, 0.3) ? -0.1 : 0),
      (rng) => rng.int(-4, 4) / 8,
      (rng) => rng.normal()
    ]),
    tokens: rng.pick<(rng: Stream, reward: number) => number>([
      constant(rng.int(1, 50)),
      (rng) => rng.int(1, 20),
      (rng) => rng.int(1, 200),
      (rng, reward) => Math.max(1, Math.round(40 / (1 + Math.exp(4 * reward))) + rng.int(0, 3)),
      (rng, reward) => Math.max(1, Math.round(60 / (1 + Math.exp(4 * reward))) + rng.int(0, 9)),
      (rng, reward) => Math.max(1, Math.round(40 / (1 + Math.exp(-4 * reward)))),
      (rng) => rng.int(0, 2),
      (rng) => 10 ** rng.int(0, 9),
      // Sums of scores within some billionths of 0: about where they count as 0.
      (rng) => 1e9 + rng.int(0, 8),
      constant(0)
    ]),
    flags: rng.pick(["none", "none", "none", "none", "own", "run", "one", "all"] as const),
    arrival: rng.pick([
      "in order",
      "in order",
      "interleaved",
      "interleaved",
      "reversed",
      "round robin",
      "shuffled"
    ] as const)
  }
}

const constant = (value: number) => () => value
const mostly = (value: number) => (rng: Stream) => (chance(rng, 0.8) ? value : value + rng.int(-2, 2) / 4)

type Unnamed = Omit<Experience, "id">

/** The lifecycles of all packs, each a list of experiences in the order in which it lived. */
const lifecycles = (rng: Stream, traits: Traits): ReadonlyArray<ReadonlyArray<Unnamed>> =>
  traits.packs.flatMap(({ name, taskset }) =>
    traits.runs(rng).map((run) => {
      const length = chance(rng, traits.ragged) ? rng.int(1, traits.tasks) : traits.tasks
      const taskRewards = Array.from({ length }, () => traits.reward(rng))
      const flagRun = traits.flags === "run" && chance(rng, 0.3)
      return taskRewards.flatMap((reward, index) => {
        const add = (kind: Experience["kind"], own: number, step: number): Unnamed => ({
          pack: name,
          taskset,
          run,
          kind,
          index,
          step,
          reward: own,
          taskRewards,
          responseTokens: traits.tokens(rng, own),
          ...flagOf(rng, traits.flags, flagRun)
        })
        const solves = chance(rng, traits.missingSolves) ? 0 : rng.int(1, traits.steps)
        const last = index === length - 1
        const updates = last || chance(rng, traits.missingUpdates) ? 0 : chance(rng, traits.twice) ? 2 : 1
        return [
          ...Array.from({ length: solves }, (_, step) => add("solve", reward, step)),
          ...Array.from({ length: updates }, (_, step) => add("update", traits.own(rng), step))
        ]
      })
    })
  )

const flagOf = (rng: Stream, flags: Traits["flags"], flagRun: boolean): Pick<Experience, "flag"> => {
  if (flags === "all" || flagRun) return { flag: "trajectory" }
  if (flags === "own" && chance(rng, 0.15)) return { flag: "own" }
  if (flags === "one" && chance(rng, 0.15)) return { flag: rng.pick(["own", "trajectory"] as const) }
  return {}
}

/** The order in which experiences reach the estimator, and their names. All orders but `shuffled` keep each run's own. */
const arrive = (
  rng: Stream,
  { arrival }: Traits,
  lists: ReadonlyArray<ReadonlyArray<Unnamed>>
): ReadonlyArray<Experience> => {
  const ordered = (): ReadonlyArray<Unnamed> => {
    switch (arrival) {
      case "in order":
        return lists.flat()
      case "reversed":
        return lists.toReversed().flat()
      case "round robin": {
        const longest = Math.max(0, ...lists.map((list) => list.length))
        return Array.from({ length: longest }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat()
      }
      case "interleaved": {
        const waiting = lists.map((list) => [...list]).filter((list) => list.length > 0)
        const arrived: Array<Unnamed> = []
        while (waiting.length > 0) {
          const at = rng.int(0, waiting.length - 1)
          arrived.push(waiting[at]!.shift()!)
          if (waiting[at]!.length === 0) waiting.splice(at, 1)
        }
        return arrived
      }
      case "shuffled":
        return rng.shuffle(lists.flat())
    }
  }
  return ordered().map((experience, i) => ({ id: `e${i}`, ...experience }))
}

/** Above it a score times exp(700), the largest weight there is, is no number any more. */
const largestWeighted = 8_000

const causalOptions = (rng: Stream, { tasks }: Traits, experiences: ReadonlyArray<Experience>): PublishedOptions => {
  const { baseline: _, redStrict: __, dropZeroScores: ___, ...neutral } = causalDefaults
  const returns = rng.pick(["mean", "mean", "sliding_window_mean", "discounted"] as const)
  const weighted = experiences.every(
    ({ reward, taskRewards }) => Math.abs(reward) + taskRewards.reduce((a, b) => a + Math.abs(b), 0) <= largestWeighted
  )
  return {
    ...neutral,
    returns,
    window: returns === "sliding_window_mean" ? rng.pick([1, 2, 3, rng.int(1, tasks + 2), 50]) : -1,
    gamma: returns === "discounted" ? rng.pick([0, 0.5, 0.9, 1, rng.uniform()]) : 1,
    redTemperature: weighted ? rng.pick([null, null, null, 0, 0.25, 0.8, 1, 5, 0.05 + rng.uniform() * 10]) : null,
    redAdaptive: weighted && chance(rng, 0.5),
    redLevel: rng.pick(["batch", "task", "taskset"] as const),
    advantageShift: chance(rng, 0.3)
  }
}

const grpoOptions = (rng: Stream): GrpoOptions => ({
  rewardField: rng.pick(["reward", "totalReward"] as const),
  stdLevel: rng.pick(["group", "batch", "none"] as const),
  epsilon: rng.pick([1e-6, 1e-6, 1e-3, 1]),
  stdThreshold: rng.pick([null, null, 0, 1e-4, 0.3, 0.5]),
  stepNorm: chance(rng, 0.3)
})
