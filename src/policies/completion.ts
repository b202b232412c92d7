/** Replies of our OpenAI-compatible endpoint: token by token as text, cut at stop texts, and in the protocol's shapes. */
import type { Tokenizer } from "./tokenizer.ts"

/** A finished reply. */
export interface Choice {
  /** 0-based place in the answer. */
  readonly index: number
  readonly promptTokens: ReadonlyArray<number>
  /** Sampled, the end token included. */
  readonly tokens: ReadonlyArray<number>
  readonly logprobs: ReadonlyArray<number>
  /** The text that each token adds; together they are the reply. */
  readonly pieces: ReadonlyArray<string>
  readonly finishReason: "stop" | "length"
}

/** What an answer says of itself. */
export interface Head {
  readonly id: string
  readonly model: string
  readonly createdSeconds: number
  readonly logprobs: boolean
  readonly tokenIds: boolean
}

/**
 * The text that each token adds. A character that takes several tokens comes with the last of them; what is not text by
 * the end comes as the replacement character.
 */
export const piecesOf = (tokenizer: Tokenizer, tokens: ReadonlyArray<number>): Array<string> => {
  // Decoders look at what stands before: a window keeps this linear.
  let [from, told] = [0, 0]
  return tokens.map((_, i) => {
    const before = tokenizer.decode(tokens.slice(from, told))
    const text = tokenizer.decode(tokens.slice(from, i + 1))
    if (i + 1 < tokens.length && text.endsWith("\uFFFD")) return ""
    ;[from, told] = [told, i + 1]
    return text.slice(before.length)
  })
}

/** What was said, its text up to the first stop text, its tokens up to the one that completes it. */
export const makeChoice = (
  tokenizer: Tokenizer,
  said: {
    readonly promptTokens: ReadonlyArray<number>
    readonly tokens: ReadonlyArray<number>
    readonly logprobs: ReadonlyArray<number>
    /** By an end token. */
    readonly ended: boolean
  },
  stops: ReadonlyArray<string>,
  index: number
): Choice => {
  const { ended, logprobs, promptTokens, tokens } = said
  const pieces = piecesOf(tokenizer, tokens)
  const text = pieces.join("")
  // Of several the one that is complete first, as if they had been looked for after every token.
  const found = stops
    .map((stop) => ({ from: text.indexOf(stop), to: text.indexOf(stop) + stop.length }))
    .filter(({ from }) => from >= 0)
    .toSorted((a, b) => a.to - b.to || a.from - b.from)[0]
  if (found === undefined) {
    return { index, promptTokens, tokens, logprobs, pieces, finishReason: ended ? "stop" : "length" }
  }
  let length = 0
  const kept = pieces.findIndex((piece) => (length += piece.length) >= found.to) + 1
  let told = 0
  return {
    index,
    promptTokens,
    tokens: tokens.slice(0, kept),
    logprobs: logprobs.slice(0, kept),
    pieces: pieces.slice(0, kept).map((piece) => {
      const rest = piece.slice(0, Math.max(0, found.from - told))
      told += piece.length
      return rest
    }),
    finishReason: "stop"
  }
}

const scoresOf = ({ logprobs, pieces }: Pick<Choice, "logprobs" | "pieces">) => ({
  content: logprobs.map((logprob, i) => ({
    token: pieces[i]!,
    logprob,
    bytes: [...Buffer.from(pieces[i]!)],
    top_logprobs: []
  })),
  refusal: null
})

const legacyScoresOf = ({ logprobs, pieces }: Pick<Choice, "logprobs" | "pieces">, offset = 0) => ({
  tokens: pieces,
  token_logprobs: logprobs,
  top_logprobs: null,
  text_offset: pieces.map((piece) => (offset += piece.length) - piece.length)
})

