/** One attempt at a task: the machine's data, the pure function that changes it, and the machine. */
import { assign, setup } from "xstate"
import type { Ending, EnvironmentEvent, Start } from "../../src/environment.ts"
import type { World } from "./commands.ts"
import type { Options } from "./options.ts"
import { run } from "./shell.ts"
import { type Check, isMet, resolved, type Task, worldOf } from "./tasks.ts"

export interface Session extends World {
  readonly instruction: string
  /** With resolved paths. */
  readonly goal: ReadonlyArray<Check>
  readonly stepCap: number
  readonly taken: number
  /** Of the last command line; empty before the first. */
  readonly output: string
  readonly solved: boolean
  /** Why the last answer could not be read. */
  readonly misread: string | null
}

/** Throws when the files of the task contradict each other. */
export const begin = ({ options, task }: Start<Options, null, Task>): Session => {
  const world = worldOf(task)
  return {
    ...world,
    instruction: task.instruction,
    goal: resolved(task.goal, world),
    stepCap: options.stepCap,
    taken: 0,
    output: "",
    solved: false,
    misread: null
  }
}

/** Runs a command line, then checks the goal. */
export const type = (session: Session, line: string): Session => {
  const { output, world } = run(line, session)
  const { connected, local, remote } = world
  const solved = isMet(session.goal, world)
  return { ...session, connected, local, remote, output, solved, taken: session.taken + 1 }
}

const ending = (outcome: Ending["outcome"]) => {
  const success = outcome === "success"
  return { type: "final", output: { success, reward: success ? 1 : 0, outcome } } as const
}

/** What a command may have led to, wherever the shell is. */
const arrivals = [
  { guard: "solved", target: "goalReached" },
  { guard: "outOfSteps", target: "outOfSteps" }
] as const

const events = {
  answer: { actions: "type" },
  malformed: { target: "misread", actions: "misread" }
} as const

export const machine = setup({
  types: {} as {
    context: Session
    events: EnvironmentEvent<string>
    input: Start<Options, null, Task, undefined>
    output: Ending
  },
  guards: {
    solved: ({ context }) => context.solved,
    outOfSteps: ({ context }) => context.taken >= context.stepCap,
    connected: ({ context }) => context.connected,
    disconnected: ({ context }) => !context.connected
  },
  actions: {
    type: assign(({ context, event }) => (event.type === "answer" ? type(context, event.action) : context)),
    misread: assign(({ event }) => (event.type === "malformed" ? { misread: event.why } : {}))
  }
}).createMachine({
  id: "terminal",
  context: ({ input }) => begin(input),
  initial: "atLocalShell",
  states: {
    atLocalShell: { always: [...arrivals, { guard: "connected", target: "atRemoteShell" }], on: events },
    atRemoteShell: { always: [...arrivals, { guard: "disconnected", target: "atLocalShell" }], on: events },
    goalReached: ending("success"),
    outOfSteps: ending("truncated"),
    misread: ending("malformed")
  },
  output: ({ event }) => event.output as Ending
})
