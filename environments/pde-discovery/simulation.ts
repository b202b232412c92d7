/**
 * The equation du/dt = d2u/dx2 + f(u) on the unit square, u = 0 at both ends (specification, section 7.3).
 *
 * Explicit reaction, implicit diffusion: `(I - dt D) u[k+1] = u[k] + dt f(u[k])`. The matrix is tridiagonal and always the
 * same, so Thomas' algorithm eliminates it once. What goes into the reaction, and what comes out of the solve, is clipped to
 * the state limit; the right-hand side between them is not.
 */
import { type TermName, termNames, terms } from "./dictionary.ts"
import type { Equation } from "./equation.ts"
import { families, type Family } from "./families.ts"

/** Points in space and in time, ends included. */
export type Grid = readonly [space: number, time: number]

/** The shape of an initial condition: coefficients of a sine series, and the largest value of what is made of it. */
export interface Trajectory {
  readonly amplitude: number
  readonly modes: ReadonlyArray<number>
}

/** Stability is tested on a grid of at most this size. */
const coarse: Grid = [65, 401]

/**
 * u(x, 0): the envelope sin(pi x) times the series, scaled to a largest size of 1, minus its minimum; then rescaled. It is
 * normalised on the published grid, whatever the grid asked for, so that all grids see the same function.
 */
export const initialProfile = ({ amplitude, modes }: Trajectory, space: number): Float64Array => {
  const series = (x: number): number => modes.reduce((sum, c, k) => sum + c * Math.sin((k + 1) * Math.PI * x), 0)
  const fine = Array.from({ length: 257 }, (_, i) => i / 256)
  const values = fine.map(series)
  const scale = Math.max(...values.map(Math.abs)) || 1
  const lowest = Math.min(...values) / scale
  const shape = (x: number): number => Math.sin(Math.PI * x) * (series(x) / scale - lowest)
  const height = Math.max(...fine.map(shape)) || 1
  const profile = Float64Array.from({ length: space }, (_, i) => (amplitude * shape(i / (space - 1))) / height)
  profile[0] = profile[space - 1] = 0
  return profile
}

/** Adds up the reaction at all values. */
const reactionOf = (equation: Equation) => {
  const parts = termNames.flatMap((term) => {
    const coefficient = equation[term]
    return coefficient === undefined ? [] : [{ coefficient, at: terms[term] }]
  })
  return (u: Float64Array, out: Float64Array): void => {
    out.fill(0)
    for (const { at, coefficient } of parts) {
      for (let i = 1; i < u.length - 1; i++) out[i]! += coefficient * at(u[i]!)
    }
  }
}

/** One time of a walk. The arrays are used again: copy what is to be kept. */
interface Moment {
  readonly k: number
  readonly u: Float64Array
  /** At the next time; undefined at the last. */
  readonly next: Float64Array | undefined
  /** f(u) */
  readonly reaction: Float64Array
  /** Whether a value has touched the limit, or is not finite, on the way to the next time. */
  readonly touched: boolean
}

/** Walks through time. `see` may stop the walk by false. */
const walk = (
  equation: Equation,
  start: Float64Array,
  [space, time]: Grid,
  limit: number,
  see: (moment: Moment) => boolean
): void => {
  const dt = 1 / (time - 1)
  const beside = -dt * (space - 1) ** 2
  const diagonal = 1 - 2 * beside
  // Thomas' algorithm: what elimination makes of the diagonal is the same in every step.
  const upper = new Float64Array(space)
  const pivot = new Float64Array(space)
  for (let i = 1; i < space - 1; i++) {
    pivot[i] = 1 / (diagonal - beside * upper[i - 1]!)
    upper[i] = beside * pivot[i]!
  }
  const react = reactionOf(equation)
  const reaction = new Float64Array(space)
  let u = start.map((value) => clip(value, limit))
  let next = new Float64Array(space)
  for (let k = 0; k < time; k++) {
    react(u, reaction)
    if (k === time - 1) return void see({ k, u, next: undefined, reaction, touched: false })
    let touched = false
    for (let i = 1; i < space - 1; i++) {
      next[i] = (u[i]! + dt * reaction[i]! - beside * next[i - 1]!) * pivot[i]!
    }
    for (let i = space - 2; i > 0; i--) {
      next[i]! -= upper[i]! * next[i + 1]!
    }
    for (let i = 1; i < space - 1; i++) {
      // Written so that what is not a number counts as well.
      if (Math.abs(next[i]!) < limit) continue
      touched = true
      next[i] = clip(next[i]!, limit)
    }
    if (!see({ k, u, next, reaction, touched })) return
    const last = u
    u = next
    next = last
  }
}

