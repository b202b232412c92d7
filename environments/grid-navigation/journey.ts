/** One journey over the map: the machine's data and the pure functions that change it. */
import type { Start } from "../../src/environment.ts"
import type { Knowledge, Options, Task } from "./options.ts"

/** [row, column] */
export type Cell = readonly [number, number]

export interface Visit {
  readonly cell: Cell
  readonly cost: number
}

/** The costs that are known, row by row; null where nothing is. What stays revealed in a lifecycle: at first no rows. */
export type Known = ReadonlyArray<ReadonlyArray<number | null>>

export interface Journey {
  readonly costs: Knowledge["costs"]
  readonly task: Task
  readonly radius: number
  readonly at: Cell
  /** 0-based. */
  readonly round: number
  /** Cells entered in the last move, and all of the task together. */
  readonly entered: ReadonlyArray<Visit>
  readonly total: { readonly cells: number; readonly costs: number }
  readonly from: Cell
  readonly known: Known
  /** Why the journey ended by an answer. */
  readonly why: string | undefined
}

export const begin = ({ knowledge, memory, options, task }: Start<Options, Knowledge, Task, Known>): Journey => {
  const { costs } = knowledge
  for (const [name, cell] of [["start", task.start] as const, ["goal", task.goal] as const]) {
    if (!inside(costs, cell)) throw new Error(`task.${name} is [${cell}], expected a cell of the map`)
  }
  if (
    memory.length > 0 &&
    !(memory.length === costs.length && memory.every((row, r) => row.length === costs[r]!.length))
  )
    throw new Error(`expected known costs by row, for all ${costs.length} x ${costs[0]!.length} cells of the map`)
  return {
    costs,
    task,
    radius: options.revealRadius,
    at: task.start,
    round: 0,
    entered: [],
    total: { cells: 0, costs: 0 },
    from: task.start,
    known: options.memory === "on" && memory.length > 0 ? memory : costs.map((row) => row.map(() => null)),
    why: undefined
  }
}

const inside = (costs: Knowledge["costs"], [row, column]: Cell): boolean =>
  row >= 0 && row < costs.length && column >= 0 && column < costs[0]!.length

/** Why a destination is not allowed; undefined when it is. */
export const flaw = ({ at, costs }: Journey, to: Cell): string | undefined => {
  if (!inside(costs, to)) return `(${to.join(", ")}) is outside of the grid`
  if (to[0] === at[0] && to[1] === at[1]) return `you are at (${to.join(", ")}) already`
  if (to[0] !== at[0] && to[1] !== at[1]) {
    return `(${to.join(", ")}) is neither in the row nor in the column of (${at.join(", ")})`
  }
  return undefined
}

/** Enters every cell up to the destination, not the origin, and reveals what is near to them. */
export const travel = (journey: Journey, to: Cell): Journey => {
  const { at, costs } = journey
  const down = Math.sign(to[0] - at[0])
  const right = Math.sign(to[1] - at[1])
  const entered: Array<Visit> = []
  let paid = journey.total.costs
  let [row, column] = at
  while (row !== to[0] || column !== to[1]) {
    row += down
    column += right
    const cost = costs[row]![column]!
    entered.push({ cell: [row, column], cost })
    paid += cost
  }
  const total = { cells: journey.total.cells + entered.length, costs: paid }
  const known = reveal(journey, entered[0]!.cell, to)
  return { ...journey, from: at, at: to, round: journey.round + 1, entered, total, known }
}

/** What is near to the cells of a straight line is a rectangle. Rows that show nothing new stay the same objects. */
const reveal = ({ costs, known, radius }: Journey, first: Cell, last: Cell): Known => {
  const top = Math.min(first[0], last[0]) - radius
  const bottom = Math.max(first[0], last[0]) + radius
  const left = Math.max(0, Math.min(first[1], last[1]) - radius)
  const right = Math.min(costs[0]!.length - 1, Math.max(first[1], last[1]) + radius)
  return known.map((row, r) => {
    if (r < top || r > bottom || row.indexOf(null, left) < 0) return row
    const shown = row.slice()
    for (let column = left; column <= right; column++) shown[column] = costs[r]![column]!
    return shown
  })
}

export const isOver = ({ round, task }: Journey): boolean => round >= task.rounds

export const isOnGoal = ({ at, task }: Journey): boolean => at[0] === task.goal[0] && at[1] === task.goal[1]

/** Mean cost of the cells entered so far, repetitions counted, as a share of 100. */
export const loss = ({ total }: Journey): number => (total.cells === 0 ? 0 : total.costs / (100 * total.cells))
