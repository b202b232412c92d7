import fc from "fast-check"
import { describe, expect, it } from "vitest"
import grid from "../../environments/grid-navigation/index.ts"
import { bestMove } from "../../environments/grid-navigation/plan.ts"
import { costsIn, written } from "../../environments/grid-navigation/reading.ts"
import { answerBlock } from "../../src/environment.ts"
import { stream } from "../../src/kernels/random.ts"
import { transitions } from "../../src/machines/transition.ts"
import { answering, curve, lifecycle, mean, optionsOf, restored } from "./chat-play.ts"

const { chat, feedback, knowledge, task } = grid

const costs = [
  [5, 10, 20],
  [0, 50, 30],
  [7, 9, 40]
]
const example = { knowledge: { costs }, task: { start: [0, 0], goal: [2, 2], rounds: 2 } }

describe("the worked example", () => {
  it.each([
    [["0,2", "2,2"], 0.75, [10, 20, 30, 40], 0.25],
    [["2,0", "2,2"], 0.86, [0, 7, 9, 40], 0.14]
  ])("%j gives reward %d", (answers, reward, entered, loss) => {
    const snapshots = answering(grid, example, answers.map(answerBlock.write))
    const end = snapshots.at(-1)
    expect(end.value).toBe("onTarget")
    expect(end.output).toMatchObject({ success: true, outcome: "success" })
    expect(end.output.reward).toBeCloseTo(reward, 12)
    const visits = snapshots.slice(1).flatMap(({ context }) => context.entered)
    expect(visits.map(({ cost }) => cost)).toEqual(entered)
    expect(feedback.end(end)).toContain(
      `You are on the target after the last round: loss ${loss.toFixed(4)}, reward ${reward.toFixed(4)}.`
    )
  })

  it("is told step by step, with the map as far as it is known", () => {
    const [first, second] = answering(grid, { ...example, options: { revealRadius: 0 } }, [answerBlock.write("0,2")])
    expect(chat.user(first)).toBe(
      `Round 1/2\nYou are at (0, 0). The target is (2, 2).\nMap:\n     0  1  2\n  0  ?  ?  ?\n  1  ?  ?  ?\n  2  ?  ?  ?`
    )
    expect(chat.user(second)).toBe(
      `Round 2/2\nYou moved from (0, 0) to (0, 2) and entered (0, 1) cost 10, (0, 2) cost 20. Loss so far: 0.1500 over 2 cells.\nYou are at (0, 2). The target is (2, 2).\nMap:\n     0  1  2\n  0  ? 10 20\n  1  ?  ?  ?\n  2  ?  ?  ?`
    )
  })
})

it("passing the goal does not count, only where the last round ends", () => {
  const passing = { ...example, task: { ...example.task, goal: [0, 1] } }
  const end = answering(grid, passing, ["0,1", "0,2"].map(answerBlock.write)).at(-1)
  expect(end.value).toBe("offTarget")
  expect(end.output).toMatchObject({ success: false, reward: 0, outcome: "failure" })
  expect(feedback.end(end)).toContain("You are at (0, 2) after the last round, not on the target (0, 1): reward 0.")
})

it("a cell entered again is paid again", () => {
  const back = { ...example, task: { start: [0, 0], goal: [0, 1], rounds: 3 } }
  const end = answering(grid, back, ["0,1", "0,2", "0,1"].map(answerBlock.write)).at(-1)
  expect(end.context.total).toEqual({ cells: 3, costs: 40 })
})

describe("an answer that is no legal move ends the task", () => {
  it.each([
    ["<answer>0,0</answer>", "illegalMove", "you are at (0, 0) already"],
    ["<answer>-0,0</answer>", "illegalMove", "you are at (0, 0) already"],
    ["<answer>1,1</answer>", "illegalMove", "neither in the row nor in the column"],
    ["<answer>0,3</answer>", "illegalMove", "outside of the grid"],
    ["<answer>-1, 0</answer>", "illegalMove", "(-1, 0) is outside of the grid"],
    ["<answer>0;1</answer>", "misread", "row,column"],
    ["<answer>0.0,1</answer>", "misread", "row,column"],
    ["<answer>(0,1)</answer>", "misread", "row,column"],
    ["0,1", "misread", "row,column"],
    ["<answer>0,1</answer><answer>0,1</answer>", "misread", "exactly one"],
    [`<answer>${"1".repeat(1_000_000)},0</answer>`, "misread", "row,column"],
    ["<answer>\u0000\u001b[2J</answer>", "misread", "row,column"]
  ])("%.40j", (reply, state, why) => {
    const end = answering(grid, example, [reply]).at(-1)
    expect(end.value).toBe(state)
    expect(end.output).toMatchObject({ success: false, reward: 0, outcome: "malformed" })
    expect(feedback.end(end)).toContain(why)
    expect(feedback.end(end).length).toBeLessThan(500)
  })

  it.each(["<answer>0,1</answer>", "<answer> +0 , +1\n</answer>", "so <answer>00,01</answer>."])(
    "%j is fine",
    (reply) => expect(chat.parse(reply)).toEqual({ action: [0, 1] })
  )
})

