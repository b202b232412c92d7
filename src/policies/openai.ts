/**
 * The OpenAI-compatible protocol as a client speaks it: names of servers, bodies of requests, what answers mean.
 *
 * Servers differ in what they take and give. A request asks for everything (seed, log-probabilities, token ids as vLLM and
 * our own server give them); where a server refuses one of these, the dialect leaves it out from then on.
 */
import { Result, Schema, SchemaIssue } from "effect"
import type { Message } from "../environment.ts"
import type { Reply } from "./policy.ts"

/** What `openai:MODEL@URL` names. */
export interface Endpoint {
  readonly model: string
  /** Base address without a slash at its end, such as `https://api.openai.com/v1`. */
  readonly url: string
}

/** Undefined where the text names none. A base address without a path is taken to mean `/v1`. */
export const readEndpoint = (text: string): Endpoint | undefined => {
  const [, model, address] = /^openai:(.+)@(https?:\/\/.+)$/.exec(text) ?? []
  if (model === undefined || !URL.canParse(address!)) return undefined
  const url = new URL(address!)
  // A password in a name would end up in every log and trace.
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") return undefined
  return { model, url: url.origin + (url.pathname === "/" ? "/v1" : url.pathname.replace(/\/+$/, "")) }
}

/** What a server is asked for beside a reply. */
export interface Dialect {
  readonly cap: "max_tokens" | "max_completion_tokens"
  readonly tokenIds: boolean
  readonly logprobs: boolean
  readonly seed: boolean
}

export const fullDialect: Dialect = { cap: "max_tokens", tokenIds: true, logprobs: true, seed: true }

/** The dialect without what a refusal speaks of; undefined where it speaks of nothing that could be left out. */
export const adapted = (dialect: Dialect, refusal: string): Dialect | undefined => {
  const speaksOf = (word: string) => refusal.includes(word)
  if (dialect.cap === "max_tokens" && speaksOf("max_completion_tokens")) {
    return { ...dialect, cap: "max_completion_tokens" }
  }
  if (dialect.tokenIds && speaksOf("return_token_ids")) return { ...dialect, tokenIds: false }
  if (dialect.logprobs && speaksOf("logprobs")) return { ...dialect, logprobs: false }
  if (dialect.seed && speaksOf("seed")) return { ...dialect, seed: false }
  return undefined
}

/** The body of a request for a chat completion. */
export const chatBody = (
  model: string,
  asked: {
    readonly messages: ReadonlyArray<Message>
    readonly temperature: number
    readonly maxTokens: number
    readonly seed: number
    readonly thinking: boolean | undefined
  },
  dialect: Dialect
) => ({
  model,
  messages: asked.messages.map(({ content, role }) => ({ role, content })),
  temperature: asked.temperature,
  [dialect.cap]: asked.maxTokens,
  ...(dialect.seed ? { seed: asked.seed } : {}),
  ...(dialect.logprobs ? { logprobs: true } : {}),
  ...(dialect.tokenIds ? { return_token_ids: true } : {}),
  ...(asked.thinking === undefined ? {} : { chat_template_kwargs: { enable_thinking: asked.thinking } })
})

const Integers = Schema.Array(Schema.Int)
const orNull = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** What is read of an answer; there may be more. */
const ChatCompletion = Schema.Struct({
  prompt_token_ids: orNull(Integers),
  choices: Schema.NonEmptyArray(
    Schema.Struct({
      message: Schema.Struct({ content: orNull(Schema.String) }),
      finish_reason: orNull(Schema.String),
      token_ids: orNull(Integers),
      logprobs: orNull(Schema.Struct({ content: orNull(Schema.Array(Schema.Struct({ logprob: Schema.Finite }))) }))
    })
  )
})

const ErrorBody = Schema.Struct({ error: Schema.Struct({ message: Schema.String }) })

/** How a server answered. */
export type Verdict =
  | { readonly type: "reply"; readonly reply: Reply; readonly hasTokens: boolean }
  /** Nothing that asking again would change. */
  | { readonly type: "refusal"; readonly status: number; readonly reason: string }
  /** Worth asking again, after the time that the server names, if it does. */
  | { readonly type: "trouble"; readonly reason: string; readonly waitMillis: number }

/** Reads an answer. `nowMillis` is the time of the clock, for dates in `Retry-After`. */
export const readAnswer = (
  answer: {
    readonly status: number
    readonly headers: Readonly<Record<string, string | undefined>>
    readonly body: string
  },
  nowMillis: number
): Verdict => {
  const { body, headers, status } = answer
  const json = Result.getOrUndefined(Result.try(() => JSON.parse(body) as unknown))
  if (status < 200 || status > 299) {
    const told = Result.getOrUndefined(Schema.decodeUnknownResult(ErrorBody)(json))?.error.message
    const reason = `the server answered ${status}: ${told ?? glimpse(body)}`
    return status === 408 || status === 409 || status === 425 || status === 429 || status >= 500
      ? { type: "trouble", reason, waitMillis: retryAfter(headers, nowMillis) }
      : {
          type: "refusal",
          status,
          reason: status === 404 ? `${reason} (is the base address right, such as .../v1?)` : reason
        }
  }
  if (json === undefined) {
    if (/^\s*</.test(body)) {
      const reason = "the server answered with HTML, expected JSON (is the base address right, such as .../v1?)"
      return { type: "refusal", status, reason }
    }
    return {
      type: "trouble",
      reason: `the server's answer is no JSON or only a part of it: ${glimpse(body)}`,
      waitMillis: 0
    }
  }
  const decoded = Schema.decodeUnknownResult(ChatCompletion)(json)
  if (Result.isFailure(decoded)) {
    const [first] = SchemaIssue.makeFormatterStandardSchemaV1()(decoded.failure.issue).issues
    const path = (first?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key)).join(".")
    return { type: "refusal", status, reason: `the server's answer is no chat completion: ${path}: ${first?.message}` }
  }
  const { choices, prompt_token_ids: promptTokens } = decoded.success
  const { finish_reason, logprobs, message, token_ids: tokens } = choices[0]
  const scores = logprobs?.content?.map(({ logprob }) => logprob)
  const hasTokens = promptTokens != null && tokens != null && scores?.length === tokens.length
  const ids = hasTokens ? { promptTokens, tokens, logprobs: scores } : { promptTokens: [], tokens: [], logprobs: [] }
  const reply: Reply = { ...ids, text: message.content ?? "", policyVersion: 0, truncated: finish_reason === "length" }
  return { type: "reply", reply, hasTokens }
}

/** Milliseconds that a server asks to wait: seconds or a date. */
const retryAfter = (headers: Readonly<Record<string, string | undefined>>, nowMillis: number): number => {
  const millis = Number(headers["retry-after-ms"])
  if (Number.isFinite(millis)) return Math.max(0, millis)
  const text = headers["retry-after"]
  if (text === undefined) return 0
  const seconds = Number(text)
  const wait = Number.isFinite(seconds) ? 1000 * seconds : Date.parse(text) - nowMillis
  return Number.isFinite(wait) ? Math.max(0, wait) : 0
}

/** The beginning of a body, in one line. */
const glimpse = (body: string): string => {
  const line = body.trim().replaceAll(/\s+/g, " ")
  return line === "" ? "nothing" : JSON.stringify(line.length > 100 ? `${line.slice(0, 97)}...` : line)
}
