/**
 * PDE Discovery (specification of environments, section 7): finding the reaction of a partial differential equation that
 * all tasks of a pack share, from few noisy samples. Data and hypotheses last for the lifecycle.
 */
import { assign, setup } from "xstate"
import { defineEnvironment, type Ending, type EnvironmentEvent, type Start } from "../../src/environment.ts"
import { type Action, parse } from "./actions.ts"
import { agents } from "./agents.ts"
import { endFeedback, shorten, stepFeedback, system, user } from "./chat.ts"
import { type Equation, printed } from "./equation.ts"
import { drawKnowledge, Knowledge, Options, presets, Task } from "./options.ts"
import {
  act,
  begin,
  committed,
  emptyNotebook,
  isOutOfSteps,
  isRecovered,
  type Notebook,
  type Research,
  rewardOf
} from "./research.ts"

const ending = (research: Research, outcome: Ending["outcome"]): Ending<Notebook> => ({
  success: outcome === "success",
  outcome,
  reward: outcome === "malformed" ? 0 : rewardOf(research),
  memory: research.notebook
})

/** Every action leads to `weighing`, which says how far the research has come. */
const working = {
  on: {
    answer: { target: "weighing", actions: "act" },
    malformed: { target: "misread", actions: "refuse" }
  }
} as const

const machine = setup({
  types: {} as {
    context: Research
    events: EnvironmentEvent<Action>
    input: Start<Options, Knowledge, Task, Notebook>
    output: Ending<Notebook>
  },
  guards: {
    recovered: ({ context }) => isRecovered(context),
    committed: ({ context }) => committed(context) !== undefined,
    outOfSteps: ({ context }) => isOutOfSteps(context),
    fitted: ({ context }) => context.spent > 0 && context.fit !== undefined,
    sampled: ({ context }) => context.spent > 0
  },
  actions: {
    act: assign(({ context, event }) => (event.type === "answer" ? act(context, event.action, event.rng) : context)),
    refuse: assign(({ event }) => (event.type === "malformed" ? { why: event.why } : {}))
  }
}).createMachine({
  id: "pde-discovery",
  context: ({ input }) => begin(input),
  initial: "unsampled",
  states: {
    unsampled: working,
    sampled: working,
    fitted: working,
    weighing: {
      always: [
        { guard: "recovered", target: "recovered" },
        { guard: "committed", target: "mistaken" },
        { guard: "outOfSteps", target: "outOfSteps" },
        { guard: "fitted", target: "fitted" },
        { guard: "sampled", target: "sampled" },
        { target: "unsampled" }
      ]
    },
    recovered: { type: "final", output: ({ context }) => ending(context, "success") },
    mistaken: { type: "final", output: ({ context }) => ending(context, "failure") },
    outOfSteps: { type: "final", output: ({ context }) => ending(context, "truncated") },
    misread: { type: "final", output: ({ context }) => ending(context, "malformed") }
  },
  output: ({ event }) => event.output as Ending<Notebook>
})

export default defineEnvironment({
  id: "pde-discovery",
  title: "PDE Discovery",
  options: Options,
  presets,
  knowledge: {
    schema: Knowledge,
    sample: (rng, { number, options, packSize }) => drawKnowledge(rng, options, packSize, number),
    describe: ({ equation }) => `- f(u) = ${printed(equation as Equation)}`
  },
  task: {
    schema: Task,
    sample: (_, { knowledge, position }) => ({ trajectory: position % knowledge.trajectories.length })
  },
  memory: (): Notebook => emptyNotebook,
  machine,
  chat: { system: ({ context }) => system(context), user: ({ context }) => user(context), parse, shorten },
  feedback: { step: ({ context }) => stepFeedback(context), end: ({ context }) => endFeedback(context) },
  hidesReward: true,
  agents
})
