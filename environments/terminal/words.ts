/** A command line in parts: what may not be in it, its commands, and the words of a command. */

/** Places in a line, outside of quotes, where one of the characters stands. */
const unquoted = (line: string, characters: string): Array<number> => {
  const found: Array<number> = []
  let quote = ""
  for (let i = 0; i < line.length; i++) {
    const character = line[i]!
    if (quote === "" && (character === "'" || character === '"')) quote = character
    else if (quote === character) quote = ""
    else if (quote === "" && characters.includes(character)) found.push(i)
  }
  return found
}

/** The first pipe or redirection outside of quotes. */
export const plumbing = (line: string): string | undefined => line[unquoted(line, "|<>")[0] ?? -1]

export interface Link {
  readonly text: string
  /** Joined to the one before by `&&`: not run after an error. */
  readonly conditional: boolean
}

/** The commands of a line, split at `&&` and `;` outside of quotes. Empty ones are left out. */
export const chain = (line: string): Array<Link> => {
  const links: Array<Link> = []
  let start = 0
  let conditional = false
  const cut = (end: number, next: number, followsIf: boolean) => {
    const text = line.slice(start, end).trim()
    if (text !== "") links.push({ text, conditional })
    start = next
    conditional = followsIf
  }
  for (const i of unquoted(line, ";&")) {
    if (line[i] === ";") cut(i, i + 1, false)
    else if (i >= start && line[i + 1] === "&") cut(i, i + 2, true)
  }
  cut(line.length, line.length, false)
  return links
}

const blanks = " \t\r\n"

/**
 * The words of a command by POSIX rules; undefined when a quote is not closed. On Windows (`keepQuotes`) quotes stay part
 * of the word, although they hold it together, and a backslash is a letter like any other: so quoted paths fail there.
 */
export const words = (text: string, keepQuotes: boolean): ReadonlyArray<string> | undefined => {
  const found: Array<string> = []
  let word: string | undefined
  let quote = ""
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!
    const next = text[i + 1]
    if (quote === "" && blanks.includes(character)) {
      if (word !== undefined) found.push(word)
      word = undefined
    } else if (quote === "" ? character === "'" || character === '"' : character === quote) {
      quote = quote === "" ? character : ""
      word = (word ?? "") + (keepQuotes ? character : "")
    } else if (
      character === "\\" &&
      !keepQuotes &&
      next !== undefined &&
      (quote === "" || (quote === '"' && (next === '"' || next === "\\")))
    ) {
      word = (word ?? "") + next
      i++
    } else word = (word ?? "") + character
  }
  if (quote !== "") return undefined
  return word === undefined ? found : [...found, word]
}

/** Flags and the rest of the words. `valued` flags take the word after them. */
export const flagsOf = (args: ReadonlyArray<string>, valued: ReadonlyArray<string> = []) => {
  const operands: Array<string> = []
  let letters = ""
  const values = new Map<string, string>()
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!
    if (valued.includes(word) && i + 1 < args.length) values.set(word, args[++i]!)
    else if (word.startsWith("--")) letters += longFlags[word] ?? ""
    else if (word.startsWith("-") && word !== "-") letters += word.slice(1)
    else operands.push(word)
  }
  return { letters, operands, values }
}

/** Long flags by the letter that says the same; all others are ignored. */
const longFlags: Record<string, string> = {
  "--all": "a",
  "--parents": "p",
  "--recursive": "r",
  "--force": "f",
  "--create": "c",
  "--extract": "x",
  "--get": "x",
  "--list": "t",
  "--gzip": "z",
  "--decompress": "d"
}
