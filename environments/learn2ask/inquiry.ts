/** One inquiry: the machine's data, and its words for language models. `agents.ts` reads these texts. */
import type { Start } from "../../src/environment.ts"
import { merged } from "./dialogues.ts"
import {
  type FusionMode,
  judge,
  mostReward,
  type Opinion,
  rewardOf,
  stop,
  type TrainMode,
  type Verdict
} from "./judge.ts"
import type { Knowledge, Options, Task } from "./options.ts"

export interface Inquiry {
  readonly task: Task
  readonly mode: TrainMode
  readonly fusion: FusionMode
  readonly verdict: Verdict | undefined
  readonly why: string | undefined
}

export const begin = ({ options, task }: Start<Options, Knowledge, Task, undefined>): Inquiry => ({
  task,
  mode: options.trainMode,
  fusion: options.fusionMode,
  verdict: undefined,
  why: undefined
})

export const respond = (inquiry: Inquiry, response: string, opinion: Opinion | null | undefined): Inquiry => ({
  ...inquiry,
  verdict: judge(response, inquiry.task, opinion)
})

export const reward = ({ fusion, mode, verdict }: Inquiry): number =>
  verdict === undefined ? 0 : rewardOf(verdict, mode, fusion)

export const system = ({ mode }: Inquiry): string =>
  `You are a medical assistant and continue the inquiry below on behalf of the doctor.

- Ask exactly one concise question in one sentence, with two or three choices of an answer.
- Do not repeat what has been asked or answered already.${
    mode === "Ra" ? "" : `\n- When enough is known to end the inquiry, output only ${stop} and nothing else.`
  }
- Output nothing besides: no answer block, no explanation.`

/** One paragraph a turn. */
export const user = ({ task }: Inquiry): string =>
  merged(task.messages)
    .map(({ content, role }) => `${role === "patient" ? "Patient" : "Doctor"}: ${content.replace(/\s+/g, " ").trim()}`)
    .join("\n")

/** Empty before the response. */
export const feedback = (inquiry: Inquiry): string => {
  const { verdict, why } = inquiry
  if (why !== undefined) return `Your response could not be used: ${why}.`
  if (verdict === undefined) return ""
  const { action, content, format, sentence } = verdict
  return `Score ${reward(inquiry)} of at most ${mostReward(inquiry.mode, inquiry.fusion)}: decision ${action}, content ${content}, format ${format}. ${sentence}`
}
