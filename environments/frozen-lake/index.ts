/**
 * FrozenLake (specification of environments, section 1): a baseline without hidden knowledge.
 * An answer that cannot be read wastes a step.
 */
import { Schema } from "effect"
import { answerBlock, defineEnvironment, type Ending, type Parsed } from "../../src/environment.ts"
import { agents } from "./agents.ts"
import { endFeedback, type Name, observation, rules, stepFeedback } from "./chat.ts"
import { type Move, moves } from "./lake.ts"
import { hard, LakeOptions, LakeTask, lengthPenalty, sampleTask } from "./options.ts"
import {
  directions,
  feedbackWords,
  parseContext,
  parseWords,
  plan,
  readSolve,
  systemWords,
  trajectoryWords,
  userWords,
  vocabulary
} from "./terse.ts"
import { arrivals, begin, type Code, endings, type Mapping, walkSetup } from "./walk.ts"

/** Codes 1 to 4 are known here. */
const mapping: Mapping = ["Up", "Down", "Left", "Right"]
const name: Name = (code) => mapping[code - 1]!

const machine = walkSetup<null>().createMachine({
  id: "frozen-lake",
  context: ({ input }) => begin(input.options, input.task, mapping),
  initial: "walking",
  states: {
    walking: {
      always: arrivals,
      on: { answer: { actions: "take" }, malformed: { actions: "waste" } }
    },
    ...endings
  },
  output: ({ event }) => event.output as Ending
})

const parse = (reply: string): Parsed<Code> => {
  const answer = answerBlock.read(reply)
  if (answer === undefined) return { why: "the reply must hold exactly one <answer>...</answer>" }
  const move = moves.findIndex((move: Move) => move.toLowerCase() === answer.toLowerCase())
  return move < 0 ? { why: "the answer must be Up, Down, Left or Right" } : { action: (move + 1) as Code }
}

export default defineEnvironment({
  id: "frozen-lake",
  title: "FrozenLake",
  options: LakeOptions,
  presets: { train: {}, hard },
  knowledge: {
    schema: Schema.Null,
    sample: () => null,
    describe: () => "Nothing is hidden."
  },
  task: { schema: LakeTask, sample: (rng, { options }) => sampleTask(rng, options) },
  machine,
  chat: {
    system: ({ context }) => `${rules(context)}

## Answer
The actions are Up, Down, Left and Right. You have ${context.stepCap} steps; an answer that cannot be read wastes one.
Reason briefly in <think>...</think>, then give exactly one action, like this: ${answerBlock.write("Up")}`,
    user: ({ context }) => observation(context, name),
    parse
  },
  terse: {
    vocabulary: vocabulary.filter((word) => !/^[1-4]$/.test(word)),
    system: ({ context }) => systemWords(context),
    user: ({ context }) => userWords(context),
    parse: (reply) => parseWords(reply, directions),
    feedback: ({ context }) => feedbackWords(context),
    trajectory: ({ context }, told) => trajectoryWords(context, directions, told),
    context: parseContext,
    describe: () => "",
    replyTokens: { solve: 2, update: 10 }
  },
  feedback: {
    step: ({ context }) => stepFeedback(context, name),
    end: ({ context }) => endFeedback(context, name)
  },
  lengthPenalty,
  agents,
  demonstrate: {
    stages: ["drill", "mediocre"],
    context: () => "",
    reply: (stage, prompt, _, rng) => {
      // There is nothing to write down, and no code to look up.
      if (prompt.kind === "update") return { reply: "", recalled: false }
      const intent = directions[plan(readSolve(prompt), stage === "drill" ? 0.9 : 0.7, rng)]!
      return { reply: `${intent} ${intent}`, recalled: false }
    }
  }
})
