/**
 * Forks: where a lifecycle leaves the one that it continues, and which of its episodes are its own.
 *
 * A branch has the same past, bit for bit, and draws from streams of its own from its fork on. It may be forked again, so a
 * lifecycle has a list of forks, in the order of their points.
 */
import type { EpisodeKind } from "../environment.ts"
import type { Episode, Lifecycle } from "./episode.ts"

/** A point between two episodes: the one before which it lies. */
export interface Point {
  readonly kind: EpisodeKind
  readonly position: number
}

export interface Fork extends Point {
  /** Of the futures. */
  readonly seed: number
  /** Which of the futures: tells apart the branches of one point. */
  readonly branch: number
  /** Of the lifecycle that was forked: its past has the streams of that attempt. */
  readonly attempt: number
}

/** Whether `a` lies before `b`. */
export const isBefore = (a: Point, b: Point): boolean => placeOf(a) < placeOf(b)

const placeOf = ({ kind, position }: Point): number => 2 * position + (kind === "update" ? 1 : 0)

/** The point before an episode. */
export const pointOf = ({ index, kind }: Pick<Episode, "index" | "kind">): Point => ({ kind, position: index })

/** What a branch adds to the name of the lifecycle that it continues, such as `~solve2.1`. */
export const branchName = ({ branch, kind, position }: Fork): string => `~${kind}${position}.${branch}`

/** The episodes that a lifecycle has lived itself, and not the one that it continues. */
export const ownEpisodes = ({ episodes, forks }: Pick<Lifecycle, "episodes" | "forks">): ReadonlyArray<Episode> => {
  const last = forks?.at(-1)
  return last === undefined ? episodes : episodes.filter((episode) => !isBefore(pointOf(episode), last))
}
