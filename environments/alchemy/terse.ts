/**
 * An attempt in few words, for small policies.
 *
 * Whatever tells of a pair is three words, the product first: `fog ash dew` in a context, in a trajectory and in a reply,
 * where the product is what the policy wants to make. So every look-up copies what followed a word before.
 */
import type { Parsed, Told } from "../../src/environment.ts"
import {
  type Combination,
  type Crafting,
  isOutOfMaterials,
  isOutOfRounds,
  isTargetMade,
  type Round
} from "./crafting.ts"
import { elementWords, type Graph, lookup } from "./graph.ts"

/** Tiers as words. */
const tierWords = ["t0", "t1", "t2", "t3", "t4", "t5"] as const

const marks = ["none", "miss", "have", ">", "win", "out", "time", "bad"] as const

/** All words of these views; more than twenty copies of an element need counts beyond it. */
export const vocabulary: ReadonlyArray<string> = [
  ...elementWords,
  ...tierWords,
  ...marks,
  ...Array.from({ length: 20 }, (_, i) => `x${i + 1}`)
]

const notElements = new Set<string>([...vocabulary.slice(elementWords.length), "?"])

/** Sorted, so that the order tells nothing. */
const spoken = (graph: Graph, names: ReadonlyArray<string>): Array<string> =>
  names.map((name) => lookup(graph).wordOf.get(name)!).sort()

/** Three words for each recipe. */
export const recipeWords = (graph: Graph): string => {
  const { wordOf } = lookup(graph)
  const said = graph.recipes.map(({ inputs: [a, b], product }) => [product, a, b].map((name) => wordOf.get(name)!))
  return said.map((words) => words.join(" ")).join(" ")
}

export const systemWords = ({ graph, shows }: Crafting): string => {
  const words = shows.showTiers
    ? graph.tiers.flatMap((names, tier) => [tierWords[tier]!, ...spoken(graph, names)])
    : shows.showElements
      ? spoken(graph, graph.tiers.flat())
      : []
  if (shows.showRecipes) words.push(recipeWords(graph))
  return words.join(" ")
}

/** The product, or what happened instead. */
const result = ({ product, lacking }: Round, graph: Graph): string =>
  lacking.length > 0 ? "miss" : product === null ? "none" : lookup(graph).wordOf.get(product)!

/** The result of the last round; empty before the first. */
export const feedbackWords = ({ graph, rounds }: Crafting): string => {
  const last = rounds.at(-1)
  return last === undefined ? "" : result(last, graph)
}

/** The result of the last round, what is held (without tier 0 where that is there for good), and the target. */
export const userWords = (crafting: Crafting): string => {
  const { graph, inventory, limited, target } = crafting
  const { tierOf, wordOf } = lookup(graph)
  const last = feedbackWords(crafting)
  const held = Object.keys(inventory)
    .filter((name) => limited || tierOf.get(name) !== 0)
    .map((name) => (limited ? `${wordOf.get(name)} x${inventory[name]}` : wordOf.get(name)!))
    .sort()
  return [...(last === "" ? [] : [last]), "have", ...held, ">", wordOf.get(target)!].join(" ")
}

/** Three words for each round of which something was told, then `win`, `out` (of materials), `time` or `bad`. */
export const trajectoryWords = (crafting: Crafting, told: Told = []): string => {
  const { graph, misread, rounds } = crafting
  const { wordOf } = lookup(graph)
  const words = rounds.flatMap((round, i) => {
    const product = told[i] ?? result(round, graph)
    return product === "" ? [] : [`${product} ${round.inputs.map((name) => wordOf.get(name) ?? name).join(" ")}`]
  })
  if (misread !== null) words.push("bad")
  else if (isTargetMade(crafting)) words.push("win")
  else if (isOutOfMaterials(crafting)) words.push("out")
  else if (isOutOfRounds(crafting)) words.push("time")
  return words.join(" ")
}

/** An element, as far as its word tells. */
export const isElementWord = (word: string): boolean => /^[\w-]{1,20}$/.test(word) && !notElements.has(word)

/** Three words, the last two elements. The first is the policy's own thought. */
export const parseWords = (reply: string): Parsed<Combination> => {
  const [thought, a, b, ...more] = reply.split(" ", 4)
  if (!thought || a === undefined || b === undefined || more.length > 0 || !isElementWord(a) || !isElementWord(b)) {
    return { why: "expected a word and two elements" }
  }
  return { action: { by: "word", inputs: [a, b] } }
}

/** A context is any list of elements, `none` and `?`. Nothing checks what it means. */
export const parseContext = (reply: string): { readonly context: string } | { readonly why: string } => {
  const words = reply.split(" ").filter((word) => word !== "")
  const stranger = words.find((word) => !isElementWord(word) && word !== "none" && word !== "?")
  return stranger === undefined
    ? { context: words.join(" ") }
    : { why: `${JSON.stringify(stranger.slice(0, 20))} is no word of a context` }
}
