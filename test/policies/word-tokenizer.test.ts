import { Template } from "@huggingface/jinja"
import { Result } from "effect"
import fc from "fast-check"
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { openTokenizer } from "../../src/policies/tokenizer.ts"
import { wordTokenizer } from "../../src/policies/word-tokenizer.ts"

const vectors = `${import.meta.dirname}/../vectors/word-tokenizer`
const words = ["U", "D", "?", "win", "v-1", "naïve", "|"]
const files = wordTokenizer(words)
const tokenizer = Result.getOrThrow(openTokenizer(files))
const { decode, encode } = tokenizer

/** Any text that has no special token's name in it. */
const text = fc
  .array(
    fc.oneof(fc.constantFrom(...words, " ", "  ", "<0x41>", "\ufeff", "<end", "ad>"), fc.string({ unit: "binary" }))
  )
  .map((parts) => parts.join(""))
  .filter((joined) => !joined.includes("<pad>") && !joined.includes("<end>"))

describe("the word tokenizer", () => {
  it("gives every word one token, behind the special tokens and the frame", () => {
    expect(encode("<solve> <update> | <ctx> U D ? win v-1 naïve")).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    expect(tokenizer).toMatchObject({ pad: 0, end: 1, vocabularySize: 12 + 256 })
  })

  it("spells other words in bytes, with the space before them", () => {
    expect(encode("U é")).toEqual([6, ...[0x20, 0xc3, 0xa9].map((byte) => 12 + byte)])
  })

  it("does not speak special tokens, nor numbers that are no token", () => {
    expect(decode([0, 6, 1, 7, 1, 999_999])).toBe("U D")
    expect(decode([1])).toBe("")
    expect(encode("")).toEqual([])
  })

  it.each(["", "a b", "x<end>"])("refuses %j as a word", (word) => {
    expect(() => wordTokenizer([word])).toThrow(`${JSON.stringify(word)} can't be a word`)
  })

  it("is the same for the Rust library", () => {
    expect(files.tokenizer).toEqual(JSON.parse(readFileSync(`${vectors}/tokenizer.json`, "utf8")))
    const cases = JSON.parse(readFileSync(`${vectors}/expected.json`, "utf8"))
    expect(cases.length).toBeGreaterThan(10)
    for (const { decoded, text, tokens } of cases) {
      expect(encode(text), JSON.stringify(text)).toEqual(tokens)
      expect(decode(tokens), JSON.stringify(text)).toBe(decoded)
    }
  })

  it("gives back any text", () => {
    fc.assert(
      fc.property(text, (any) => {
        expect(decode(encode(any))).toBe(any)
      }),
      { seed: 1 }
    )
  })

  it("joins the tokens of texts that are joined by a space", () => {
    const texts = fc.array(text.filter((any) => any !== ""))
    fc.assert(
      fc.property(texts, (parts) => {
        fc.pre(!/<pad>|<end>/.test(parts.join(" ")))
        expect(encode(parts.join(" "))).toEqual(parts.flatMap(encode))
      }),
      { seed: 2 }
    )
  })

  it("has a chat template that joins the messages by spaces", () => {
    const { chat_template: template } = files.tokenizerConfig as { readonly chat_template: string }
    const messages = ["<solve> | U", "win", "", "D"].map((content) => ({ role: "user", content }))
    expect(new Template(template).render({ messages, add_generation_prompt: true })).toBe("<solve> | U win D")
  })
})
