/**
 * Scripted agents of FrozenLake-Obscure. They read the chat prompts as a language model would.
 *
 * `careful` is exact: it holds all mappings that its context and the feedback so far allow to be equally probable, and
 * takes the direction that is best for the task at hand. All it carries from task to task are the lines of its context.
 */
import { type Agent, type Agents, answerBlock, hintsBlock, type Prompt } from "../../src/environment.ts"
import { moves } from "../frozen-lake/lake.ts"
import { read, shortest, sizeIn } from "../frozen-lake/reading.ts"
import { codes } from "../frozen-lake/walk.ts"
import { type Belief, both, hintsOf, readBelief, readFeedback, written } from "./belief.ts"
import type { Knowledge } from "./mapping.ts"
import { bestKinds } from "./plan.ts"

const direction = (code: number): string => answerBlock.write(`Direction ${code}`)
const nothingLearnt = hintsBlock.write("null")

/** All that the context and the messages show. When they contradict each other, the messages are right. */
const believed = ({ messages }: Prompt, context: string): Belief => {
  const texts = messages.flatMap(({ role, content }) => (role === "assistant" ? [] : [content])).join("\n")
  const shown = readFeedback(texts, sizeIn(texts))
  return both(readBelief(context), shown) ?? shown
}

const random: Agent = (prompt, _, rng) => (prompt.kind === "update" ? nothingLearnt : direction(rng.pick(codes)))

const careful: Agent = (prompt, context, rng) => {
  const belief = believed(prompt, context)
  if (prompt.kind === "update") return hintsBlock.write(written(belief))
  const kinds = bestKinds(read(prompt), belief)
  return direction(rng.pick(codes.filter((code) => kinds.includes(belief[code - 1]!))))
}

const amnesiac: Agent = (prompt, context, rng) =>
  prompt.kind === "update" ? nothingLearnt : careful(prompt, context, rng)

const oracle: Agent<Knowledge> = (prompt, context, rng, knowledge) => {
  const mapping = knowledge?.mapping ?? null
  // Where every task has its own mapping, no knowledge of the pack helps.
  if (mapping === null) return careful(prompt, context, rng)
  if (prompt.kind === "update") return hintsBlock.write(hintsOf(mapping))
  return direction(mapping.indexOf(moves[shortest(read(prompt))]!) + 1)
}

export const agents: Agents<Knowledge> = { random, oracle, careful, amnesiac }
