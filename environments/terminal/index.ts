/**
 * Terminal (specification of environments, section 4): tasks on files in simulated shells of three systems and on a remote
 * server. Tasks of a pack are independent; what carries over is how the simulation behaves. Rewards are not shaped, and
 * an answer that cannot be read ends the episode.
 */
import { Schema } from "effect"
import { defineEnvironment } from "../../src/environment.ts"
import { agents } from "./agents.ts"
import { machine } from "./machine.ts"
import { Options, presets } from "./options.ts"
import { endFeedback, parse, quirks, stepFeedback, system, user } from "./prompts.ts"
import { sampleTask } from "./scenes.ts"
import { Task } from "./tasks.ts"

export default defineEnvironment({
  id: "terminal",
  title: "Terminal",
  options: Options,
  presets,
  knowledge: {
    schema: Schema.Null,
    sample: () => null,
    describe: () => quirks
  },
  task: { schema: Task, sample: (rng, { options }) => sampleTask(rng, options) },
  machine,
  chat: {
    system: ({ context }) => system(context),
    user: ({ context }) => user(context),
    parse
  },
  feedback: {
    step: ({ context }) => stepFeedback(context),
    end: ({ context }) => endFeedback(context)
  },
  agents
})
