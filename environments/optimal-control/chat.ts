/** A trial in words for language models. These texts are all that the scripted agents see: `reading.ts` changes with them. */
import { answerBlock } from "../../src/environment.ts"
import { escape } from "../xml.ts"
import type { Precedent, Trial } from "./trial.ts"

export const submission = (expression: string): string =>
  answerBlock.write(`<action_expression>${escape(expression)}</action_expression>`)

const sign = ({ knownSign }: Trial): string =>
  knownSign === 0
    ? "the sign of b is unknown: a positive control may push you backwards"
    : `b is known to be ${knownSign > 0 ? "positive" : "negative"}`

export const system = (
  trial: Trial
): string => `You steer a one-dimensional system to a target with one control expression, written before the run begins.

## Dynamics
- State: position x and speed v. In every step t = 0, 1, ..., horizon - 1 your expression gives a control u, which is clipped to [-1, 1].
- v' = a * v + b * u, then x' = x + v'.
- a and b are hidden numbers, and ${sign(trial)}. They are the same in all tasks of the stream, so what one task shows about them helps in later ones.

## Reward
- loss = (x_end - x_target)^2 + 2 * (v_end - v_target)^2 + ${trial.task.controlPenalty} * (sum of u^2)
- reward = 1 / (1 + loss). An expression that fails while running has reward 0, an answer that can't be read -0.1.

## Expressions
One scalar expression, evaluated anew in every step, of:
- variables: x, v, t, x_target, v_target, horizon, remaining_steps (horizon - t, at least 1); finite numbers
- + - * / **, unary + and -, not, comparisons (also chained), and, or, brackets, A if C else B
- functions: abs(a), min(a, ...), max(a, ...), pow(a, b), clip(a, low, high), ifelse(c, a, b), lt, le, gt, ge, eq, ne (two arguments each)
ifelse and A if C else B evaluate only the branch that they choose. The result must be a finite number in every step; true or false alone is none.
Examples: ${examples.join(" ; ")}

## Answer
The answer is XML: write &lt; for <, &gt; for > and &amp; for &, or use lt, le, gt and ge instead. There is one answer; it must be the end of your response. Do not use triple backquotes anywhere and no other elements inside.
Reason briefly, then answer in this form:
${submission("EXPRESSION")}`

const examples = ["0.3*(x_target-x) - v", "clip((x_target-x)/remaining_steps, -0.5, 0.5)", "0.2 if lt(t, 3) else 0"]

const precedent = (earlier: Precedent): string => `

Evidence from ANOTHER task of this stream, with the same hidden a and b but its own start and target:
Expression: ${earlier.expression}
Start: x = ${earlier.x0}, v = ${earlier.v0}
Target: x = ${earlier.xTarget}, v = ${earlier.vTarget}
Horizon: ${earlier.horizon}
Reward: ${earlier.reward.toFixed(4)}
Errors at the end: x_end - x_target = ${earlier.xError.toFixed(5)}, v_end - v_target = ${earlier.vError.toFixed(5)}`

export const user = ({ precedent: earlier, task }: Trial): string =>
  `Start: x = ${task.x0}, v = ${task.v0}
Target: x_target = ${task.xTarget}, v_target = ${task.vTarget}
Horizon: ${task.horizon} steps${earlier === null ? "" : precedent(earlier)}`

/** Three decimals; in powers of ten where those would show nothing of a positive reward. */
const shown = (reward: number): string => (reward > 0 && reward < 0.0005 ? reward.toExponential(3) : reward.toFixed(3))

/** The table of the run and its end; or why there is none. Empty before the submission. */
export const feedback = ({ run, task, why }: Trial): string => {
  if (why !== undefined) return `Your answer could not be used: ${why}. The task is over with reward -0.1.`
  if (run === undefined) return ""
  const rows = run.moments.map(({ t, u, v, x }) => `${t} ${x.toFixed(3)} ${v.toFixed(3)} ${u.toFixed(3)}`)
  const table = ["t x v u", ...rows].join("\n")
  if ("failure" in run) {
    const before = run.moments.length > 0 ? `${table}\n` : ""
    return `${before}The expression failed while running: ${run.failure}. The reward is 0.`
  }
  return `${table}
End: x = ${run.x.toFixed(3)}, v = ${run.v.toFixed(3)}
Target: x = ${task.xTarget}, v = ${task.vTarget}
Loss ${shown(run.loss)}, reward ${shown(run.reward)}`
}

export const finalState = ({ submitted }: Trial): string =>
  submitted === undefined ? "" : `Submitted expression: ${submitted}`
