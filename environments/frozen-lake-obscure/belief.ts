/**
 * What can be believed about a mapping, exactly.
 *
 * Everything a walk shows is about one direction at a time ("2 moved me right", "3 met the edge, so it is up or left"),
 * so the mappings still possible are always those that pick each direction's move from a set of its own. Four sets of
 * four bits therefore say as much as 24 bits for the 24 mappings, and they can be read by people.
 */
import { type Move, moves } from "../frozen-lake/lake.ts"
import { codes, type Mapping } from "../frozen-lake/walk.ts"
import { mappings } from "./mapping.ts"

/** For directions 1 to 4 the moves they may still make: bit `m` stands for `moves[m]`. Each bit belongs to a possible mapping. */
export type Belief = readonly [number, number, number, number]

export const nothingKnown: Belief = [15, 15, 15, 15]

const mappingMoves = mappings.map((mapping) => mapping.map((move) => moves.indexOf(move)))

/** The mappings, each as four indexes into `moves`, that the sets allow. */
export const possible = (sets: Belief) =>
  mappingMoves.filter((mapping) => mapping.every((move, direction) => ((sets[direction]! >> move) & 1) === 1))

/** Drops from the sets what no mapping allows; undefined when no mapping is left. */
export const consistent = (sets: Belief): Belief | undefined => {
  const left = possible(sets)
  if (left.length === 0) return undefined
  const union = (direction: number) => left.reduce((bits, mapping) => bits | (1 << mapping[direction]!), 0)
  return [union(0), union(1), union(2), union(3)]
}

/** What both tell; undefined when they contradict each other. */
export const both = (a: Belief, b: Belief): Belief | undefined =>
  consistent([a[0] & b[0], a[1] & b[1], a[2] & b[2], a[3] & b[3]])

const oneOf = (names: ReadonlyArray<Move>): string =>
  names.length === 1 ? names[0]! : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`

/** One line a direction, such as `- Direction 2 is Up or Left.` */
export const written = (belief: Belief): string =>
  codes
    .map((code) => `- Direction ${code} is ${oneOf(moves.filter((_, move) => (belief[code - 1]! >> move) & 1))}.`)
    .join("\n")

/** Reads such lines out of any text; directions without a line may be anything, and so may all when the lines contradict. */
export const readBelief = (text: string): Belief => {
  const sets: [number, number, number, number] = [15, 15, 15, 15]
  for (const [, code, names] of text.matchAll(/Direction ([1-4]) is ([A-Za-z, ]{2,60})\./g)) {
    const bits = moves.reduce((bits, move, m) => (names!.includes(move) ? bits | (1 << m) : bits), 0)
    if (bits !== 0) sets[Number(code) - 1]! &= bits
  }
  return consistent(sets) ?? nothingKnown
}

const moved = /Direction ([1-4]) moved you from \((\d+), (\d+)\) to \((\d+), (\d+)\)/g
const blocked = /Direction ([1-4]) left you at \((\d+), (\d+)\)/g

/** What the feedback in a text shows, on a lake of that size. */
export const readFeedback = (text: string, size: number): Belief => {
  const sets: [number, number, number, number] = [15, 15, 15, 15]
  for (const [, code, row, column, nextRow, nextColumn] of text.matchAll(moved)) {
    const move = nextRow !== row ? (Number(nextRow) < Number(row) ? 0 : 1) : Number(nextColumn) < Number(column) ? 2 : 3
    sets[Number(code) - 1]! &= 1 << move
  }
  for (const [, code, row, column] of text.matchAll(blocked)) {
    const last = size - 1
    const edges =
      (Number(row) === 0 ? 1 : 0) |
      (Number(row) === last ? 2 : 0) |
      (Number(column) === 0 ? 4 : 0) |
      (Number(column) === last ? 8 : 0)
    sets[Number(code) - 1]! &= edges
  }
  return consistent(sets) ?? nothingKnown
}

/** The lines of one who knows the mapping. Null: every task has its own. */
export const hintsOf = (mapping: Mapping | null): string =>
  mapping === null
    ? "The directions change their meaning from task to task."
    : codes.map((code) => `- Direction ${code} is ${mapping[code - 1]}.`).join("\n")
