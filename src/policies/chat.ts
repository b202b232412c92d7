/**
 * Conversations as tokens, by the chat template of a policy folder.
 *
 * The first prompt of an episode is the rendered conversation, tokenised as a whole. A later one goes on from the tokens
 * before it: what was prompted and what was sampled stay as they are, thinking included, and only the text that the
 * template puts between that reply and the next one is tokenised. That text is found by rendering the conversation with
 * a mark in place of the last reply.
 */
import { Template } from "@huggingface/jinja"
import { Result } from "effect"
import type { Message } from "../environment.ts"
import type { Reply } from "./policy.ts"
import type { Tokenizer, TokenizerComplaint, TokenizerFiles } from "./tokenizer.ts"

export interface ChatOptions {
  /** The template's switch `enable_thinking`; without it the template's own default. */
  readonly thinking?: boolean | undefined
  /** Tokens of the step before, from which the prompt goes on. */
  readonly previous?: Pick<Reply, "promptTokens" | "tokens"> | undefined
}

export interface Chat {
  /**
   * Tokens of a prompt that asks for the next assistant message. Names of special tokens in a message become those tokens,
   * as everywhere. Fails with what the template complains of, a sentence without its end.
   */
  readonly prompt: (
    messages: ReadonlyArray<Message>,
    options?: ChatOptions
  ) => Result.Result<ReadonlyArray<number>, string>
  /** Tokens that end a reply, the one that the template puts there itself first. */
  readonly ends: ReadonlyArray<number>
  /** Whether the template knows a thinking switch. */
  readonly canSwitchThinking: boolean
}

/** Stands for a reply whose tokens are known: private-use characters, which no template changes and no text holds. */
const mark = "\uE0C0\uE0DE\uE0C0"

/** What the Llama 3 templates say when nobody tells them the date; they would read the wall clock otherwise. */
const dateString = "26 Jul 2024"

export const openChat = (files: TokenizerFiles, tokenizer: Tokenizer): Result.Result<Chat, TokenizerComplaint> =>
  Result.gen(function* () {
    const { file, source } = yield* templateOf(files)
    const field = file === "tokenizer_config.json" ? { field: "chat_template" } : {}
    const complaint = (value: string, expected: string): TokenizerComplaint => ({ file, ...field, value, expected })
    const attempt = <A>(what: () => A) => Result.try({ try: what, catch: sentence })
    const template = yield* Result.mapError(
      attempt(() => new Template(source)),
      (why) => complaint(`not a template (${why})`, "a Jinja template of a conversation")
    )
    const named = specialTexts(files.tokenizerConfig)
    const render = (messages: ReadonlyArray<Message>, thinking: boolean | undefined) =>
      attempt(() =>
        template.render({
          ...named,
          messages: messages.map(({ content, role }) => ({ role, content })),
          add_generation_prompt: true,
          date_string: dateString,
          ...(thinking === undefined ? {} : { enable_thinking: thinking })
        })
      )
    /** What follows the last reply, up to where the next one begins. */
    const between = (messages: ReadonlyArray<Message>, thinking: boolean | undefined) => {
      const last = messages.findLastIndex(({ role }) => role === "assistant")
      const marked = messages.map((message, i) => (i === last ? { ...message, content: mark } : message))
      return Result.flatMap(render(marked, thinking), (text) => {
        const at = text.lastIndexOf(mark)
        return at < 0
          ? Result.fail("it leaves out what the assistant has said")
          : Result.succeed(tokenizer.encode(text.slice(at + mark.length)))
      })
    }
    // A template that can't render an episode says so now rather than in the middle of one.
    const following = yield* Result.mapError(
      Result.flatMap(render(probe.slice(0, 2), undefined), () => between(probe, undefined)),
      (why) => complaint(`not usable (${why})`, "a template for system, user and assistant messages")
    )
    const closing = tokenizer.ends.filter((end) => end === following[0])
    const ends = [...new Set([...closing, ...tokenizer.ends])]
    return {
      ends,
      canSwitchThinking: source.includes("enable_thinking"),
      prompt: (messages, { previous, thinking } = {}) => {
        if (previous === undefined) return Result.map(render(messages, thinking), tokenizer.encode)
        return Result.map(between(messages, thinking), (tokens) => {
          // The reply has ended itself, with the template's end token or another.
          const ended = ends.includes(previous.tokens.at(-1)!) && ends.includes(tokens[0]!)
          return [...previous.promptTokens, ...previous.tokens, ...(ended ? tokens.slice(1) : tokens)]
        })
      }
    }
  })

const probe: ReadonlyArray<Message> = [
  { role: "system", content: "system" },
  { role: "user", content: "first" },
  { role: "assistant", content: "reply" },
  { role: "user", content: "second" }
]

/** `chat_template.jinja`, or the template in `tokenizer_config.json`: a text, or several by name. */
const templateOf = ({ chatTemplate, tokenizerConfig }: TokenizerFiles) => {
  if (chatTemplate !== undefined) return Result.succeed({ file: "chat_template.jinja", source: chatTemplate } as const)
  const file = "tokenizer_config.json"
  const found = (tokenizerConfig as { readonly chat_template?: unknown }).chat_template ?? undefined
  const named = Array.isArray(found) ? found.find((entry) => entry?.name === "default")?.template : found
  if (typeof named === "string") return Result.succeed({ file, source: named } as const)
  const expected = `a chat template, here or in chat_template.jinja; a model without one can't be talked to`
  return Result.fail<TokenizerComplaint>({ file, field: "chat_template", value: found, expected })
}

/** The texts of `bos_token`, `eos_token` and the like, by these names: templates write them. */
const specialTexts = (tokenizerConfig: object): Record<string, string> =>
  Object.fromEntries(
    Object.entries(tokenizerConfig).flatMap(([name, value]) => {
      const text = typeof value === "object" && value !== null ? (value as { content?: unknown }).content : value
      return /^\w+_token$/.test(name) && typeof text === "string" ? [[name, text]] : []
    })
  )

const sentence = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown))
