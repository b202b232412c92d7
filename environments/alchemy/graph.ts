/**
 * The recipe graph: elements in tiers, and which pairs of them create which. It is what Alchemy hides.
 *
 * Everything here is drawn from one stream in the order of the specification (environments, section 3), words last.
 */
import type { Rng } from "../../src/environment.ts"
import type { Options } from "./options.ts"

export type Pair = readonly [string, string]

export interface Recipe {
  readonly inputs: Pair
  readonly product: string
}

export interface Graph {
  /** Names by tier, noise included. Tier 0 is there from the start, the others must be created. */
  readonly tiers: ReadonlyArray<ReadonlyArray<string>>
  readonly recipes: ReadonlyArray<Recipe>
  /** Dead ends: no recipe of another element needs them, they are never a target. */
  readonly noise?: ReadonlyArray<string>
  /** What each element is called in the `terse` style. */
  readonly words?: Readonly<Record<string, string>>
}

/** Elements in the `terse` style: enough for every graph of the presets. Which is which is drawn for each graph. */
export const elementWords: ReadonlyArray<string> =
  "ash bog clay dew elm fog gum hay ice jet kelp lye moss nut oak peat rye salt tar urn vine wax yew zinc".split(" ")

/** A pair as text, whichever way round. */
export const pairKey = (a: string, b: string): string => (a < b ? `${a}+${b}` : `${b}+${a}`)

/** What is asked of a graph again and again. */
interface Lookup {
  readonly products: ReadonlyMap<string, string>
  readonly recipesOf: ReadonlyMap<string, ReadonlyArray<Pair>>
  readonly tierOf: ReadonlyMap<string, number>
  /** Element by its name in lower case, and by its word. */
  readonly byName: ReadonlyMap<string, string>
  readonly byWord: ReadonlyMap<string, string>
  readonly wordOf: ReadonlyMap<string, string>
}

const lookups = new WeakMap<Graph, Lookup>()

export const lookup = (graph: Graph): Lookup => {
  let found = lookups.get(graph)
  if (found === undefined) lookups.set(graph, (found = makeLookup(graph)))
  return found
}

const makeLookup = ({ tiers, recipes, words }: Graph): Lookup => {
  const elements = tiers.flat()
  const wordOf = new Map(elements.map((name, i) => [name, words?.[name] ?? elementWords[i] ?? `e${i}`]))
  const recipesOf = Map.groupBy(recipes, ({ product }) => product)
  return {
    products: new Map(recipes.map(({ inputs: [a, b], product }) => [pairKey(a, b), product])),
    recipesOf: new Map([...recipesOf].map(([product, own]) => [product, own.map(({ inputs }) => inputs)])),
    tierOf: new Map(tiers.flatMap((names, tier) => names.map((name) => [name, tier] as const))),
    byName: new Map(elements.map((name) => [name.toLowerCase(), name])),
    byWord: new Map([...wordOf].map(([name, word]) => [word, name])),
    wordOf
  }
}

/** Python's `round`: halves go to the even neighbour. */
export const roundHalfEven = (x: number): number => {
  const floor = Math.floor(x)
  return x - floor !== 0.5 ? Math.round(x) : floor + (floor % 2)
}

const between = (rng: Rng, [low, high]: readonly [number, number]): number => low + (high - low) * rng.uniform()

const letters = "abcdefghijklmnopqrstuvwxyz"

export const drawGraph = (rng: Rng, options: Options): Graph => {
  const tierCount = rng.int(...options.tiers)
  const baseCount = rng.int(...options.baseElements)
  const shrink = between(rng, options.shrink)
  const crossTierProbability = between(rng, options.crossTierProbability)
  const noiseRatio = between(rng, options.noiseRatio)

  const sizes = [baseCount]
  while (sizes.length < tierCount) sizes.push(Math.max(1, roundHalfEven(sizes.at(-1)! * shrink)))

  const names = new Set<string>()
  const drawName = (): string => {
    for (;;) {
      let name = ""
      for (let left = rng.int(3, 5); left > 0; left--) name += letters[rng.int(0, 25)]
      if (!names.has(name)) {
        names.add(name)
        return name
      }
    }
  }
  const tiers = sizes.map((size) => Array.from({ length: size }, drawName))

  const recipes: Array<Recipe> = []
  const used = new Set<string>()
  /** A recipe for an element of that tier from a pair that has none; false when none was found in fifty tries. */
  const drawRecipe = (product: string, tier: number): boolean => {
    for (let tries = 0; tries < 50; tries++) {
      const a = rng.pick(tiers[tier - 1]!)
      const low = Math.max(0, tier - options.maxTierGap)
      const crosses = rng.uniform() < crossTierProbability && low <= tier - 2
      const b = rng.pick(tiers[crosses ? rng.int(low, tier - 2) : tier - 1]!)
      const key = pairKey(a, b)
      if (used.has(key)) continue
      used.add(key)
      recipes.push({ inputs: [a, b], product })
      return true
    }
    return false
  }
  for (let tier = 1; tier < tierCount; tier++) {
    for (const element of tiers[tier]!) {
      for (let left = rng.int(...options.recipesPerElement); left > 0; left--) drawRecipe(element, tier)
    }
  }

  const noise: Array<string> = []
  for (let round = 0; round < options.noiseDepth; round++) {
    const fresh = tiers.map((_, tier) => {
      const first = tier === 0 ? 0 : roundHalfEven(sizes[tier]! * noiseRatio)
      const count = round === 0 ? first : roundHalfEven(first / 2)
      return Array.from({ length: count }, drawName).filter((element) => drawRecipe(element, tier))
    })
    // Only now, so that the noise of one round is made of earlier ones.
    fresh.forEach((elements, tier) => tiers[tier]!.push(...elements))
    noise.push(...fresh.flat())
  }
  return { tiers, recipes, noise }
}

/** Real elements that can be created, by tier. */
const candidates = ({ tiers, noise = [], recipes }: Graph): Array<Array<string>> => {
  const products = new Set(recipes.map(({ product }) => product))
  const real = (name: string) => products.has(name) && !noise.includes(name)
  return tiers.map((names, tier) => (tier === 0 ? [] : names.filter(real)))
}

/** Targets of a pack of `count` tasks, without repetition, higher tiers more often; fewer when there are no more. */
export const drawTargets = (rng: Rng, graph: Graph, count: number): Array<string> => {
  const left = candidates(graph)
  const targets: Array<string> = []
  while (targets.length < count) {
    const weights = left.map((names, tier) => (names.length > 0 ? tier + 1 : 0))
    let ticket = rng.uniform() * weights.reduce((sum, weight) => sum + weight, 0)
    const tier = weights.findIndex((weight) => (ticket -= weight) < 0)
    if (tier < 0) break
    const target = rng.pick(left[tier]!)
    left[tier] = left[tier]!.filter((name) => name !== target)
    targets.push(target)
  }
  return rng.shuffle(targets)
}

/** One target of the highest tier. */
export const drawTopTarget = (rng: Rng, graph: Graph): string =>
  rng.pick(candidates(graph).findLast((names) => names.length > 0)!)

/** Gives the elements their words. */
export const withWords = (rng: Rng, graph: Graph): Graph => {
  const elements = graph.tiers.flat()
  const enough = Array.from({ length: Math.max(0, elements.length - elementWords.length) }, (_, i) => `e${i}`)
  const words = rng.shuffle([...elementWords, ...enough])
  return { ...graph, words: Object.fromEntries(elements.map((name, i) => [name, words[i]!])) }
}
