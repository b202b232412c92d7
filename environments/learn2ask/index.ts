/**
 * Learn2Ask (specification of environments, section 5): continuing a doctor's inquiry by one question, or stopping it.
 *
 * Out of the box the dialogues are SYNTHETIC, from a symptom model of our own, and responses are judged by rules; they are
 * there to try things out and say nothing about medicine. A file of dialogues of one's own is the option `dialogues`.
 */
import { assign, setup } from "xstate"
import { defineEnvironment, type Ending, type EnvironmentEvent, type Start } from "../../src/environment.ts"
import { agents, describe } from "./agents.ts"
import { begin, feedback, type Inquiry, respond, reward, system, user } from "./inquiry.ts"
import { mostReward, type Opinion, questionsFor, readOpinion } from "./judge.ts"
import { drawKnowledge, drawTask, Knowledge, Options, presets, Task } from "./options.ts"

const ending = (inquiry: Inquiry, outcome: Ending["outcome"]): Ending => ({
  success: outcome === "success",
  outcome,
  reward: reward(inquiry)
})

const machine = setup({
  types: {} as {
    context: Inquiry
    events: EnvironmentEvent<string, Opinion>
    input: Start<Options, Knowledge, Task, undefined>
    output: Ending
  },
  guards: {
    stopped: ({ context: { verdict } }) => verdict?.decision === "stop",
    right: ({ context: { verdict } }) => verdict?.action === 1,
    rightStop: ({ context: { verdict } }) => verdict?.decision === "stop" && verdict.action === 1
  },
  actions: {
    respond: assign(({ context, event }) =>
      event.type === "answer" ? respond(context, event.action, event.verdict) : context
    ),
    refuse: assign(({ event }) => (event.type === "malformed" ? { why: event.why } : {}))
  }
}).createMachine({
  id: "learn2ask",
  context: ({ input }) => begin(input),
  initial: "inquiring",
  states: {
    inquiring: {
      on: { answer: { target: "judging", actions: "respond" }, malformed: { target: "misread", actions: "refuse" } }
    },
    judging: {
      always: [
        { guard: "rightStop", target: "stoppedInTime" },
        { guard: "right", target: "askedOn" },
        { guard: "stopped", target: "stoppedEarly" },
        { target: "askedTooMuch" }
      ]
    },
    stoppedInTime: { type: "final", output: ({ context }) => ending(context, "success") },
    askedOn: { type: "final", output: ({ context }) => ending(context, "success") },
    stoppedEarly: { type: "final", output: ({ context }) => ending(context, "failure") },
    askedTooMuch: { type: "final", output: ({ context }) => ending(context, "failure") },
    misread: { type: "final", output: ({ context }) => ending(context, "malformed") }
  },
  output: ({ event }) => event.output as Ending
})

export default defineEnvironment({
  id: "learn2ask",
  title: "Learn2Ask (synthetic dialogues unless a file is given)",
  options: Options,
  presets,
  knowledge: { schema: Knowledge, sample: (rng, { options }) => drawKnowledge(rng, options), describe },
  task: { schema: Task, sample: (rng, { knowledge, options }) => drawTask(rng, options, knowledge) },
  machine,
  chat: {
    system: ({ context }) => system(context),
    user: ({ context }) => user(context),
    // There is no answer block: whatever is said is the response.
    parse: (reply) => ({ action: reply })
  },
  judge: { ask: ({ context: { task } }, response: string) => questionsFor(response, task), read: readOpinion },
  rewardBounds: ({ fusionMode, trainMode }) => [0, mostReward(trainMode, fusionMode)],
  feedback: { step: ({ context }) => feedback(context), end: ({ context }) => feedback(context) },
  agents
})
