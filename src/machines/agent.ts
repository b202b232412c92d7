/**
 * One episode of an agent: prompt, reply, next step, until an outcome, which is the final state's name.
 *
 * Messages are reused from step to step (a tokeniser may cache by object identity) and an assistant message holds exactly
 * the reply. Prompt texts grow by concatenation, so the steps of an episode share their memory.
 */
import { assign, setup } from "xstate"
import type { EpisodeKind, Message, Outcome, Style } from "../environment.ts"
import type { Step } from "./episode.ts"
import { transitions } from "./transition.ts"

/** What a policy said, and how. */
export type Said = Pick<Step, "promptTokens" | "tokens" | "logprobs" | "policyVersion" | "truncated" | "judgement"> & {
  readonly text: string
}

/** Why a reply says nothing at all, where it was cut off before its first word: nothing is left of some budget. */
export const whyUnsaid = ({ text, truncated }: Said): string | undefined =>
  truncated && text === "" ? "there was no room for a reply" : undefined

export interface Attempt {
  readonly kind: EpisodeKind
  readonly style: Style
  readonly maxSteps: number
  /** The conversation so far; ends with a user message while the agent is thinking. */
  readonly messages: ReadonlyArray<Message>
  /** The same as text. */
  readonly prompt: string
  /** The conversation is that of the step before and goes on; otherwise something in it was compressed. */
  readonly goesOn: boolean
  readonly steps: ReadonlyArray<Step>
  /** Shaped; 0 until the episode ends. */
  readonly reward: number
  /** Why the episode was lost or its last reply unreadable. */
  readonly why: string | undefined
}

export type AgentEvent =
  | {
      readonly type: "stepped"
      readonly said: Said
      readonly feedback: string
      readonly observation: string
      /** How the reply stands in later prompts; default: as it was said. */
      readonly remembered?: string
      /** The conversation before the reply, where it was compressed. */
      readonly earlier?: ReadonlyArray<Message>
    }
  | {
      readonly type: Outcome
      /** Absent when the episode was lost before a reply. */
      readonly said?: Said | undefined
      readonly feedback?: string
      readonly reward: number
      readonly why?: string | undefined
    }

/** A prompt as text, with one message more: words in a row for `terse`, labelled blocks for `chat`. */
const append = (prompt: string, style: Style, { content, role }: Message): string => {
  if (style === "terse") return content === "" ? prompt : prompt === "" ? content : prompt + " " + content
  return prompt + (prompt === "" ? "" : "\n\n") + `[${role}]\n` + content
}

const promptOf = (style: Style, messages: ReadonlyArray<Message>): string =>
  messages.reduce((text, message) => append(text, style, message), "")

/** What a step adds to the prompt: the reply to it and what was observed then. */
export const continuation = (style: Style, reply: string, observation: string): string => {
  if (style === "chat") return "\n\n[assistant]\n" + reply + "\n\n[user]\n" + observation
  return (reply === "" ? "" : " " + reply) + (observation === "" ? "" : " " + observation)
}

const step = (attempt: Attempt, said: Said, feedback: string): Step => ({
  prompt: attempt.prompt,
  reply: said.text,
  promptTokens: said.promptTokens,
  tokens: said.tokens,
  logprobs: said.logprobs,
  policyVersion: said.policyVersion,
  truncated: said.truncated,
  ...(said.judgement === undefined ? {} : { judgement: said.judgement }),
  observation: attempt.messages[attempt.messages.length - 1]!.content,
  feedback
})

const observed = (attempt: Attempt, event: Extract<AgentEvent, { type: "stepped" }>): Partial<Attempt> => {
  const { earlier, feedback, observation, remembered, said } = event
  const { style } = attempt
  const reply: Message = { role: "assistant", content: remembered ?? said.text }
  const user: Message = { role: "user", content: observation }
  const before = earlier === undefined ? attempt.prompt : promptOf(style, earlier)
  return {
    messages: [...(earlier ?? attempt.messages), reply, user],
    prompt: before + continuation(style, reply.content, observation),
    goesOn: earlier === undefined && reply.content === said.text,
    steps: [...attempt.steps, step(attempt, said, feedback)]
  }
}

const judged = (attempt: Attempt, event: AgentEvent): Partial<Attempt> => {
  const { feedback = "", said } = event
  const steps = said === undefined ? attempt.steps : [...attempt.steps, step(attempt, said, feedback)]
  return event.type === "stepped" ? { steps } : { steps, reward: event.reward, why: event.why }
}

const machine = setup({
  types: {} as {
    context: Attempt
    events: AgentEvent
    input: {
      readonly kind: EpisodeKind
      readonly style: Style
      readonly maxSteps: number
      readonly system: string
      readonly user: string
    }
  },
  guards: {
    canGoOn: ({ context }: { context: Attempt }) => context.steps.length + 1 < context.maxSteps
  },
  actions: {
    observe: assign(({ context, event }) => (event.type === "stepped" ? observed(context, event) : {})),
    judge: assign(({ context, event }) => judged(context, event))
  }
}).createMachine({
  id: "agent",
  context: ({ input: { kind, maxSteps, style, system, user } }) => {
    const messages: ReadonlyArray<Message> = [
      { role: "system", content: system },
      { role: "user", content: user }
    ]
    const prompt = promptOf(style, messages)
    return { kind, style, maxSteps, messages, prompt, goesOn: true, steps: [], reward: 0, why: undefined }
  },
  initial: "thinking",
  states: {
    thinking: {
      on: {
        stepped: [
          { guard: "canGoOn", actions: "observe" },
          { target: "truncated", actions: "judge" }
        ],
        success: { target: "success", actions: "judge" },
        failure: { target: "failure", actions: "judge" },
        truncated: { target: "truncated", actions: "judge" },
        malformed: { target: "malformed", actions: "judge" },
        timeout: { target: "timeout", actions: "judge" },
        error: { target: "error", actions: "judge" }
      }
    },
    success: { type: "final" },
    failure: { type: "final" },
    truncated: { type: "final" },
    malformed: { type: "final" },
    timeout: { type: "final" },
    error: { type: "final" }
  }
})

export const agentMachine = machine
export const agent = transitions(machine)
export type AgentSnapshot = ReturnType<typeof agent.initial>[0]

/** The outcome of an episode that is over; undefined while the agent is thinking. */
export const outcomeOf = (snapshot: AgentSnapshot): Outcome | undefined =>
  snapshot.value === "thinking" ? undefined : (snapshot.value as Outcome)
