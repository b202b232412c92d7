/**
 * Demonstrations in the terse style, for the warm start of a small policy. They act there and nowhere else.
 *
 * `drill` plays and looks up almost without fault, so that a policy can learn the skill; `mediocre` plays badly. Both write
 * contexts of recipes only, product first, such as `fog ash dew elm fog fog`.
 */
import type { Demonstrations, Prompt, Rng } from "../../src/environment.ts"
import { type Graph, lookup, type Pair, pairKey } from "./graph.ts"
import type { Knowledge } from "./options.ts"
import { planFor } from "./plan.ts"
import { isElementWord } from "./terse.ts"

/** Probabilities of doing the right thing. */
interface Skill {
  /** Makes what it knows how to make, the target or what may lead to it, rather than try a pair. */
  readonly plan: number
  /** Remembers a recipe or a failure that has shown itself in this episode. */
  readonly useEpisode: number
  /** Remembers a recipe that the context tells. */
  readonly useContext: number
  /** Tries a pair not tried yet of the tier just below what is wanted, or as near as there is. */
  readonly explore: number
  /** Writes down a known recipe. */
  readonly write: number
  /** Writes a random element instead of an input. */
  readonly wrong: number
  /** Writes an empty context. */
  readonly useless: number
  /** How probable each recipe is to be in the first context. */
  readonly firstContext: (rng: Rng) => number
}

const skills: Record<string, Skill> = {
  drill: {
    plan: 0.95,
    useEpisode: 0.95,
    useContext: 0.95,
    explore: 0.95,
    write: 0.97,
    wrong: 0,
    useless: 0,
    // Empty ones are needed too: with a context always there, looking up inside the episode is never learnt.
    firstContext: (rng) => (rng.uniform() < 0.3 ? 0 : 1.2 * rng.uniform())
  },
  mediocre: {
    plan: 0.6,
    useEpisode: 0.4,
    useContext: 0.7,
    explore: 0.3,
    write: 0.5,
    wrong: 0.05,
    useless: 0.2,
    firstContext: (rng) => (rng.uniform() < 0.7 ? 0 : 0.75)
  }
}

/** Three words: a product, or `none` or `miss`, and the pair. */
type Told = readonly [result: string, a: string, b: string]

/** Recipes of this many elements fit into a reply. */
const longestContext = 15

/** The words of a message inside the frame that the engine puts around it. */
const inside = (content: string): ReadonlyArray<string> => {
  const words = content.split(" ")
  const end = words.indexOf("<ctx>")
  return words.slice(words.lastIndexOf("|") + 1, end < 0 ? undefined : end)
}

const threes = (words: ReadonlyArray<string>): ReadonlyArray<Told> =>
  Array.from({ length: Math.floor(words.length / 3) }, (_, i) => words.slice(3 * i, 3 * i + 3) as unknown as Told)

/** The last word on an element counts. */
const recipesIn = (told: ReadonlyArray<Told>): ReadonlyMap<string, Pair> =>
  new Map(told.flatMap(([result, a, b]) => (isElementWord(result) ? [[result, [a, b]] as const] : [])))

interface Reading {
  readonly target: string
  readonly tiers: ReadonlyMap<string, number>
  readonly stock: Readonly<Record<string, number>>
  readonly limited: boolean
  /** Of this episode. */
  readonly told: ReadonlyArray<Told>
}

const readSolve = ({ messages }: Prompt): Reading => {
  const tiers = new Map<string, number>()
  let tier = 0
  for (const word of inside(messages[0]!.content)) {
    if (/^t\d$/.test(word)) tier = Number(word[1])
    else tiers.set(word, tier)
  }
  const last = inside(messages.at(-1)!.content)
  const held = last.slice(last.indexOf("have") + 1, last.indexOf(">"))
  const limited = held.some((word) => /^x\d+$/.test(word))
  const base = [...tiers].flatMap(([word, tier]) => (tier === 0 && !limited ? [word] : []))
  const copies = held.flatMap((word, i): ReadonlyArray<readonly [string, number]> => {
    if (/^x\d+$/.test(word)) return []
    return [[word, limited ? Number(held[i + 1]!.slice(1)) : 1]]
  })
  const told = messages.flatMap(({ role, content }, i): ReadonlyArray<Told> => {
    const [, a, b] = content.split(" ")
    return role === "assistant" ? [[messages[i + 1]!.content.split(" ", 1)[0]!, a ?? "", b ?? ""]] : []
  })
  const stock = Object.fromEntries([...base.map((word) => [word, 1] as const), ...copies])
  return { target: last.at(-1)!, tiers, stock, limited, told }
}

