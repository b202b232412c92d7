import { describe, expect, it } from "@effect/vitest"
import { Result } from "effect"
import * as fc from "fast-check"
import { readFileSync } from "node:fs"
import { makeChoice, piecesOf } from "../../src/policies/completion.ts"
import { readChatRequest, readTextRequest } from "../../src/policies/completion-request.ts"
import { openTokenizer } from "../../src/policies/tokenizer.ts"
import { wordTokenizer } from "../../src/policies/word-tokenizer.ts"

const folder = `${import.meta.dirname}/../vectors/transformer/qwen3-tied`
const json = (name: string) => JSON.parse(readFileSync(`${folder}/${name}`, "utf8"))
const bytes = Result.getOrThrow(
  openTokenizer({ tokenizer: json("tokenizer.json"), tokenizerConfig: json("tokenizer_config.json") })
)
const words = Result.getOrThrow(openTokenizer(wordTokenizer(["up", "down"])))
const end = bytes.end

describe("pieces", () => {
  it("are the reply, whatever was sampled", () => {
    for (const tokenizer of [bytes, words]) {
      const tokens = fc.array(fc.integer({ min: 0, max: tokenizer.vocabularySize - 1 }), { maxLength: 24 })
      fc.assert(
        fc.property(tokens, (tokens) => {
          const pieces = piecesOf(tokenizer, tokens)
          expect(pieces).toHaveLength(tokens.length)
          expect(pieces.join("")).toBe(tokenizer.decode(tokens))
        }),
        { seed: 1, numRuns: 200 }
      )
    }
  })

  it("hold a character back until it is whole", () => {
    const tokens = bytes.encode("a🦊b")
    expect(piecesOf(bytes, tokens)).toEqual(["a", "", "", "", "🦊", "b"])
  })
})

describe("a reply", () => {
  const tokens = [...bytes.encode("left, then right"), end]
  const said = { promptTokens: [1], tokens, logprobs: tokens.map((_, i) => -i), ended: true }
  const choose = (...stops: ReadonlyArray<string>) => makeChoice(bytes, said, stops, 0)

  it("is whole without a stop text", () => {
    const choice = choose("up")
    expect([choice.pieces.join(""), choice.tokens, choice.finishReason]).toEqual(["left, then right", tokens, "stop"])
    expect(makeChoice(bytes, { ...said, ended: false }, [], 0).finishReason).toBe("length")
  })

  it.each([
    [["then"], "left, "],
    [["right", ", "], "left"],
    [["ft, t"], "le"],
    [["left"], ""],
    [["then r", "en"], "left, th"]
  ])("is cut before the first to be complete of %j", (stops, text) => {
    const choice = choose(...stops)
    expect([choice.pieces.join(""), choice.finishReason]).toEqual([text, "stop"])
    expect(choice.tokens.length).toBeLessThan(tokens.length)
    expect(choice.logprobs).toEqual(said.logprobs.slice(0, choice.tokens.length))
    // The token that completes the stop text is the last one kept.
    const kept = bytes.decode(choice.tokens)
    expect(stops.some((stop) => kept.includes(stop))).toBe(true)
    expect(stops.some((stop) => bytes.decode(choice.tokens.slice(0, -1)).includes(stop))).toBe(false)
  })
})

describe("a request", () => {
  it("has the protocol's defaults", () => {
    const messages = [
      {
        role: "developer",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" }
        ]
      }
    ]
    expect(Result.getOrThrow(readChatRequest({ model: "m", messages, top_p: 1, tools: [], user: "x" }))).toEqual({
      model: "m",
      messages: [{ role: "system", content: "ab" }],
      maxTokens: undefined,
      temperature: 1,
      choices: 1,
      seed: undefined,
      stops: [],
      stream: false,
      streamUsage: false,
      logprobs: false,
      tokenIds: false,
      thinking: undefined
    })
    const text = Result.getOrThrow(readTextRequest({ model: "m", prompt: [1, 2], logprobs: 0, stop: "x" }))
    expect(text).toMatchObject({ prompts: [[1, 2]], maxTokens: 16, logprobs: true, stops: ["x"] })
  })

  it.each([
    [[], "", "the body should be object"],
    [{ messages: [] }, "model", '"model" should be a value'],
    [{ model: "m", messages: [{ role: "tool", content: "" }] }, "messages.0.role", '"system", "developer", "user" or'],
    [{ model: "m", messages: [{ role: "user", content: "" }], n: 0 }, "n", "a whole number from 1 to 128"],
    [{ model: "m", messages: [{ role: "user", content: "" }], stop: [""] }, "stop", "none of them empty"],
    [{ model: "m", messages: [{ role: "user", content: "" }], tools: [{}] }, "tools", "tools are not supported"],
    [
      { model: "m", messages: [{ role: "user", content: "" }], top_logprobs: 3 },
      "top_logprobs",
      "only the sampled token's"
    ]
  ])("%j is refused", (body, param, message) => {
    const read = readChatRequest(body)
    const failure = Result.isFailure(read) ? read.failure : undefined
    expect(failure).toMatchObject({ status: 400, param: param === "" ? null : param })
    expect(failure!.reason).toContain(message)
  })
})
