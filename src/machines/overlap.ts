/**
 * When rollouts run ahead of the learner: which policy samples a batch of groups, and which groups an update learns from
 * (credit-assignment specification, section 14).
 *
 * Both are arithmetic over counts of updates, never a matter of who is faster: a run that overlaps gives the same bytes on
 * any machine of one type, at any load, and after any interruption. What a slow rollout costs is waiting, and nothing
 * that was sampled is thrown away for its age unless groups are reused.
 */
import type { Rng } from "../environment.ts"

export interface Overlap {
  /** Oldest policy that an update may learn from, in updates behind the newest: its staleness. At least 0. */
  readonly staleness: number
  /** Batches that are sampled before it is their turn to be learnt from; 0 takes turns. */
  readonly ahead: number
  /** Batches between two takings of the newest weights, at least 1. */
  readonly syncInterval: number
  /** How often a group may be learnt from, at least 1. */
  readonly uses: number
  /** Standard deviation of the noise in a group's priority, at least 0. */
  readonly noise: number
}

/** The number of updates that the policy has seen which samples a batch; batch n is sampled for the update after n others. */
export const sampledAfter = (batch: number, { ahead, syncInterval }: Overlap): number => {
  const newest = Math.max(0, batch - ahead)
  return newest - (newest % syncInterval)
}

/** How old a batch's policy may be when its turn comes, at the most. */
export const oldestSampler = ({ ahead, syncInterval }: Pick<Overlap, "ahead" | "syncInterval">): number =>
  ahead + syncInterval - 1

/** The staleness that an overlap needs so that nothing has to be thrown away: a group's last use comes when it is oldest. */
export const neededStaleness = (overlap: Omit<Overlap, "staleness">): number =>
  oldestSampler(overlap) + overlap.uses - 1

/** A group that waits to be learnt from. */
export interface Held {
  readonly pack: string
  /** Batch that it came with. */
  readonly batch: number
  /** Updates that have learnt from it. */
  readonly uses: number
}

export interface Choice<H extends Held> {
  /** To learn from now, the most urgent first, with `uses` counted up. */
  readonly taken: ReadonlyArray<H>
  /** Everything that may be learnt from later, those taken included, in the order in which they came. */
  readonly kept: ReadonlyArray<H>
}

/** What a use costs in priority; a policy that is one update newer is worth 1. */
const costOfUse = 2

/**
 * The `count` groups of highest priority: policy version, less 2 for each use, plus noise from a stream of the group and its
 * use. Groups that have become too old are left out.
 */
export const chooseGroups = <H extends Held>(
  held: ReadonlyArray<H>,
  overlap: Overlap,
  at: { readonly update: number; readonly count: number },
  noiseOf: (group: H) => Rng
): Choice<H> => {
  const fresh = held.filter(({ batch }) => at.update - sampledAfter(batch, overlap) <= overlap.staleness)
  const priority = new Map(
    fresh.map((group) => [
      group,
      sampledAfter(group.batch, overlap) -
        costOfUse * group.uses +
        (overlap.noise === 0 ? 0 : overlap.noise * noiseOf(group).normal())
    ])
  )
  const taken = fresh.toSorted((a, b) => priority.get(b)! - priority.get(a)!).slice(0, at.count)
  const used = new Map(taken.map((group) => [group, { ...group, uses: group.uses + 1 }]))
  return {
    taken: taken.map((group) => used.get(group)!),
    kept: fresh.map((group) => used.get(group) ?? group).filter(({ uses }) => uses < overlap.uses)
  }
}
