/**
 * Scripted agents of Grid Navigation. `careful` plans exactly for the costs that it knows, guesses the others from known
 * ones nearby, and writes the map that it has seen into its context. `oracle` plans for the true costs.
 */
import { type Agent, type Agents, answerBlock, hintsBlock, type Prompt } from "../../src/environment.ts"
import type { Cell, Known } from "./journey.ts"
import type { Knowledge } from "./options.ts"
import { bestMove, estimated } from "./plan.ts"
import { both, costsIn, read, type Reading, written } from "./reading.ts"

const nothingLearnt = hintsBlock.write("null")
const go = ([row, column]: Cell): string => answerBlock.write(`${row},${column}`)

const random: Agent = (prompt, _, rng) => {
  if (prompt.kind === "update") return nothingLearnt
  const { at, columns, rows } = read(prompt)
  const other = rng.int(0, rows + columns - 3)
  if (other < rows - 1) return go([other < at[0] ? other : other + 1, at[1]])
  const column = other - (rows - 1)
  return go([at[0], column < at[1] ? column : column + 1])
}

/** The last map shown, and what the context adds to it. */
const known = ({ messages }: Prompt, context: string): Known | undefined =>
  both(costsIn(messages.at(-1)!.content), costsIn(context))

const unknown = ({ columns, rows }: Reading): Known =>
  Array.from({ length: rows }, () => Array.from({ length: columns }, () => null))

const careful: Agent = (prompt, context) => {
  const costs = known(prompt, context)
  if (prompt.kind === "update") return costs === undefined ? nothingLearnt : hintsBlock.write(written(costs))
  const reading = read(prompt)
  return go(bestMove(reading, estimated(costs ?? unknown(reading))))
}

const amnesiac: Agent = (prompt, context, rng) =>
  prompt.kind === "update" ? nothingLearnt : careful(prompt, context, rng)

const oracle: Agent<Knowledge> = (prompt, context, rng, knowledge) => {
  if (knowledge === undefined) return careful(prompt, context, rng)
  if (prompt.kind === "update") return hintsBlock.write(written(knowledge.costs))
  return go(bestMove(read(prompt), knowledge.costs))
}

export const agents: Agents<Knowledge> = { random, oracle, careful, amnesiac }
