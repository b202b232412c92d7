/**
 * FrozenLake-Obscure (specification of environments, section 2): the four moves hide behind Direction 1 to Direction 4,
 * in an order that the tasks of a pack share. An answer that cannot be read ends the episode.
 */
import { answerBlock, defineEnvironment, type Ending, type Parsed } from "../../src/environment.ts"
import { endFeedback, type Name, observation, rules, stepFeedback } from "../frozen-lake/chat.ts"
import { hard, lengthPenalty, sampleTask } from "../frozen-lake/options.ts"
import {
  feedbackWords,
  parseContext,
  parseWords,
  systemWords,
  trajectoryWords,
  userWords,
  vocabulary
} from "../frozen-lake/terse.ts"
import { arrivals, begin, type Code, codes, endings, misread, walkSetup } from "../frozen-lake/walk.ts"
import { agents } from "./agents.ts"
import { hintsOf } from "./belief.ts"
import { contextOf, demonstrate } from "./demonstrator.ts"
import { Knowledge, mappingIn, Options, sampleKnowledge, Task } from "./mapping.ts"

const name: Name = (code) => `Direction ${code}`

const machine = walkSetup<Knowledge, Task>().createMachine({
  id: "frozen-lake-obscure",
  context: ({ input }) => begin(input.options, input.task, mappingIn(input.knowledge, input.task)),
  initial: "walking",
  states: {
    walking: {
      always: arrivals,
      on: { answer: { actions: "take" }, malformed: { target: "misread", actions: "waste" } }
    },
    ...endings,
    misread
  },
  output: ({ event }) => event.output as Ending
})

const form = `${answerBlock.write("Direction N")} with N from 1 to 4`

const parse = (reply: string): Parsed<Code> => {
  const answer = answerBlock.read(reply)
  const number = answer === undefined ? undefined : /^[Dd]irection\s+(\d+)/.exec(answer)?.[1]
  if (number === undefined) return { why: `expected exactly one ${form}` }
  const code = codes.find((code) => code === Number(number))
  return code === undefined
    ? { why: `there is no Direction ${number.slice(0, 20)}, expected exactly one ${form}` }
    : { action: code }
}

export default defineEnvironment({
  id: "frozen-lake-obscure",
  title: "FrozenLake-Obscure",
  options: Options,
  presets: { train: {}, hard },
  knowledge: {
    schema: Knowledge,
    sample: (rng, { options }) => sampleKnowledge(rng, options),
    describe: ({ mapping }) => hintsOf(mapping)
  },
  task: { schema: Task, sample: (rng, { options }) => sampleTask(rng, options) },
  machine,
  chat: {
    system: ({ context }) => `${rules(context)}

## Actions
The actions are called Direction 1, Direction 2, Direction 3 and Direction 4. Which of them moves you which way is hidden:
do not assume any order. You can find out by watching how your position changes, or from hints if you have any.
Take one action per step; you have ${context.stepCap} steps. An answer that is not one of the four ends the task.
Balance reaching the goal with gathering information that will help in later tasks.

## Answer
Reason briefly, then give exactly one action, like this: ${answerBlock.write("Direction N")}, N being 1, 2, 3 or 4.`,
    user: ({ context }) => observation(context, name),
    parse
  },
  terse: {
    vocabulary,
    system: ({ context }) => systemWords(context),
    user: ({ context }) => userWords(context),
    parse: (reply) => parseWords(reply, codes.map(String)),
    feedback: ({ context }) => feedbackWords(context),
    trajectory: ({ context }, told) => trajectoryWords(context, codes.map(String), told),
    context: parseContext,
    describe: ({ mapping }: Knowledge) => (mapping === null ? "" : contextOf(mapping)),
    replyTokens: { solve: 2, update: 10 }
  },
  feedback: {
    step: ({ context }) => stepFeedback(context, name),
    end: ({ context }) => endFeedback(context, name)
  },
  lengthPenalty,
  agents,
  demonstrate
})
