/** Reactions f(u): coefficients of terms, read by a grammar and written with three significant digits. */
import { type TermName, termNames, terms } from "./dictionary.ts"
import { parse } from "./equation-parser.ts"

/** The coefficient of each term that is there; never 0. */
export type Equation = Readonly<Partial<Record<TermName, number>>>

const longest = 1000

/** The terms of an equation, in the order of the dictionary. */
export const supportOf = (equation: Equation): Array<TermName> =>
  termNames.filter((term) => equation[term] !== undefined)

/** As one text, the same for the same set of terms. */
export const supportKey = (support: Iterable<TermName>): string => {
  const there = new Set(support)
  return termNames.filter((term) => there.has(term)).join(" | ")
}

export const valueAt = (equation: Equation, u: number): number => {
  let sum = 0
  for (const term of termNames) {
    const coefficient = equation[term]
    if (coefficient !== undefined) sum += coefficient * terms[term](u)
  }
  return sum
}

/** A name in a sum: in brackets when it holds a plus or a minus. */
const factor = (term: TermName): string => (/[+-]/.test(term) ? `(${term})` : term)

/** Such as `1.02*u - 0.8*u^3`; every coefficient is written. */
export const printed = (equation: Equation): string =>
  supportOf(equation).reduce((text, term) => {
    const coefficient = equation[term]!
    const size = `${Math.abs(coefficient)}*${factor(term)}`
    if (text === "") return coefficient < 0 ? `-${size}` : size
    return `${text} ${coefficient < 0 ? "-" : "+"} ${size}`
  }, "")

interface Part {
  readonly term: TermName
  readonly coefficient: number
  /** Whether the coefficient was written. */
  readonly explicit: boolean
}

type Why = { readonly why: string }

const read = (text: string, startRule: string): unknown => {
  if (text.length > longest) return { why: `it is longer than ${longest} characters` }
  try {
    return parse(text, { startRule } as never)
  } catch (thrown) {
    const { expected, location, message } = thrown as {
      readonly message: string
      readonly expected?: unknown
      readonly location?: { readonly start: { readonly offset: number } }
    }
    if (expected === null || location === undefined) return { why: message }
    const at = location.start.offset
    const near = at < text.length ? `at ${JSON.stringify(text.slice(at, at + 12))}` : "at its end"
    return { why: `it cannot be read ${near}, character ${at + 1}` }
  }
}

/** The equation of a text, repeated terms added; or why it is none. */
export const readEquation = (text: string): { readonly equation: Equation; readonly explicit: boolean } | Why => {
  const parts = read(text, "Equation") as ReadonlyArray<Part> | Why
  if ("why" in parts) return parts
  const sums = new Map<TermName, number>()
  for (const { coefficient, term } of parts) sums.set(term, (sums.get(term) ?? 0) + coefficient)
  const equation: Equation = Object.fromEntries([...sums].filter(([, coefficient]) => coefficient !== 0))
  if (supportOf(equation).length === 0) return { why: "it has no term" }
  return { equation, explicit: parts.every(({ explicit }) => explicit) }
}

/** The terms of a list with commas, each once; or why it is none. */
export const readDictionary = (text: string): { readonly dictionary: ReadonlyArray<TermName> } | Why => {
  const named = read(text, "Dictionary") as ReadonlyArray<TermName> | Why
  if ("why" in named) return named
  const there = new Set(named)
  return { dictionary: termNames.filter((term) => there.has(term)) }
}

/** Same terms, and all coefficients equal but for one part in a thousand million. */
export const equal = (a: Equation, b: Equation): boolean =>
  termNames.every((term) => {
    const [first, second] = [a[term], b[term]]
    if (first === undefined || second === undefined) return first === second
    return Math.abs(first - second) <= 1e-9 * Math.max(Math.abs(first), Math.abs(second))
  })

/** How far a committed equation is from the truth (specification, section 7.5): `reward = 1 / (1 + d + extra)`. */
export const compare = (
  committed: Equation,
  truth: Equation
): { readonly d: number; readonly extra: number; readonly reward: number; readonly recovered: boolean } => {
  let difference = 0
  let size = 0
  for (const term of termNames) {
    difference += Math.abs((committed[term] ?? 0) - (truth[term] ?? 0))
    size += Math.abs(truth[term] ?? 0)
  }
  const d = difference / size
  const extra = Math.max(0, supportOf(committed).length - supportOf(truth).length)
  const recovered = supportKey(supportOf(committed)) === supportKey(supportOf(truth))
  return { d, extra, reward: 1 / (1 + d + extra), recovered }
}
