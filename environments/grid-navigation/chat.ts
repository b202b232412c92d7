/** A journey in words for language models. These texts are all that the scripted agents see: `reading.ts` changes with them. */
import { answerBlock } from "../../src/environment.ts"
import { type Cell, isOnGoal, isOver, type Journey, type Known, loss } from "./journey.ts"

const place = (cell: Cell): string => `(${cell[0]}, ${cell[1]})`

export const system = ({
  costs,
  radius,
  task
}: Journey): string => `You travel over a grid of ${costs.length} x ${costs[0]!.length} cells and want to be on the target cell after the last round, having entered cheap cells.

## Costs
- Entering a cell costs a fixed whole number from 0 to 99. Costs of cells not yet revealed are unknown, shown as ?.
- Whenever you enter a cell, all cells within ${radius} of it, diagonals included, are revealed.
- All tasks of the stream are on the same map: what has been observed stays true in later tasks.

## Rules
- Cells are (row, column), counted from (0, 0) at the top left.
- There are exactly ${task.rounds} rounds. In each you must move to a different cell of the same row or the same column.
- You enter every cell that you cross and the destination, not the cell you leave. A cell entered again is paid again.
- Passing over or resting on the target before the last round does not end the task.
- An answer that is not such a move ends the task with reward 0.

## Reward
- On the target after the last round: 1 - loss. Anywhere else: 0.
- The loss is the MEAN cost of the cells entered, divided by 100. As it is a mean, extra cheap cells lower it, and detours through expensive cells raise it.
- Early in the stream explore broadly, for the sake of later tasks; later exploit what is known.

## Answer
Reason briefly, then give the cell to move to as row,column, like this: ${answerBlock.write("3,5")}.`

const label = (index: number): string => (index < 10 ? `  ${index}` : ` ${index}`)
const labels = Array.from({ length: 1000 }, (_, index) => label(index))

/** Rows of costs under labels; `?` where nothing is known. */
export const map = (known: Known): string =>
  known.reduce((text, row, r) => `${text}\n${labels[r]}${rowText(row)}`, header(known[0]!.length))

const header = (columns: number): string => (headers[columns] ??= `   ${labels.slice(0, columns).join("")}`)
const headers: Array<string> = []

/** Most rows do not change from one observation to the next. */
const rowText = (row: Known[number]): string => {
  let text = rowTexts.get(row)
  if (text === undefined) {
    text = row.map((cost) => (cost === null ? "  ?" : labels[cost])).join("")
    rowTexts.set(row, text)
  }
  return text
}
const rowTexts = new WeakMap<Known[number], string>()

/** On the last move; empty before the first. */
export const stepFeedback = (journey: Journey): string => {
  const { at, entered, from, why } = journey
  if (why !== undefined) return `Your answer was not a legal move: ${why}. The task is over.`
  if (entered.length === 0) return ""
  let cells = ""
  for (const { cell, cost } of entered) cells += `${cells === "" ? "" : ", "}${place(cell)} cost ${cost}`
  return `You moved from ${place(from)} to ${place(at)} and entered ${cells}. Loss so far: ${loss(journey).toFixed(4)} over ${journey.total.cells} cells.`
}

export const user = (journey: Journey): string => {
  const { at, round, task } = journey
  const feedback = round > 0 ? `${stepFeedback(journey)}\n` : ""
  return `Round ${round + 1}/${task.rounds}\n${feedback}You are at ${place(at)}. The target is ${place(task.goal)}.\nMap:\n${map(journey.known)}`
}

const ending = (journey: Journey): string => {
  if (journey.why !== undefined || !isOver(journey)) return ""
  const by = `loss ${loss(journey).toFixed(4)}, reward ${(1 - loss(journey)).toFixed(4)}`
  return isOnGoal(journey)
    ? `You are on the target after the last round: ${by}.`
    : `You are at ${place(journey.at)} after the last round, not on the target ${place(journey.task.goal)}: reward 0.`
}

export const endFeedback = (journey: Journey): string =>
  [stepFeedback(journey), ending(journey), `Observed map:\n${map(journey.known)}`]
    .filter((part) => part !== "")
    .join("\n")

export const finalState = (journey: Journey): string =>
  `Position: ${place(journey.at)}\nTarget: ${place(journey.task.goal)}\nLoss: ${loss(journey).toFixed(4)}\nMap:\n${map(journey.known)}`
