/**
 * Group baselines (specification, section 4).
 *
 * One vote per run: a solve episode of eight steps counts once, with the return of its first experience in arrival order.
 * The mean includes the run itself unless `leave-one-out` is asked for, and nothing is divided by a standard deviation;
 * a group of one therefore scores 0.
 */
import type { Experience } from "./estimator.ts"

export type Baseline = "group-mean" | "leave-one-out"

/** The votes on one (pack, kind, index), or on another group of runs in the place of a pack. Deviations from the first vote are summed, so that equal votes have an exact mean. */
interface Ballot {
  readonly first: number
  readonly votes: Map<number, number>
  deviations: number
}

/** Collects the returns of a call and answers what each experience is measured against. Keys are structured, never text. */
export const ballots = () => {
  const packs = new Map<string, { readonly solve: Array<Ballot>; readonly update: Array<Ballot> }>()

  const cast = (experience: Experience, value: number, among = experience.pack): Ballot => {
    let pack = packs.get(among)
    if (pack === undefined) packs.set(among, (pack = { solve: [], update: [] }))
    const ballot = (pack[experience.kind][experience.index] ??= { first: value, votes: new Map(), deviations: 0 })
    if (!ballot.votes.has(experience.run)) {
      ballot.votes.set(experience.run, value)
      ballot.deviations += value - ballot.first
    }
    return ballot
  }
  return cast
}

/** The baseline that a run is measured against. A run that is alone is its own baseline. */
export const baselineOf = (ballot: Ballot, run: number, baseline: Baseline): number => {
  const { first, votes, deviations } = ballot
  if (baseline === "group-mean" || votes.size === 1) return first + deviations / votes.size
  return first + (deviations - (votes.get(run)! - first)) / (votes.size - 1)
}
