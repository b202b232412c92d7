/** Scripted agents of FrozenLake. Nothing is hidden, so all but `random` take a shortest path and have nothing to write. */
import { type Agent, type Agents, answerBlock, hintsBlock } from "../../src/environment.ts"
import { moves } from "./lake.ts"
import { read, shortest } from "./reading.ts"

const nothingLearnt = hintsBlock.write("null")

const random: Agent = (prompt, _, rng) =>
  prompt.kind === "update" ? nothingLearnt : answerBlock.write(rng.pick(moves))

const oracle: Agent = (prompt) =>
  prompt.kind === "update" ? nothingLearnt : answerBlock.write(moves[shortest(read(prompt))]!)

export const agents: Agents<null> = { random, oracle, careful: oracle, amnesiac: oracle }
