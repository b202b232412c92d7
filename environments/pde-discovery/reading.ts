/** What the scripted agents make of chat prompts and contexts: samples of u and y, and the equations that were printed. */
import type { Prompt } from "../../src/environment.ts"
import type { TermName } from "./dictionary.ts"
import { readEquation, supportOf } from "./equation.ts"
import type { Sample } from "./regression.ts"

export interface Reading {
  readonly pointsLeft: number
  readonly mostTerms: number
  /** Data of this task, by id. */
  readonly ownData: ReadonlyArray<string>
  readonly hasData: boolean
}

export const read = ({ messages }: Prompt): Reading => {
  const text = messages.findLast(({ role }) => role === "user")!.content
  const position = /^Task (\d+) of/m.exec(text)![1]!
  const data = [...(/^Data sets \(points\): (.*)$/m.exec(text)?.[1] ?? "").matchAll(/task\d+_data\d+/g)]
  return {
    pointsLeft: Number(/^Budget left: (\d+)/m.exec(text)![1]),
    mostTerms: Number(/(\d+) active terms/.exec(messages[0]!.content)![1]),
    ownData: data.map(([id]) => id).filter((id) => id.startsWith(`task${position}_`)),
    hasData: data.length > 0
  }
}

/** The best equation of the latest regression, as printed. */
export const bestEquation = ({ messages }: Prompt): string | undefined =>
  messages
    .flatMap(({ content, role }) => (role === "user" ? [...content.matchAll(/^Best equation: (.*)$/gm)] : []))
    .at(-1)?.[1]

/** The terms of a printed equation; undefined when there is none. */
export const supportIn = (text: string | undefined): ReadonlyArray<TermName> | undefined => {
  const equation = readEquation(text ?? "")
  return "why" in equation ? undefined : supportOf(equation.equation)
}

export type Measured = Pick<Sample, "u" | "y">

/** All samples that regressions of this text list, each once. */
export const samplesIn = (text: string): Array<Measured> => {
  const rows = [...text.matchAll(/^x t u y prediction error\n((?:[-\d.e]+(?: [-\d.e]+){5}(?:\n|$))+)/gm)]
  const lines = new Set(
    rows.flatMap(([, table]) =>
      table!
        .trim()
        .split("\n")
        .map((line) => line.split(" ").slice(0, 4).join(" "))
    )
  )
  return [...lines].map((line) => {
    const [, , u, y] = line.split(" ").map(Number)
    return { u: u!, y: y! }
  })
}

const line = "- Measured u and f(u): "

/** Samples as hints. */
export const written = (samples: ReadonlyArray<Measured>): string =>
  `${line}${samples.map(({ u, y }) => `${u} ${y}`).join("; ")}.`

/** Reads them back out of a context. */
export const readSamples = (context: string): Array<Measured> => {
  const from = context.indexOf(line)
  if (from < 0) return []
  return context
    .slice(from + line.length)
    .split("\n", 1)[0]!
    .replace(/\.$/, "")
    .split("; ")
    .map((pair) => pair.split(" ").map(Number))
    .flatMap(([u, y]) => (Number.isFinite(u) && Number.isFinite(y) ? [{ u: u!, y: y! }] : []))
}
