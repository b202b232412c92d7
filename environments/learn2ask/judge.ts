/** Scores of a response (specification of environments, section 5), the questions judged by rules instead of a model. */
import type { Round } from "./dialogues.ts"
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

export const judge = (response: string, { decision: truth, open }: Pick<Round, "decision" | "open">): Verdict => {
  const decision = response.includes(stop) ? "stop" : "continue"
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
  const content = open.reduce((best, attribute) => Math.max(best, closeness(response, attribute)), 0)
  return { decision, action: 1, format: formatOf(response), content, sentence: sentences[content]! }
}

const sentences: Record<number, string> = {
  1: "The question goes straight to something that is still open.",
  0.5: "The question is close to what is still open, but does not ask it.",
  0: "The question does not get at anything that is still open."
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
