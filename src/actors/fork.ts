/**
 * Forking: a lifecycle that was lived is a value, and can be gone on with from any of its points in other ways.
 *
 * The state at a point (contexts, the environment's memory, the episode that an update looks back at) is stored nowhere:
 * machines are pure and everything random has a name, so a branch comes to it by living the past again with the replies
 * that are recorded, and draws from streams of its own from there on.
 */
import type { Said } from "../machines/agent.ts"
import type { Episode, Lifecycle } from "../machines/episode.ts"
import { type Fork, isBefore, type Point, pointOf } from "../machines/fork.ts"
import type { Plan } from "./lifecycle.ts"

/** The plan of one future of a lifecycle that was lived by `plan`, from a point that it has reached. */
export const forkPlan = (
  plan: Plan,
  { attempt, episodes }: Pick<Lifecycle, "attempt" | "episodes">,
  at: Omit<Fork, "attempt">
): Plan => {
  const { forks = [] } = plan
  const earlier = forks.filter((fork) => isBefore(fork, at))
  return {
    ...plan,
    attempt: 0,
    forks: [...earlier, { ...at, attempt: forks[earlier.length]?.attempt ?? attempt }],
    past: repliesBefore(episodes, at)
  }
}

/** Whether a lifecycle has come to a point. */
export const reaches = (episodes: ReadonlyArray<Episode>, { kind, position }: Point): boolean =>
  episodes.some((episode) => episode.kind === kind && episode.index === position)

const repliesBefore = (episodes: ReadonlyArray<Episode>, point: Point): ReadonlyArray<Said> =>
  episodes
    .filter((episode) => isBefore(pointOf(episode), point))
    .flatMap(({ steps }) =>
      steps.map(({ judgement, logprobs, policyVersion, promptTokens, reply, tokens, truncated }) => ({
        text: reply,
        promptTokens,
        tokens,
        logprobs,
        policyVersion,
        ...(judgement === undefined ? {} : { judgement }),
        truncated
      }))
    )
