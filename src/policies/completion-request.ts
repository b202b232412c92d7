/**
 * What a client of our OpenAI-compatible endpoint may ask.
 *
 * What the sampler does not do (nucleus sampling, penalties, tools) is refused where it is asked for and passed over
 * where it is asked to do nothing. Fields that mean nothing here, such as `user`, are taken; unknown ones are refused.
 */
import { Result, Schema, SchemaIssue } from "effect"
import type { Message } from "../environment.ts"

/** An error in the protocol's own shape. */
export class RequestError extends Schema.TaggedError<RequestError>()("RequestError", {
  status: Schema.Int,
  reason: Schema.String,
  param: Schema.NullOr(Schema.String),
  code: Schema.NullOr(Schema.String)
}) {
  override get message() {
    return this.reason
  }
  get body() {
    const type =
      this.status >= 500 ? "server_error" : this.status === 429 ? "rate_limit_error" : "invalid_request_error"
    return { error: { message: this.reason, type, param: this.param, code: this.code } }
  }
}

export const badRequest = (reason: string, param: string | null = null, code: string | null = null) =>
  new RequestError({ status: 400, reason, param, code })

/** What both kinds of completion have in common. */
export interface CompletionRequest {
  readonly model: string
  /** Undefined: as many as fit. */
  readonly maxTokens: number | undefined
  readonly temperature: number
  /** How many replies to each prompt. */
  readonly choices: number
  readonly seed: number | undefined
  /** Texts at which a reply ends, themselves left out. */
  readonly stops: ReadonlyArray<string>
  readonly stream: boolean
  readonly streamUsage: boolean
  readonly logprobs: boolean
  readonly tokenIds: boolean
}

export interface ChatRequest extends CompletionRequest {
  readonly messages: ReadonlyArray<Message>
  readonly thinking: boolean | undefined
}

export interface TextRequest extends CompletionRequest {
  /** Texts or tokens. */
  readonly prompts: ReadonlyArray<string | ReadonlyArray<number>>
}

const check = <A>(is: (value: unknown) => boolean, message: string) =>
  Schema.declare((value): value is A => is(value), { message })

const orNull = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))
const whole = (from: number, to: number) =>
  check<number>(
    (n) => Number.isSafeInteger(n) && (n as number) >= from && (n as number) <= to,
    `a whole number from ${from} to ${to}`
  )
const flag = check<boolean>((value) => typeof value === "boolean", "true or false")
const text = check<string>((value) => typeof value === "string", "a text")
/** Asked to do nothing. */
const idle = (nothing: ReadonlyArray<unknown>, message: string) =>
  orNull(check<unknown>((value) => nothing.includes(value) || isEmpty(value), message))
const isEmpty = (value: unknown) => typeof value === "object" && value !== null && Object.keys(value).length === 0
const ignored = Schema.optionalKey(Schema.Unknown)

const isText = (value: unknown): value is string => typeof value === "string"
const isTokens = (value: unknown) =>
  Array.isArray(value) && value.length > 0 && value.every((id) => Number.isSafeInteger(id))

const common = {
  model: text,
  temperature: orNull(
    check<number>((t) => Number.isFinite(t) && (t as number) >= 0 && (t as number) <= 2, "a number from 0 to 2")
  ),
  n: orNull(whole(1, 128)),
  seed: orNull(whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)),
  stop: orNull(
    check<string | ReadonlyArray<string>>(
      (stop) =>
        (isText(stop) && stop !== "") ||
        (Array.isArray(stop) && stop.length <= 16 && stop.every((part) => isText(part) && part !== "")),
      "a text or up to 16 texts, none of them empty"
    )
  ),
  stream: orNull(flag),
  stream_options: orNull(Schema.Struct({ include_usage: orNull(flag), include_obfuscation: ignored })),
  return_token_ids: orNull(flag),
  max_tokens: orNull(whole(1, 1_000_000)),
  top_p: idle([1], "1: nucleus sampling is not supported"),
  top_k: idle([-1, 0], "-1: sampling from the best k is not supported"),
  min_p: idle([0], "0: a least probability is not supported"),
  presence_penalty: idle([0], "0: penalties are not supported"),
  frequency_penalty: idle([0], "0: penalties are not supported"),
  repetition_penalty: idle([1], "1: penalties are not supported"),
  logit_bias: idle([], "nothing: biases are not supported"),
  user: ignored,
  metadata: ignored,
  store: ignored,
  service_tier: ignored,
  safety_identifier: ignored,
  prompt_cache_key: ignored
}

