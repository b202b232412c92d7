/** Conversations as tokens; what the reference implementation makes of them: `test/vectors/chat/make.py`. */
import { describe, expect, it } from "@effect/vitest"
import { Result } from "effect"
import { readFileSync } from "node:fs"
import type { Message } from "../../src/environment.ts"
import { openChat } from "../../src/policies/chat.ts"
import { openTokenizer, type TokenizerFiles } from "../../src/policies/tokenizer.ts"

interface Case {
  readonly template: string
  readonly folder: string
  readonly conversation: string
  readonly thinking?: boolean
  readonly text: string
  readonly tokens: ReadonlyArray<number>
}

const vectors = `${import.meta.dirname}/../vectors`
const expected: {
  readonly cases: ReadonlyArray<Case>
  readonly conversations: Readonly<Record<string, ReadonlyArray<Message>>>
} = JSON.parse(readFileSync(`${vectors}/chat/expected.json`, "utf8"))

const json = (path: string) => JSON.parse(readFileSync(path, "utf8"))
const filesOf = (folder: string, template: string): TokenizerFiles => ({
  tokenizer: json(`${vectors}/transformer/${folder}/tokenizer.json`),
  tokenizerConfig: json(`${vectors}/transformer/${folder}/tokenizer_config.json`),
  chatTemplate: template
})
const templateText = (name: string) => readFileSync(`${vectors}/chat/${name}`, "utf8")
const open = (template: string, folder = "qwen3-tied", otherEnds: ReadonlyArray<number> = []) => {
  const files = filesOf(folder, template)
  const tokenizer = Result.getOrThrow(openTokenizer(files, otherEnds))
  return { tokenizer, chat: Result.getOrThrow(openChat(files, tokenizer)) }
}

const [endOfText, start, end] = [297, 298, 299]

describe("a prompt", () => {
  const groups = Map.groupBy(expected.cases, ({ folder, template }) => `${template} with the tokenizer of ${folder}`)
  it.each([...groups])("of %s is the reference's", (_, cases) => {
    const { chat, tokenizer } = open(templateText(cases[0]!.template), cases[0]!.folder)
    for (const { conversation, text, thinking, tokens } of cases) {
      const prompt = Result.getOrThrow(chat.prompt(expected.conversations[conversation]!, { thinking }))
      expect(prompt, conversation).toEqual(tokens)
      expect(tokenizer.encode(text), conversation).toEqual(tokens)
    }
  })

  it("takes names of special tokens in messages for these tokens, as the reference does", () => {
    const { chat } = open(templateText("plain.jinja"))
    const prompt = Result.getOrThrow(chat.prompt([{ role: "user", content: "<|endoftext|>" }]))
    expect(prompt).toContain(endOfText)
  })
})

