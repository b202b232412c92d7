/** An estimator under test: its answers in a form that laws can ask, and what is wrong with an answer's form. */
import type { Credit, Experience, RunExperience, Scored } from "../estimator.ts"
import { causalReference, grpoReference, roundingOf } from "./reference.ts"
import type { FuzzCase } from "./generator.ts"

/** A plug-in as it comes: what it returns is not to be trusted. */
export type Plugin = (experiences: ReadonlyArray<any>, options: any) => unknown

/** What is required of an answer; the rest is checked where it is given. */
export type AnsweredRow = Pick<Scored, "id" | "advantage"> & Partial<Scored>

export interface Answer {
  readonly rows: ReadonlyMap<string, AnsweredRow>
  readonly dropped: ReadonlyArray<string>
  /** Undefined where the estimator does not report them. */
  readonly temperatures: ReadonlyMap<string, number | null> | undefined
  readonly metrics: Credit["metrics"]
}

/** A law is broken. `id` is the experience to look at. */
export class Violation extends Error {}

export const violate = (message: string): never => {
  throw new Violation(message)
}

/** A copy that an estimator may write to. The experiences of a lifecycle share its list of rewards, as they do in training. */
const copied = (experiences: ReadonlyArray<RunExperience & Partial<Experience>>): ReadonlyArray<RunExperience> => {
  const lists = new Map<ReadonlyArray<number>, ReadonlyArray<number>>()
  return experiences.map((experience) => {
    const { taskRewards } = experience
    if (taskRewards === undefined) return { ...experience }
    if (!lists.has(taskRewards)) lists.set(taskRewards, [...taskRewards])
    return { ...experience, taskRewards: lists.get(taskRewards)! }
  })
}

/** Calls an estimator on a copy of a case, so that one that writes to its input harms nobody but itself. */
export const ask = (plugin: Plugin, { experiences, options }: FuzzCase): Answer => {
  let credit: any
  try {
    credit = plugin(copied(experiences), { ...options })
  } catch (error) {
    return violate(`threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`)
  }
  return read(credit)
}

/** Reads what an estimator returned. */
const read = (credit: any): Answer => {
  if (typeof credit?.then === "function") violate("returned a promise; an estimator answers at once")
  if (!Array.isArray(credit?.experiences)) violate(`returned ${typeof credit} without a list "experiences"`)
  const rows = new Map<string, AnsweredRow>()
  for (const row of credit.experiences) {
    if (typeof row?.id !== "string") violate(`returned an experience whose "id" is ${String(row?.id)}, expected text`)
    if (rows.has(row.id)) violate(`returned ${row.id} twice`)
    for (const field of ["advantage", "score", "return", "baseline"] as const) {
      if (field !== "advantage" && row[field] === undefined) continue
      if (!Number.isFinite(row[field]))
        violate(`${field} of ${row.id} is ${String(row[field])}, expected a finite number`)
    }
    rows.set(row.id, row)
  }
  const { dropped = [], temperatures, metrics = {} } = credit
  if (!Array.isArray(dropped)) violate(`"dropped" is ${typeof dropped}, expected a list of ids`)
  if (temperatures !== undefined && !Array.isArray(temperatures))
    violate(`"temperatures" is ${typeof temperatures}, expected a list`)
  return {
    rows,
    dropped,
    // A temperature of 0 is another way to say that nothing is weighted, and a task set's name may be its number.
    temperatures:
      temperatures && new Map(temperatures.map(({ group, temperature }: any) => [String(group), temperature || null])),
    metrics
  }
}

/** No weighting and no shift: advantages are scores. */
export const neutral = (given: FuzzCase): boolean =>
  given.mode === "grpo"
    ? !given.options.stepNorm
    : !given.options.redTemperature && !given.options.redAdaptive && !given.options.advantageShift

/** The score of an experience, if the estimator tells it or nothing hides it. */
export const scoreOf = (given: FuzzCase, row: AnsweredRow | undefined): number | undefined =>
  row?.score ?? (neutral(given) ? row?.advantage : undefined)

/** How far two right computations of a score may be apart. */
export const toleranceOf = (given: FuzzCase): number => {
  const rounding = 100 * roundingOf(given.experiences)
  return given.mode === "grpo" && given.options.stdLevel !== "none" ? rounding / given.options.epsilon : rounding
}

/** Rounding decides no temperature of the case and drops no pack: two right computations choose the same. */
export const decided = (given: FuzzCase): boolean =>
  given.mode === "grpo"
    ? grpoReference(given).every(({ skipped }) => skipped !== undefined)
    : !given.options.redAdaptive ||
      causalReference(given).groups.every(({ temperatures }) => temperatures?.length === 1)
