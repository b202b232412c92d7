/**
 * Grid Navigation (specification of environments, section 8): journeys of a fixed number of rook moves over a cost map
 * that is hidden at first, and stays revealed where it was seen for the rest of the lifecycle.
 */
import { assign, setup } from "xstate"
import {
  answerBlock,
  defineEnvironment,
  type Ending,
  type EnvironmentEvent,
  type Parsed,
  type Start
} from "../../src/environment.ts"
import { agents } from "./agents.ts"
import { endFeedback, finalState, stepFeedback, system, user } from "./chat.ts"
import { begin, type Cell, flaw, isOnGoal, isOver, type Journey, type Known, loss, travel } from "./journey.ts"
import { Knowledge, Options, presets, Task } from "./options.ts"
import { describe } from "./reading.ts"
import { drawTask, drawTerrain } from "./terrain.ts"

const ending = (journey: Journey, outcome: Ending["outcome"]): Ending<Known> => {
  const success = outcome === "success"
  return { success, outcome, reward: success ? 1 - loss(journey) : 0, memory: journey.known }
}

const machine = setup({
  types: {} as {
    context: Journey
    events: EnvironmentEvent<Cell>
    input: Start<Options, Knowledge, Task, Known>
    output: Ending<Known>
  },
  guards: {
    legal: ({ context, event }) => event.type === "answer" && flaw(context, event.action) === undefined,
    onTarget: ({ context }) => isOver(context) && isOnGoal(context),
    offTarget: ({ context }) => isOver(context)
  },
  actions: {
    travel: assign(({ context, event }) => (event.type === "answer" ? travel(context, event.action) : context)),
    refuse: assign(({ context, event }) => ({
      why: event.type === "answer" ? flaw(context, event.action) : event.why
    }))
  }
}).createMachine({
  id: "grid-navigation",
  context: ({ input }) => begin(input),
  initial: "travelling",
  states: {
    travelling: {
      always: [
        { guard: "onTarget", target: "onTarget" },
        { guard: "offTarget", target: "offTarget" }
      ],
      on: {
        answer: [
          { guard: "legal", actions: "travel" },
          { target: "illegalMove", actions: "refuse" }
        ],
        malformed: { target: "misread", actions: "refuse" }
      }
    },
    onTarget: { type: "final", output: ({ context }) => ending(context, "success") },
    offTarget: { type: "final", output: ({ context }) => ending(context, "failure") },
    illegalMove: { type: "final", output: ({ context }) => ending(context, "malformed") },
    misread: { type: "final", output: ({ context }) => ending(context, "malformed") }
  },
  output: ({ event }) => event.output as Ending<Known>
})

const form = `exactly one ${answerBlock.write("row,column")} with whole numbers`

const parse = (reply: string): Parsed<Cell> => {
  const numbers = /^([+-]?\d{1,15})\s*,\s*([+-]?\d{1,15})$/.exec(answerBlock.read(reply) ?? "")
  return numbers === null ? { why: `expected ${form}` } : { action: [Number(numbers[1]) + 0, Number(numbers[2]) + 0] }
}

export default defineEnvironment({
  id: "grid-navigation",
  title: "Grid Navigation",
  options: Options,
  presets,
  knowledge: { schema: Knowledge, sample: (rng, { options }) => drawTerrain(rng, options), describe },
  task: { schema: Task, sample: (rng, { knowledge, options }) => drawTask(rng, options, knowledge) },
  memory: (): Known => [],
  machine,
  chat: { system: ({ context }) => system(context), user: ({ context }) => user(context), parse },
  feedback: {
    step: ({ context }) => stepFeedback(context),
    end: ({ context }) => endFeedback(context)
  },
  finalState: ({ context }) => finalState(context),
  agents
})
