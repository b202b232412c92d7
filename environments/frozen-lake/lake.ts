/**
 * The frozen lake: its tiles, its moves, and the maps that tasks are made of.
 *
 * A lake is n x n tiles in row-major order: `S` start, `F` frozen, `H` hole, `G` goal. A cell is an index into them.
 */
import type { Rng } from "../../src/environment.ts"

export type Move = "Up" | "Down" | "Left" | "Right"

/** In the order in which neighbours are listed everywhere. */
export const moves: ReadonlyArray<Move> = ["Up", "Down", "Left", "Right"]

export interface Lake {
  readonly size: number
  /** `size * size` letters of S, F, H, G. */
  readonly tiles: string
  readonly start: number
  readonly goal: number
}

/** How maps are drawn. */
export interface MapRule {
  readonly size: number
  /** Probability that a tile is frozen. */
  readonly p: number
  /** A map is accepted when its shortest path has at most this many moves plus one. */
  readonly pathBound: number
}

/** The lake of a map given row by row. The rows must be sound, see `flaw`. */
export const lakeOf = (rows: ReadonlyArray<string>): Lake => {
  const tiles = rows.join("")
  return { size: rows.length, tiles, start: tiles.indexOf("S"), goal: tiles.indexOf("G") }
}

/** What is wrong with the rows of a map; undefined when they make a lake. */
export const flaw = (rows: ReadonlyArray<string>): string | undefined => {
  const size = rows.length
  if (size < 2 || rows.some((row) => row.length !== size)) return "a square map of at least 2 x 2 tiles"
  const tiles = rows.join("")
  if (/[^SFHG]/.test(tiles)) return "a map of the letters S, F, H and G"
  return tiles.split("S").length === 2 && tiles.split("G").length === 2 ? undefined : "a map with one S and one G"
}

/** Cell reached from `cell` by `moves[move]`, at `4 * cell + move`; off the edge one stays. Shared, by size. */
export const steps = (size: number): Int32Array => {
  let table = stepTables.get(size)
  if (table === undefined) {
    table = new Int32Array(4 * size * size)
    for (let cell = 0; cell < size * size; cell++) {
      const row = Math.floor(cell / size)
      const column = cell % size
      table[4 * cell] = row > 0 ? cell - size : cell
      table[4 * cell + 1] = row < size - 1 ? cell + size : cell
      table[4 * cell + 2] = column > 0 ? cell - 1 : cell
      table[4 * cell + 3] = column < size - 1 ? cell + 1 : cell
    }
    stepTables.set(size, table)
  }
  return table
}
const stepTables = new Map<number, Int32Array>()

/** Further than any path. */
export const unreachable = 0x7fff

/** Fewest moves from every cell to `target` around the holes, by breadth-first search. Holes are `unreachable`. */
export const distancesTo = (size: number, isHole: (cell: number) => boolean, target: number): Int16Array => {
  const to = steps(size)
  const distances = new Int16Array(size * size).fill(unreachable)
  const queue = [target]
  distances[target] = 0
  for (let head = 0; head < queue.length; head++) {
    const cell = queue[head]!
    for (let move = 0; move < 4; move++) {
      const next = to[4 * cell + move]!
      if (distances[next] !== unreachable || isHole(next)) continue
      distances[next] = distances[cell]! + 1
      queue.push(next)
    }
  }
  return distances
}

/**
 * Draws maps until one is accepted: tiles first, then start and goal uniformly until they differ, written over the tiles.
 *
 * The reference accepts by a depth-first search to depth `pathBound` whose visited set ignores depth: it lets paths of
 * `pathBound + 1` moves pass and now and then refuses a map that has one. The breadth-first test is the specification's
 * recommended equivalent (environments, section 1).
 */
export const drawMap = (rng: Rng, { size, p, pathBound }: MapRule): Array<string> => {
  const cells = size * size
  const holes = new Uint8Array(cells)
  for (;;) {
    for (let cell = 0; cell < cells; cell++) holes[cell] = rng.uniform() < p ? 0 : 1
    const start = rng.int(0, cells - 1)
    let goal = start
    while (goal === start) goal = rng.int(0, cells - 1)
    holes[start] = holes[goal] = 0
    if (distancesTo(size, (cell) => holes[cell] === 1, goal)[start]! > pathBound + 1) continue
    let tiles = ""
    for (let cell = 0; cell < cells; cell++) {
      tiles += cell === start ? "S" : cell === goal ? "G" : holes[cell] === 1 ? "H" : "F"
    }
    return Array.from({ length: size }, (_, row) => tiles.slice(row * size, (row + 1) * size))
  }
}
