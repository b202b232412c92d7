/**
 * The tokenizer of small policies: every word of the `terse` style is one token, and anything else is spelt in bytes.
 *
 * A token stands for a word together with the space before it, and the normaliser puts a space in front of every text.
 * So texts that are joined by one space have their tokens joined by nothing, and a message can be tokenised once and
 * used in any prompt. Every well-formed Unicode text comes back from its tokens exactly, spaces and all, unless the name
 * of a special token (`<pad>`, `<end>`) is in it.
 *
 * Only parts that the Rust library and this language's read alike: a space as the mark of a word start rather than
 * Metaspace, which here does not split, and a pattern rather than the split behaviours, of which here there are two.
 */
import type { TokenizerFiles } from "./tokenizer.ts"

/** `<pad>` is token 0, `<end>` token 1. */
const special = ["<pad>", "<end>"]

/** What the engine puts around the views of an environment. */
const frame = ["<solve>", "<update>", "|", "<ctx>"]

const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)

/**
 * Builds the files.
 *
 * @param words in the order in which they get their tokens; repeated ones count once. None may be empty or contain a
 *   space or the name of a special token, which is an error of the environment that declares it.
 */
export const wordTokenizer = (words: Iterable<string>): TokenizerFiles => {
  const distinct = [...new Set([...frame, ...words])]
  for (const word of distinct) {
    if (word === "" || word.includes(" ") || special.some((name) => word.includes(name))) {
      throw new TypeError(`${JSON.stringify(word)} can't be a word of a vocabulary: it would not be one token`)
    }
  }
  const tokens = [...special, ...distinct.map((word) => ` ${word}`), ...bytes]
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: special.map((content, id) => ({
        id,
        content,
        single_word: false,
        // The spaces around it are no text.
        lstrip: true,
        rstrip: true,
        normalized: false,
        special: true
      })),
      normalizer: { type: "Prepend", prepend: " " },
      pre_tokenizer: { type: "Split", pattern: { Regex: " [^ ]*" }, behavior: "Isolated", invert: false },
      post_processor: null,
      decoder: {
        type: "Sequence",
        decoders: [{ type: "ByteFallback" }, { type: "Fuse" }, { type: "Strip", content: " ", start: 1, stop: 0 }]
      },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: true,
        ignore_merges: true,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: []
      }
    },
    tokenizerConfig: {
      tokenizer_class: "PreTrainedTokenizerFast",
      eos_token: "<end>",
      pad_token: "<pad>",
      clean_up_tokenization_spaces: false,
      chat_template: "{{ messages | selectattr('content') | map(attribute='content') | join(' ') }}"
    }
  }
}
