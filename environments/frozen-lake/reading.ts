/** What the scripted agents make of a chat prompt: the lake as the last observation shows it. */
import type { Prompt } from "../../src/environment.ts"
import { symbols } from "./chat.ts"
import { distancesTo, steps } from "./lake.ts"

export interface Reading {
  readonly size: number
  readonly at: number
  readonly goal: number
  readonly isHole: (cell: number) => boolean
  readonly stepsLeft: number
}

const rowsOfMap = /^(?: \S \t)+$/gm

/** Edge length of the first map in a text; 0 when there is none. */
export const sizeIn = (text: string): number => (/^(?: \S \t)+$/m.exec(text)?.[0].length ?? 0) / 4

export const read = ({ messages }: Prompt): Reading => {
  const text = messages.at(-1)!.content
  const [, step, stepCap] = /^Step (\d+)\/(\d+)/m.exec(text)!
  const cells = text.match(rowsOfMap)!.join("").replace(/\s/g, "")
  return {
    size: sizeIn(text),
    at: cells.indexOf(symbols.player),
    goal: cells.indexOf(symbols.goal),
    isHole: (cell) => cells[cell] === symbols.hole,
    stepsLeft: Number(stepCap) - Number(step) + 1
  }
}

/** The first move, as an index into `moves`, of a shortest path to the goal. */
export const shortest = ({ size, at, goal, isHole }: Reading): number => {
  const distances = distancesTo(size, isHole, goal)
  const to = steps(size)
  let best = 0
  for (let move = 1; move < 4; move++) {
    if (distances[to[4 * at + move]!]! < distances[to[4 * at + best]!]!) best = move
  }
  return best
}
