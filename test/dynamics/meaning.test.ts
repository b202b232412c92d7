/** What each operator does, by example. */
import { Schema } from "effect"
import { createActor } from "xstate"
import { describe, expect, it } from "vitest"
import alchemy from "../../environments/alchemy/index.ts"
import lake from "../../environments/frozen-lake-obscure/index.ts"
import grid from "../../environments/grid-navigation/index.ts"
import {
  withBudget,
  withDelayedReward,
  withDistractors,
  withDrift,
  withFaults,
  withNoisyFeedback,
  withSparseFeedback
} from "../../src/dynamics/operators.ts"
import { type Environment, initialContext } from "../../src/environment.ts"
import { stream } from "../../src/kernels/random.ts"
import type { Lifecycle } from "../../src/machines/episode.ts"
import { given } from "../../src/machines/given-task.ts"
import { demonstrated, live, packOf } from "../fixtures/lives.ts"

const train = (environment: Environment): any =>
  Schema.decodeSync(environment.options)(environment.presets["train"] ?? {})
const pack = (environment: Environment, size = 4, seed = 1) => packOf(environment, train(environment), size, seed)
const solves = ({ episodes }: Lifecycle) => episodes.filter(({ kind }) => kind === "solve")

/** One task with known knowledge: two by two tiles, the goal in the corner, a hole below the start. */
const task = (environment: Environment, more: object = {}) => ({
  environment,
  options: { ...train(lake), stepCap: 8 },
  knowledge: { mapping: ["Left", "Up", "Down", "Right"] },
  task: { map: ["SF", "HG"] },
  position: 0,
  packSize: 4,
  ...more
})
const take = (
  environment: Environment,
  answers: ReadonlyArray<string>,
  style: "chat" | "terse" = "chat",
  more = {}
) => {
  const { begin, take } = given(task(environment, more), { style })
  return answers.reduce((solve, answer, step) => take(solve, answer, stream("meaning", step)), begin())
}
const direction = (code: number) => `<answer>Direction ${code}</answer>`
const observations = (solve: ReturnType<typeof take>) =>
  solve.agent.context.messages.filter(({ role }) => role === "user").map(({ content }) => content)

describe("withDrift", () => {
  it("changes the knowledge at its positions, for all runs of a group alike", () => {
    const { knowledge } = pack(withDrift(lake, { at: [2] }))
    expect(knowledge(1)).toBe(knowledge(0))
    expect(knowledge(2)).not.toEqual(knowledge(0))
    expect(knowledge(3)).toBe(knowledge(2))
    expect(pack(withDrift(lake, { at: [2] })).knowledge(2)).toEqual(knowledge(2))
    expect(knowledge(0)).toEqual(pack(lake).knowledge(0))
  })

  it("changes it as often as the rate says", () => {
    const { knowledge } = pack(withDrift(lake, { rate: 0.3 }), 2000)
    const changes = Array.from({ length: 1999 }, (_, i) => Number(knowledge(i) !== knowledge(i + 1)))
    expect(changes.reduce((sum, change) => sum + change, 0) / 1999).toBeCloseTo(0.3, 1)
  })

  it("tells the oracle, and nobody else: what careful has learnt is wrong after it", () => {
    const drifting = Array.from({ length: 60 }, (_, seed) => pack(withDrift(lake, { at: [3] }), 4, seed))
    const share = (agent: "careful" | "oracle", position: number) =>
      drifting.reduce((sum, one) => sum + Number(solves(live(one, agent))[position]!.success), 0) / drifting.length
    expect(share("oracle", 3)).toBeGreaterThan(0.9)
    expect(share("careful", 2)).toBeGreaterThan(share("careful", 3) + 0.3)
  })

  it("draws tasks that fit to what holds where they stand", () => {
    const { knowledge, task } = pack(withDrift(alchemy, { at: [1, 2, 3] }), 4)
    for (const position of [0, 1, 2, 3]) {
      const { graph } = knowledge(position) as any
      expect(graph.tiers.flat()).toContain((task(position) as any).target)
    }
  })

  it("a map of a world that is no more is forgotten", () => {
    const known = (environment: Environment) =>
      solves(live(pack(environment), "careful")).map(({ steps }) => steps[0]!.observation.match(/\?/g)?.length ?? 0)
    const [, second, third] = known(grid)
    expect(third!).toBeLessThan(second!)
    const [first, , anew] = known(withDrift(grid, { at: [2] }))
    expect(anew! / first!).toBeGreaterThan(0.5)
    expect(anew!).toBeGreaterThan(third!)
  })
})