describe("a later step goes on from the tokens before", () => {
  const conversation = expected.conversations["several steps"]!
  const steps = [conversation.slice(0, 2), conversation.slice(0, 4), conversation]
  const said = ["<answer>2</answer>", "<answer>4</answer>"]

  it.each(["plain.jinja", "thinking.jinja", "headers.jinja"])("with %s", (name) => {
    const { chat, tokenizer } = open(templateText(name))
    const rendered = (messages: ReadonlyArray<Message>) => Result.getOrThrow(chat.prompt(messages))
    // As if every letter of the reply had been sampled on its own, which the tokenizer would never do.
    const spelt = (text: string) => [...Array.from(text).flatMap((letter) => tokenizer.encode(letter)), end]
    let previous = { promptTokens: rendered(steps[0]!), tokens: spelt(said[0]!) }
    for (const [i, messages] of steps.slice(1).entries()) {
      const prompt = Result.getOrThrow(chat.prompt(messages, { previous }))
      const known = [...previous.promptTokens, ...previous.tokens]
      expect(prompt.slice(0, known.length)).toEqual(known)
      expect(prompt).not.toEqual(rendered(messages))
      const plain = messages.map((message, at) => (at === 2 ? { ...message, content: said[0]! } : message))
      expect(tokenizer.decode(prompt)).toBe(tokenizer.decode(rendered(plain)))
      previous = { promptTokens: prompt, tokens: spelt(said[i + 1] ?? "") }
    }
  })

  const between = (tokens: ReadonlyArray<number>, otherEnds: ReadonlyArray<number> = []) => {
    const { chat } = open(templateText("plain.jinja"), "qwen3-tied", otherEnds)
    const previous = { promptTokens: [7], tokens }
    return Result.getOrThrow(chat.prompt(steps[1]!, { previous })).slice(1 + tokens.length)
  }

  it("whether the reply ended by itself, by another end token, or was cut off", () => {
    const following = between([65, end])
    expect(following).not.toContain(end === following[0] ? end : -1)
    expect(between([65])).toEqual([end, ...following])
    expect(between([65, endOfText])).toEqual([end, ...following])
    expect(between([65, endOfText], [endOfText, end])).toEqual(following)
    expect(following.filter((token) => token === start)).toHaveLength(2)
  })

  it("and thoughts stay, where the template would leave them out", () => {
    const { chat, tokenizer } = open(templateText("thinking.jinja"))
    const thought = tokenizer.encode("<think>\nhm\n</think>\n\nyes")
    const previous = { promptTokens: Result.getOrThrow(chat.prompt(steps[0]!)), tokens: [...thought, end] }
    expect(tokenizer.decode(Result.getOrThrow(chat.prompt(steps[1]!, { previous })))).toContain("hm")
    expect(tokenizer.decode(Result.getOrThrow(chat.prompt(steps[1]!)))).not.toContain("The hole is near")
  })
})

describe("ends of a reply", () => {
  it("begin with the one that the template writes itself", () => {
    const chatml = "{% for m in messages %}{{ m.role + m.content + '<|endoftext|>' }}{% endfor %}"
    expect(open(chatml, "qwen3-tied", [start, endOfText]).chat.ends).toEqual([endOfText, end, start])
    expect(open(templateText("plain.jinja"), "qwen3-tied", [endOfText]).chat.ends).toEqual([end, endOfText])
  })
})

describe("a template that can't be used says why:", () => {
  const complaintOf = (files: TokenizerFiles) => {
    const opened = openChat(files, Result.getOrThrow(openTokenizer(files)))
    return Result.isFailure(opened) ? opened.failure : undefined
  }
  it.each([
    ["broken", "{% for message in messages %}{{ message.content", "not a template"],
    ["throwing", "{{ raise_exception('no system messages, please') }}", "no system messages, please"],
    [
      "forgetful",
      "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
      "leaves out what the assist"
    ]
  ])("%s", (_, template, message) => {
    const complaint = complaintOf(filesOf("qwen3-tied", template))
    expect(complaint).toMatchObject({ file: "chat_template.jinja", value: expect.stringContaining(message) })
  })

  it("none", () => {
    const { tokenizer, tokenizerConfig } = filesOf("qwen3-tied", "")
    const bare = { ...tokenizerConfig, chat_template: undefined }
    expect(complaintOf({ tokenizer, tokenizerConfig: bare })).toMatchObject({ field: "chat_template" })
    const several = { ...tokenizerConfig, chat_template: [{ name: "default", template: templateText("plain.jinja") }] }
    expect(complaintOf({ tokenizer, tokenizerConfig: several })).toBe(undefined)
  })

  it("in the middle of an episode too", () => {
    const { chat } = open(
      "{% if messages|length > 4 %}{{ raise_exception('too long') }}{% endif %}" + templateText("plain.jinja")
    )
    const messages = expected.conversations["several steps"]!
    expect(Result.isFailure(chat.prompt(messages))).toBe(true)
    expect(Result.isFailure(chat.prompt(messages, { previous: { promptTokens: [1], tokens: [2] } }))).toBe(true)
  })
})
