/**
 * Optimal Control (specification of environments, section 6): one expression steers a linear system whose two parameters
 * are hidden and shared by a pack. One answer a task; the last expression that ran is shown with the next task.
 */
import { assign, setup } from "xstate"
import {
  defineEnvironment,
  type Ending,
  type EnvironmentEvent,
  type Parsed,
  type Start
} from "../../src/environment.ts"
import { readAnswer } from "../xml.ts"
import { agents } from "./agents.ts"
import { feedback, finalState, system, user } from "./chat.ts"
import { readExpression } from "./expression.ts"
import { drawKnowledge, drawTask, Knowledge, Options, presets, Task } from "./options.ts"
import { describe } from "./reading.ts"
import {
  begin,
  hasFailed,
  isReached,
  nextPrecedent,
  type Precedent,
  type Submission,
  submit,
  type Trial
} from "./trial.ts"

const ending = (trial: Trial, outcome: Ending["outcome"]): Ending<Precedent | null> => {
  const { run } = trial
  const reward = outcome === "malformed" ? -0.1 : run !== undefined && "reward" in run ? run.reward : 0
  return { success: outcome === "success", outcome, reward, memory: nextPrecedent(trial) }
}

const machine = setup({
  types: {} as {
    context: Trial
    events: EnvironmentEvent<Submission>
    input: Start<Options, Knowledge, Task, Precedent | null>
    output: Ending<Precedent | null>
  },
  guards: {
    failed: ({ context }) => hasFailed(context),
    reached: ({ context }) => isReached(context)
  },
  actions: {
    run: assign(({ context, event }) => (event.type === "answer" ? submit(context, event.action) : context)),
    refuse: assign(({ event }) =>
      event.type === "malformed"
        ? { why: event.truncated ? `the response was cut off at its length limit (${event.why})` : event.why }
        : {}
    )
  }
}).createMachine({
  id: "optimal-control",
  context: ({ input }) => begin(input),
  initial: "designing",
  states: {
    designing: {
      on: { answer: { target: "judging", actions: "run" }, malformed: { target: "misread", actions: "refuse" } }
    },
    judging: {
      always: [{ guard: "failed", target: "failed" }, { guard: "reached", target: "reached" }, { target: "missed" }]
    },
    reached: { type: "final", output: ({ context }) => ending(context, "success") },
    missed: { type: "final", output: ({ context }) => ending(context, "failure") },
    failed: { type: "final", output: ({ context }) => ending(context, "failure") },
    misread: { type: "final", output: ({ context }) => ending(context, "malformed") }
  },
  output: ({ event }) => event.output as Ending<Precedent | null>
})

const parse = (reply: string): Parsed<Submission> => {
  if (reply.includes("```")) return { why: "triple backquotes are not allowed anywhere in the response" }
  const answer = readAnswer(reply, { isLast: true })
  if ("why" in answer) return answer
  const [element, ...others] = answer.elements
  if (element?.name !== "action_expression" || element.elements.length > 0 || others.length > 0) {
    return { why: "the answer must hold exactly one <action_expression>...</action_expression> and nothing else" }
  }
  const { text } = element
  const read = readExpression(text)
  return "why" in read ? read : { action: { text, expression: read.expression } }
}

export default defineEnvironment({
  id: "optimal-control",
  title: "Optimal Control",
  options: Options,
  presets,
  knowledge: { schema: Knowledge, sample: (rng, { options }) => drawKnowledge(rng, options), describe },
  task: { schema: Task, sample: (rng, { options }) => drawTask(rng, options) },
  memory: (): Precedent | null => null,
  machine,
  chat: { system: ({ context }) => system(context), user: ({ context }) => user(context), parse },
  feedback: { step: ({ context }) => feedback(context), end: ({ context }) => feedback(context) },
  finalState: ({ context }) => finalState(context),
  agents
})
