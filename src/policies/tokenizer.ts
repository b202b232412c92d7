/** Text to tokens and back, by a policy folder's `tokenizer.json` and `tokenizer_config.json`. */
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers"
import { Result } from "effect"

/** The two files, as JSON. */
export interface TokenizerFiles {
  readonly tokenizer: object
  readonly tokenizerConfig: object
  /** `chat_template.jinja`, where the template has a file of its own. */
  readonly chatTemplate?: string
}

export interface Tokenizer {
  /** Adds no tokens of its own; names of special tokens in the text become those tokens. */
  readonly encode: (text: string) => ReadonlyArray<number>
  /** Special tokens and numbers without a token are passed over; spaces stay as they are. */
  readonly decode: (tokens: ReadonlyArray<number>) => string
  /** The largest token and one. */
  readonly vocabularySize: number
  /** Ends a reply (`eos_token`). */
  readonly end: number
  /** All tokens that end a reply, `end` first: a folder may name several. */
  readonly ends: ReadonlyArray<number>
  /** Fills up sequences; `end` where the folder names none. */
  readonly pad: number
}

/** What is wrong with one of the two files. */
export interface TokenizerComplaint {
  readonly file: "tokenizer.json" | "tokenizer_config.json" | "chat_template.jinja"
  readonly field?: string
  readonly value: unknown
  readonly expected: string
}

/** What we use of the library, whose own types don't resolve under this module setting. */
interface Library {
  readonly encode: (text: string, options: { readonly add_special_tokens: boolean }) => { readonly ids: Array<number> }
  readonly decode: (tokens: ReadonlyArray<number>) => string
  readonly token_to_id: (token: string) => number | undefined
  readonly get_added_tokens_decoder: () => ReadonlyMap<number, { readonly special: boolean }>
  readonly model: { readonly vocab: ReadonlyArray<string | undefined> }
}

/** @param otherEnds tokens that end a reply beside `eos_token`, as `generation_config.json` names them */
export const openTokenizer = (
  files: TokenizerFiles,
  otherEnds: ReadonlyArray<number> = []
): Result.Result<Tokenizer, TokenizerComplaint> =>
  Result.gen(function* () {
    const library = yield* Result.try({
      // Unless told so the library drops spaces before punctuation when it decodes.
      try: (): Library =>
        new HuggingFaceTokenizer(files.tokenizer, { ...files.tokenizerConfig, clean_up_tokenization_spaces: false }),
      catch: (thrown): TokenizerComplaint => ({
        file: "tokenizer.json",
        value: "not usable",
        expected: `a tokenizer (${thrown instanceof Error ? thrown.message : String(thrown)})`
      })
    })
    const { vocab } = library.model
    const end = yield* specialToken(library, files.tokenizerConfig, "eos_token")
    const pad = yield* specialToken(library, files.tokenizerConfig, "pad_token")
    if (end === undefined) {
      return yield* Result.fail<TokenizerComplaint>({
        file: "tokenizer_config.json",
        field: "eos_token",
        value: undefined,
        expected: "the token that ends a reply"
      })
    }
    const silent = new Set(
      [...library.get_added_tokens_decoder()].flatMap(([id, { special }]) => (special ? [id] : []))
    )
    return {
      encode: remembering((text: string): ReadonlyArray<number> =>
        text === "" ? [] : library.encode(text, { add_special_tokens: false }).ids
      ),
      decode: (tokens) => {
        const spoken = tokens.filter((token) => vocab[token] !== undefined && !silent.has(token))
        return spoken.length === 0 ? "" : library.decode(spoken)
      },
      vocabularySize: vocab.length,
      end,
      ends: [...new Set([end, ...otherEnds])],
      pad: pad ?? end
    } satisfies Tokenizer
  })

/** Texts whose tokens are remembered, and how long they may be: the observations of small environments recur. */
const rememberedTexts = 4096
const rememberedLength = 200

const remembering = <A>(of: (text: string) => A): ((text: string) => A) => {
  const known = new Map<string, A>()
  return (text) => {
    const before = known.get(text)
    if (before !== undefined) return before
    const found = of(text)
    if (known.size === rememberedTexts) known.clear()
    if (text.length <= rememberedLength) known.set(text, found)
    return found
  }
}

/** A token that `tokenizer_config.json` names, as text or as an object with its text; undefined where it names none. */
const specialToken = (
  library: Library,
  config: object,
  field: "eos_token" | "pad_token"
): Result.Result<number | undefined, TokenizerComplaint> => {
  const named = (config as Record<string, unknown>)[field] ?? undefined
  if (named === undefined) return Result.succeed(undefined)
  const text = typeof named === "object" ? (named as { readonly content?: unknown }).content : named
  const id = typeof text === "string" ? library.token_to_id(text) : undefined
  return id === undefined
    ? Result.fail({ file: "tokenizer_config.json", field, value: named, expected: "a token of tokenizer.json" })
    : Result.succeed(id)
}