const clip = (value: number, limit: number): number => Math.min(limit, Math.max(-limit, value)) || 0

/** Whether the values stay finite and below the limit from that start. */
const staysBelow = (equation: Equation, start: Float64Array, grid: Grid, limit: number): boolean => {
  let below = start.every((value) => Math.abs(value) < limit)
  if (below) walk(equation, start, grid, limit, ({ touched }) => (below = !touched))
  return below
}

/** The stability test of a candidate: all trajectories must stay below the limit. */
export const isStable = (equation: Equation, trajectories: ReadonlyArray<Trajectory>, grid: Grid, limit: number) => {
  const own: Grid = [Math.min(grid[0], coarse[0]), Math.min(grid[1], coarse[1])]
  return trajectories.every((trajectory) => staysBelow(equation, initialProfile(trajectory, own[0]), own, limit))
}

/**
 * The largest amplitude A, to a 64th of the limit, from which A sin(pi x) stays below the limit under every template of
 * the family with coefficients at every corner of {0.5, 2}.
 */
export const findBound = (family: Family, limit: number): number => {
  const corners = families[family].flatMap(({ signs }) => {
    const support = Object.entries(signs) as Array<[TermName, 1 | -1]>
    return Array.from({ length: 1 << support.length }, (_, corner): Equation =>
      Object.fromEntries(support.map(([term, sign], i) => [term, sign * ((corner >> i) & 1 ? 2 : 0.5)]))
    )
  })
  let low = 0
  let high = limit
  while (high - low > limit / 64) {
    const middle = (low + high) / 2
    const start = initialSine(middle)
    if (corners.every((equation) => staysBelow(equation, start, coarse, limit))) low = middle
    else high = middle
  }
  return low
}

/** That bound, found once for each family and limit. */
export const amplitudeBound = (family: Family, limit: number): number => {
  const key = `${family} ${limit}`
  let bound = bounds.get(key)
  if (bound === undefined) bounds.set(key, (bound = findBound(family, limit)))
  return bound
}

const initialSine = (amplitude: number): Float64Array =>
  Float64Array.from({ length: coarse[0] }, (_, i) => amplitude * Math.sin((Math.PI * i) / (coarse[0] - 1)))

/**
 * Bounds by family and limit. Those of the published limit are known, for they take seconds;
 * a test finds them again. The specification has the same number for the published families.
 */
const bounds = new Map(Object.keys(families).map((family) => [`${family} 3`, 2.765625]))

export interface Place {
  /** In (0, 1). */
  readonly x: number
  /** In [0, 1]. */
  readonly t: number
}

/**
 * u and the regression target `y = (u[k+1] - u[k]) / dt - D u[k+1]` (at the last time f(u)) at places between the points
 * of the grid, by bilinear interpolation. `y` is f(u) up to interpolation wherever nothing was clipped.
 */
export const measure = (
  equation: Equation,
  trajectory: Trajectory,
  grid: Grid,
  limit: number,
  places: ReadonlyArray<Place>
): Array<{ readonly u: number; readonly y: number }> => {
  const [space, time] = grid
  const rows = new Map<number, { readonly u: Float64Array; readonly y: Float64Array } | undefined>()
  const rowOf = (t: number): number => Math.min(time - 2, Math.floor(t * (time - 1)))
  for (const { t } of places) for (const row of [rowOf(t), rowOf(t) + 1]) rows.set(row, undefined)
  let missing = rows.size
  walk(equation, initialProfile(trajectory, space), grid, limit, ({ k, next, reaction, u }) => {
    if (!rows.has(k)) return true
    const y = Float64Array.from(reaction)
    if (next !== undefined) {
      for (let i = 1; i < space - 1; i++) {
        const curvature = (next[i - 1]! - 2 * next[i]! + next[i + 1]!) * (space - 1) ** 2
        y[i] = (next[i]! - u[i]!) * (time - 1) - curvature
      }
    }
    rows.set(k, { u: Float64Array.from(u), y })
    return --missing > 0
  })
  return places.map(({ t, x }) => {
    const row = rowOf(t)
    const column = Math.min(space - 2, Math.floor(x * (space - 1)))
    const down = t * (time - 1) - row
    const right = x * (space - 1) - column
    const between = (values: (row: number) => Float64Array): number => {
      const [here, later] = [values(row), values(row + 1)]
      const above = here[column]! * (1 - right) + here[column + 1]! * right
      const below = later[column]! * (1 - right) + later[column + 1]! * right
      return above * (1 - down) + below * down
    }
    return { u: between((k) => rows.get(k)!.u), y: between((k) => rows.get(k)!.y) }
  })
}
