/** The options, hidden knowledge and tasks of Alchemy, as schemas. */
import { Schema } from "effect"
import type { Rng } from "../../src/environment.ts"
import { int, intRange, option, range } from "../option.ts"
import { drawGraph, drawTargets, drawTopTarget, type Graph, lookup, pairKey, withWords } from "./graph.ts"
import { copiesNeeded } from "./plan.ts"

const Name = Schema.String.check(Schema.isPattern(/^[A-Za-z][A-Za-z0-9_-]{0,19}$/))

const GraphFromJson = Schema.Struct({
  tiers: Schema.Array(Schema.Array(Name)).annotate({
    description: "Names of elements by tier; tier 0 is there from the start"
  }),
  recipes: Schema.Array(Schema.Struct({ inputs: Schema.Tuple([Name, Name]), product: Name })),
  noise: Schema.optionalKey(Schema.Array(Name)).annotate({ description: "Elements that lead nowhere" }),
  words: Schema.optionalKey(Schema.Record(Name, Name)).annotate({
    description: "What elements are called in the terse style; drawn words otherwise"
  })
}).check(Schema.makeFilter((graph) => flaw(graph)))

/** What is wrong with a graph; undefined when it is sound. */
const flaw = ({ tiers, recipes, noise = [], words = {} }: Graph): string | undefined => {
  const tierOf = new Map(tiers.flatMap((names, tier) => names.map((name) => [name.toLowerCase(), tier] as const)))
  if (tierOf.size === 0 || tierOf.size !== tiers.flat().length) return "Expected elements with different names"
  const stranger = [
    ...recipes.flatMap(({ inputs, product }) => [...inputs, product]),
    ...noise,
    ...Object.keys(words)
  ].find((name) => !tiers.some((names) => names.includes(name)))
  if (stranger !== undefined) return `Expected names of the tiers, got ${JSON.stringify(stranger)}`
  const tier = (name: string) => tierOf.get(name.toLowerCase())!
  const flat = recipes.find(({ inputs: [a, b], product }) => tier(product) <= Math.max(tier(a), tier(b)))
  if (flat !== undefined) return `Expected products of a higher tier than both inputs, got ${JSON.stringify(flat)}`
  const pairs = new Set(recipes.map(({ inputs: [a, b] }) => pairKey(a, b)))
  if (pairs.size !== recipes.length) return "Expected one recipe for a pair at most"
  const spoken = Object.keys(words).length
  if (spoken > 0 && spoken !== tierOf.size) return "Expected a word for every element, or none"
  return new Set(Object.values(words)).size === spoken ? undefined : "Expected different words"
}

export const Options = Schema.Struct({
  scope: option(
    Schema.Literals(["per_pack", "per_task"]),
    "per_task",
    "Whether the recipes are drawn for each pack or for each task"
  ),
  stepCap: option(int(1, 1000), 15, "Rounds after which a task is over"),
  materialMode: option(
    Schema.Literals(["unlimited", "limited"]),
    "unlimited",
    "Whether combining uses up one copy of each input, even when nothing results"
  ),
  tiers: option(intRange(2, 6), [3, 4], "Lowest and highest number of tiers"),
  baseElements: option(intRange(2, 40), [10, 15], "Lowest and highest number of elements of tier 0"),
  shrink: option(range(0.05, 1), [0.4, 0.6], "Lowest and highest size of a tier as a share of the one below"),
  recipesPerElement: option(intRange(1, 5), [2, 3], "Lowest and highest number of recipes of an element"),
  maxTierGap: option(int(1, 6), 2, "How many tiers below its product the second input may be"),
  crossTierProbability: option(
    range(0, 1),
    [0.2, 0.35],
    "Lowest and highest probability that the second input is from below the tier below"
  ),
  noiseRatio: option(range(0, 1), [0.15, 0.25], "Lowest and highest share of dead ends in a tier above 0"),
  noiseDepth: option(int(0, 10), 3, "Rounds in which dead ends are added"),
  showRecipes: option(Schema.Boolean, false, "The prompt lists all recipes"),
  showElements: option(Schema.Boolean, false, "The prompt lists all elements, without tiers"),
  showTiers: option(Schema.Boolean, true, "The prompt lists all elements by tier")
})
export type Options = typeof Options.Type

const small = {
  scope: "per_pack",
  stepCap: 8,
  baseElements: [3, 4],
  recipesPerElement: [1, 1],
  maxTierGap: 1,
  crossTierProbability: [0, 0.1],
  noiseRatio: [0, 0],
  noiseDepth: 2
} as const

/** The published training and evaluations. */
export const presets: Readonly<Record<string, Partial<Options>>> = {
  train: small,
  easy: small,
  hard: {
    ...small,
    stepCap: 15,
    materialMode: "limited",
    baseElements: [4, 6],
    shrink: [0.4, 0.8],
    recipesPerElement: [1, 2],
    crossTierProbability: [0, 0.05],
    noiseRatio: [0, 0.3]
  }
}

/** The graph is null where every task has its own. Tasks without a target of their own take turns with `targets`. */
export const Knowledge = Schema.Struct({
  graph: Schema.NullOr(GraphFromJson),
  targets: Schema.optionalKey(Schema.Array(Name))
})
export type Knowledge = typeof Knowledge.Type

export const Task = Schema.Struct({
  target: Name,
  inventory: Schema.optionalKey(Schema.Record(Name, int(1, 1_000_000))).annotate({
    description: "Copies of each element at the start; one of each of tier 0 by default"
  }),
  graph: Schema.optionalKey(GraphFromJson).annotate({ description: "The task's own recipes, instead of the pack's" })
})
export type Task = typeof Task.Type

export const sampleKnowledge = (rng: Rng, options: Options, packSize: number): Knowledge => {
  if (options.scope === "per_task") return { graph: null }
  const graph = drawGraph(rng, options)
  const targets = drawTargets(rng, graph, packSize)
  return { graph: withWords(rng, graph), targets }
}

export const sampleTask = (rng: Rng, options: Options, { graph, targets = [] }: Knowledge, position: number): Task => {
  const own = graph ?? drawGraph(rng, options)
  const target = targets[position % targets.length] ?? drawTopTarget(rng, own)
  const copies = options.materialMode === "limited" ? startingCopies(rng, own, target) : 1
  const inventory = Object.fromEntries(own.tiers[0]!.map((name) => [name, copies]))
  return graph === null ? { target, inventory, graph: withWords(rng, own) } : { target, inventory }
}

/**
 * Copies of each element of tier 0 in limited mode. The need is counted over the full expansion of the target, in which
 * an intermediate product that is used twice is made twice: so every target can be made.
 */
const startingCopies = (rng: Rng, graph: Graph, target: string): number => {
  const need = copiesNeeded(target, graph.tiers[0]!, lookup(graph).recipesOf)
  const multiple = 1.5 + 0.5 * rng.uniform()
  return Math.max(need, Math.floor(need * multiple + 0.5))
}
