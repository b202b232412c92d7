/** What the scripted agents make of chat prompts and contexts: the task, and what is known about a and b. */
import type { Prompt } from "../../src/environment.ts"
import { type Knowledge, Task } from "./options.ts"
import { readExpression, type Expression } from "./expression.ts"

const number = "(-?[\\d.]+(?:e[+-]?\\d+)?)"
const numbers = (pattern: string, text: string): ReadonlyArray<number> | undefined =>
  new RegExp(pattern.replaceAll("#", number), "m").exec(text)?.slice(1).map(Number)

/** The task of a solve prompt; its controls are never noisy as far as an agent knows. */
export const readTask = ({ messages }: Prompt): Task => {
  const text = messages[1]!.content
  const [x0, v0] = numbers("^Start: x = #, v = #", text)!
  const [xTarget, vTarget] = numbers("^Target: x_target = #, v_target = #", text)!
  const [horizon] = numbers("^Horizon: # steps", text)!
  const [controlPenalty] = numbers("\\^2 \\+ # \\* \\(sum", messages[0]!.content)!
  return Task.make({
    x0: x0!,
    v0: v0!,
    xTarget: xTarget!,
    vTarget: vTarget!,
    horizon: horizon!,
    controlPenalty: controlPenalty!,
    noise: []
  })
}

/** An expression that ran in another task, and where it led. */
export interface Evidence {
  readonly expression: Expression
  readonly task: Task
  readonly x: number
  readonly v: number
}

/** The other task that a solve prompt shows; undefined when it shows none. */
export const readEvidence = ({ messages }: Prompt): Evidence | undefined => {
  const [, shown] = messages[1]!.content.split("Evidence from ANOTHER task")
  if (shown === undefined) return undefined
  const read = readExpression(/^Expression: (.*)$/m.exec(shown)?.[1] ?? "")
  const start = numbers("^Start: x = #, v = #", shown)
  const target = numbers("^Target: x = #, v = #", shown)
  const horizon = numbers("^Horizon: #", shown)
  const errors = numbers("^Errors at the end: x_end - x_target = #, v_end - v_target = #", shown)
  if ("why" in read || !start || !target || !horizon || !errors) return undefined
  const [x0, v0] = start as [number, number]
  const [xTarget, vTarget] = target as [number, number]
  const task = Task.make({ x0, v0, xTarget, vTarget, horizon: horizon[0]!, controlPenalty: 0, noise: [] })
  return { expression: read.expression, task, x: xTarget + errors[0]!, v: vTarget + errors[1]! }
}

/** All that steps `v' = a v + b u` tell about a and b by least squares: five sums over them, and how many they are. */
export interface Sums {
  readonly steps: number
  readonly vv: number
  readonly vu: number
  readonly uu: number
  /** `next` is the speed after the step. */
  readonly vNext: number
  readonly uNext: number
}

export const noSums: Sums = { steps: 0, vv: 0, vu: 0, uu: 0, vNext: 0, uNext: 0 }

/** The steps of the last table in a text, added to what was known before. */
export const addTable = (before: Sums, text: string): Sums => {
  const [, table] = text.slice(Math.max(0, text.lastIndexOf("t x v u\n"))).split("t x v u\n")
  const rows = [...(table ?? "").matchAll(/^\d+ \S+ (\S+) (\S+)$/gm)].map(([, v, u]) => [Number(v), Number(u)] as const)
  const [, end] = numbers("^End: x = #, v = #", table ?? "") ?? []
  let { steps, uNext, uu, vNext, vu, vv } = before
  rows.forEach(([v, u], t) => {
    const next = rows[t + 1]?.[0] ?? end
    if (next === undefined) return
    steps++
    vv += v * v
    vu += v * u
    uu += u * u
    vNext += v * next
    uNext += u * next
  })
  return { steps, vv, vu, uu, vNext, uNext }
}

/** The parameters that fit best; undefined while the steps cannot tell the two apart. */
export const fitted = ({ uNext, uu, vNext, vu, vv }: Sums): Knowledge | undefined => {
  const determinant = vv * uu - vu * vu
  if (determinant < 1e-4) return undefined
  return { a: (vNext * uu - uNext * vu) / determinant, b: (uNext * vv - vNext * vu) / determinant }
}

const digits = (value: number): string => `${Number(value.toPrecision(10))}`

export const describe = ({ a, b }: Knowledge): string =>
  `- v' = a v + b u with a = ${a.toFixed(4)} and b = ${b.toFixed(4)}.`

export const written = (sums: Sums): string => {
  const parameters = fitted(sums)
  const { steps, uNext, uu, vNext, vu, vv } = sums
  const list = `vv ${digits(vv)}, vu ${digits(vu)}, uu ${digits(uu)}, vn ${digits(vNext)}, un ${digits(uNext)}`
  return [
    ...(parameters === undefined ? [] : [describe(parameters)]),
    `- Least squares over ${steps} steps (n: the speed after a step): ${list}.`
  ].join("\n")
}

/** Reads such sums out of a context. */
export const readSums = (context: string): Sums => {
  const [steps, vv, vu, uu, vNext, uNext] =
    numbers("squares over # steps .*: vv #, vu #, uu #, vn #, un #\\.$", context) ?? []
  return uNext === undefined ? noSums : { steps: steps!, vv: vv!, vu: vu!, uu: uu!, vNext: vNext!, uNext }
}

/** Parameters that a context states without sums, as the oracle context does. */
export const readStated = (context: string): Knowledge | undefined => {
  const [a, b] = numbers("with a = # and b = #\\.$", context) ?? []
  return a === undefined || b === undefined ? undefined : { a, b }
}