describe("withNoisyFeedback", () => {
  it("tells what another answer would have done, as if it were this one", () => {
    const solve = take(withNoisyFeedback(lake, { rate: 1 }), [direction(2)])
    const [, second] = observations(solve)
    const told = /^Direction 2 (moved|left) you .*$/m.exec(second!)![0]
    expect(told).not.toBe("Direction 2 left you at (0, 0), probably because of the edge.")
    expect(second).toContain(" P \t _ \t\n O \t G \t")
    expect(solve.agent.context.steps[0]!.feedback).toBe(told)
  })

  it("is no lie about anything but the step: end and reward are true", () => {
    const solve = take(withNoisyFeedback(lake, { rate: 1 }), [direction(4), direction(3)])
    expect(solve.agent.value).toBe("success")
    expect(solve.agent.context.reward).toBe(0.975)
    const end = withNoisyFeedback(lake, { rate: 1 }).feedback.end(solve.world)
    expect(end).toMatch(/^Direction 3 .* You reached the goal in 2 of 8 steps\.$/)
    expect(end).not.toContain("Direction 3 moved you from (0, 1) to (1, 1).")
  })

  it("lies in few words as well, and the trajectory repeats the lie", () => {
    const noisy = withNoisyFeedback(lake, { rate: 1 })
    const solve = take(noisy, ["R 4", "D 3"], "terse")
    const [, second] = observations(solve)
    const [effect] = second!.split(" ")
    expect(["U", "D", "L", "#"]).toContain(effect)
    expect(second!.slice(effect!.length)).toBe(" v+1 h+0 # G . #")
    expect(noisy.terse!.trajectory!(solve.world).split(" ").slice(0, 2)).toEqual(["4", effect])
  })

  it("lies as often as the rate says", () => {
    const bare = Array.from({ length: 120 }, (_, seed) => live(pack(lake, 3, seed), "random"))
    const noisy = Array.from({ length: 120 }, (_, seed) =>
      live(pack(withNoisyFeedback(lake, { rate: 0.25 }), 3, seed), "random")
    )
    const steps = (lives: ReadonlyArray<Lifecycle>) => lives.flatMap(solves).flatMap((episode) => episode.steps)
    const lies = steps(noisy).map(({ feedback }, i) => Number(feedback !== steps(bare)[i]!.feedback))
    expect(lies.reduce((sum, lie) => sum + lie, 0) / lies.length).toBeCloseTo(0.25, 1)
  })
})

describe("withSparseFeedback", () => {
  it("leaves out the feedback on a step, wherever it stood", () => {
    const sparse = withSparseFeedback(lake, { rate: 1 })
    const solve = take(sparse, [direction(2), direction(3)])
    const [first, second] = observations(solve)
    expect(second!.replace("Step 2", "Step 1")).toBe(first)
    expect(solve.agent.context.steps.map(({ feedback }) => feedback)).toEqual(["", ""])
    expect(sparse.feedback.end(solve.world)).toBe("You fell into a hole.")
  })

  it("in few words too, and in the trajectory", () => {
    const sparse = withSparseFeedback(lake, { rate: 1 })
    const solve = take(sparse, ["R 4", "D 3"], "terse")
    expect(observations(solve)[1]).toBe("v+1 h+0 # G . #")
    expect(sparse.terse!.trajectory!(solve.world)).toBe("4 3 win")
  })

  it("leaves out a terse style that does not say which of its words are feedback", () => {
    const { feedback: _feedback, ...terse } = lake.terse!
    const sparse = withSparseFeedback({ ...lake, terse }, { rate: 1 })
    expect([sparse.terse, sparse.demonstrate]).toEqual([undefined, undefined])
  })
})

describe("withDelayedReward", () => {
  it("pays later, and the sum stays", () => {
    const earned = solves(live(pack(lake, 5, 3), "oracle")).map(({ reward }) => reward)
    const delayed = withDelayedReward(lake, { positions: 2 })
    const paid = solves(live(pack(delayed, 5, 3), "oracle"))
    expect(paid.map(({ success }) => success)).toEqual(earned.map((reward) => reward > 0))
    expect(paid.slice(0, 2).map(({ reward }) => reward)).toEqual([0, 0])
    expect(paid.slice(2, 4).every(({ reward }) => reward > 0 && reward <= 1)).toBe(true)
    expect(paid[4]!.reward).toBeGreaterThan(2.5)
  })

  it("hands on the memory of the environment inside, drift or not", () => {
    const paid = solves(live(pack(withDelayedReward(withDrift(grid, { at: [1] }), { positions: 1 }), 3), "oracle"))
    expect(paid[0]!.reward).toBe(0)
    const earned = solves(live(pack(withDrift(grid, { at: [1] }), 3), "oracle")).map(({ reward }) => reward)
    const sum = (rewards: ReadonlyArray<number>) => rewards.reduce((total, reward) => total + reward, 0)
    expect(sum(paid.map(({ reward }) => reward))).toBeCloseTo(sum(earned), 10)
  })
})

describe("withDistractors", () => {
  const distracting = withDistractors(lake, { count: 2 })

  it("adds sentences that say nothing, other ones at each step, the same for all runs", () => {
    const [episode] = solves(live(pack(distracting), "random"))
    const [first, second] = episode!.steps.map(({ observation }) => observation.split("\n").slice(-2))
    expect(first!.every((line) => /^[A-Z].*\.$/.test(line))).toBe(true)
    expect(new Set([...first!, ...second!]).size).toBe(4)
    expect(solves(live(pack(distracting), "careful"))[0]!.steps[0]!.observation).toBe(episode!.steps[0]!.observation)
  })

  it("adds words of its own in few words", () => {
    const [episode] = solves(demonstrated(pack(distracting)))
    expect(episode!.steps[0]!.observation).toMatch(/^v[+-]\d h[+-]\d \S \S \S \S ~\w+ ~\w+$/)
  })

  it("is passed over by scripted agents", () => {
    const replies = (environment: Environment) =>
      live(pack(environment)).episodes.map(({ steps }) => steps.map(({ reply }) => reply))
    expect(replies(distracting)).toEqual(replies(lake))
  })
})

