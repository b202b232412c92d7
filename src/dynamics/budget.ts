/** A lifecycle that has only so many answers, for all of its tasks together. */
import { Schema } from "effect"
import { type AnyStateMachine, createMachine } from "xstate"
import type { Ending, Environment, Start } from "../environment.ts"
import { beside, operator, ownOf, reshaped, type World } from "./operator.ts"
import { remarked } from "./remark.ts"

const Budget = Schema.Struct({
  steps: Schema.optionalKey(
    Schema.Int.check(Schema.isGreaterThan(0)).annotate({
      description: "Answers for all tasks of a lifecycle; default: no limit"
    })
  )
})

/** What is left for all tasks to come, and the memory of the environment inside. */
interface Purse {
  readonly left: number
  readonly inner?: unknown
}

interface Spending extends Purse {
  /** Whether this task has had an answer. */
  readonly begun: boolean
}

const form = /^Answers left for this and all later tasks: \d+$/

/** Amounts are said in words up to here, and as this where they are more. */
const mostInWords = 32

/**
 * A lifecycle has `steps` answers for all of its tasks together; every answer spends one, also one that can't be read.
 * When none is left the episode at hand is over: `truncated`, with reward 0, unless that very answer has ended it. Every
 * later task still gets a single answer. What is left stands at the end of each observation: in `chat` style as a line,
 * in `terse` style as `~7`, up to `~32`. Scripted agents and demonstrations do not ration it.
 */
export const withBudget = operator(
  "budget",
  Budget,
  ({ steps }) => steps !== undefined,
  (environment, { steps }, key): Environment => {
    const { memory, rewardBounds } = environment
    const purse = (left: number, inner: unknown): Purse => (inner === undefined ? { left } : { left, inner })
    const left = (world: World): number => ownOf<Spending>(world, key)!.left
    const { end } = environment.feedback
    const limited: Environment = {
      ...environment,
      feedback: {
        ...environment.feedback,
        end: (world) => {
          const isSpent = left(world) === 0 && String(world.value).startsWith(outOfBudget)
          return isSpent ? `${end(world)} No answers are left for this task.`.trim() : end(world)
        }
      },
      memory: (at) => {
        const before = at.before as Purse | undefined
        return purse(before?.left ?? steps!, memory?.({ ...at, before: before?.inner }))
      },
      rewardBounds: (options) => {
        const [lowest, highest] = rewardBounds?.(options) ?? [-1, 1]
        return [Math.min(0, lowest), Math.max(0, highest)]
      },
      machine: beside<Spending>(
        reshaped(environment.machine, (machine) => endingWhenSpent(machine, key)),
        key,
        {
          begin: ({ memory }: Start<unknown, unknown, unknown, Purse>) => ({ ...memory, begun: false }),
          inside: (start) => ({ ...start, memory: start.memory.inner }),
          before: (own) => ({ ...own, left: Math.max(0, own.left - 1), begun: true }),
          end: ({ inner, left }, ending) => ({ ...ending, memory: purse(left, ending.memory ?? inner) })
        }
      )
    }
    return remarked(limited, {
      chat: (world) => `Answers left for this and all later tasks: ${left(world)}`,
      terse: (world) => `~${Math.min(mostInWords, left(world))}`,
      isLine: (line) => form.test(line),
      vocabulary: Array.from({ length: 1 + Math.min(mostInWords, steps!) }, (_, amount) => `~${amount}`)
    })
  }
)

const outOfBudget = "outOfBudget"

type States = Readonly<Record<string, { readonly type?: string; readonly always?: unknown; readonly output?: unknown }>>

/** The machine with one more final state, to which every other one leads when nothing is left. */
const endingWhenSpent = (machine: AnyStateMachine, key: string): AnyStateMachine => {
  const { config } = machine
  const states = config.states as States
  const again = "Again".repeat(Object.keys(states).filter((state) => state.startsWith(outOfBudget)).length)
  const [name, spent] = [`${outOfBudget}${again}`, `budgetSpent${again}`]
  const isSpent = ({ context }: { readonly context: object }) => {
    const own = ownOf<Spending>({ context }, key)
    return own !== undefined && own.begun && own.left === 0
  }
  const ending: Ending = { success: false, reward: 0, outcome: "truncated" }
  // What the environment hands on to the next task it says at its other ends.
  const memoryOf = Object.values(states).find(
    ({ output, type }) => type === "final" && typeof output === "function"
  )?.output
  const output = (args: object) => {
    const { memory } = typeof memoryOf === "function" ? (memoryOf(args) as Ending) : ending
    return memory === undefined ? ending : { ...ending, memory }
  }
  const guarded = Object.entries(states).map(([state, own]) => {
    if (own.type === "final") return [state, own] as const
    const always = own.always === undefined ? [] : [own.always].flat()
    return [state, { ...own, always: [...always, { guard: { type: spent }, target: name }] }] as const
  })
  const withStates = { ...config, states: { ...Object.fromEntries(guarded), [name]: { type: "final", output } } }
  return createMachine(withStates as never, machine.implementations as never).provide({
    guards: { [spent]: isSpent }
  } as never) as AnyStateMachine
}
