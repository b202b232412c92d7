/**
 * Scripted agents of Alchemy. They read the chat prompts as a language model would.
 *
 * `careful` makes its target as soon as it knows how, after it has used rounds to spare for what it does not know yet;
 * otherwise it tries the most promising pair. What it has found out, failures included, are the lines of its context.
 */
import { type Agent, type Agents, answerBlock, hintsBlock, type Rng } from "../../src/environment.ts"
import { trials } from "./explore.ts"
import { lookup, type Pair } from "./graph.ts"
import type { Knowledge } from "./options.ts"
import { planFor } from "./plan.ts"
import { type Facts, readFacts, readState, type Reading, readTiers, written } from "./reading.ts"

const combination = ([a, b]: Pair): string => answerBlock.write(`${a} + ${b}`)
const nothingLearnt = hintsBlock.write("null")

const random: Agent = (prompt, _, rng) => {
  if (prompt.kind === "update") return nothingLearnt
  const { inventory, limited } = readState(prompt)
  const names = Object.keys(inventory)
  const pairs = names.flatMap((a, i) =>
    names.slice(i).flatMap((b): ReadonlyArray<Pair> => (a === b && limited && inventory[a]! < 2 ? [] : [[a, b]]))
  )
  return combination(rng.pick(pairs))
}

/** The stock after a combination of which nothing comes. */
const without = ({ inventory, limited }: Reading, pair: Pair): Readonly<Record<string, number>> => {
  if (!limited) return inventory
  const left = { ...inventory }
  for (const element of pair) left[element]!--
  return left
}

const next = (reading: Reading, facts: Facts, tiers: ReadonlyMap<string, number>, rng: Rng): Pair => {
  const { inventory, limited, roundsLeft, target } = reading
  const known = planFor(target, inventory, facts.recipesOf, limited)
  const wanted = known === undefined ? missing(target, facts, tiers) : undefined
  const fits = trials(reading, facts, tiers, wanted).filter(({ pairs }) => pairs.length <= roundsLeft)
  if (known !== undefined) {
    // Only what surely leaves the rounds and materials for the target.
    const spare = fits.find(({ pairs, promise }) => {
      if (promise === 0 || pairs.length > 1 || known.length >= roundsLeft) return false
      const after = planFor(target, without(reading, pairs[0]!), facts.recipesOf, limited)
      return after !== undefined && after.length < roundsLeft
    })
    return spare?.pair ?? known[0]!
  }
  const best = fits.filter(({ promise }) => promise === fits[0]!.promise)
  return best.length > 0 ? rng.pick(best).pairs[0]! : anyPair(reading, rng)
}

/** The first element on the way to the target, itself included, for which no recipe is known. */
const missing = (target: string, { recipesOf }: Facts, tiers: ReadonlyMap<string, number>): string => {
  const way = new Set([target])
  for (const element of way) {
    const recipe = recipesOf.get(element)?.[0]
    if (recipe === undefined && tiers.get(element) !== 0) return element
    recipe?.forEach((input) => way.add(input))
  }
  return target
}

const anyPair = ({ inventory, limited }: Reading, rng: Rng): Pair => {
  const names = Object.keys(inventory)
  const a = rng.pick(names)
  const others = names.filter((b) => b !== a || !limited || inventory[b]! > 1)
  return [a, rng.pick(others.length > 0 ? others : names)]
}

const careful: Agent = (prompt, context, rng) => {
  const texts = prompt.messages.flatMap(({ role, content }) => (role === "assistant" ? [] : [content])).join("\n")
  const tiers = readTiers(texts)
  // What it sees is right when its hints say otherwise.
  const facts = readFacts([texts, context], tiers)
  return prompt.kind === "update"
    ? hintsBlock.write(written(facts))
    : combination(next(readState(prompt), facts, tiers, rng))
}

const amnesiac: Agent = (prompt, context, rng) =>
  prompt.kind === "update" ? nothingLearnt : careful(prompt, context, rng)

const oracle: Agent<Knowledge> = (prompt, context, rng, knowledge) => {
  const graph = knowledge?.graph ?? null
  // Where every task has its own recipes, no knowledge of the pack helps.
  if (graph === null) return careful(prompt, context, rng)
  if (prompt.kind === "update") return hintsBlock.write(hintsOf({ graph }))
  const { inventory, limited, target } = readState(prompt)
  const plan = planFor(target, inventory, lookup(graph).recipesOf, limited)
  return plan === undefined ? careful(prompt, context, rng) : combination(plan[0]!)
}

/** The lines of one who knows the recipes. */
export const hintsOf = ({ graph }: Knowledge): string =>
  graph === null
    ? "The recipes change from task to task."
    : graph.recipes.map(({ inputs: [a, b], product }) => `- ${a} + ${b} = ${product}`).join("\n")

export const agents: Agents<Knowledge> = { random, oracle, careful, amnesiac }
