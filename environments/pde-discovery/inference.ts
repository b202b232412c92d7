/**
 * Which terms explain samples best, judged as a careful scientist would: by squared errors in units of the noise, over all
 * supports whose coefficients are of the size that the task states, with a charge for every term (BIC).
 */
import { Matrix, solve } from "ml-matrix"
import { type TermName, termNames, terms } from "./dictionary.ts"
import { type Equation, valueAt } from "./equation.ts"
import { subsets } from "./regression.ts"
import type { Measured } from "./reading.ts"

/** The noise that is published: of u, which enters through the slope of f, and of y itself. */
const noise = { u: 0.002, y: 0.0005 }
/** Coefficients are from 0.5 to 2; estimates may miss that a little. */
const sizes = { least: 0.4, most: 2.2 }

export const likelySupport = (samples: ReadonlyArray<Measured>, mostTerms: number): ReadonlyArray<TermName> => {
  const columns = Object.fromEntries(termNames.map((term) => [term, samples.map(({ u }) => terms[term](u))]))
  let best: { readonly score: number; readonly support: ReadonlyArray<TermName> } = { score: Infinity, support: ["u"] }
  for (const support of subsets(termNames, mostTerms)) {
    const own = support.map((term) => columns[term]!)
    // The noise depends on the slope, the slope on the fit: twice is enough.
    let weights = samples.map(() => 1)
    let coefficients: Array<number> = []
    for (let round = 0; round < 3; round++) {
      coefficients = leastSquares(own, samples, weights)
      const equation: Equation = Object.fromEntries(support.map((term, i) => [term, coefficients[i]!]))
      weights = samples.map(({ u }) => 1 / (noise.y ** 2 + (noise.u * slope(equation, u)) ** 2))
    }
    if (coefficients.some((c) => !(Math.abs(c) >= sizes.least && Math.abs(c) <= sizes.most))) continue
    const score = samples.reduce(
      (sum, { y }, i) => {
        const error = own.reduce((left, column, k) => left - coefficients[k]! * column[i]!, y)
        return sum + error * error * weights[i]! - Math.log(weights[i]!)
      },
      support.length * Math.log(samples.length)
    )
    if (score < best.score) best = { score, support }
  }
  return best.support
}

const slope = (equation: Equation, u: number): number =>
  (valueAt(equation, u + 1e-4) - valueAt(equation, u - 1e-4)) / 2e-4

const leastSquares = (
  columns: ReadonlyArray<ReadonlyArray<number>>,
  samples: ReadonlyArray<Measured>,
  weights: ReadonlyArray<number>
): Array<number> => {
  const product = (a: ReadonlyArray<number>, b: (i: number) => number): number =>
    a.reduce((sum, value, i) => sum + value * b(i) * weights[i]!, 0)
  const gram = columns.map((a) => columns.map((b) => product(a, (i) => b[i]!)))
  // As much as keeps equal columns solvable, whatever their size.
  gram.forEach((row, i) => (row[i]! += 1e-10 * row[i]! + 1e-30))
  const target = columns.map((a) => product(a, (i) => samples[i]!.y))
  return solve(new Matrix(gram), Matrix.columnVector(target)).to1DArray()
}
