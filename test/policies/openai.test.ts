import { describe, expect, it } from "@effect/vitest"
import { adapted, chatBody, fullDialect, readAnswer, readEndpoint } from "../../src/policies/openai.ts"

describe("the name of a server", () => {
  it.each([
    ["openai:gpt-5@https://api.openai.com/v1", { model: "gpt-5", url: "https://api.openai.com/v1" }],
    ["openai:Qwen/Qwen3-8B@http://127.0.0.1:8000", { model: "Qwen/Qwen3-8B", url: "http://127.0.0.1:8000/v1" }],
    ["openai:me@home@http://example.org/api/v1/", { model: "me@home", url: "http://example.org/api/v1" }],
    ["openai:gpt", undefined],
    ["openai:gpt@ftp://example.org", undefined],
    ["openai:gpt@https://user:pass@example.org/v1", undefined],
    ["openai:gpt@https://example.org/v1?key=1", undefined],
    ["openai:@https://example.org", undefined]
  ])("%s", (text, endpoint) => expect(readEndpoint(text)).toEqual(endpoint))
})

describe("the dialect", () => {
  const asked = { messages: [], temperature: 1, maxTokens: 9, seed: 3, thinking: undefined }
  it("asks for everything, and leaves out what a server refuses", () => {
    expect(chatBody("m", asked, fullDialect)).toEqual({
      model: "m",
      messages: [],
      temperature: 1,
      max_tokens: 9,
      seed: 3,
      logprobs: true,
      return_token_ids: true
    })
    const refusals = [
      "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
      "Unrecognized request argument supplied: return_token_ids",
      "logprobs are not supported with reasoning models",
      "seed: extra fields not permitted"
    ]
    let dialect = fullDialect
    for (const refusal of refusals) dialect = adapted(dialect, refusal)!
    expect(chatBody("m", { ...asked, thinking: false }, dialect)).toEqual({
      model: "m",
      messages: [],
      temperature: 1,
      max_completion_tokens: 9,
      chat_template_kwargs: { enable_thinking: false }
    })
    for (const refusal of [...refusals, "the prompt is too long"]) expect(adapted(dialect, refusal)).toBe(undefined)
  })
})

describe("an answer", () => {
  const now = Date.parse("2026-01-01T00:00:00Z")
  const read = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
    readAnswer({ status, headers, body: typeof body === "string" ? body : JSON.stringify(body) }, now)
  const choice = { message: { content: "yes" }, finish_reason: "length" }

  it("has its tokens where the server gives ids and log-probabilities, of the same number", () => {
    const logprobs = { content: [{ logprob: -1 }, { logprob: -2 }] }
    const full = { prompt_token_ids: [5], choices: [{ ...choice, token_ids: [7, 8], logprobs }] }
    expect(read(200, full)).toEqual({
      type: "reply",
      hasTokens: true,
      reply: { text: "yes", promptTokens: [5], tokens: [7, 8], logprobs: [-1, -2], policyVersion: 0, truncated: true }
    })
    const fewer = { ...full, choices: [{ ...full.choices[0], token_ids: [7] }] }
    for (const body of [{ choices: [choice] }, fewer]) {
      expect(read(200, body)).toMatchObject({ hasTokens: false, reply: { text: "yes", tokens: [], logprobs: [] } })
    }
  })

  it.each([
    [200, "<!doctype html>", {}, "refusal", "answered with HTML, expected JSON"],
    [200, '{"choices": [{"mess', {}, "trouble", "no JSON or only a part of it"],
    [200, { choices: [] }, {}, "refusal", "no chat completion: choices"],
    [200, { choices: [{ message: { content: 5 } }] }, {}, "refusal", "choices.0.message.content"],
    [400, { error: { message: "no such model" } }, {}, "refusal", "answered 400: no such model"],
    [401, "", {}, "refusal", "answered 401: nothing"],
    [404, "<html>", {}, "refusal", "is the base address right"],
    [500, "oh\n no", {}, "trouble", 'answered 500: "oh no"']
  ])("%s %j is %s", (status, body, headers, type, reason) => {
    expect(read(status, body, headers)).toMatchObject({ type, reason: expect.stringContaining(reason) })
  })

  it.each([
    [{ "retry-after": "2" }, 2000],
    [{ "retry-after": "0.5" }, 500],
    [{ "retry-after": "Thu, 01 Jan 2026 00:00:07 GMT" }, 7000],
    [{ "retry-after": "Wed, 31 Dec 2025 00:00:00 GMT" }, 0],
    [{ "retry-after-ms": "30", "retry-after": "1" }, 30],
    [{ "retry-after": "soon" }, 0],
    [{}, 0]
  ])("says how long to wait: %j", (headers, waitMillis) => {
    expect(read(429, {}, headers as never)).toMatchObject({ type: "trouble", waitMillis })
  })
})
