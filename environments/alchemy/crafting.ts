/** One attempt at a target: the machine's data, the pure functions that change it, and the machine. */
import { assign, setup } from "xstate"
import type { Ending, EnvironmentEvent, Start } from "../../src/environment.ts"
import { type Graph, lookup, type Pair, pairKey } from "./graph.ts"
import type { Knowledge, Options, Task } from "./options.ts"
import type { Stock } from "./plan.ts"

/** Two elements as an agent named them: by their names in `chat`, by their words in `terse`. */
export interface Combination {
  readonly by: "name" | "word"
  readonly inputs: Pair
}

/** One round. Inputs are elements, or what was written where no such element is held. */
export interface Round {
  readonly inputs: Pair
  /** Created; null when nothing happened. */
  readonly product: string | null
  /** Inputs that there was too little of: nothing happened, and nothing was used up. */
  readonly lacking: ReadonlyArray<string>
}

export interface Crafting {
  /** Hidden. */
  readonly graph: Graph
  readonly target: string
  readonly limited: boolean
  readonly stepCap: number
  readonly shows: Pick<Options, "showRecipes" | "showElements" | "showTiers">
  /** Copies of each element held, none of them 0. */
  readonly inventory: Stock
  readonly rounds: ReadonlyArray<Round>
  /** Why the last answer could not be read. */
  readonly misread: string | null
}

/** Throws when the task has no graph, or its target can't be aimed at. */
export const begin = ({ options, knowledge, task }: Start<Options, Knowledge, Task>): Crafting => {
  const graph = task.graph ?? knowledge.graph
  if (graph === null) throw new Error("neither the task nor the knowledge has a graph")
  const { target, inventory = Object.fromEntries(graph.tiers[0]!.map((name) => [name, 1])) } = task
  if (!lookup(graph).tierOf.has(target)) throw new Error(`the target ${target} is not an element of the graph`)
  if (Object.hasOwn(inventory, target)) throw new Error(`the target ${target} is there from the start`)
  const { showElements, showRecipes, showTiers, stepCap } = options
  return {
    graph,
    target,
    limited: options.materialMode === "limited",
    stepCap,
    shows: { showElements, showRecipes, showTiers },
    inventory,
    rounds: [],
    misread: null
  }
}

/** How many there are of an element. */
export const copies = ({ inventory }: Pick<Crafting, "inventory">, element: string): number =>
  Object.hasOwn(inventory, element) ? inventory[element]! : 0

/** Combines two elements. A round is spent even when one of them is missing; then nothing is used up. */
export const combine = (crafting: Crafting, { by, inputs }: Combination): Crafting => {
  const { graph, limited, rounds } = crafting
  const { byName, byWord, products } = lookup(graph)
  const held = (written: string): string => {
    const element = by === "name" ? byName.get(written.toLowerCase()) : byWord.get(written)
    return element !== undefined && copies(crafting, element) > 0 ? element : written
  }
  const [a, b] = [held(inputs[0]), held(inputs[1])]
  const lacking = [...new Set([a, b])].filter((element) => copies(crafting, element) < (limited && a === b ? 2 : 1))
  if (lacking.length > 0) return { ...crafting, rounds: [...rounds, { inputs: [a, b], product: null, lacking }] }
  const product = products.get(pairKey(a, b)) ?? null
  return {
    ...crafting,
    inventory: changed(crafting, limited ? [a, b] : [], product),
    rounds: [...rounds, { inputs: [a, b], product, lacking }]
  }
}

/** Uses up one copy of each input; the product is held once where nothing is used up, else once more. */
const changed = (crafting: Crafting, used: ReadonlyArray<string>, product: string | null): Stock => {
  if (used.length === 0 && product === null) return crafting.inventory
  const left: Record<string, number> = { ...crafting.inventory }
  for (const element of used) {
    if (left[element] === 1) delete left[element]
    else left[element]!--
  }
  if (product !== null) left[product] = used.length > 0 ? copies({ inventory: left }, product) + 1 : 1
  return left
}

export const isTargetMade = (crafting: Crafting): boolean => copies(crafting, crafting.target) > 0
/** Any two copies can be combined, so a pair is left as long as two copies are. */
export const isOutOfMaterials = ({ inventory, limited }: Crafting): boolean => {
  if (!limited) return false
  let count = 0
  for (const element in inventory) count += inventory[element]!
  return count < 2
}
export const isOutOfRounds = ({ rounds, stepCap }: Crafting): boolean => rounds.length >= stepCap

const ending = (outcome: Ending["outcome"]) => {
  const success = outcome === "success"
  return { type: "final", output: { success, reward: success ? 1 : 0, outcome } } as const
}

export const machine = setup({
  types: {} as {
    context: Crafting
    events: EnvironmentEvent<Combination>
    input: Start<Options, Knowledge, Task, undefined>
    output: Ending
  },
  guards: {
    targetMade: ({ context }) => isTargetMade(context),
    outOfMaterials: ({ context }) => isOutOfMaterials(context),
    outOfRounds: ({ context }) => isOutOfRounds(context)
  },
  actions: {
    combine: assign(({ context, event }) => (event.type === "answer" ? combine(context, event.action) : context)),
    misread: assign(({ event }) => (event.type === "malformed" ? { misread: event.why } : {}))
  }
}).createMachine({
  id: "alchemy",
  context: ({ input }) => begin(input),
  initial: "combining",
  states: {
    combining: {
      always: [
        { guard: "targetMade", target: "targetMade" },
        { guard: "outOfMaterials", target: "outOfMaterials" },
        { guard: "outOfRounds", target: "outOfRounds" }
      ],
      on: { answer: { actions: "combine" }, malformed: { target: "misread", actions: "misread" } }
    },
    targetMade: ending("success"),
    outOfMaterials: ending("failure"),
    outOfRounds: ending("truncated"),
    misread: ending("malformed")
  },
  output: ({ event }) => event.output as Ending
})
