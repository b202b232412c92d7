/**
 * Scores of a response (specification of environments, section 5). Whether to ask on is right or wrong by itself; a question
 * is judged by another policy where there is one, and by rules otherwise.
 */
import type { Message } from "../../src/environment.ts"
import { merged, type Round } from "./dialogues.ts"
import { dimensionsIn, dimensions } from "./symptoms.ts"

export type TrainMode = "Ra+Rs" | "Ra" | "Rs"
export type FusionMode = "default" | "sum"

export const stop = "<stop />"

export interface Verdict {
  readonly decision: "continue" | "stop"
  /** 1 when the decision is right. */
  readonly action: 0 | 1
  readonly format: number
  readonly content: number
  /** One sentence that does not tell what is open. */
  readonly sentence: string
}

/** What a judging policy makes of a question. */
export type Opinion = Pick<Verdict, "format" | "content" | "sentence">

const decisionOf = (response: string): Round["decision"] => (response.includes(stop) ? "stop" : "continue")

/** `opinion`: of a judging policy; null when what it said could not be read; undefined where rules are to judge. */
export const judge = (
  response: string,
  { decision: truth, open }: Pick<Round, "decision" | "open">,
  opinion?: Opinion | null
): Verdict => {
  const decision = decisionOf(response)
  if (decision !== truth) {
    const sentence =
      decision === "stop"
        ? "You stopped too early: what is not asked may lead to a wrong diagnosis."
        : "You asked on although enough was known: that costs the patient time and patience."
    return { decision, action: 0, format: 0, content: 0, sentence }
  }
  if (decision === "stop") {
    const exact = response.trim() === stop
    const sentence = exact ? "It was time to stop." : `It was time to stop, but only ${stop} should have been said.`
    return { decision, action: 1, format: exact ? 1 : 0, content: 1, sentence }
  }
  if (opinion === null) return { decision, action: 1, format: 0, content: 0, sentence: "The question was not judged." }
  if (opinion !== undefined) {
    const { content, format, sentence } = opinion
    const tells = open.some((attribute) => sentence.toLowerCase().includes(attribute.toLowerCase()))
    return { decision, action: 1, format, content, sentence: tells ? sentences[content]! : sentence }
  }
  const content = open.reduce((best, attribute) => Math.max(best, closeness(response, attribute)), 0)
  return { decision, action: 1, format: formatOf(response), content, sentence: sentences[content]! }
}

const sentences: Record<number, string> = {
  1: "The question goes straight to something that is still open.",
  0.5: "The question is close to what is still open, but does not ask it.",
  0: "The question does not get at anything that is still open."
}

/** What a judging policy is asked: about a question that was rightly asked, and about nothing else. */
export const questionsFor = (
  response: string,
  task: Pick<Round, "messages" | "decision" | "open">
): ReadonlyArray<Message> | undefined =>
  task.decision === "stop" || decisionOf(response) === "stop"
    ? undefined
    : [
        {
          role: "system",
          content: `You judge how a medical assistant continues an inquiry. You are given the dialogue so far, the attributes that are still to be asked about, and the assistant's response.

Score two things:
- format: 1 for exactly one question, 0.5 for two, 0 for none or more.
- content: 1 if the response asks directly for one of the open attributes, 0.5 if it is highly relevant to one of them, 0 otherwise.
Then write one sentence of feedback to the assistant. It must not tell which attributes are open.

Answer in this form and no other:
[format]1[/format]
[content]0.5[/content]
[feedback]One sentence.[/feedback]`
        },
        {
          role: "user",
          content: `## Dialogue
${merged(task.messages)
  .map(({ content, role }) => `${role === "patient" ? "Patient" : "Doctor"}: ${content}`)
  .join("\n")}

## Open attributes
${task.open.map((attribute) => `- ${attribute}`).join("\n")}

## Response
${response}`
        }
      ]

/** The last block of each kind; undefined without one, or with a score that there is not. */
export const readOpinion = (reply: string): Opinion | undefined => {
  const last = (tag: string) =>
    [...reply.matchAll(new RegExp(`\\[${tag}\\]([\\s\\S]*?)\\[/${tag}\\]`, "g"))].at(-1)?.[1]?.trim()
  const score = (tag: string) => [0, 0.5, 1].find((value) => last(tag) !== "" && Number(last(tag)) === value)
  const [format, content, sentence] = [score("format"), score("content"), last("feedback")]
  if (format === undefined || content === undefined || !sentence) return undefined
  return { format, content, sentence: sentence.replaceAll(/\s+/g, " ").slice(0, 500) }
}

/** One question 1, two 0.5, none or more 0. */
const formatOf = (response: string): number => {
  const questions = response.split("?").length - 1
  return questions === 1 ? 1 : questions === 2 ? 0.5 : 0
}

/** 1 when the response asks for the attribute, 0.5 when it is about the same complaint or part of it, otherwise 0. */
const closeness = (response: string, attribute: string): number => {
  const asked = dimensionsIn(response)
  const wanted = dimensions.filter((dimension) => attribute.toLowerCase().includes(dimension))
  if (wanted.some((dimension) => asked.includes(dimension))) return 1
  const text = response.toLowerCase()
  const found = stems(attribute).map((stem) => text.includes(stem))
  // Attributes in words of their own, without a dimension that is known, are asked for by all of their words.
  if (wanted.length === 0 && found.length > 0 && found.every(Boolean)) return 1
  return found.some(Boolean) ? 0.5 : 0
}

/** The beginnings of the words that carry meaning. */
const stems = (text: string): Array<string> =>
  [...text.toLowerCase().matchAll(/\p{L}{4,}/gu)].map(([word]) => word.slice(0, 5))

/** The reward of a mode. */
export const rewardOf = (
  { action, content, format }: Pick<Verdict, "action" | "content" | "format">,
  mode: TrainMode,
  fusion: FusionMode
): number => {
  if (mode === "Ra") return 2 * content + format
  if (mode === "Rs") return 3 * action + format
  return fusion === "sum" ? action + content + format : action * (1 + 2 * content) + format
}

/** What a perfect response earns. */
export const mostReward = (mode: TrainMode, fusion: FusionMode): number =>
  rewardOf({ action: 1, content: 1, format: 1 }, mode, fusion)
