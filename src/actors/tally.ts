/** What a simulation counts: calls, outcomes, and every kind of fault under a name of its own. */
import type { EpisodeKind, Outcome } from "../environment.ts"
import type { Episode, LostBy } from "../machines/episode.ts"
import { isFault } from "../machines/lifecycle.ts"

/** What is counted of an episode. */
export interface EpisodeCounts {
  readonly kind: EpisodeKind
  readonly outcome: Outcome
  readonly lostBy: LostBy | undefined
  /** Model calls, and tokens sampled. */
  readonly steps: number
  readonly tokens: number
  /** Replies without a character, and replies that were cut off at their greatest length. */
  readonly empty: number
  readonly cut: number
}

export const countsOf = ({ kind, lostBy, outcome, steps }: Episode): EpisodeCounts => {
  let tokens = 0
  let empty = 0
  let cut = 0
  for (const step of steps) {
    tokens += step.tokens.length
    if (step.reply === "") empty++
    if (step.truncated) cut++
  }
  return { kind, outcome, lostBy, steps: steps.length, tokens, empty, cut }
}

/** The first five are lifecycles that ended there; what follows are episodes and replies of lifecycles that went on. */
export interface Faults {
  /** A call into the environment took too long, or never came back and its thread had to be ended. */
  hungEnvironment: number
  /** The environment threw or broke a promise. */
  brokenEnvironment: number
  /** The policy did not answer in time. */
  silentPolicy: number
  /** The policy could not answer. */
  failedPolicy: number
  /** The thread that lived the lifecycle, or ran the model for it, ended. */
  lostThread: number
  /** Solve episodes that an answer ended because it could not be read. */
  unreadableAnswers: number
  /** Update episodes whose reply could not be read: what the agent knew is lost. */
  unreadableContexts: number
  emptyReplies: number
  cutReplies: number
}

export interface Tally {
  /** Lifecycles lived. */
  done: number
  /** Model calls. */
  steps: number
  /** Tokens sampled. */
  tokens: number
  /** Of solve episodes. */
  readonly outcomes: Record<Outcome, number>
  /** Lifecycles that a timeout or an error ended. */
  lost: number
  readonly faults: Faults
  /** False when a time limit of the wall clock has ended something. */
  deterministic: boolean
}

export const emptyTally = (): Tally => ({
  done: 0,
  steps: 0,
  tokens: 0,
  outcomes: { success: 0, failure: 0, truncated: 0, malformed: 0, timeout: 0, error: 0 },
  lost: 0,
  faults: {
    hungEnvironment: 0,
    brokenEnvironment: 0,
    silentPolicy: 0,
    failedPolicy: 0,
    lostThread: 0,
    unreadableAnswers: 0,
    unreadableContexts: 0,
    emptyReplies: 0,
    cutReplies: 0
  },
  deterministic: true
})

const lostTo = (outcome: "timeout" | "error", by: LostBy): keyof Faults => {
  if (by === "policy") return outcome === "timeout" ? "silentPolicy" : "failedPolicy"
  if (outcome === "timeout") return "hungEnvironment"
  return by === "thread" ? "lostThread" : "brokenEnvironment"
}

/** Counts an episode; `last` when its lifecycle ends with it. */
export const countEpisode = (tally: Tally, counts: EpisodeCounts, last: boolean): void => {
  const { cut, empty, kind, lostBy = "environment", outcome, steps, tokens } = counts
  const { faults, outcomes } = tally
  tally.steps += steps
  tally.tokens += tokens
  faults.emptyReplies += empty
  faults.cutReplies += cut
  if (kind === "solve") outcomes[outcome]++
  if (isFault(outcome)) {
    tally.lost++
    faults[lostTo(outcome, lostBy)]++
  } else if (kind === "update" && outcome !== "success") faults.unreadableContexts++
  else if (outcome === "malformed") faults.unreadableAnswers++
  if (outcome === "timeout") tally.deterministic = false
  if (last) tally.done++
}

export const addTally = (to: Tally, from: Tally): void => {
  for (const key of ["done", "steps", "tokens", "lost"] as const) to[key] += from[key]
  for (const [outcome, count] of Object.entries(from.outcomes)) to.outcomes[outcome as Outcome] += count
  for (const [fault, count] of Object.entries(from.faults)) to.faults[fault as keyof Faults] += count
  to.deterministic &&= from.deterministic
}

/** Whether a lifecycle ends with this episode. */
export const isLast = (
  { index, kind, outcome }: Pick<Episode, "index" | "kind" | "outcome">,
  packSize: number
): boolean => isFault(outcome) || (kind === "solve" && index === packSize - 1)

const kinds: ReadonlyArray<EpisodeKind> = ["solve", "update"]
const outcomes = Object.keys(emptyTally().outcomes) as ReadonlyArray<Outcome>
const losers: ReadonlyArray<LostBy | undefined> = [undefined, "environment", "policy", "thread"]

/** As a few small integers, for those who keep many. */
export const countsToNumbers = ({ cut, empty, kind, lostBy, outcome, steps, tokens }: EpisodeCounts) =>
  [
    kinds.indexOf(kind) + 2 * (outcomes.indexOf(outcome) + 6 * losers.indexOf(lostBy)),
    steps,
    tokens,
    empty,
    cut
  ] as const

/** The counts of `countsToNumbers`, asked for one after the other. */
export const countsFromNumbers = (next: () => number): EpisodeCounts => {
  const code = next()
  return {
    kind: kinds[code % 2]!,
    outcome: outcomes[Math.floor(code / 2) % 6]!,
    lostBy: losers[Math.floor(code / 12)],
    steps: next(),
    tokens: next(),
    empty: next(),
    cut: next()
  }
}
