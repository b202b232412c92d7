/**
 * Scripted agents of Optimal Control. `careful` fits a and b to every step that it has seen, by least squares whose sums
 * it writes into its context, and then plays the exactly best controls for them. Knowing nothing it bets on b > 0, with
 * a feedback law that suits many a and b. Where the prompt tells how another expression fared, it solves for a and b.
 */
import { type Agent, type Agents, hintsBlock } from "../../src/environment.ts"
import { submission } from "./chat.ts"
import type { Knowledge } from "./options.ts"
import { bestControls, explained, schedule } from "./plan.ts"
import { addTable, describe, fitted, readEvidence, readStated, readSums, readTask, written } from "./reading.ts"

const nothingLearnt = hintsBlock.write("null")

const random: Agent = (prompt, _, rng) =>
  prompt.kind === "update" ? nothingLearnt : submission((2 * rng.uniform() - 1).toFixed(3))

const bet = "0.2*(x_target - x) + 0.7*(v_target - v)"

const careful: Agent = (prompt, context) => {
  const sums = readSums(context)
  if (prompt.kind === "update") return hintsBlock.write(written(addTable(sums, prompt.messages.at(-1)!.content)))
  const evidence = readEvidence(prompt)
  const known = fitted(sums) ?? readStated(context) ?? (evidence === undefined ? undefined : explained(evidence))
  return submission(known === undefined ? bet : schedule(bestControls(known, readTask(prompt))))
}

const amnesiac: Agent = (prompt, context, rng) =>
  prompt.kind === "update" ? nothingLearnt : careful(prompt, context, rng)

const oracle: Agent<Knowledge> = (prompt, context, rng, knowledge) => {
  if (knowledge === undefined) return careful(prompt, context, rng)
  if (prompt.kind === "update") return hintsBlock.write(describe(knowledge))
  return submission(schedule(bestControls(knowledge, readTask(prompt))))
}

export const agents: Agents<Knowledge> = { random, oracle, careful, amnesiac }
