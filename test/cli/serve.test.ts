/** Our endpoint, asked by the official client for JavaScript. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import OpenAI, { BadRequestError, NotFoundError } from "openai"
import { afterAll, describe, expect, it } from "vitest"
import { runCommandLine } from "../fixtures/command-line.ts"
import { longer } from "../fixtures/language-model.ts"
import { serving } from "../fixtures/served.ts"

const root = mkdtempSync(join(tmpdir(), "constellate-serve-"))
const served = serving(longer(root, "qwen2-tied"), "--name", "tiny")
const narrow = serving(longer(root, "llama-tied"), "--name", "tiny", "--set", "maxWaiting=2")
const stopped = async () => (await served).stop()
afterAll(async () => {
  await stopped()
  rmSync(root, { recursive: true, force: true })
})

const client = async () => new OpenAI({ baseURL: (await served).url, apiKey: "none", maxRetries: 0 })

const question = {
  model: "tiny",
  messages: [
    { role: "system", content: "Speak." },
    { role: "user", content: [{ type: "text", text: "Which way, 🦊?" }] }
  ],
  max_completion_tokens: 24,
  seed: 5
} satisfies OpenAI.ChatCompletionCreateParams

/** Fields beyond the protocol, as vLLM names them. */
const withTokens = { return_token_ids: true } as object

const read = async <A>(stream: AsyncIterable<A>) => {
  const all: Array<A> = []
  for await (const one of stream) all.push(one)
  return all
}

