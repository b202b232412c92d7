/**
 * Alchemy-Random (specification of environments, section 3): elements combine by recipes that are hidden, drawn at random
 * and shared by the tasks of a pack. An answer that cannot be read ends the episode.
 */
import { defineEnvironment } from "../../src/environment.ts"
import { agents, hintsOf } from "./agents.ts"
import { demonstrate } from "./demonstrator.ts"
import { endFeedback, parse, stepFeedback, system, user } from "./chat.ts"
import { machine } from "./crafting.ts"
import { Knowledge, Options, presets, sampleKnowledge, sampleTask, Task } from "./options.ts"
import {
  feedbackWords,
  parseContext,
  parseWords,
  recipeWords,
  systemWords,
  trajectoryWords,
  userWords,
  vocabulary
} from "./terse.ts"

export default defineEnvironment({
  id: "alchemy",
  title: "Alchemy-Random",
  options: Options,
  presets,
  knowledge: {
    schema: Knowledge,
    sample: (rng, { options, packSize }) => sampleKnowledge(rng, options, packSize),
    describe: hintsOf
  },
  task: {
    schema: Task,
    sample: (rng, { options, knowledge, position }) => sampleTask(rng, options, knowledge, position)
  },
  machine,
  chat: {
    system: ({ context }) => system(context),
    user: ({ context }) => user(context),
    parse
  },
  terse: {
    vocabulary,
    system: ({ context }) => systemWords(context),
    user: ({ context }) => userWords(context),
    parse: parseWords,
    feedback: ({ context }) => feedbackWords(context),
    trajectory: ({ context }, told) => trajectoryWords(context, told),
    context: parseContext,
    describe: ({ graph }: Knowledge) => (graph === null ? "" : recipeWords(graph)),
    replyTokens: { solve: 3, update: 48 }
  },
  feedback: {
    step: ({ context }) => stepFeedback(context),
    end: ({ context }) => endFeedback(context)
  },
  lengthPenalty: ({ stepCap }) => ({
    coefficient: 0.1,
    maxSteps: stepCap,
    zeroTokens: 1_000_000,
    fullTokens: 2_000_000
  }),
  agents,
  demonstrate
})
