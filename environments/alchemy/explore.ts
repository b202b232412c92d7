/**
 * Which pair to try when there is no way yet.
 *
 * Recipes of an element of tier t are held to be two elements of tier t-1, drawn one after the other: of the pairs not
 * tried, those of different elements are therefore twice as probable as an element with itself.
 */
import { type Pair, pairKey } from "./graph.ts"
import { planFor } from "./plan.ts"
import type { Facts, Reading } from "./reading.ts"

/** A pair to try. */
export interface Trial {
  readonly pair: Pair
  /** Combinations that make the inputs, then the pair itself. */
  readonly pairs: ReadonlyArray<Pair>
  /** How probable it is that the pair makes what is wanted, or a step towards it, for each round. */
  readonly promise: number
}

/** Of one step below what is wanted directly. */
const discount = 0.5

/** Too little ever to count against a pair of one tier. */
const crossTier = 1e-3

/**
 * Every pair not tried yet whose inputs can be had, the most promising first.
 *
 * @param wanted the element looked for; undefined when any new one is welcome
 */
export const trials = (
  { inventory, limited }: Reading,
  { recipesOf, tried }: Facts,
  tiers: ReadonlyMap<string, number>,
  wanted: string | undefined
): ReadonlyArray<Trial> => {
  const tierOf = (element: string): number => tiers.get(element) ?? 0
  const elements = [...new Set([...tiers.keys(), ...Object.keys(inventory)])]
  const unknown = elements.filter((element) => tierOf(element) > 0 && !recipesOf.has(element))
  const wantedTier = wanted === undefined ? undefined : tiers.get(wanted)

  /** Sum of the weights of the pairs of a tier that were not tried. */
  const open = new Map<number, number>()
  const weightOf = (a: string, b: string): number => (a === b ? 1 : 2)
  const untried: Array<Pair> = []
  elements.forEach((a, i) => {
    for (const b of elements.slice(i)) {
      if (tried.has(pairKey(a, b))) continue
      untried.push([a, b])
      if (tierOf(a) === tierOf(b)) open.set(tierOf(a), (open.get(tierOf(a)) ?? 0) + weightOf(a, b))
    }
  })

  const promiseOf = ([a, b]: Pair): number => {
    const below = Math.max(tierOf(a), tierOf(b))
    const share = tierOf(a) === tierOf(b) ? weightOf(a, b) / open.get(below)! : crossTier
    const hoped = unknown.filter((element) => tierOf(element) === below + 1).length
    // Without tiers nothing tells one pair from another.
    if (tiers.size === 0) return share
    if (wantedTier === undefined) return share * hoped
    const steps = wantedTier - below - 1
    if (steps === 0) return share + crossTier * share * hoped
    return steps > 0 ? share * hoped * discount ** steps : crossTier * share * hoped
  }

  const found: Array<Trial> = []
  for (const pair of untried) {
    const made = pairsFor(pair, inventory, recipesOf, limited)
    if (made !== undefined) found.push({ pair, pairs: made, promise: promiseOf(pair) / made.length })
  }
  return found.sort((a, b) => b.promise - a.promise)
}

/** The combinations that end with this pair; undefined when its inputs can't be had. */
const pairsFor = (
  pair: Pair,
  inventory: Readonly<Record<string, number>>,
  recipesOf: Facts["recipesOf"],
  limited: boolean
): ReadonlyArray<Pair> | undefined => {
  // A name that no element has: planning for it is planning for the pair.
  const trial = "?"
  return planFor(trial, inventory, new Map([...recipesOf, [trial, [pair]]]), limited)
}
