/** What an agent reads: prompts of solve and update episodes in both styles (specification, sections 5, 6.1 and 8). */
import { answerBlock, hintsBlock, type Message } from "../environment.ts"
import type { Compression } from "./lifecycle.ts"

/** Words of a `terse` prompt: single spaces, nothing for what is empty. */
const words = (...parts: ReadonlyArray<string>): string => joined(parts, " ")

/** Blocks of a `chat` prompt: one blank line between them, nothing for what is empty. */
const blocks = (...parts: ReadonlyArray<string>): string => joined(parts, "\n\n")

/** By concatenation rather than \`join\`, so that long texts share the memory of their parts. */
const joined = (parts: ReadonlyArray<string>, separator: string): string => {
  let text = ""
  for (const part of parts) if (part !== "") text += text === "" ? part : separator + part
  return text
}

const stayWithin = (tokens: number): string =>
  `Keep your whole response, your thinking included, within ${tokens} tokens.`

/** The environment's own system text, then the context, then the advisory token limit, each under its own heading. */
export const chatSolveSystem = (system: string, context: string, tokenLimit: number | undefined): string =>
  blocks(
    system,
    context === ""
      ? ""
      : `## Hints from earlier tasks\nThese hints may help with this task. They may also be wrong or not apply: treat them as prior knowledge and combine them with what you observe.\n\n${context}`,
    tokenLimit === undefined ? "" : `## Length of your response\n${stayWithin(tokenLimit)}`
  )

export const terseSolveSystem = (system: string, context: string): string => words("<solve>", context, "|", system)

/** A reply as it stands in later prompts. */
export const remembered = (reply: string, compression: Compression): string => {
  switch (compression) {
    case "remove_think":
      return reply.replaceAll(/<think>[\s\S]*?<\/think>/g, "").trim()
    case "keep_answer": {
      const answer = answerBlock.read(reply)
      return answer === undefined ? "(this reply held no answer that could be read)" : answerBlock.write(answer)
    }
    default:
      return reply
  }
}

/** Earlier observations as the environment shortens them; undefined where none changes. */
export const shortened = (
  messages: ReadonlyArray<Message>,
  shorten: ((observation: string, age: number) => string) | undefined
): ReadonlyArray<Message> | undefined => {
  if (shorten === undefined) return undefined
  const latest = messages.length - 1
  const kept = messages.map((message, i) => {
    if (message.role !== "user") return message
    // The observation that comes next is of age 0, and replies stand between.
    const content = shorten(message.content, 1 + (latest - i) / 2)
    return content === message.content ? message : { ...message, content }
  })
  return kept.some((message, i) => message !== messages[i]) ? kept : undefined
}

/** The solve episode as its update episode reads it. Only the environment's own system text, without hints and limit. */
export const chatTrajectory = (
  system: string,
  messages: ReadonlyArray<Message>,
  lastReply: string,
  finalState: string
): string => {
  const observations = messages.flatMap(({ role }, i) => (role === "user" ? [i] : []))
  return blocks(
    `[System]\n${system}`,
    ...observations.map((i, step) => {
      const action = i + 1 < messages.length ? messages[i + 1]!.content : lastReply
      return `[Step ${step + 1}]\nObservation:\n${messages[i]!.content}\nAction:\n${action || "(no response)"}`
    }),
    finalState === "" ? "" : `[Final state]\n${finalState}`
  )
}

/** Every observation and reply in a row. */
export const terseTrajectory = (messages: ReadonlyArray<Message>, lastReply: string): string =>
  words(...messages.slice(1).map((message) => message.content), lastReply)

export const chatUpdateSystem = (tokenLimit: number | undefined, example = false): string =>
  blocks(updateInstructions, example ? updateExample : "", tokenLimit === undefined ? "" : stayWithin(tokenLimit))

/** The delimiters stand in it as they are to be written; nobody parses prompts. */
const updateExample = `## Example
The lamp went on with the second switch, which the earlier hints gave to the fan. The rest agrees with them.
${hintsBlock.start}
- Switch 2 works the lamp (seen), switch 1 probably the fan.
- Try one switch at a time: two at once tell nothing.
${hintsBlock.end}`

const updateInstructions = blocks(
  `You are an agent that works through a sequence of different but related tasks in one environment, and you learn as you go. Your only job now is to update your hints: the short text that you will be given, instead of a memory, with every later task.`,
  `You receive your earlier hints and one new trajectory: how you tried to solve the latest task, and how it went.`,
  `## Goal
Write hints that help to solve FUTURE tasks of this environment. Keep earlier guidance that is still useful, drop what has proved wrong, and add what the trajectory teaches.`,
  `## Principles
- The environment may or may not stay the same from task to task, and how the tasks are related is unknown at first. Prefer content that carries information.
- A hint that you are unsure of may be included if you say how sure you are.
- Two kinds of content matter most: facts about the environment that were hidden at first, and techniques of solving that have been confirmed. Other useful content is welcome.`,
  `## Form
First reason briefly. Then write exactly one block of hints between these two lines:
${hintsBlock.start}
(your hints)
${hintsBlock.end}
Put no reasoning inside the block and nothing after its last line. Write each of the two lines once only.`,
  `## Style
- Reason concisely. Write concise hints and no generic statements.
- Do not repeat the rules of the task.
- Hints should carry over to other tasks, not describe the task just solved.
- Plain Markdown, preferably bullets; headings at level 3 or deeper only.`
)

/** `reward` is shown with three decimals; without one the prompt repeats the delimiters (specification, section 6.1). */
export const chatUpdateUser = (episode: {
  readonly context: string
  readonly trajectory: string
  readonly reward: number | undefined
  readonly feedback: string
}): string => {
  const { context, feedback, reward, trajectory } = episode
  return blocks(
    `## Earlier hints\n${context || "(there are none yet)"}`,
    `## New trajectory\n${trajectory}`,
    reward === undefined ? "" : `## Reward\n${reward.toFixed(3)}`,
    `## Feedback of the environment\n${feedback || (reward === undefined ? "(there is none)" : fallbackFeedback(reward))}`,
    reward === undefined
      ? `Now write the updated hints, between one line ${hintsBlock.start} and one line ${hintsBlock.end}.`
      : `Now write the updated hints.`
  )
}

const fallbackFeedback = (reward: number): string =>
  `The reward of this task was ${reward.toFixed(3)}; the maximum is 1.`

export const terseUpdateSystem = (context: string): string => words("<update>", context, "|")

export const terseUpdateUser = (trajectory: string): string => words(trajectory, "<ctx>")
