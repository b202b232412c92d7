/** Rewards of episodes and lifecycles as the lifecycle specification shapes them (sections 4, 6.3 and 7). */
import type { LengthPenalty } from "../environment.ts"

const clamp = (x: number): number => Math.min(1, Math.max(0, x))

/** `max(0, reward - penalty)` of a positive reward; others stay. `tokens` holds the reply length of each step. */
export const solveReward = (
  reward: number,
  tokens: ReadonlyArray<number>,
  penalty: LengthPenalty | undefined
): number => {
  if (penalty === undefined || reward <= 0 || penalty.coefficient <= 0) return reward
  const { coefficient, fullTokens, maxSteps, zeroTokens } = penalty
  const long = tokens.reduce((sum, n) => sum + clamp((n - zeroTokens) / (fullTokens - zeroTokens)), 0) / tokens.length
  return Math.max(0, reward - coefficient * (long + tokens.length / maxSteps))
}

/** What an update episode is charged, at most `coefficient`. Without bounds only an unreadable reply is charged. */
export interface UpdatePenalty {
  /** At least 0; the published value is 0.1. */
  readonly coefficient: number
  /** Charged in proportion between `zeroTokens` and `fullTokens`, and in full below `minTokens`. */
  readonly length?: { readonly zeroTokens: number; readonly fullTokens: number; readonly minTokens?: number }
}

/** At most 0. `tokens` is the length of the reply. */
export const updateReward = (parsed: boolean, tokens: number, { coefficient, length }: UpdatePenalty): number => {
  if (!parsed) return -coefficient
  if (length === undefined) return 0
  if (length.minTokens !== undefined && tokens < length.minTokens) return -coefficient
  const share = clamp((tokens - length.zeroTokens) / (length.fullTokens - length.zeroTokens))
  return share === 0 ? 0 : -coefficient * share
}

/** `sum_k rewards[k] * decay^(S-1-k)`, S = number of tasks; `decay` 1 is the plain sum. */
export const totalReward = (rewards: ReadonlyArray<number>, decay: number): number =>
  rewards.reduce((total, reward) => total * decay + reward, 0)
