/** What the scripted agents make of chat prompts and contexts: the journey so far and the costs that are known. */
import type { Prompt } from "../../src/environment.ts"
import { map } from "./chat.ts"
import type { Cell, Known } from "./journey.ts"
import type { Knowledge } from "./options.ts"

export interface Reading {
  readonly rows: number
  readonly columns: number
  readonly at: Cell
  readonly goal: Cell
  readonly roundsLeft: number
  /** Sum of the costs paid, and of how many cells. */
  readonly paid: { readonly costs: number; readonly cells: number }
}

const two = (match: RegExpExecArray): Cell => [Number(match[1]), Number(match[2])]

export const read = ({ messages }: Prompt): Reading => {
  const [rows, columns] = two(/grid of (\d+) x (\d+) cells/.exec(messages[0]!.content)!)
  const text = messages.findLast(({ role }) => role === "user")!.content
  const [round, rounds] = two(/^Round (\d+)\/(\d+)/m.exec(text)!)
  const paid = /Loss so far: ([\d.]+) over (\d+) cells/.exec(text)
  const cells = Number(paid?.[2] ?? 0)
  return {
    rows,
    columns,
    at: two(/You are at \((\d+), (\d+)\)\. The/.exec(text)!),
    goal: two(/The target is \((\d+), (\d+)\)/.exec(text)!),
    roundsLeft: rounds - round + 1,
    paid: { costs: Math.round(100 * cells * Number(paid?.[1] ?? 0)), cells }
  }
}

/** A line of column labels, then labelled lines of costs. */
const table = /^ {2,3}(?: +\d+)+\n(?: {1,2}\d+(?: +(?:\d+|\?))+(?:\n|$))+/gm

/** The last map in a text; undefined when there is none. */
export const costsIn = (text: string): Known | undefined => {
  const [, ...lines] = text.match(table)?.at(-1)?.trimEnd().split("\n") ?? []
  if (lines.length === 0) return undefined
  const rows = lines.map((line) =>
    line
      .trim()
      .split(/ +/)
      .slice(1)
      .map((cost) => (cost === "?" ? null : Number(cost)))
  )
  return rows.every((row) => row.length === rows[0]!.length) ? rows : undefined
}

/** What both tell. The first is right where they contradict each other, or when they are not of one size. */
export const both = (first: Known | undefined, second: Known | undefined): Known | undefined => {
  if (first === undefined) return second
  if (second?.length !== first.length || second[0]!.length !== first[0]!.length) return first
  return first.map((row, r) => row.map((cost, c) => cost ?? second[r]![c]!))
}

/** Known costs as hints, in the form in which prompts show them. */
export const written = (known: Known): string =>
  `Known costs of entering cells, by row and column (? is unknown):\n${map(known)}`

/** Everything, for the oracle context. */
export const describe = ({ costs }: Knowledge): string => written(costs)
