/**
 * Sparse regression of y on terms of u (specification, section 7.4): which support, with which coefficients, explains the
 * samples best, and how sure that is.
 *
 * Columns are scaled to unit norm. Rounds of ridge regression that drop small coefficients give a first support; that
 * and all others up to the largest size, or only those asked for, are fitted by least squares and scored by their largest
 * error with the coefficients as they are printed.
 */
import { Matrix, solve, SVD } from "ml-matrix"
import { type TermName, terms } from "./dictionary.ts"
import { type Equation, printed, supportKey, supportOf, valueAt } from "./equation.ts"

/** A measured point. */
export interface Sample {
  readonly x: number
  readonly t: number
  readonly u: number
  readonly y: number
}

export interface Question {
  readonly dictionary: ReadonlyArray<TermName>
  /** Only these, instead of all supports of the dictionary. */
  readonly supports: ReadonlyArray<ReadonlyArray<TermName>> | undefined
  readonly mostTerms: number
  /** Ridge penalty of the first support. */
  readonly alpha: number
  /** Coefficients smaller than this are dropped. */
  readonly threshold: number
}

export interface Scored {
  readonly equation: Equation
  /** Largest absolute error on the samples. */
  readonly error: number
}

/** Best first; each equation once. Empty when no support explains anything. */
export const scoreSupports = (samples: ReadonlyArray<Sample>, question: Question): Array<Scored> => {
  const { dictionary, mostTerms, supports } = question
  const design = designOf(samples, dictionary)
  const first = firstSupport(design, question)
  const asked = supports ?? subsets(dictionary, mostTerms)
  const scored = new Map<string, Scored>()
  for (const support of first.length === 0 || supports !== undefined ? asked : [first, ...asked]) {
    const equation = fit(design, support, question.threshold)
    if (equation === undefined) continue
    const key = printed(equation)
    if (!scored.has(key)) scored.set(key, { equation, error: largestError(equation, samples) })
  }
  const size = ({ equation }: Scored): number => supportOf(equation).length
  return [...scored.values()].sort((a, b) => a.error - b.error || size(a) - size(b))
}

export const largestError = (equation: Equation, samples: ReadonlyArray<Sample>): number =>
  samples.reduce((most, { u, y }) => Math.max(most, Math.abs(valueAt(equation, u) - y)), 0)

interface Design {
  readonly dictionary: ReadonlyArray<TermName>
  /** Length of each column. */
  readonly norms: ReadonlyArray<number>
  /** Products of the columns scaled to unit norm, with each other and with y. */
  readonly gram: ReadonlyArray<ReadonlyArray<number>>
  readonly target: ReadonlyArray<number>
}

const columnOf = (samples: ReadonlyArray<Sample>, term: TermName): Array<number> => {
  const at = terms[term]
  return samples.map(({ u }) => at(u))
}

const unit = (column: ReadonlyArray<number>): { readonly norm: number; readonly column: Array<number> } => {
  const norm = Math.hypot(...column)
  return { norm, column: column.map((value) => (norm > 0 ? value / norm : 0)) }
}

const dot = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0)

const designOf = (samples: ReadonlyArray<Sample>, dictionary: ReadonlyArray<TermName>): Design => {
  const columns = dictionary.map((term) => unit(columnOf(samples, term)))
  const y = samples.map((sample) => sample.y)
  return {
    dictionary,
    norms: columns.map(({ norm }) => norm),
    gram: columns.map((a) => columns.map((b) => dot(a.column, b.column))),
    target: columns.map(({ column }) => dot(column, y))
  }
}

/** Ridge regression on some of the columns: coefficients of the terms themselves. */
const ridge = ({ gram, norms, target }: Design, columns: ReadonlyArray<number>, alpha: number): Array<number> => {
  const matrix = new Matrix(columns.map((i) => columns.map((j) => gram[i]![j]! + (i === j ? alpha : 0))))
  const solution = solve(matrix, Matrix.columnVector(columns.map((i) => target[i]!)))
  return columns.map((i, k) => (norms[i]! > 0 ? solution.get(k, 0) / norms[i]! : 0))
}