describe("the endpoint", () => {
  it("says which model it has", async () => {
    const { models } = await client()
    expect((await models.list()).data.map(({ id }) => id)).toEqual(["tiny"])
    expect(await models.retrieve("tiny")).toMatchObject({ id: "tiny", object: "model", max_model_len: 6144 })
    await expect(models.retrieve("huge")).rejects.toBeInstanceOf(NotFoundError)
  })

  it("completes a chat, with log-probabilities and token ids", async () => {
    const { chat } = await client()
    const whole: any = await chat.completions.create({ ...question, ...withTokens, logprobs: true })
    const [choice] = whole.choices
    expect(choice.finish_reason).toMatch(/^(stop|length)$/)
    expect(choice.token_ids.length).toBe(whole.usage.completion_tokens)
    expect(choice.logprobs.content).toHaveLength(choice.token_ids.length)
    expect(choice.logprobs.content.map(({ token }: any) => token).join("")).toBe(choice.message.content)
    for (const { logprob } of choice.logprobs.content) expect(logprob).toBeLessThan(0)
    expect(whole.prompt_token_ids).toHaveLength(whole.usage.prompt_tokens)
  })

  it("gives the same reply for the same seed, whoever else asks", async () => {
    const { chat } = await client()
    const alone = (await chat.completions.create(question)).choices[0]!.message.content
    const crowd = await Promise.all(
      Array.from({ length: 12 }, (_, i) => chat.completions.create({ ...question, seed: i % 2 === 0 ? 5 : 100 + i }))
    )
    const texts = crowd.map(({ choices }) => choices[0]!.message.content)
    expect(texts.filter((_, i) => i % 2 === 0)).toEqual(Array.from({ length: 6 }, () => alone))
    expect(new Set(texts).size).toBe(7)
    const [one, other] = [
      { ...question, seed: null },
      { ...question, seed: null }
    ]
    const unseeded = await Promise.all([one, other].map((body) => chat.completions.create(body)))
    expect(unseeded[0]!.choices[0]!.message.content).not.toBe(unseeded[1]!.choices[0]!.message.content)
  })

  it("streams what it would have said at once, several choices too", async () => {
    const { chat } = await client()
    const asked = { ...question, n: 2, logprobs: true }
    const whole = await chat.completions.create(asked)
    const chunks = await read(
      await chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } })
    )
    for (const choice of whole.choices) {
      const own = chunks.flatMap(({ choices }) => choices.filter(({ index }) => index === choice.index))
      expect(own[0]!.delta.role).toBe("assistant")
      expect(own.map(({ delta }) => delta.content ?? "").join("")).toBe(choice.message.content)
      expect(own.flatMap(({ logprobs }) => logprobs?.content ?? [])).toEqual(choice.logprobs!.content)
      expect(own.map(({ finish_reason }) => finish_reason).filter((reason) => reason !== null)).toEqual([
        choice.finish_reason
      ])
    }
    expect(chunks.at(-1)!.usage).toEqual(whole.usage)
  })

  it("completes texts and tokens, as many as are asked for", async () => {
    const { chat: _chat, completions } = await client()
    const asked = { model: "tiny", max_tokens: 8, seed: 1, ...withTokens }
    const both: any = await completions.create({ ...asked, prompt: ["The agent", "A lake"], n: 2, logprobs: 0 })
    expect(both.choices.map(({ index }: any) => index)).toEqual([0, 1, 2, 3])
    const [first] = both.choices
    expect(first.logprobs.tokens.join("")).toBe(first.text)
    const tokens: any = await completions.create({ ...asked, prompt: first.prompt_token_ids })
    expect(tokens.choices[0].token_ids).toEqual(first.token_ids)
    const chunks = await read(await completions.create({ ...asked, prompt: "The agent", stream: true }))
    expect(chunks.map(({ choices }) => choices[0]!.text).join("")).toBe(first.text)
    expect(chunks.at(-1)!.choices[0]!.finish_reason).toBe(first.finish_reason)
  })

  it("stops at a text, which it leaves out", async () => {
    const { chat } = await client()
    const whole = (await chat.completions.create(question)).choices[0]!
    const text = whole.message.content!
    const stop = text.slice(4, 6)
    const cut = (await chat.completions.create({ ...question, stop: ["never said", stop] })).choices[0]!
    expect(cut).toMatchObject({ finish_reason: "stop", message: { content: text.slice(0, text.indexOf(stop)) } })
  })

  it("streams token ids, and up to a stop text, as it gives them at once", async () => {
    const { chat, completions } = await client()
    const text = (await chat.completions.create(question)).choices[0]!.message.content!
    const asked = { ...question, ...withTokens, stop: text.slice(4, 6) }
    const whole: any = await chat.completions.create(asked)
    const chunks: Array<any> = await read(await chat.completions.create({ ...asked, stream: true }))
    const pieces = chunks.flatMap(({ choices }) => choices)
    expect(pieces.map(({ delta }) => delta.content ?? "").join("")).toBe(whole.choices[0].message.content)
    expect(pieces.flatMap(({ token_ids }) => token_ids ?? [])).toEqual(whole.choices[0].token_ids)
    expect(pieces.at(-1).finish_reason).toBe("stop")
    const legacy = { model: "tiny", prompt: ["The agent", "A lake"], max_tokens: 6, seed: 1, logprobs: 0 }
    const both: any = await completions.create(legacy)
    const streamed: Array<any> = await read(await completions.create({ ...legacy, stream: true }))
    for (const { index, logprobs, text } of both.choices) {
      const own = streamed.flatMap(({ choices }) => choices.filter((choice: any) => choice.index === index))
      expect(own.map((choice) => choice.text).join("")).toBe(text)
      expect(own.flatMap((choice) => choice.logprobs.token_logprobs)).toEqual(logprobs.token_logprobs)
      expect(own.flatMap((choice) => choice.logprobs.text_offset)).toEqual(logprobs.text_offset)
    }
  })

  it("refuses a stream before it begins, with the status of the error", async () => {
    const { chat } = await client()
    const failure = await chat.completions.create({ ...question, stream: true, temperature: 9 }).catch((error) => error)
    expect(failure).toBeInstanceOf(BadRequestError)
    expect(failure).toMatchObject({ status: 400, param: "temperature" })
  })

  it("forgets a request whose client has gone", async () => {
    const { chat } = await client()
    // So many that not all of them end at once.
    const long = { ...question, n: 32, max_completion_tokens: 6000 }
    const leaving = new AbortController()
    const waiting = chat.completions.create(long, { signal: leaving.signal })
    const stream = await chat.completions.create({ ...long, stream: true })
    setTimeout(() => leaving.abort(), 10)
    await expect(waiting).rejects.toThrow("aborted")
    stream.controller.abort()
    expect((await chat.completions.create(question)).choices).toHaveLength(1)
  })

  it.each([
    ["a value", { temperature: -1 }, '"temperature" should be a number from 0 to 2', "temperature"],
    ["what it can't do", { top_p: 0.5 }, '"top_p" should be 1: nucleus sampling is not supported', "top_p"],
    ["an unknown field", { temprature: 1 }, 'unknown field "temprature"', "temprature"],
    ["no messages", { messages: [] }, '"messages" should be at least one message', "messages"],
    ["a long prompt", { messages: [{ role: "user", content: "a ".repeat(7000) }] }, "leaves no room", "messages"],
    [
      "no switch",
      { chat_template_kwargs: { enable_thinking: true } },
      "no thinking switch",
      "chat_template_kwargs.enable_thinking"
    ]
  ])("refuses %s in the protocol's shape", async (_, change, message, param) => {
    const { chat } = await client()
    const failure = await chat.completions.create({ ...question, ...(change as object) }).catch((error) => error)
    expect(failure).toBeInstanceOf(BadRequestError)
    expect(failure).toMatchObject({ status: 400, type: "invalid_request_error", param })
    expect(failure.message).toContain(message)
  })

  it("refuses what is not there, and what is no JSON", async () => {
    const { url } = await served
    const { chat } = await client()
    await expect(chat.completions.create({ ...question, model: "huge" })).rejects.toBeInstanceOf(NotFoundError)
    const nowhere = await fetch(`${url}/embeddings`, { method: "POST", body: "{}" })
    expect([nowhere.status, ((await nowhere.json()) as any).error.message]).toEqual([
      404,
      "there is no POST /v1/embeddings"
    ])
    const broken = await fetch(`${url}/chat/completions`, { method: "POST", body: '{"model":' })
    expect([broken.status, ((await broken.json()) as any).error.type]).toEqual([400, "invalid_request_error"])
  })

  it("takes no more than it may have waiting", async () => {
    const busy = await narrow
    const impatient = new OpenAI({ baseURL: busy.url, apiKey: "none", maxRetries: 0 })
    const asked = Array.from({ length: 8 }, () =>
      impatient.chat.completions.create({ ...question, max_completion_tokens: 200 }).catch((error) => error.status)
    )
    const answers = await Promise.all(asked)
    expect(answers.filter((answer) => answer === 429).length).toBeGreaterThan(0)
    expect(answers.filter((answer) => typeof answer === "object").length).toBeGreaterThanOrEqual(2)
    // Whoever goes away makes room at once.
    const asking = { ...question, n: 2, max_completion_tokens: 2000, stream: true } as const
    for (let i = 0; i < 3; i++) {
      const stream = await impatient.chat.completions.create(asking).catch(() => undefined)
      stream?.controller.abort()
    }
    await expect
      .poll(() => impatient.chat.completions.create({ ...question, max_completion_tokens: 1 }).catch(() => undefined))
      .toMatchObject({ object: "chat.completion" })
    // Ctrl-C in the middle of a reply.
    const last = impatient.chat.completions.create({ ...question, max_completion_tokens: 100 }).catch(() => undefined)
    expect(await busy.stop()).toMatchObject({ code: 130, stderr: expect.stringContaining("interrupted") })
    await last
  })
})

describe("serve refuses in one line:", () => {
  it.each([
    [["scripted:random"], "scripted agents have no tokens to serve"],
    [["openai:gpt@https://example.org/v1"], "a server's weights are out of reach"],
    [[join(root, "nowhere")], "a checkpoint folder, a run folder"],
    [[join(import.meta.dirname, "../vectors/transformer/qwen2-tied"), "--port", "70000"], '"port" is 70000, expected'],
    [[join(import.meta.dirname, "../vectors/transformer/qwen2-tied"), "--thinking", "true"], '"thinking" is true']
  ])("%s", async (args, message) => {
    const { code, stderr, stdout } = await runCommandLine("serve", ...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain(message)
    expect(stderr.trimEnd().split("\n")).toHaveLength(1)
  })

  it("a port that is taken", async () => {
    const port = new URL((await served).url).port
    const { code, stderr } = await runCommandLine("serve", longer(root, "qwen2-tied"), "--port", port)
    expect(code).toBe(2)
    expect(stderr).toContain(`"port" is ${port}, expected a free one (listen EADDRINUSE`)
  })
})
