/**
 * Counterfactual credit. Decisions that are pinned here:
 *
 *  1. The score of an update with siblings depends on its siblings and on nothing else, and they sum to 0.
 *  2. Siblings are compared over the tasks that all of them have lived.
 *  3. Everything else is credited as published, among runs with as many tasks to come.
 *  4. Without forks and with lifecycles of equal lengths it is causal credit to the bit.
 */
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { causal, published } from "../../../src/kernels/credit/causal.ts"
import { counterfactual } from "../../../src/kernels/credit/counterfactual.ts"
import { fuzzOne } from "../../../src/kernels/credit/fuzz/fuzz.ts"
import { CreditError, type Experience } from "../../../src/kernels/credit/estimator.ts"

const episode = (
  [run, kind, index]: readonly [number, Experience["kind"], number],
  taskRewards: ReadonlyArray<number>,
  more: Partial<Experience> = {}
): Experience => ({
  id: `${run}/${kind}/${index}`,
  pack: "p",
  taskset: 0,
  run,
  kind,
  index,
  step: 0,
  reward: kind === "solve" ? taskRewards[index]! : 0,
  taskRewards,
  responseTokens: 1,
  ...more
})

const scoresOf = (experiences: ReadonlyArray<Experience>, options = {}): Record<string, number> =>
  Object.fromEntries(counterfactual(experiences, options).experiences.map(({ id, score }) => [id, score]))

const reward = fc.integer({ min: -8, max: 8 }).map((n) => n / 8)

/** A pack as a counterfactual rollout leaves it: whole runs, and branches of them at each update. */
const rolledOut = fc
  .record({
    pack: fc.constantFrom("p", "q"),
    size: fc.integer({ min: 2, max: 5 }),
    runs: fc.integer({ min: 1, max: 3 }),
    alternatives: fc.integer({ min: 2, max: 4 }),
    horizon: fc.integer({ min: 1, max: 5 }),
    rewards: fc.infiniteStream(reward)
  })
  .map(({ alternatives, horizon, pack, rewards, runs, size }) => {
    const next = (): number => rewards.next().value
    const experiences: Array<Experience> = []
    let number = 0
    const add = (taskRewards: ReadonlyArray<number>, fork: (index: number) => string | undefined, from = -1): void => {
      const run = number++
      const more = { pack, reward: undefined as never }
      taskRewards.forEach((_, index) => {
        const id = (kind: string) => ({ ...more, id: `${pack}/${run}/${kind}/${index}` })
        if (index > from)
          experiences.push(episode([run, "solve", index], taskRewards, { ...id("solve"), reward: taskRewards[index]! }))
        if (index + 1 === taskRewards.length || index < from) return
        const state = fork(index)
        const siblings = state === undefined ? {} : { fork: state }
        experiences.push(
          episode([run, "update", index], taskRewards, { ...id("update"), reward: -Math.abs(next()), ...siblings })
        )
      })
    }
    const lives = Array.from({ length: runs }, () => Array.from({ length: size }, next))
    lives.forEach((life, run) => add(life, (index) => `${run}/${index}`))
    lives.forEach((life, run) => {
      for (let index = 0; index < size - 1; index++) {
        for (let branch = 1; branch < alternatives; branch++) {
          const future = Array.from({ length: Math.min(horizon, size - 1 - index) }, next)
          add([...life.slice(0, index + 1), ...future], (at) => (at === index ? `${run}/${index}` : undefined), index)
        }
      }
    })
    return experiences
  })

const siblingsIn = (experiences: ReadonlyArray<Experience>) => [
  ...Map.groupBy(
    experiences.filter(({ fork }) => fork !== undefined),
    ({ fork, pack }) => `${pack} ${fork}`
  ).values()
]

