/** Cost maps and tasks on them (specification of environments, section 8). */
import type { Rng } from "../../src/environment.ts"
import type { Knowledge, Options, Task } from "./options.ts"

const between = (rng: Rng, low: number, high: number): number => low + (high - low) * rng.uniform()

/** A sum of rotated Gaussian hills over the unit square, normalised to [0, 1], squared, as whole numbers up to 99. */
export const drawTerrain = (rng: Rng, { hills, scale, size }: Options): Knowledge => {
  const n = rng.int(...size)
  const heights = new Float64Array(n * n)
  for (let hill = 0; hill < hills; hill++) {
    const row = rng.uniform()
    const column = rng.uniform()
    const long = between(rng, ...scale)
    const short = between(rng, scale[0], long)
    const angle = Math.PI * rng.uniform()
    const amplitude = between(rng, 0.8, 1.2)
    const cos = Math.cos(angle)
    const sin = Math.sin(angle)
    for (let cell = 0; cell < n * n; cell++) {
      const down = Math.floor(cell / n) / (n - 1) - row
      const right = (cell % n) / (n - 1) - column
      const along = (right * cos + down * sin) / long
      const across = (down * cos - right * sin) / short
      heights[cell]! += amplitude * Math.exp(-(along * along + across * across) / 2)
    }
  }
  const low = Math.min(...heights)
  const span = Math.max(...heights) - low
  const cost = (height: number): number => (span > 0 ? Math.round(99 * ((height - low) / span) ** 2) : 0)
  return { costs: Array.from({ length: n }, (_, row) => Array.from(heights.subarray(row * n, (row + 1) * n), cost)) }
}

/** A start, and a goal that a walk of `rounds` rook moves from it has reached, so that one exists. */
export const drawTask = (rng: Rng, { rounds: [fewest, most] }: Options, { costs }: Knowledge): Task => {
  const seed = rng.int(0, 9_999_999)
  const extent = [costs.length, costs[0]!.length] as const
  const rounds = rng.int(fewest, most)
  for (;;) {
    const start: [number, number] = [rng.int(0, extent[0] - 1), rng.int(0, extent[1] - 1)]
    const goal: [number, number] = [...start]
    for (let round = 0; round < rounds; round++) {
      const axis = rng.int(0, 1) as 0 | 1
      const other = rng.int(0, extent[axis] - 2)
      goal[axis] = other < goal[axis] ? other : other + 1
    }
    if (goal[0] !== start[0] || goal[1] !== start[1]) return { seed, start, goal, rounds }
  }
}
