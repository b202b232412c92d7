/** What the scripted agents make of chat prompts and of their own hints. */
import type { Prompt } from "../../src/environment.ts"
import { type Pair, pairKey } from "./graph.ts"

/** What is known of the recipes. */
export interface Facts {
  /** Pairs that create each element. */
  readonly recipesOf: Map<string, Array<Pair>>
  /** Pairs that were combined, whatever came of it, as `pairKey`. */
  readonly tried: Set<string>
  readonly failed: Array<Pair>
}

export interface Reading {
  readonly target: string
  readonly limited: boolean
  readonly roundsLeft: number
  readonly inventory: Readonly<Record<string, number>>
}

const name = "([A-Za-z][\\w-]*)"
const recipePattern = new RegExp(`${name} \\+ ${name} (?:=|created) ${name}`, "g")
const failurePattern = new RegExp(`${name} \\+ ${name}: nothing happened`, "g")
const tierPattern = /^- Tier (\d+): (.*)$/gm

/** Tier by element, where a text lists them. */
export const readTiers = (text: string): ReadonlyMap<string, number> => {
  const tiers = new Map<string, number>()
  for (const [, tier, names] of text.matchAll(tierPattern)) {
    for (const name of names!.split(", ")) tiers.set(name, Number(tier))
  }
  return tiers
}

const note = (facts: Facts, pair: Pair, product: string | null): void => {
  const key = pairKey(...pair)
  if (facts.tried.has(key)) return
  facts.tried.add(key)
  if (product === null) facts.failed.push(pair)
  else if (facts.recipesOf.has(product)) facts.recipesOf.get(product)!.push(pair)
  else facts.recipesOf.set(product, [pair])
}

/** The facts that texts tell, the first text trusted most; only about the elements listed, where any are. */
export const readFacts = (texts: ReadonlyArray<string>, tiers: ReadonlyMap<string, number>): Facts => {
  const facts: Facts = { recipesOf: new Map(), tried: new Set(), failed: [] }
  const listed = (...names: ReadonlyArray<string>) => tiers.size === 0 || names.every((name) => tiers.has(name))
  for (const text of texts) {
    for (const [, a, b, product] of text.matchAll(recipePattern)) {
      if (listed(a!, b!, product!)) note(facts, [a!, b!], product!)
    }
    for (const [, a, b] of text.matchAll(failurePattern)) {
      if (listed(a!, b!)) note(facts, [a!, b!], null)
    }
  }
  return facts
}

/** Hints that `readFacts` reads back. */
export const written = ({ recipesOf, failed }: Facts): string => {
  const recipes = [...recipesOf].flatMap(([product, pairs]) => pairs.map(([a, b]) => `- ${a} + ${b} = ${product}`))
  return [...recipes, ...failed.map(([a, b]) => `- ${a} + ${b}: nothing happened`)].join("\n") || "null"
}

/** The state that the last user message of a solve prompt shows. */
export const readState = ({ messages }: Prompt): Reading => {
  const text = messages.at(-1)!.content
  const [, round, cap] = /^Round (\d+)\/(\d+)/m.exec(text)!
  const listed = /^Inventory: (.*)$/m.exec(text)![1]!.split(", ")
  const limited = listed[0]!.includes(" x")
  return {
    target: /^Target: (.*)$/m.exec(text)![1]!,
    limited,
    roundsLeft: Number(cap) - Number(round) + 1,
    inventory: Object.fromEntries(
      listed.map((entry) => {
        const [name, count] = entry.split(" x")
        return [name!, Number(count ?? 1)]
      })
    )
  }
}
