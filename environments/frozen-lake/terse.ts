/**
 * A walk in few words, for small policies.
 *
 * The map comes once, as characters. Every observation repeats what planning needs, although it follows from the map:
 * the way to the goal in rows and columns, and the tiles up, down, left and right of the walker. Without them a policy
 * of two hundred thousand parameters plans right in two of three maps, with them in nearly all.
 * After the first step an observation begins with the step's effect: the direction really moved, or `#` at the edge.
 * A reply is two words, where the walker wants to go and the code that it thinks does it.
 */
import type { Parsed, Prompt, Told } from "../../src/environment.ts"
import { distancesTo, type Lake, moves, steps } from "./lake.ts"
import { codes, isInHole, isOnGoal, isOutOfSteps, type Taken, type Walk } from "./walk.ts"

/** `moves` as words. */
export const directions = ["U", "D", "L", "R"] as const

const offsets = Array.from({ length: 13 }, (_, i) => (i < 6 ? `${i - 6}` : `+${i - 6}`))

/** All words of these views; maps larger than 7 x 7 may need offsets beyond it. */
export const vocabulary: ReadonlyArray<string> = [
  ...directions,
  ...codes.map(String),
  ..."?#GO./P",
  "win",
  "hole",
  "time",
  "bad",
  ...offsets.map((offset) => `v${offset}`),
  ...offsets.map((offset) => `h${offset}`)
]

/** A tile as a word: the start is frozen like any other. */
const word = (tile: string): string => (tile === "H" ? "O" : tile === "G" ? "G" : ".")

const signed = (offset: number): string => (offset < 0 ? `${offset}` : `+${offset}`)

export const systemWords = ({ lake }: Walk): string => {
  let words = ""
  for (let cell = 0; cell < lake.tiles.length; cell++) {
    words += `${word(lake.tiles[cell]!)} `
    if (cell % lake.size === lake.size - 1) words += "/ "
  }
  return `${words}P`
}

export const userWords = (walk: Walk): string => {
  const { lake, at } = walk
  const last = feedbackWords(walk)
  const row = Math.floor(at / lake.size)
  const column = at % lake.size
  let words = last === "" ? "" : `${last} `
  words += `v${signed(Math.floor(lake.goal / lake.size) - row)} h${signed((lake.goal % lake.size) - column)}`
  const to = steps(lake.size)
  for (let move = 0; move < 4; move++) {
    const next = to[4 * at + move]!
    words += next === at ? " #" : ` ${word(lake.tiles[next]!)}`
  }
  return words
}

/** What the last step did; empty before the first. */
export const feedbackWords = ({ lake, taken }: Walk): string => {
  const last = taken.at(-1)
  return last === undefined ? "" : effect(last, lake.size)
}

/** What a step did: a direction, `#`, or `bad` when the answer could not be read. */
const effect = ({ code, from, to }: Taken, size: number): string => {
  if (code === null) return "bad"
  return to === from
    ? "#"
    : directions[
        steps(size)
          .subarray(4 * from, 4 * from + 4)
          .indexOf(to)
      ]!
}

/** Every code with its effect, then `win`, `hole` or `time`. An ending by a bad answer needs no further word. */
export const trajectoryWords = (walk: Walk, codeWords: ReadonlyArray<string>, told: Told = []): string => {
  const words = walk.taken.map((taken, i) =>
    taken.code === null ? "bad" : `${codeWords[taken.code - 1]} ${told[i] ?? effect(taken, walk.lake.size)}`.trimEnd()
  )
  if (isOnGoal(walk)) words.push("win")
  else if (isInHole(walk)) words.push("hole")
  else if (isOutOfSteps(walk)) words.push("time")
  return words.join(" ")
}

/** Two words, the second of them a code. The first is the policy's own thought. */
export const parseWords = (reply: string, codeWords: ReadonlyArray<string>): Parsed<1 | 2 | 3 | 4> => {
  const words = reply.split(" ", 3)
  const code = words.length === 2 && words[0] !== "" ? codes[codeWords.indexOf(words[1]!)] : undefined
  return code === undefined ? { why: `expected a word and one of ${codeWords.join(" ")}` } : { action: code }
}

const contextWords = new Set<string>([...directions, ...codes.map(String), "?", "#"])

/** A context is any list of directions, codes, `?` and `#`. Nothing checks what it means. */
export const parseContext = (reply: string): { readonly context: string } | { readonly why: string } => {
  const words = reply.split(" ").filter((word) => word !== "")
  const stranger = words.find((word) => !contextWords.has(word))
  return stranger === undefined
    ? { context: words.join(" ") }
    : { why: `${JSON.stringify(stranger.slice(0, 20))} is no word of a context` }
}

/** What a reader of a terse solve prompt knows. */
export interface Reading {
  readonly lake: Pick<Lake, "size" | "goal">
  readonly at: number
  /** Moves to the goal from each cell, see `distancesTo`. */
  readonly distances: Int16Array
  /** Code words used so far, each with its effect. */
  readonly effects: ReadonlyArray<readonly [code: string, effect: string]>
}

/** The words of a message inside the frame that the engine puts around it. */
const inside = (content: string): Array<string> => {
  const words = content.split(" ")
  const end = words.indexOf("<ctx>")
  return words.slice(words.lastIndexOf("|") + 1, end < 0 ? undefined : end)
}

export const readSolve = ({ messages }: Prompt): Reading => {
  const system = inside(messages[0]!.content)
  const size = system.indexOf("/")
  const tiles = system.filter((tile) => tile !== "/" && tile !== "P")
  const goal = tiles.indexOf("G")
  const [vertical, horizontal] = inside(messages.at(-1)!.content).slice(-6)
  const row = Math.floor(goal / size) - Number(vertical!.slice(1))
  const column = (goal % size) - Number(horizontal!.slice(1))
  const effects = messages.flatMap(({ role, content }, i) =>
    role === "assistant" ? [[content.split(" ")[1] ?? "", messages[i + 1]!.content.split(" ", 1)[0]!] as const] : []
  )
  const distances = distancesTo(size, (cell) => tiles[cell] === "O", goal)
  return { lake: { size, goal }, at: size * row + column, distances, effects }
}

/** Codes and effects that an update prompt tells of. */
export const readUpdate = ({ messages }: Prompt): Reading["effects"] => {
  const words = inside(messages.map(({ content }) => content).join(" "))
  return words.flatMap((code, i) => (/^[1-4]$/.test(code) ? [[code, words[i + 1] ?? ""] as const] : []))
}

/** A move towards the goal with probability `plan`, any move otherwise; as an index into `moves`. */
export const plan = (
  { lake, at, distances }: Reading,
  probability: number,
  rng: { readonly uniform: () => number; readonly pick: <A>(items: ReadonlyArray<A>) => A }
): number => {
  const all = moves.map((_, move) => move)
  if (rng.uniform() >= probability) return rng.pick(all)
  const away = (move: number): number => distances[steps(lake.size)[4 * at + move]!]!
  const nearest = Math.min(...all.map(away))
  return rng.pick(all.filter((move) => away(move) === nearest))
}
