/**
 * Scripted agents of Learn2Ask. `careful` learns which dimensions the doctors of a pack ask about: each dialogue shows
 * some, each verdict tells whether that was all of them and whether the dimension it asked about is one. It writes them
 * into its context and stops when all have been asked.
 */
import { type Agent, type Agents, hintsBlock, type Rng } from "../../src/environment.ts"
import { stop } from "./judge.ts"
import type { Knowledge } from "./options.ts"
import { type Dimension, dimensions, dimensionsIn, inquiries } from "./symptoms.ts"

const nothingLearnt = hintsBlock.write("null")

interface Belief {
  /** Asked about in this pack. */
  readonly inside: ReadonlySet<Dimension>
  /** Not asked about. */
  readonly outside: ReadonlySet<Dimension>
  /** Whether `inside` is all. */
  readonly complete: boolean
  /** Dimensions that were not enough. */
  readonly tooFew: number
}

const ask = (dimension: Dimension): string => inquiries[dimension].questions[0]!

/** What the doctor of a dialogue has asked about. */
const askedIn = (dialogue: string): Array<Dimension> => [
  ...new Set([...dialogue.matchAll(/^Doctor: (.*)$/gm)].flatMap(([, question]) => dimensionsIn(question!)))
]

const named = (text: string | undefined): Array<Dimension> =>
  dimensions.filter((dimension) => new RegExp(`\\b${dimension}\\b`).test(text ?? ""))

const readBelief = (context: string): Belief => ({
  inside: new Set(named(/- Doctors ask about: (.*)$/m.exec(context)?.[1])),
  outside: new Set(named(/- They do not ask about: (.*)$/m.exec(context)?.[1])),
  complete: context.includes("That is all"),
  tooFew: Number(/- (\d+) were not enough/m.exec(context)?.[1] ?? 0)
})

const written = ({ complete, inside, outside, tooFew }: Belief): string =>
  [
    `- Doctors ask about: ${[...inside].join(", ") || "nothing known yet"}.${complete ? " That is all: stop when it has been asked." : ""}`,
    `- They do not ask about: ${[...outside].join(", ") || "nothing known yet"}.`,
    `- ${tooFew} were not enough.`
  ].join("\n")

/** What a judged response adds to a belief. */
const learnt = (belief: Belief, prompt: string): Belief => {
  const dialogue = /\nObservation:\n([\s\S]*?)\nAction:\n/.exec(prompt)?.[1] ?? ""
  const response = /\nAction:\n([\s\S]*?)\n\n## /.exec(prompt)?.[1] ?? ""
  const asked = askedIn(dialogue)
  const scores = /decision ([01]), content ([\d.]+), format/.exec(prompt)
  const stopped = response.includes(stop)
  // The decision was right or wrong: either way it is known what it should have been.
  const shouldStop = stopped === (scores?.[1] === "1")
  if (scores === null) return belief
  const inside = new Set([...belief.inside, ...asked])
  if (shouldStop) return { ...belief, inside: new Set(asked), complete: true }
  const outside = new Set(belief.outside)
  if (!stopped && scores[1] === "1") {
    for (const dimension of dimensionsIn(response)) (scores[2] === "1" ? inside : outside).add(dimension)
  }
  return { ...belief, inside, outside, tooFew: Math.max(belief.tooFew, asked.length) }
}

/** Dialogues of this many dimensions are neither surely too short nor surely long enough. */
const usual = 4

const careful: Agent = (prompt, context, rng) => {
  const text = prompt.messages.at(-1)!.content
  const belief = readBelief(context)
  if (prompt.kind === "update") return hintsBlock.write(written(learnt(belief, text)))
  return decide(belief, askedIn(text), rng)
}

const decide = ({ complete, inside, outside, tooFew }: Belief, asked: ReadonlyArray<Dimension>, rng: Rng): string => {
  const left = [...inside].filter((dimension) => !asked.includes(dimension))
  if (left.length > 0) return ask(rng.pick(left))
  const enough = complete || (asked.length >= usual && asked.length > tooFew)
  const open = dimensions.filter((dimension) => !asked.includes(dimension) && !outside.has(dimension))
  return enough || open.length === 0 ? stop : ask(rng.pick(open))
}

const amnesiac: Agent = (prompt, context, rng) =>
  prompt.kind === "update" ? nothingLearnt : careful(prompt, context, rng)

/** The dimensions that attributes name. Those of a file of one's own may name none: then the oracle knows no more. */
const dimensionsOf = (attributes: ReadonlyArray<string>): Array<Dimension> => named(attributes.join(", ").toLowerCase())

const oracle: Agent<Knowledge> = (prompt, context, rng, knowledge) => {
  const inside = dimensionsOf(knowledge?.attributes ?? [])
  if (inside.length === 0) return careful(prompt, context, rng)
  const belief = { inside: new Set(inside), outside: new Set<Dimension>(), complete: true, tooFew: 0 }
  if (prompt.kind === "update") return hintsBlock.write(written(belief))
  return decide(belief, askedIn(prompt.messages.at(-1)!.content), rng)
}

const random: Agent = (prompt, _, rng) => {
  if (prompt.kind === "update") return nothingLearnt
  return rng.uniform() < 0.25 ? stop : ask(rng.pick(dimensions))
}

export const agents: Agents<Knowledge> = { random, oracle, careful, amnesiac }

/** In the form in which `careful` reads it. */
export const describe = ({ attributes, diagnosis }: Knowledge): string => {
  if (diagnosis === null) return "The tasks have nothing in common."
  const inside = dimensionsOf(attributes)
  return inside.length > 0
    ? written({ inside: new Set(inside), outside: new Set(), complete: true, tooFew: 0 })
    : `- Doctors ask about: ${attributes.join(", ")}. That is all: stop when it has been asked.`
}