export const usageOf = (choices: ReadonlyArray<Choice>) => {
  // The replies to one prompt share it.
  const prompts = new Set(choices.map(({ promptTokens }) => promptTokens))
  const prompt_tokens = [...prompts].reduce((sum, { length }) => sum + length, 0)
  const completion_tokens = choices.reduce((sum, { tokens }) => sum + tokens.length, 0)
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

/** How answers of one kind are written, whole or as the chunks of a stream. */
export interface Shape {
  readonly whole: (head: Head, choices: ReadonlyArray<Choice>) => object
  /** What a stream begins a choice with. */
  readonly opening: (head: Head, index: number) => ReadonlyArray<object>
  readonly pieces: (head: Head, choice: Choice) => ReadonlyArray<object>
  /** What a stream ends with, if it was asked to. */
  readonly usage: (head: Head, choices: ReadonlyArray<Choice>) => object
}

/** `POST /v1/chat/completions`, and its stream: the first chunk says who speaks, each later one a piece. */
export const chatShape: Shape = {
  whole: ({ createdSeconds, id, logprobs, model, tokenIds }: Head, choices: ReadonlyArray<Choice>) => ({
    id,
    object: "chat.completion",
    created: createdSeconds,
    model,
    choices: choices.map((choice) => ({
      index: choice.index,
      message: { role: "assistant", content: choice.pieces.join(""), refusal: null },
      logprobs: logprobs ? scoresOf(choice) : null,
      finish_reason: choice.finishReason,
      ...(tokenIds ? { token_ids: choice.tokens } : {})
    })),
    usage: usageOf(choices),
    ...(tokenIds ? { prompt_token_ids: choices[0]!.promptTokens } : {})
  }),
  opening: (head: Head, index: number) => [
    chunk(head, "chat.completion.chunk", { index, delta: { role: "assistant", content: "" }, finish_reason: null })
  ],
  pieces: (head: Head, choice: Choice) => [
    ...choice.pieces.map((piece, i) =>
      chunk(head, "chat.completion.chunk", {
        index: choice.index,
        delta: { content: piece },
        logprobs: head.logprobs ? scoresOf({ pieces: [piece], logprobs: [choice.logprobs[i]!] }) : null,
        finish_reason: null,
        ...(head.tokenIds ? { token_ids: [choice.tokens[i]!] } : {})
      })
    ),
    chunk(head, "chat.completion.chunk", { index: choice.index, delta: {}, finish_reason: choice.finishReason })
  ],
  usage: (head: Head, choices: ReadonlyArray<Choice>) => ({
    ...chunk(head, "chat.completion.chunk"),
    usage: usageOf(choices)
  })
}

/** `POST /v1/completions`, and its stream. */
export const textShape: Shape = {
  whole: (head, choices) => ({
    ...chunk(head, "text_completion"),
    choices: choices.map((choice) => ({
      index: choice.index,
      text: choice.pieces.join(""),
      logprobs: head.logprobs ? legacyScoresOf(choice) : null,
      finish_reason: choice.finishReason,
      ...(head.tokenIds ? { token_ids: choice.tokens, prompt_token_ids: choice.promptTokens } : {})
    })),
    usage: usageOf(choices)
  }),
  opening: () => [],
  pieces: (head, choice) => {
    let offset = 0
    return choice.pieces.map((piece, i) => {
      const scores = { pieces: [piece], logprobs: [choice.logprobs[i]!] }
      const said = chunk(head, "text_completion", {
        index: choice.index,
        text: piece,
        logprobs: head.logprobs ? legacyScoresOf(scores, offset) : null,
        finish_reason: i + 1 === choice.pieces.length ? choice.finishReason : null,
        ...(head.tokenIds ? { token_ids: [choice.tokens[i]!] } : {})
      })
      offset += piece.length
      return said
    })
  },
  usage: (head, choices) => ({ ...chunk(head, "text_completion"), usage: usageOf(choices) })
}

const chunk = ({ createdSeconds, id, model }: Head, object: string, choice?: object) => ({
  id,
  object,
  created: createdSeconds,
  model,
  choices: choice === undefined ? [] : [choice]
})
