/**
 * Scripted agents of PDE Discovery. `careful` samples where u is large and spread, judges all that it has ever measured by
 * likelihood, has the environment fit the terms it believes in, and commits. All measurements go into its context.
 */
import { type Agent, type Agents, hintsBlock, type Prompt } from "../../src/environment.ts"
import { type Action, written as answer } from "./actions.ts"
import { type TermName, termNames } from "./dictionary.ts"
import { type Equation, printed, supportKey, supportOf } from "./equation.ts"
import { likelySupport } from "./inference.ts"
import type { Knowledge } from "./options.ts"
import { bestEquation, read, readSamples, samplesIn, supportIn, written } from "./reading.ts"

const nothingLearnt = hintsBlock.write("null")

/** At the beginning u is largest; from the middle to the end it takes all values down to zero. */
const places = [
  "0.5,0",
  "0.36,0",
  "0.62,0",
  "0.25,0",
  "0.76,0",
  "0.14,0",
  "0.43,0.004",
  "0.7,0.004",
  "0.3,0.004",
  "0.85,0"
]

const sample = (points: ReadonlyArray<string>): string =>
  answer({ name: "sample_pde_data", point_grid: points.join("; ") })

const regress = (question: Omit<Extract<Action, { name: "run_sparse_regression" }>, "name">): string =>
  answer({ name: "run_sparse_regression", ...question })

const fitted = (support: ReadonlyArray<TermName>): string =>
  regress({ candidate_equations: printed(Object.fromEntries(support.map((term) => [term, 1]))) })

const commit = (equation: string): string => answer({ name: "update_scientific_context", preferred_equation: equation })

/** What follows when `support` gives the terms to believe in after a first regression. */
const investigate = (prompt: Prompt, support: (printedBest: string) => ReadonlyArray<TermName>): string => {
  const { ownData, pointsLeft } = read(prompt)
  if (ownData.length === 0) return sample(places.slice(0, pointsLeft))
  const best = bestEquation(prompt)
  if (best === undefined) return regress({})
  const believed = support(best)
  const tried = prompt.messages.some(
    ({ content, role }) => role === "assistant" && content.includes("candidate_equations")
  )
  if (tried || supportKey(supportIn(best) ?? []) === supportKey(believed)) return commit(best)
  return fitted(believed)
}

const textOf = ({ messages }: Prompt): string =>
  messages.flatMap(({ content, role }) => (role === "user" ? [content] : [])).join("\n")

const known = (prompt: Prompt, context: string) => {
  const shown = samplesIn(textOf(prompt))
  const seen = new Set(shown.map(({ u, y }) => `${u} ${y}`))
  return [...readSamples(context).filter(({ u, y }) => !seen.has(`${u} ${y}`)), ...shown]
}

const careful: Agent = (prompt, context) => {
  if (prompt.kind === "update") {
    const samples = known(prompt, context)
    return samples.length === 0 ? nothingLearnt : hintsBlock.write(written(samples))
  }
  const told = supportIn(/- f\(u\) = (.*)$/m.exec(context)?.[1])
  return investigate(prompt, () => told ?? likelySupport(known(prompt, context), read(prompt).mostTerms))
}

const amnesiac: Agent = (prompt, context, rng) =>
  prompt.kind === "update" ? nothingLearnt : careful(prompt, context, rng)

const oracle: Agent<Knowledge> = (prompt, context, rng, knowledge) => {
  if (knowledge === undefined) return careful(prompt, context, rng)
  const equation = knowledge.equation as Equation
  if (prompt.kind === "update") return hintsBlock.write(`- f(u) = ${printed(equation)}`)
  return investigate(prompt, () => supportOf(equation))
}

/** Samples anywhere, fits a few terms, and commits what comes out. */
const random: Agent = (prompt, _, rng) => {
  if (prompt.kind === "update") return nothingLearnt
  const { ownData, pointsLeft } = read(prompt)
  if (ownData.length === 0) {
    const points = Array.from({ length: rng.int(1, pointsLeft) }, () => {
      const x = 0.001 + 0.998 * rng.uniform()
      return `${x.toFixed(3)},${rng.uniform().toFixed(3)}`
    })
    return sample(points)
  }
  const best = bestEquation(prompt)
  if (best !== undefined) return commit(best)
  const few = rng.shuffle(termNames).slice(0, 3)
  return regress({ dictionary: few.join(", "), threshold: "0" })
}

export const agents: Agents<Knowledge> = { random, oracle, careful, amnesiac }