describe("the revealed map", () => {
  const shown = ({ context }: any): string =>
    context.known
      .flat()
      .map((cost: number | null) => (cost === null ? 0 : 1))
      .join("")

  it.each([
    [0, "010000000"],
    [1, "111111000"],
    [2, "111111111"]
  ])("covers everything within %d of an entered cell", (revealRadius, revealed) => {
    const [start, end] = answering(grid, { ...example, options: { revealRadius } }, [answerBlock.write("0,1")])
    expect(shown(start)).toBe("000000000")
    expect(shown(end)).toBe(revealed)
  })

  it("lasts for the lifecycle, whatever ended the task, and is no one else's", () => {
    const ended = ["0,1", "9,9"].map(answerBlock.write)
    const { memory } = answering(grid, example, ended).at(-1).output
    expect(shown(answering(grid, { ...example, memory, position: 1 }, [])[0])).toBe("111111000")
    expect(shown(answering(grid, example, [])[0])).toBe("000000000")
    const options = { memory: "off" }
    expect(shown(answering(grid, { ...example, options, memory, position: 1 }, [])[0])).toBe("000000000")
  })

  it("only grows, and hides every other cost", () => {
    for (let pack = 0; pack < 10; pack++) {
      const { observations } = lifecycle(grid, "random", { pack, packSize: 4, options: grid.presets.train! })
      let before = 0
      for (const observation of observations.flat()) {
        const known = costsIn(observation)!
          .flat()
          .filter((cost) => cost !== null).length
        expect(known).toBeGreaterThanOrEqual(before)
        before = known
      }
      expect(
        costsIn(observations[0]![0]!)!
          .flat()
          .every((cost) => cost === null)
      ).toBe(true)
    }
  })
})

describe("maps and tasks", () => {
  it.each(["train", "hard", "27b"])("%s: costs from 0 to 99, a goal that the rounds can reach", (preset) => {
    const options = optionsOf(grid, grid.presets[preset])
    for (let pack = 0; pack < 60; pack++) {
      const at = { options, packSize: 4 }
      const drawn = knowledge.sample(stream("map", pack), at)
      const n = drawn.costs.length
      const all: Array<number> = drawn.costs.flat()
      expect(all.length).toBe(n * n)
      expect(Math.min(...all)).toBe(0)
      expect(Math.max(...all)).toBe(99)
      expect(n).toBeGreaterThanOrEqual(options.size[0])
      expect(n).toBeLessThanOrEqual(options.size[1])
      const { goal, rounds, start } = task.sample(stream("task", pack), { ...at, knowledge: drawn, position: 0 })
      expect(goal).not.toEqual(start)
      expect(rounds).toBeGreaterThanOrEqual(options.rounds[0])
      expect(rounds).toBeLessThanOrEqual(options.rounds[1])
      // Two rook moves reach any cell; a third can be spent on the way, so only one round restricts the goal.
      if (rounds === 1) expect(goal[0] === start[0] || goal[1] === start[1]).toBe(true)
    }
  })

  it("a start outside of the map is refused", () => {
    const [refused] = answering(grid, { ...example, task: { ...example.task, start: [3, 0] } }, [])
    expect(refused.status).toBe("error")
    expect(refused.error.message).toBe("task.start is [3,0], expected a cell of the map")
  })
})