/** What can be combined now. */
const pairsAtHand = ({ stock, limited }: Reading): ReadonlyArray<Pair> => {
  const words = Object.keys(stock)
  return words.flatMap((a, i) =>
    words.slice(i).flatMap((b): ReadonlyArray<Pair> => (a === b && limited && stock[a]! < 2 ? [] : [[a, b]]))
  )
}

const solve = (reading: Reading, context: string, skill: Skill, rng: Rng) => {
  const { limited, stock, target, tiers, told } = reading
  const pairs = pairsAtHand(reading)
  const remembered = [
    ...threes(context.split(" ")).filter(() => rng.uniform() < skill.useContext),
    ...told.filter(() => rng.uniform() < skill.useEpisode)
  ]
  const tried = new Set(remembered.map(([, a, b]) => pairKey(a, b)))
  const fresh = pairs.filter(([a, b]) => !tried.has(pairKey(a, b)))
  const below = (tiers.get(target) ?? 1) - 1
  const depth = ([a, b]: Pair): number => {
    const [first, second] = [tiers.get(a) ?? 0, tiers.get(b) ?? 0]
    return first === second && first <= below ? below - first : tiers.size
  }
  const nearest = Math.min(...fresh.map(depth))

  const recipes = recipesIn(remembered)
  const recipesOf = new Map([...recipes].map(([product, pair]) => [product, [pair]]))
  /** The first combination on the way to an element; undefined where none is known or needed. */
  const towards = (element: string): Pair | undefined => planFor(element, stock, recipesOf, limited)?.[0]
  const inputs = nearest === 0 ? [] : [...recipes.keys()].filter((element) => tiers.get(element) === below)
  const known = [target, ...inputs].map(towards).find((pair) => pair !== undefined)
  if (known !== undefined && rng.uniform() < skill.plan) {
    const product = [...recipes].find(([, pair]) => pair === known)![0]
    return { reply: [product, ...known].join(" "), recalled: true }
  }
  const explores = rng.uniform() < skill.explore && fresh.length > 0
  const chosen = explores ? fresh.filter((pair) => depth(pair) === nearest) : pairs
  return { reply: [target, ...rng.pick(chosen)].join(" "), recalled: false }
}

const written = (recipes: ReadonlyMap<string, Pair>): string =>
  [...recipes]
    .slice(0, longestContext)
    .map(([product, [a, b]]) => `${product} ${a} ${b}`)
    .join(" ")

const update = ({ messages }: Prompt, context: string, skill: Skill, rng: Rng): string => {
  if (rng.uniform() < skill.useless) return ""
  const seen = threes(inside(messages.map(({ content }) => content).join(" ")))
  const known = recipesIn([...threes(context.split(" ")), ...seen])
  const elements = [...known].flatMap(([product, pair]) => [product, ...pair])
  const kept = [...known].filter(() => rng.uniform() < skill.write)
  return written(
    new Map(kept.map(([product, [a, b]]) => [product, [rng.uniform() < skill.wrong ? rng.pick(elements) : a, b]]))
  )
}

/** The context of one who knows the recipes, as far as `remembers` lets each through. */
const contextOf = (graph: Graph, remembers: () => boolean): string => {
  const { wordOf } = lookup(graph)
  const word = (name: string): string => wordOf.get(name)!
  const recipes = graph.recipes.filter(remembers)
  return written(new Map(recipes.map(({ inputs: [a, b], product }) => [word(product), [word(a), word(b)]] as const)))
}

export const demonstrate: Demonstrations<Knowledge> = {
  stages: Object.keys(skills),
  context: (stage, { graph }, rng) => {
    const filled = skills[stage]!.firstContext(rng)
    return graph === null ? "" : contextOf(graph, () => rng.uniform() < filled)
  },
  reply: (stage, prompt, context, rng) => {
    const skill = skills[stage]!
    return prompt.kind === "update"
      ? { reply: update(prompt, context, skill, rng), recalled: false }
      : solve(readSolve(prompt), context, skill, rng)
  }
}
