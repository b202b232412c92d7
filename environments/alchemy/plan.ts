/** How to make an element out of what there is, by known recipes. */
import type { Pair } from "./graph.ts"

export type RecipesOf = ReadonlyMap<string, ReadonlyArray<Pair>>

/** Copies of each element. */
export type Stock = Readonly<Record<string, number>>

interface Made {
  /** Pairs to combine, in order. */
  readonly pairs: ReadonlyArray<Pair>
  readonly stock: Stock
}

/**
 * The pairs to combine, in order, until there is a copy of `target`; undefined when the recipes don't lead there.
 *
 * Each element is made by the recipe that takes the fewest combinations at the moment. Where inputs are used up
 * (`limited`) that is a tree; otherwise what has been made once is there for good.
 */
export const planFor = (
  target: string,
  stock: Stock,
  recipesOf: RecipesOf,
  limited: boolean
): ReadonlyArray<Pair> | undefined => {
  /** Takes one copy out of the stock, made first when there is none. */
  const take = (element: string, stock: Stock, making: ReadonlyArray<string>): Made | undefined => {
    const held = stock[element] ?? 0
    if (held > 0) return { pairs: [], stock: limited ? { ...stock, [element]: held - 1 } : stock }
    // What is believed of recipes may go in circles.
    if (making.includes(element)) return undefined
    const above = [...making, element]
    let best: Made | undefined
    for (const pair of recipesOf.get(element) ?? []) {
      const [a, b] = pair
      const first = take(a, stock, above)
      const second = first && take(b, first.stock, above)
      if (second === undefined) continue
      const pairs = [...first!.pairs, ...second.pairs, pair]
      if (best !== undefined && best.pairs.length <= pairs.length) continue
      best = { pairs, stock: limited ? second.stock : { ...second.stock, [element]: 1 } }
    }
    return best
  }
  return take(target, stock, [])?.pairs
}

/** The largest number of copies of one base element that the full expansion of the target uses. */
export const copiesNeeded = (target: string, base: ReadonlyArray<string>, recipesOf: RecipesOf): number => {
  const plenty = Object.fromEntries(base.map((name) => [name, Infinity]))
  const uses = new Map<string, number>()
  for (const pair of planFor(target, plenty, recipesOf, true) ?? []) {
    for (const name of pair) uses.set(name, (uses.get(name) ?? 0) + 1)
  }
  return Math.max(1, ...base.map((name) => uses.get(name) ?? 0))
}
