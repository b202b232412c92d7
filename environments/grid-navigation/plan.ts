/**
 * The best next cell for given costs, exactly: the mean cost of a journey of a fixed number of rook moves that ends on
 * the goal is a ratio, minimised by Dinkelbach's method (1967): the best mean `m` is where the best sum of
 * `cost - m` is zero, and each such sum is a dynamic programme over (cell, rounds left).
 */
import type { Cell, Known } from "./journey.ts"
import type { Reading } from "./reading.ts"

interface Best {
  /** As row * columns + column. */
  readonly next: number
  /** Cost and number of the cells still to be entered. */
  readonly costs: number
  readonly cells: number
}

/** Where to move. Costs that are not known must be estimated. */
export const bestMove = (reading: Reading, costs: ReadonlyArray<ReadonlyArray<number>>): Cell => {
  const { columns, paid } = reading
  const flat = Float64Array.from(costs.flat())
  let mean = 100
  let best: Best | undefined
  // Each round lowers the mean; a handful of them finds the least.
  for (let round = 0; round < 50; round++) {
    const found = cheapest(reading, flat, mean)
    const lower = (paid.costs + found.costs) / (paid.cells + found.cells)
    if (lower >= mean - 1e-9) break
    mean = lower
    best = found
  }
  const next = best?.next ?? cheapest(reading, flat, mean).next
  return [Math.floor(next / columns), next % columns]
}

/** The way to the goal in the rounds left whose sum of `cost - mean` is least. */
const cheapest = ({ at, columns, goal, roundsLeft, rows }: Reading, costs: Float64Array, mean: number): Best => {
  const cells = rows * columns
  const target = goal[0] * columns + goal[1]
  const origin = at[0] * columns + at[1]
  let worth = new Float64Array(cells).fill(Infinity)
  worth[target] = 0
  const next: Array<Int32Array> = []
  for (let left = 1; left <= roundsLeft; left++) {
    const nearer = worth
    worth = new Float64Array(cells).fill(Infinity)
    const to = new Int32Array(cells)
    for (let cell = 0; cell < cells; cell++) {
      if (left === roundsLeft && cell !== origin) continue
      const row = Math.floor(cell / columns)
      const column = cell - row * columns
      for (let direction = 0; direction < 4; direction++) {
        const by = direction === 0 ? -columns : direction === 1 ? columns : direction === 2 ? -1 : 1
        const reach = [row, rows - 1 - row, column, columns - 1 - column][direction]!
        let sum = 0
        for (let far = 1, there = cell + by; far <= reach; far++, there += by) {
          sum += costs[there]! - mean
          const total = sum + nearer[there]!
          if (total < worth[cell]!) {
            worth[cell] = total
            to[cell] = there
          }
        }
      }
    }
    next.push(to)
  }
  let sum = 0
  let count = 0
  for (let left = roundsLeft, cell = origin; left > 0; left--) {
    const there = next[left - 1]![cell]!
    const by = Math.sign(there - cell) * (Math.abs(there - cell) < columns ? 1 : columns)
    for (let entered = cell; entered !== there;) {
      entered += by
      sum += costs[entered]!
      count++
    }
    cell = there
  }
  return { next: next[roundsLeft - 1]![origin]!, costs: sum, cells: count }
}

/** How far, in cells, a known cost tells about others; how much the prior weighs against them; what it says. */
const spread = 1.5
const priorWeight = 0.05
const priorMean = 22
/** Unknown cells look this much cheaper than expected, so that they are tried while there is much to learn. */
const optimism = 0.75

/** Costs with the unknown ones guessed from known ones nearby. */
export const estimated = (costs: Known): Array<Array<number>> => {
  const known = costs.flatMap((row, r) => row.flatMap((cost, c) => (cost === null ? [] : [{ r, c, cost }])))
  return costs.map((row, r) =>
    row.map((own, c) => {
      if (own !== null) return own
      let weight = priorWeight
      let sum = priorWeight * priorMean
      for (const at of known) {
        const near = Math.exp(-((at.r - r) ** 2 + (at.c - c) ** 2) / (2 * spread * spread))
        weight += near
        sum += near * at.cost
      }
      return (optimism * sum) / weight
    })
  )
}