it("a state restored from JSON goes on as if nothing had happened", () => {
  const { transition } = transitions(grid.machine)
  const cell = fc.tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 2 }))
  fc.assert(
    fc.property(fc.array(cell, { minLength: 1, maxLength: 6 }), (cells) => {
      const given = { ...example, task: { ...example.task, rounds: 5 } }
      const snapshots = answering(
        grid,
        given,
        cells.map((cell) => answerBlock.write(`${cell}`))
      )
      const end = snapshots.at(-1)
      snapshots.forEach((snapshot, i) => {
        let again = restored(grid, snapshot)
        for (const action of cells.slice(i)) {
          if (again.status === "active")
            [again] = transition(again, { type: "answer", action, rng: stream("") } as never)
        }
        expect(again.context).toEqual(end.context)
      })
    }),
    { seed: 1, numRuns: 100 }
  )
})

describe("agents", () => {
  /** The least mean cost, the slow way. */
  const least = (at: readonly number[], goal: readonly number[], left: number, paid: number, cells: number): number => {
    if (left === 0) return at[0] === goal[0] && at[1] === goal[1] ? paid / cells : Infinity
    let best = Infinity
    for (const axis of [0, 1]) {
      for (let to = 0; to < 3; to++) {
        if (to === at[axis]) continue
        const by = Math.sign(to - at[axis]!)
        let [sum, count] = [paid, cells]
        const there = [...at]
        while (there[axis] !== to) {
          there[axis]! += by
          sum += costs[there[0]!]![there[1]!]!
          count++
        }
        best = Math.min(best, least(there, goal, left - 1, sum, count))
      }
    }
    return best
  }

  it("`bestMove` finds the least mean cost there is", () => {
    const coordinate = fc.integer({ min: 0, max: 2 })
    const cell = fc.tuple(coordinate, coordinate)
    fc.assert(
      fc.property(cell, cell, fc.integer({ min: 2, max: 4 }), (start, goal, rounds) => {
        let at: readonly [number, number] = start
        let paid = { costs: 0, cells: 0 }
        for (let left = rounds; left > 0; left--) {
          const to = bestMove({ rows: 3, columns: 3, at, goal, roundsLeft: left, paid }, costs)
          while (at[0] !== to[0] || at[1] !== to[1]) {
            at = [at[0] + Math.sign(to[0] - at[0]), at[1] + Math.sign(to[1] - at[1])]
            paid = { costs: paid.costs + costs[at[0]]![at[1]]!, cells: paid.cells + 1 }
          }
        }
        expect(at).toEqual(goal)
        expect(paid.costs / paid.cells).toBeCloseTo(least(start, goal, rounds, 0, 0), 9)
      }),
      { seed: 2, numRuns: 60 }
    )
  })

  it("read back the map that they have written", () => {
    const partly = costs.map((row, r) => row.map((cost, c) => (r === c ? null : cost)))
    expect(costsIn(`Hints: ${written(partly)}`)).toEqual(partly)
    expect(costsIn(`Hints: ${knowledge.describe({ costs })}`)).toEqual(costs)
  })

  const at = { packs: 40, packSize: 4, options: { ...grid.presets.train, memory: "off" } }

  it("without the environment's memory, `careful` rises by what it writes and `amnesiac` does not", () => {
    const careful = curve(grid, "careful", at).reward
    const amnesiac = curve(grid, "amnesiac", at).reward
    const oracle = curve(grid, "oracle", at).reward
    expect(careful[0]).toBe(amnesiac[0])
    expect(mean(careful.slice(1)) - careful[0]!).toBeGreaterThan(0.03)
    expect(Math.abs(mean(amnesiac.slice(1)) - amnesiac[0]!)).toBeLessThan(0.03)
    expect(mean(oracle)).toBeGreaterThanOrEqual(mean(careful))
  })

  it("with it, `amnesiac` sees the same map as `careful`", () => {
    const options = grid.presets.train!
    for (let pack = 0; pack < 5; pack++) {
      const careful = lifecycle(grid, "careful", { pack, packSize: 4, options })
      const amnesiac = lifecycle(grid, "amnesiac", { pack, packSize: 4, options })
      expect(careful.rewards).toEqual(amnesiac.rewards)
    }
  })

  it("`random` always makes legal moves", () => {
    for (let pack = 0; pack < 20; pack++) {
      const { outcomes } = lifecycle(grid, "random", { pack, packSize: 2 })
      for (const outcome of outcomes) expect(["success", "failure"]).toContain(outcome)
    }
  })
})
