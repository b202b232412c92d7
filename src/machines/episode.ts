/** What an episode leaves behind: the record that traces hold and that credit assignment and learning read. */
import type { EpisodeKind, Outcome } from "../environment.ts"
import type { Fork } from "./fork.ts"

/** One model call. */
export interface Step {
  /** The whole prompt as text. */
  readonly prompt: string
  readonly reply: string
  /** Token ids of the prompt; empty for policies that have no tokens. */
  readonly promptTokens: ReadonlyArray<number>
  /** Token ids sampled, the end token included: exactly what is trained. Empty for policies that have no tokens. */
  readonly tokens: ReadonlyArray<number>
  /** Natural log-probability of each sampled token under the sampling distribution, temperature included. */
  readonly logprobs: ReadonlyArray<number>
  readonly policyVersion: number
  /** What a judge said of the reply, if one was asked; null when nothing that it said could be read. */
  readonly judgement?: string | null
  /** The reply reached its token cap without ending by itself. */
  readonly truncated: boolean
  /** The user message of this step. */
  readonly observation: string
  /** The environment's answer to this step. */
  readonly feedback: string
}

/** Who can lose an episode to a fault: the environment, the policy, or a thread that ended. */
export type LostBy = "environment" | "policy" | "thread"

export interface Episode {
  /** Identity of the lifecycle: `<pack>/<run>`, with the name of each fork for a branch. */
  readonly lifecycle: string
  readonly pack: string
  readonly run: number
  readonly kind: EpisodeKind
  /** 0-based position of the task solved, or of the task that an update follows. */
  readonly index: number
  readonly environment: string
  readonly task: unknown
  readonly seed: string
  readonly contextBefore: string
  readonly contextAfter: string
  readonly steps: ReadonlyArray<Step>
  /** Shaped as the lifecycle specification says. */
  readonly reward: number
  readonly success: boolean
  readonly outcome: Outcome
  /** Why the episode was lost or its last reply could not be read. */
  readonly why?: string
  /** Whose fault ended it, if a fault did. */
  readonly lostBy?: LostBy
  readonly timing: { readonly startedMillis: number; readonly endedMillis: number }
}

/** Whether a judge that was asked said nothing that could be read: then nobody knows what the rewards are worth. */
export const isFlagged = (episodes: ReadonlyArray<Pick<Episode, "steps">>): boolean =>
  episodes.some(({ steps }) => steps.some(({ judgement }) => judgement === null))

/** All episodes of one lifecycle in order: solve 0, update 0, solve 1, ... */
export interface Lifecycle {
  readonly id: string
  readonly pack: string
  readonly run: number
  /** 0, or more when earlier attempts were lost to a timeout or an error. */
  readonly attempt: number
  /** Sum of the task rewards, discounted as the lifecycle specification says (section 4). */
  readonly totalReward: number
  /** Where it leaves the lifecycle that it continues, if it does; the episodes before are those of that one. */
  readonly forks?: ReadonlyArray<Fork>
  readonly episodes: ReadonlyArray<Episode>
}
