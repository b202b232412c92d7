/**
 * An attempt in words for language models.
 *
 * These texts are also all that the scripted agents see, so `reading.ts` changes with them. Elements are sorted by name
 * wherever they are listed: the order in which they were drawn would tell the dead ends from the others.
 */
import { answerBlock, type Parsed } from "../../src/environment.ts"
import {
  type Combination,
  copies,
  type Crafting,
  isOutOfMaterials,
  isOutOfRounds,
  isTargetMade,
  type Round
} from "./crafting.ts"
import { type Graph, lookup } from "./graph.ts"

const recipeLines = ({ recipes }: Graph): Array<string> =>
  recipes.map(({ inputs: [a, b], product }) => `- ${a} + ${b} = ${product}`)

/** What is shown of the graph, under headings of its own. */
const shown = ({ graph, shows, target }: Crafting): string => {
  let text = ""
  if (shows.showElements) text += `\n\n## All elements\n${graph.tiers.flat().sort().join(", ")}`
  if (shows.showTiers) {
    const tiers = graph.tiers.map((names, tier) => `- Tier ${tier}: ${[...names].sort().join(", ")}`)
    text += `\n\n## Elements by tier\n${tiers.join("\n")}\nThe target ${target} is of tier ${lookup(graph).tierOf.get(target)}.`
  }
  if (shows.showRecipes) text += `\n\n## Recipes\n${recipeLines(graph).sort().join("\n")}`
  return text
}

export const system = (
  crafting: Crafting
): string => `You are an alchemist. You combine elements, two at a time, and want to create the element ${crafting.target}.

## Rules
- Some pairs of elements create a third one. These recipes are fixed: each has two inputs and one output. An element may be combined with itself, and the order of the two does not matter.
- The output is of a strictly higher tier than both inputs.
- ${
  crafting.limited
    ? "Every combination uses up one copy of each input, even when nothing results. To combine an element with itself you need two copies."
    : "Nothing is used up: what you have once you may combine as often as you like."
}
- Combining something that you do not have does nothing, and the round is spent all the same.
- Names carry no meaning.
- The recipes are unknown at first: do not assume any. You can find them by trying, or from hints if you have any.
- The task ends when you have created ${crafting.target}${
  crafting.limited ? ", when you have too little left to combine" : ""
} or after ${crafting.stepCap} rounds. An answer that is not of the form below ends it too.

## Reward
- Creating ${crafting.target}: 1
- Otherwise: 0${shown(crafting)}

## Answer
One combination per round. Balance creating the target with gathering information that will help in later tasks.
Reason briefly, then give exactly one combination of two elements, like this: ${answerBlock.write("ElementA + ElementB")}`

const outcomeOf = ({ product, lacking }: Round, limited: boolean, inventory: Crafting["inventory"]): string => {
  if (lacking.length > 0) {
    const missing = lacking.map((element) =>
      copies({ inventory }, element) > 0 ? `only one ${element}` : `no ${element}`
    )
    return ` is not possible: you have ${missing.join(" and ")}.`
  }
  if (product !== null) return ` created ${product}.${limited ? " Both inputs are used up." : ""}`
  return `: nothing happened.${limited ? " Both inputs are used up." : ""}`
}

/** On the last round; empty before the first. */
export const stepFeedback = ({ inventory, limited, misread, rounds }: Crafting): string => {
  if (misread !== null) return `Your answer could not be read: ${misread}.`
  const last = rounds.at(-1)
  return last === undefined ? "" : `${last.inputs[0]} + ${last.inputs[1]}${outcomeOf(last, limited, inventory)}`
}

const holdings = ({ inventory, limited }: Crafting): string => {
  const names = Object.keys(inventory).sort()
  return (limited ? names.map((name) => `${name} x${inventory[name]}`) : names).join(", ")
}

export const user = (crafting: Crafting): string => {
  const { rounds, stepCap, target } = crafting
  const feedback = rounds.length > 0 ? `${stepFeedback(crafting)}\n` : ""
  return `Round ${rounds.length + 1}/${stepCap}\n${feedback}Target: ${target}\nInventory: ${holdings(crafting)}`
}

/** On the episode: the last round, then how it all ended. */
export const endFeedback = (crafting: Crafting): string => {
  const { rounds, stepCap, target } = crafting
  const used = `${rounds.length} of ${stepCap} rounds`
  const end = isTargetMade(crafting)
    ? `You created ${target} in ${used}.`
    : isOutOfMaterials(crafting)
      ? `You ran out of materials after ${used}, without ${target}.`
      : isOutOfRounds(crafting)
        ? `You ran out of rounds without ${target}: ${used} used.`
        : ""
  return `${stepFeedback(crafting)} ${end}`.trim()
}

/** Longer than any name: what is cut off was no element anyway. */
const longest = 40

export const parse = (reply: string): Parsed<Combination> => {
  const form = `expected exactly one ${answerBlock.write("ElementA + ElementB")}`
  const answer = answerBlock.read(reply)
  if (answer === undefined) return { why: form }
  const [a, b, ...more] = answer.split("+", 3).map((side) => side.trim().slice(0, longest))
  if (!a || !b || more.length > 0) return { why: `${form}, with one plus sign between two elements` }
  return { action: { by: "name", inputs: [a, b] } }
}