const mostRounds = 8

/** The support that rounds of ridge regression and dropping leave, its largest coefficients if it is too large. */
const firstSupport = (design: Design, { alpha, mostTerms, threshold }: Question): Array<TermName> => {
  let columns = design.dictionary.map((_, i) => i)
  let coefficients: Array<number> = []
  for (let round = 0; round < mostRounds && columns.length > 0; round++) {
    coefficients = ridge(design, columns, Math.max(alpha, nearlyNothing))
    const kept = columns.filter((_, k) => Math.abs(coefficients[k]!) >= threshold)
    if (kept.length === columns.length) break
    columns = kept
  }
  const size = new Map(columns.map((i, k) => [i, Math.abs(coefficients[k] ?? 0)]))
  const largest = columns.toSorted((a, b) => size.get(b)! - size.get(a)!).slice(0, mostTerms)
  return largest.toSorted((a, b) => a - b).map((i) => design.dictionary[i]!)
}

/** Regularisation of the final fits, only so that equal columns can be solved. */
const nearlyNothing = 1e-8

/** Least squares on a support, small terms dropped and the others fitted again, as printed. Undefined when none is left. */
const fit = (design: Design, support: ReadonlyArray<TermName>, threshold: number): Equation | undefined => {
  let columns = support.map((term) => design.dictionary.indexOf(term))
  for (;;) {
    if (columns.length === 0) return undefined
    const coefficients = ridge(design, columns, nearlyNothing)
    const kept = columns.filter((_, k) => Math.abs(coefficients[k]!) >= threshold)
    if (kept.length === columns.length) {
      const parts = columns.map((i, k) => [design.dictionary[i]!, asPrinted(coefficients[k]!)] as const)
      const there = parts.filter(([, coefficient]) => coefficient !== 0)
      return there.length === 0 ? undefined : Object.fromEntries(there)
    }
    columns = kept
  }
}

/** Three decimals, then three significant digits. */
const asPrinted = (coefficient: number): number => Number((Math.round(1000 * coefficient) / 1000).toPrecision(3))

/** All non-empty supports up to a size, smaller ones first. */
export const subsets = (dictionary: ReadonlyArray<TermName>, most: number): Array<Array<TermName>> => {
  const all: Array<Array<TermName>> = []
  let smaller: Array<ReadonlyArray<number>> = [[]]
  for (let size = 1; size <= Math.min(most, dictionary.length); size++) {
    smaller = smaller.flatMap((set) =>
      dictionary.flatMap((_, i) => (set.length === 0 || i > set.at(-1)! ? [[...set, i]] : []))
    )
    all.push(...smaller.map((set) => set.map((i) => dictionary[i]!)))
  }
  return all
}

/** Condition numbers larger than this say nothing. */
const worstCondition = 1e12

/** Ratio of the extreme singular values of the unit columns. */
export const conditionNumber = (samples: ReadonlyArray<Sample>, support: ReadonlyArray<TermName>): number => {
  const columns = support.map((term) => unit(columnOf(samples, term)).column)
  const values = new SVD(new Matrix(columns), {
    autoTranspose: true,
    computeLeftSingularVectors: false,
    computeRightSingularVectors: false
  }).diagonal
  const least = samples.length < support.length ? 0 : Math.min(...values)
  return least > 0 ? Math.min(worstCondition, Math.max(...values) / least) : worstCondition
}

/** How much worse than the threshold a condition number is, in powers of ten. */
export const conditionPenalty = (kappa: number, threshold: number): number => Math.max(0, Math.log10(kappa / threshold))

/** The best equation with other terms, and how much worse it is as a share of the best error. */
export const runnerUp = (
  scored: ReadonlyArray<Scored>
): { readonly equation: Equation; readonly error: number; readonly margin: number } | undefined => {
  const [best] = scored
  if (best === undefined) return undefined
  const own = supportKey(supportOf(best.equation))
  const other = scored.find(({ equation }) => supportKey(supportOf(equation)) !== own)
  if (other === undefined) return undefined
  return { ...other, margin: (other.error - best.error) / Math.max(best.error, 1e-12) }
}
