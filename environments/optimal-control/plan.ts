/** Controls and parameters by calculation: what the scripted agents know how to do. */
import type { Knowledge, Task } from "./options.ts"
import type { Evidence } from "./reading.ts"
import { runExpression } from "./trial.ts"

/**
 * The best controls for known parameters, exactly: the end of a run is linear in its controls, so the loss is a convex
 * quadratic over the box [-1, 1]^horizon, which descent coordinate by coordinate solves.
 */
export const bestControls = ({ a, b }: Knowledge, task: Task): Array<number> => {
  const { controlPenalty, horizon, v0, vTarget, x0, xTarget } = task
  // Without controls, and what a control of 1 at each step adds to speed and position at the end.
  let [x, v] = [x0, v0]
  const speed = new Float64Array(horizon)
  const position = new Float64Array(horizon)
  for (let t = horizon - 1, power = 1, sum = 1; t >= 0; t--) {
    v *= a
    x += v
    speed[t] = b * power
    position[t] = b * sum
    power *= a
    sum += power
  }
  let xError = x - xTarget
  let vError = v - vTarget
  const controls = Array.from({ length: horizon }, () => 0)
  for (let sweep = 0; sweep < 2000; sweep++) {
    let change = 0
    for (let t = 0; t < horizon; t++) {
      const p = position[t]!
      const q = speed[t]!
      const curvature = p * p + 2 * q * q + controlPenalty
      if (curvature === 0) continue
      const slope = p * xError + 2 * q * vError + controlPenalty * controls[t]!
      const next = Math.min(1, Math.max(-1, controls[t]! - slope / curvature))
      const by = next - controls[t]!
      controls[t] = next
      xError += p * by
      vError += q * by
      change = Math.max(change, Math.abs(by))
    }
    if (change < 1e-9) break
  }
  return controls
}

/** Controls in a row as an expression of the time alone. */
export const schedule = (controls: ReadonlyArray<number>): string =>
  controls.map((u, t) => `${u.toFixed(5)}${t + 1 < controls.length ? ` if lt(t, ${t + 1}) else ` : ""}`).join("")

/** Parameters that explain where an expression led, by Newton's method from several starts; undefined when none do. */
export const explained = ({ expression, task, v, x }: Evidence): Knowledge | undefined => {
  const miss = (a: number, b: number): readonly [number, number] => {
    const run = runExpression(expression, { a, b }, task)
    return "loss" in run ? [run.x - x, run.v - v] : [NaN, NaN]
  }
  const size = ([dx, dv]: readonly [number, number]): number => dx * dx + dv * dv
  for (const start of starts) {
    let { a, b } = start
    let error = miss(a, b)
    for (let round = 0; round < 12 && size(error) > 1e-12; round++) {
      const h = 1e-5
      const byA = miss(a + h, b)
      const byB = miss(a, b + h)
      const [xa, va] = [(byA[0] - error[0]) / h, (byA[1] - error[1]) / h]
      const [xb, vb] = [(byB[0] - error[0]) / h, (byB[1] - error[1]) / h]
      const determinant = xa * vb - xb * va
      if (!(Math.abs(determinant) > 1e-9)) break
      a -= Math.max(-0.3, Math.min(0.3, (vb * error[0] - xb * error[1]) / determinant))
      b -= Math.max(-0.5, Math.min(0.5, (xa * error[1] - va * error[0]) / determinant))
      error = miss(a, b)
    }
    // Others may fit as well; systems like these are the likely ones.
    if (size(error) < 1e-8 && a > 0.3 && a < 1.5) return { a, b }
  }
  return undefined
}

const starts: ReadonlyArray<Knowledge> = [0.65, 0.9, 1.1].flatMap((a) => [-1.1, -0.6, 0.6, 1.1].map((b) => ({ a, b })))