describe("withBudget", () => {
  const bounded = withBudget(lake, { steps: 5 })

  it("ends the task at hand with the last answer, and every later one with its first", () => {
    const idle = Array.from({ length: 3 }, () => direction(1))
    const [left, spent] = [2, 0].map((left) =>
      take(bounded, idle.slice(0, Math.max(1, left)), "chat", { memory: { left } })
    )
    for (const solve of [left!, spent!]) {
      expect(solve.agent.value).toBe("truncated")
      expect(solve.world.value).toBe("outOfBudget")
      expect(solve.agent.context.reward).toBe(0)
      expect(solve.memory).toEqual({ left: 0 })
      expect(bounded.feedback.end(solve.world)).toContain("No answers are left for this task.")
    }
  })

  it("an answer that reaches the goal counts, though it was the last", () => {
    const solve = take(bounded, [direction(4), direction(3)], "chat", { memory: { left: 2 } })
    expect([solve.agent.value, solve.agent.context.reward]).toEqual(["success", 0.975])
  })

  it("says what is left, in both styles", () => {
    expect(observations(take(bounded, [direction(1)])).map((text) => text.split("\n").at(-1))).toEqual([
      "Answers left for this and all later tasks: 5",
      "Answers left for this and all later tasks: 4"
    ])
    expect(observations(take(bounded, ["L 1"], "terse"))[1]).toMatch(/ ~4$/)
  })

  it("lasts for all tasks of a lifecycle together", () => {
    const taken = solves(live(pack(bounded, 6), "amnesiac")).map(({ steps }) => steps.length)
    const after = taken.findIndex((_, i) => taken.slice(0, i + 1).reduce((sum, n) => sum + n, 0) >= 5)
    expect(taken.slice(0, after + 1).reduce((sum, n) => sum + n, 0)).toBe(5)
    expect(taken.slice(after + 1).every((steps) => steps === 1)).toBe(true)
  })

  it("is a state of the machine, to be seen in its chart", () => {
    expect(Object.keys(bounded.machine.root.states)).toEqual([...Object.keys(lake.machine.root.states), "outOfBudget"])
    expect(Object.keys(withSparseFeedback(bounded, { rate: 0.5 }).machine.root.states)).toContain("outOfBudget")
    const twice = withBudget(withSparseFeedback(bounded, { rate: 0.5 }), { steps: 2 })
    const solve = take(twice, [direction(1), direction(1)])
    expect([solve.world.value, solve.agent.value]).toEqual(["outOfBudgetAgain", "truncated"])
  })

  it("hands on what the environment inside remembers", () => {
    const spent = live(pack(withBudget(grid, { steps: 3 }), 2), "random")
    const [, second] = solves(spent)
    const unknown = (text: string) => text.match(/\?/g)?.length ?? 0
    expect(unknown(second!.steps[0]!.observation)).toBeLessThan(unknown(solves(spent)[0]!.steps[0]!.observation))
  })
})

describe("withFaults", () => {
  it("garbles an observation, in both styles", () => {
    const garbled = withFaults(lake, { garbles: 1 })
    const plain = observations(take(lake, [direction(1)]))
    expect(observations(take(garbled, [direction(1)]))).toEqual([plain[0], [...plain[1]!].toReversed().join("")])
    expect(observations(take(garbled, ["L 1"], "terse"))[1]).toBe([..."# v+1 h+1 # O # ."].toReversed().join(""))
  })

  it("hangs for as long as it is told to", () => {
    const hanging = withFaults(lake, { hangs: 1, hangMillis: 30 })
    const started = performance.now()
    take(hanging, [direction(1)])
    expect(performance.now() - started).toBeGreaterThan(25)
  })
})

it("states of a wrapped machine are plain: an actor of XState's own can run it, save it and go on", () => {
  const { chat, machine } = withBudget(withNoisyFeedback(lake, { rate: 1 }), { steps: 3 })
  const { environment: _environment, ...input } = task(lake)
  const actor = createActor(machine, { input: { ...input, memory: { left: 3 } } }).start()
  const answer = (code: number) => ({ type: "answer", action: code, rng: stream("actor", code) })
  actor.send(answer(4))
  const saved = JSON.parse(JSON.stringify(actor.getPersistedSnapshot()))
  const again = createActor(machine, { input, snapshot: saved }).start()
  expect(chat.user(again.getSnapshot())).toBe(chat.user(actor.getSnapshot()))
  again.send(answer(3))
  expect(again.getSnapshot().output).toEqual({ success: true, reward: 1, outcome: "success", memory: { left: 1 } })
  expect(chat.system(again.getSnapshot())).not.toContain(initialContext)
})