describe("siblings", () => {
  it("are compared with each other over the tasks that all have lived: by hand", () => {
    const own = episode([0, "update", 0], [1, 0, 1, 1], { fork: "s" })
    const better = episode([1, "update", 0], [1, 1], { fork: "s" })
    const unreadable = episode([2, "update", 0], [1, 0], { fork: "s", reward: -0.1 })
    const other = episode([3, "update", 0], [0, 1, 1, 1], { fork: "t" })
    // Over one task to come: (0 + 0)/2, (0 + 1)/2, (-0.1 + 0)/2, of which the mean is 0.15.
    const scores = scoresOf([own, better, unreadable, other])
    expect(scores["0/update/0"]).toBeCloseTo(0 - 0.15)
    expect(scores["1/update/0"]).toBeCloseTo(0.5 - 0.15)
    expect(scores["2/update/0"]).toBeCloseTo(-0.05 - 0.15)
    expect(scores["3/update/0"]).toBe(0)
  })

  it("score 0 together, with any returns", () => {
    const options = fc.constantFrom(
      {},
      { returns: "discounted", gamma: 0.5 },
      { returns: "sliding_window_mean", window: 2 }
    )
    fc.assert(
      fc.property(rolledOut, options, (experiences, options) => {
        const scores = scoresOf(experiences, options)
        for (const siblings of siblingsIn(experiences)) {
          expect(siblings.reduce((sum, { id }) => sum + scores[id]!, 0)).toBeCloseTo(0, 12)
        }
      }),
      { seed: 1 }
    )
  })

  it("depend on each other and on nothing else: not on other states, packs, kinds, or the shared past", () =>
    fc.assert(
      fc.property(rolledOut, fc.nat(), fc.infiniteStream(reward), (experiences, pick, rewards) => {
        const states = siblingsIn(experiences)
        const chosen = states[pick % states.length]!
        const { fork, index, pack } = chosen[0]!
        const tasks = Math.min(...chosen.map(({ taskRewards }) => taskRewards.length))
        const ids = new Set(chosen.map(({ id }) => id))
        const disturbed = experiences.map((each) => {
          const isSibling = ids.has(each.id)
          const taskRewards = each.taskRewards.map((own, at) =>
            isSibling && at > index && at < tasks ? own : own + rewards.next().value
          )
          return { ...each, taskRewards, reward: isSibling ? each.reward : rewards.next().value }
        })
        const alone = chosen.map((each) => ({ ...each }))
        const stranger = chosen.map((each) => ({ ...each, id: `x${each.id}`, pack: `${pack}${fork}`, reward: 5 }))
        const [before, after, only] = [scoresOf(experiences), scoresOf([...stranger, ...disturbed]), scoresOf(alone)]
        for (const id of ids) {
          expect(after[id]).toBeCloseTo(before[id]!, 12)
          expect(only[id]).toBeCloseTo(before[id]!, 12)
        }
      }),
      { seed: 1 }
    ))

  it("vote once each, and only where no judge has refused them", () => {
    const [a, b] = [episode([0, "update", 0], [0, 1], { fork: "s" }), episode([1, "update", 0], [0, 0], { fork: "s" })]
    const again = { ...a, id: "again", step: 1 }
    // One that ended early would shorten what the others are compared over.
    const refused = episode([2, "update", 0], [0], { fork: "s", flag: "own" as const })
    const credit = counterfactual([a, again, b, refused])
    expect(credit.dropped).toEqual([refused.id])
    expect(credit.experiences.map(({ score }) => score)).toEqual([0.25, 0.25, -0.25])
  })

  it("are no attribute of attempts", () => {
    const solve = episode([0, "solve", 0], [1], { fork: "s" })
    expect(() => counterfactual([solve])).toThrow(CreditError)
    expect(() => counterfactual([solve])).toThrow(`experience "0/solve/0": "fork" is "s", expected none`)
  })
})

describe("everything else", () => {
  it("is credited as published, among runs with as many tasks to come", () => {
    fc.assert(
      fc.property(rolledOut, (experiences) => {
        const scores = scoresOf(experiences)
        const others = experiences.filter(({ fork }) => fork === undefined)
        for (const alike of Map.groupBy(others, ({ taskRewards }) => taskRewards.length).values()) {
          for (const { id, score } of causal(alike).experiences) expect(scores[id]).toBeCloseTo(score, 12)
        }
      }),
      { seed: 1 }
    )
  })

  it("is causal credit to the bit without forks, weighting and temperatures included", () => {
    fc.assert(
      fc.property(rolledOut, fc.constantFrom({}, published), (experiences, options) => {
        const longest = Math.max(...experiences.map(({ taskRewards }) => taskRewards.length))
        const plain = experiences
          .filter(({ taskRewards }) => taskRewards.length === longest)
          .map(({ fork: _fork, ...each }) => ({ ...each, responseTokens: 1 + (each.index % 3) }))
        expect(counterfactual(plain, options)).toEqual(causal(plain, options))
      }),
      { seed: 1 }
    )
  })

  it("to causal credit a fork is nothing, and a branch one more run of its pack", () => {
    fc.assert(
      fc.property(rolledOut, (experiences) => {
        expect(causal(experiences)).toEqual(causal(experiences.map(({ fork: _fork, ...each }) => each)))
      }),
      { seed: 1, numRuns: 30 }
    )
  })
})

it("without branches breaks no law that any sound estimator obeys", () => {
  for (const hostile of [false, true]) {
    const options = { mode: "causal", claimed: false, hostile, seed: 1 } as const
    const numbers = Array.from({ length: 60 }, (_, number) => number)
    expect(numbers.flatMap((number) => fuzzOne(number, counterfactual, options) ?? [])).toEqual([])
  }
})
