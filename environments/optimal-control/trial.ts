/** One trial of an expression: the machine's data, and the dynamics and rewards as pure functions. */
import type { Start } from "../../src/environment.ts"
import { evaluate, type Expression, ExpressionFailure } from "./expression.ts"
import type { Knowledge, Options, Task } from "./options.ts"

/** What is submitted: the expression as it was written, and its tree. */
export interface Submission {
  readonly text: string
  readonly expression: Expression
}

export interface Moment {
  readonly t: number
  readonly x: number
  readonly v: number
  /** Clipped to [-1, 1]. */
  readonly u: number
}

/** How an expression did: completed, or failed at some step. */
export type Run =
  | {
      readonly moments: ReadonlyArray<Moment>
      readonly x: number
      readonly v: number
      readonly loss: number
      readonly reward: number
    }
  | { readonly moments: ReadonlyArray<Moment>; readonly failure: string }

/** The last expression of the lifecycle that ran to completion, as evidence from another task. */
export interface Precedent {
  readonly expression: string
  readonly x0: number
  readonly v0: number
  readonly xTarget: number
  readonly vTarget: number
  readonly horizon: number
  readonly reward: number
  /** Signed errors at the end. */
  readonly xError: number
  readonly vError: number
}

export interface Trial {
  /** Whether the sign of b is told: +1 or -1 where its range excludes zero, otherwise 0. */
  readonly knownSign: -1 | 0 | 1
  readonly knowledge: Knowledge
  readonly task: Task
  readonly precedent: Precedent | null
  /** Absent until an expression is submitted. */
  readonly submitted: string | undefined
  readonly run: Run | undefined
  /** Why the submission could not be read. */
  readonly why: string | undefined
}

export const begin = ({
  knowledge,
  memory,
  options,
  task
}: Start<Options, Knowledge, Task, Precedent | null>): Trial => ({
  knownSign: options.b[0] > 0 ? 1 : options.b[1] < 0 ? -1 : 0,
  knowledge,
  task,
  precedent: options.memory === "on" ? (memory ?? null) : null,
  submitted: undefined,
  run: undefined,
  why: undefined
})

/** `v' = a v + b u + noise`, `x' = x + v'`, `u` clipped to [-1, 1], from the task's start to its horizon. */
export const runExpression = (expression: Expression, { a, b }: Knowledge, task: Task): Run => {
  const { controlPenalty, horizon, noise, vTarget, xTarget } = task
  const moments: Array<Moment> = []
  let { x0: x, v0: v } = task
  let effort = 0
  for (let t = 0; t < horizon; t++) {
    const scope = { x, v, t, x_target: xTarget, v_target: vTarget, horizon, remaining_steps: Math.max(1, horizon - t) }
    let u: number
    try {
      u = Math.min(1, Math.max(-1, evaluate(expression, scope)))
    } catch (thrown) {
      if (thrown instanceof ExpressionFailure) return { moments, failure: `${thrown.message} at t = ${t}` }
      throw thrown
    }
    moments.push({ t, x, v, u })
    effort += u * u
    v = a * v + b * u + (noise[t] ?? 0)
    x += v
  }
  const loss = (x - xTarget) ** 2 + 2 * (v - vTarget) ** 2 + controlPenalty * effort
  return Number.isFinite(loss)
    ? { moments, x, v, loss, reward: 1 / (1 + loss) }
    : { moments, failure: "the state grew beyond all bounds" }
}

export const submit = (trial: Trial, { expression, text }: Submission): Trial => ({
  ...trial,
  submitted: text,
  run: runExpression(expression, trial.knowledge, trial.task)
})

/** Loss up to which the target counts as reached. */
const reachedLoss = 0.1

export const hasFailed = ({ run }: Trial): boolean => run !== undefined && "failure" in run
export const isReached = ({ run }: Trial): boolean => run !== undefined && "loss" in run && run.loss <= reachedLoss

/** What the next task is shown: this expression, if it ran to completion, otherwise what was shown before. */
export const nextPrecedent = ({ precedent, run, submitted, task }: Trial): Precedent | null => {
  if (run === undefined || "failure" in run || submitted === undefined) return precedent
  const { horizon, v0, vTarget, x0, xTarget } = task
  const errors = { xError: run.x - xTarget, vError: run.v - vTarget }
  return { expression: submitted, x0, v0, xTarget, vTarget, horizon, reward: run.reward, ...errors }
}
