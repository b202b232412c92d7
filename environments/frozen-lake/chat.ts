/**
 * A walk in words for language models, for both environments: what they call an action is handed in as `name`.
 *
 * These texts are also all that the scripted agents see, so `reading.ts` changes with them.
 */
import type { Lake } from "./lake.ts"
import { type Code, isInHole, isOnGoal, isOutOfSteps, type Walk } from "./walk.ts"

/** What an action is called in prompts. */
export type Name = (code: Code) => string

export const symbols = { player: "P", frozen: "_", hole: "O", goal: "G", fallen: "X", arrived: "√" } as const

/** The rules that hold in both environments. */
export const rules = ({
  lake,
  slippery
}: Walk): string => `You are on a frozen lake, a grid of ${lake.size} x ${lake.size} tiles, and want to reach the goal without falling into a hole.

## Symbols
- ${symbols.player}: you
- ${symbols.frozen}: frozen tile, safe to walk on (your starting tile is one too)
- ${symbols.hole}: hole
- ${symbols.goal}: goal
- ${symbols.fallen}: you, fallen into a hole
- ${symbols.arrived}: you, on the goal

## Rules
- Positions are (row, column), counted from (0, 0) at the top left.
- There are four actions. Each moves you by one tile up, down, left or right.
- A move off the edge of the grid leaves you where you are; the step is spent all the same.
- Stepping into a hole or onto the goal ends the task.${
  slippery ? "\n- The ice is slippery: two moves in three go to one side of where you meant to go." : ""
}

## Reward
- Reaching the goal: 1
- Falling into a hole, or running out of steps: 0`

/** One row a line; every cell a symbol between spaces, and a tab. */
export const board = ({ lake, at }: Walk): string => {
  const { size, tiles } = lake
  let rows = ""
  for (let cell = 0; cell < tiles.length; cell++) {
    if (cell > 0 && cell % size === 0) rows += "\n"
    rows += cell === at ? player[tiles[cell]!] : ground[tiles[cell]!]
  }
  return rows
}
const ground: Record<string, string> = {
  S: ` ${symbols.frozen} \t`,
  F: ` ${symbols.frozen} \t`,
  H: ` ${symbols.hole} \t`,
  G: ` ${symbols.goal} \t`
}
const player: Record<string, string> = {
  S: ` ${symbols.player} \t`,
  F: ` ${symbols.player} \t`,
  H: ` ${symbols.fallen} \t`,
  G: ` ${symbols.arrived} \t`
}

const place = ({ size }: Lake, cell: number): string => `(${Math.floor(cell / size)}, ${cell % size})`

/** On the last step; empty before the first. */
export const stepFeedback = ({ lake, taken }: Walk, name: Name): string => {
  const last = taken.at(-1)
  if (last === undefined) return ""
  if (last.code === null) return `Your last action was invalid, you stayed at ${place(lake, last.to)}: ${last.why}.`
  return last.from === last.to
    ? `${name(last.code)} left you at ${place(lake, last.to)}, probably because of the edge.`
    : `${name(last.code)} moved you from ${place(lake, last.from)} to ${place(lake, last.to)}.`
}

export const observation = (walk: Walk, name: Name): string => {
  const { lake, taken, stepCap } = walk
  const feedback = taken.length > 0 ? `${stepFeedback(walk, name)}\n` : ""
  const goal = `row ${Math.floor(lake.goal / lake.size)}, column ${lake.goal % lake.size}`
  return `Step ${taken.length + 1}/${stepCap}\n${feedback}Map:\n${board(walk)}\nThe goal is at ${goal}.`
}

/** On the episode: the last step, then how it all ended. */
export const endFeedback = (walk: Walk, name: Name): string => {
  const used = `${walk.taken.length} of ${walk.stepCap} steps`
  const end = isOnGoal(walk)
    ? `You reached the goal in ${used}.`
    : isInHole(walk)
      ? "You fell into a hole."
      : isOutOfSteps(walk)
        ? `You ran out of steps: ${used} used.`
        : ""
  return `${stepFeedback(walk, name)} ${end}`.trim()
}
