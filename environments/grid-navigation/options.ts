/** The options, hidden knowledge and tasks of Grid Navigation, as schemas. */
import { Schema } from "effect"
import { int, intRange, memoryOption, option, range } from "../option.ts"

const Scale = range(0.01, 10)

export const Options = Schema.Struct({
  size: option(intRange(2, 40), [12, 16], "Lowest and highest edge length of the map, drawn per pack"),
  hills: option(int(1, 100), 6, "How many Gaussian hills make the costs"),
  scale: option(Scale, [0.1, 0.35], "Lowest and highest scale of a hill, as a share of the edge"),
  rounds: option(intRange(1, 100), [6, 10], "Fewest and most rounds, drawn per task"),
  revealRadius: option(int(0, 40), 1, "How far around an entered cell costs are revealed, diagonals included"),
  memory: memoryOption("the revealed map")
})
export type Options = typeof Options.Type

/** The published sets that are drawn alike but for sizes. */
export const presets = {
  train: { size: [8, 12], hills: 4, scale: [0.1, 0.35], rounds: [4, 6], revealRadius: 2 },
  hard: { size: [10, 14], hills: 5, scale: [0.15, 0.45], rounds: [3, 5], revealRadius: 1 },
  "27b": { size: [8, 12], hills: 4, scale: [0.15, 0.45], rounds: [3, 5], revealRadius: 1 }
} as const

const Row = Schema.Array(int(0, 99))

/** `{ "costs": [[5, 10], [0, 50]] }`: the cost of entering each cell, row by row. */
export const Knowledge = Schema.Struct({
  costs: Schema.Array(Row)
    .annotate({ description: "The cost of entering each cell, 0 to 99, row by row" })
    .check(
      Schema.makeFilter((rows) =>
        rows.length > 0 && rows[0]!.length > 0 && rows.every((row) => row.length === rows[0]!.length)
          ? undefined
          : "Expected rows of equal length"
      )
    )
})
export type Knowledge = typeof Knowledge.Type

const Cell = Schema.Tuple([int(0, 999), int(0, 999)]).annotate({ description: "[row, column], from 0" })

/** `{ "start": [0, 0], "goal": [2, 2], "rounds": 2 }`. */
export const Task = Schema.Struct({
  start: Cell,
  goal: Cell,
  rounds: int(1, 1000),
  seed: Schema.optionalKey(Schema.Int)
})
export type Task = typeof Task.Type
