/** A line that is added to every observation, and that scripted agents and demonstrators know to pass over. */
import type { Agent, Environment, Prompt } from "../environment.ts"
import type { World } from "./operator.ts"

export interface Remark {
  /** Whole lines, after the environment's own text; empty for none. */
  readonly chat: (world: World) => string
  /** Words, after the environment's own. */
  readonly terse: (world: World) => string
  readonly isLine: (line: string) => boolean
  /** All words that may be said. They begin with `~`, which no environment's do. */
  readonly vocabulary: ReadonlyArray<string>
}

const joined = (text: string, remark: string, separator: string): string =>
  remark === "" ? text : text === "" ? remark : `${text}${separator}${remark}`

/** The environment with a remark at the end of each observation. */
export const remarked = (
  environment: Environment,
  { chat: line, isLine, terse: words, vocabulary }: Remark
): Environment => {
  const { agents, chat, demonstrate, terse } = environment
  const known = new Set(vocabulary)
  const without = (text: string, separator: string, isRemark: (part: string) => boolean): string =>
    text
      .split(separator)
      .filter((part) => !isRemark(part))
      .join(separator)
  const cleaned = ({ kind, messages }: Prompt, separator: string, isRemark: (part: string) => boolean): Prompt => ({
    kind,
    messages: messages.map((message) =>
      message.role === "user" ? { ...message, content: without(message.content, separator, isRemark) } : message
    )
  })
  const passesOver =
    (agent: Agent): Agent =>
    (prompt, context, rng, knowledge) =>
      agent(cleaned(prompt, "\n", isLine), context, rng, knowledge)
  const { amnesiac, careful, oracle, random } = agents
  return {
    ...environment,
    chat: { ...chat, user: (world) => joined(chat.user(world), line(world), "\n") },
    ...(terse === undefined
      ? {}
      : {
          terse: {
            ...terse,
            vocabulary: [...new Set([...terse.vocabulary, ...vocabulary])],
            user: (world) => joined(terse.user(world), words(world), " ")
          }
        }),
    agents: {
      random: passesOver(random),
      oracle: passesOver(oracle),
      careful: passesOver(careful),
      amnesiac: passesOver(amnesiac)
    },
    ...(demonstrate === undefined
      ? {}
      : {
          demonstrate: {
            ...demonstrate,
            reply: (stage, prompt, context, rng) =>
              demonstrate.reply(
                stage,
                cleaned(prompt, " ", (word) => known.has(word)),
                context,
                rng
              )
          }
        })
  }
}
