/** Rewards that come later than what earned them. */
import { Schema } from "effect"
import type { Environment, Start } from "../environment.ts"
import { beside, operator, parameter } from "./operator.ts"

const DelayedReward = Schema.Struct({
  positions: parameter(
    Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
    0,
    "How many positions later the reward of a task is paid; all that is owed is paid with the last task"
  )
})

/** What is owed, the oldest first, and the memory of the environment inside. */
interface Ledger {
  readonly owed: ReadonlyArray<number>
  readonly inner?: unknown
}

interface Account extends Ledger {
  readonly position: number
  readonly packSize: number
}

/**
 * The reward that a task earns is paid `positions` tasks later, with the reward of that task's episode; whatever is still owed
 * at the last position is paid there, so a lifecycle's rewards have the same sum. Until then an episode pays 0. Whether
 * an episode is a success is told as ever. Shaping by length falls on the episode that is paid.
 */
export const withDelayedReward = operator(
  "delayedReward",
  DelayedReward,
  ({ positions }) => positions > 0,
  (environment, { positions }, key): Environment => {
    const { memory, rewardBounds } = environment
    const ledger = (owed: Ledger["owed"], inner: unknown): Ledger => (inner === undefined ? { owed } : { owed, inner })
    return {
      ...environment,
      delaysReward: true,
      memory: (at) => {
        const before = at.before as Ledger | undefined
        return ledger(before?.owed ?? [], memory?.({ ...at, before: before?.inner }))
      },
      rewardBounds: (options) => {
        const [lowest, highest] = rewardBounds?.(options) ?? [-1, 1]
        return [Math.min(0, lowest * (positions + 1)), Math.max(0, highest * (positions + 1))]
      },
      machine: beside<Account>(environment.machine, key, {
        begin: ({ memory, packSize, position }: Start<unknown, unknown, unknown, Ledger>) => ({
          ...memory,
          position,
          packSize
        }),
        inside: (start) => ({ ...start, memory: start.memory.inner }),
        end: ({ inner, owed, packSize, position }, ending) => {
          const due = [...owed, ending.reward]
          const isLast = position === packSize - 1
          const paid = isLast ? due : due.slice(0, Math.max(0, due.length - positions))
          const left = due.slice(paid.length)
          return {
            ...ending,
            reward: paid.reduce((sum, reward) => sum + reward, 0),
            memory: ledger(left, ending.memory ?? inner)
          }
        }
      })
    }
  }
)
