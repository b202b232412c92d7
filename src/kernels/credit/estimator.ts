/**
 * What every estimator of credit takes and gives back: the plug-in interface.
 *
 * One call sees every experience collected together, all runs of every pack included, in arrival order. An experience is
 * one model call. The words of its fields are those of the case files (`pack`, `run`, `kind`, `index`).
 */
import { Schema } from "effect"

/** An experience as standard multi-step GRPO needs it. */
export interface RunExperience {
  /** Unique in the call. */
  readonly id: string
  readonly pack: string
  /** Number of the lifecycle among those of its pack. */
  readonly run: number
  /** 0-based model call of its episode. */
  readonly step: number
  /** The episode's own reward. */
  readonly reward: number
  /** Trainable tokens: at least 0, an integer. */
  readonly responseTokens: number
  /** Reward of the whole lifecycle. */
  readonly totalReward?: number
  /** A judge refused this experience (`own`) or its whole run (`trajectory`): it is dropped before anything else. */
  readonly flag?: "own" | "trajectory"
}

/** An experience with its place in the lifecycle, as causal credit needs it. */
export interface Experience extends RunExperience {
  /** Integer id of the task set; 0 when there is only one. */
  readonly taskset: number
  readonly kind: "solve" | "update"
  /** 0-based position of the task solved, or of the task that an update follows. */
  readonly index: number
  /** Rewards of all tasks of the lifecycle, by position; a branch has those of what it continues before its own. */
  readonly taskRewards: ReadonlyArray<number>
  /**
   * Names the state that an update was sampled from, where others were sampled from the very same: its siblings. Causal
   * credit and GRPO do not look at it: to them a branch is one more run of its pack, of which the beginning is missing.
   */
  readonly fork?: string
}

/** What one experience is worth. `advantage` weights each of its trainable tokens, after weighting and shift. */
export interface Scored {
  readonly id: string
  readonly return: number
  readonly baseline: number
  /** Before weighting and shift. */
  readonly score: number
  readonly advantage: number
}

/** A group of the weighting and its temperature; null where nothing was weighted. */
export interface Temperature {
  readonly group: string
  readonly temperature: number | null
}

export interface Credit {
  /** In arrival order. Together with `dropped` it holds every id of the call exactly once. */
  readonly experiences: ReadonlyArray<Scored>
  readonly dropped: ReadonlyArray<string>
  readonly temperatures: ReadonlyArray<Temperature>
  readonly metrics: Readonly<Record<string, number>>
}

/** Pure. Throws a `CreditError` for options or numbers it cannot work with. */
export type Estimator<E extends RunExperience = Experience, Options = never> = (
  experiences: ReadonlyArray<E>,
  options: Options
) => Credit

/** Input that no credit or loss can be computed from: an experience, a token of a sequence, or, without either, an option. */
export class CreditError extends Schema.TaggedError<CreditError>()("CreditError", {
  experience: Schema.optionalKey(Schema.String),
  /** 0-based sequence and token of a policy loss. */
  sequence: Schema.optionalKey(Schema.Int),
  token: Schema.optionalKey(Schema.Int),
  field: Schema.String,
  value: Schema.Unknown,
  /** Completes "expected ...". */
  expected: Schema.String
}) {
  override get message() {
    const { experience, sequence, token } = this
    const where =
      experience !== undefined
        ? `experience ${JSON.stringify(experience)}`
        : sequence !== undefined
          ? `sequence ${sequence}${token === undefined ? "" : `, token ${token}`}`
          : "options"
    return `${where}: "${this.field}" is ${spell(this.value)}, expected ${this.expected}`
  }
}

// JSON would spell NaN and the infinities as null.
const spell = (value: unknown): string =>
  typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "missing")

/** Refuses an experience. */
export const refuse = (id: string, field: string, value: unknown, expected: string): never => {
  throw new CreditError({ experience: id, field, value, expected })
}

/** For each option what is allowed, in words and as a test. */
export type Rules<Options> = {
  readonly [K in keyof Options]-?: readonly [expected: string, holds: (value: never) => boolean]
}

/** Fills in defaults. An option that is unknown or outside of its bounds is refused. */
export const resolve = <Options extends object>(
  rules: Rules<Options>,
  defaults: Required<Options>,
  given: Partial<Options>
): Required<Options> => {
  const fail = (field: string, value: unknown, expected: string): never => {
    throw new CreditError({ field, value, expected })
  }
  for (const [field, value] of Object.entries(given)) {
    if (!Object.hasOwn(rules, field)) fail(field, value, `one of the options ${Object.keys(rules).join(", ")}`)
    const [expected, holds] = rules[field as keyof Options]
    if (!holds(value as never)) fail(field, value, expected)
  }
  return { ...defaults, ...given }
}

export const oneOf = <A extends string>(...values: ReadonlyArray<A>) =>
  [values.join(", "), (value: unknown) => values.includes(value as A)] as const

export const flag = ["true or false", (value: unknown) => typeof value === "boolean"] as const