const part = Schema.Struct({ type: check<"text">((type) => type === "text", `"text": only text is understood`), text })

const ChatBody = Schema.Struct({
  ...common,
  messages: Schema.Array(
    Schema.Struct({
      role: check<Message["role"] | "developer">(
        (role) => ["system", "developer", "user", "assistant"].includes(role as string),
        `"system", "developer", "user" or "assistant"`
      ),
      content: Schema.Union([Schema.String, Schema.Array(part)]),
      name: ignored,
      refusal: ignored
    })
  ).check(Schema.isMinLength(1, { message: "at least one message" })),
  max_completion_tokens: orNull(whole(1, 1_000_000)),
  logprobs: orNull(flag),
  top_logprobs: idle([0], "0: only the sampled token's log-probability is known"),
  chat_template_kwargs: orNull(Schema.Struct({ enable_thinking: orNull(flag) })),
  tools: idle([], "nothing: tools are not supported"),
  tool_choice: idle(["none", "auto"], `"none": tools are not supported`),
  parallel_tool_calls: ignored,
  response_format: orNull(
    check<unknown>(
      (format) => (format as { type?: unknown } | null)?.type === "text",
      `{"type":"text"}: formats are not enforced`
    )
  )
})

const TextBody = Schema.Struct({
  ...common,
  prompt: check<string | ReadonlyArray<number> | ReadonlyArray<string | ReadonlyArray<number>>>(
    (prompt) =>
      isText(prompt) ||
      isTokens(prompt) ||
      (Array.isArray(prompt) && prompt.length > 0 && prompt.every((one) => isText(one) || isTokens(one))),
    "a text, a list of tokens, or a list of either"
  ),
  logprobs: orNull(whole(0, 1)),
  echo: idle([false], "false: prompts are not repeated"),
  suffix: idle([""], "nothing: text is not inserted"),
  best_of: idle([1], "1: replies are not selected")
})

export const readChatRequest = (body: unknown): Result.Result<ChatRequest, RequestError> =>
  Result.map(decode(ChatBody, body), (asked) => ({
    ...shared(asked, asked.max_completion_tokens ?? asked.max_tokens ?? undefined, asked.logprobs ?? false),
    messages: asked.messages.map(({ content, role }) => ({
      role: role === "developer" ? "system" : role,
      content: isText(content) ? content : content.map((piece) => piece.text).join("")
    })),
    thinking: asked.chat_template_kwargs?.enable_thinking ?? undefined
  }))

export const readTextRequest = (body: unknown): Result.Result<TextRequest, RequestError> =>
  Result.map(decode(TextBody, body), (asked) => ({
    // Sixteen is this protocol's own default.
    ...shared(asked, asked.max_tokens ?? 16, asked.logprobs != null),
    prompts: (isText(asked.prompt) || isTokens(asked.prompt) ? [asked.prompt] : asked.prompt) as TextRequest["prompts"]
  }))

const shared = (
  asked: Pick<typeof ChatBody.Type, keyof typeof common>,
  maxTokens: number | undefined,
  logprobs: boolean
): CompletionRequest => ({
  model: asked.model,
  maxTokens,
  temperature: asked.temperature ?? 1,
  choices: asked.n ?? 1,
  seed: asked.seed ?? undefined,
  stops: asked.stop == null ? [] : isText(asked.stop) ? [asked.stop] : asked.stop,
  stream: asked.stream ?? false,
  streamUsage: asked.stream_options?.include_usage ?? false,
  logprobs,
  tokenIds: asked.return_token_ids ?? false
})

const decode = <A>(schema: Schema.Codec<A, any>, body: unknown): Result.Result<A, RequestError> =>
  Result.mapError(Schema.decodeUnknownResult(schema)(body, { onExcessProperty: "error" }), ({ issue }) => {
    const unknown = "\0"
    const format = SchemaIssue.makeFormatterStandardSchemaV1({
      leafHook: (leaf) =>
        leaf._tag === "UnexpectedKey"
          ? unknown
          : leaf._tag === "MissingKey"
            ? "a value"
            : SchemaIssue.defaultLeafHook(leaf)
    })
    const [first] = format(issue).issues
    const param = (first?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key)).join(".")
    if (first?.message === unknown) return badRequest(`unknown field "${param}"`, param, "unknown_parameter")
    const expected = (first?.message ?? "").replace(/^Expected /, "").replace(/, got .*$/s, "")
    return badRequest(
      param === "" ? `the body should be ${expected}` : `"${param}" should be ${expected}`,
      param || null
    )
  })
