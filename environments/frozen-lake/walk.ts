/**
 * One walk over a lake: the machine's data, the pure functions that change it, and the parts that both FrozenLake
 * machines are put together from. They differ in what a malformed answer does, and in who knows the mapping.
 */
import { assign, setup } from "xstate"
import type { Ending, EnvironmentEvent, Rng, Start } from "../../src/environment.ts"
import { type Lake, lakeOf, type Move, moves, steps } from "./lake.ts"
import type { LakeOptions, LakeTask } from "./options.ts"

/** What an agent answers: 1 to 4, a place in the mapping. */
export type Code = 1 | 2 | 3 | 4
export const codes: ReadonlyArray<Code> = [1, 2, 3, 4]

/** The move that each code stands for. */
export type Mapping = readonly [Move, Move, Move, Move]

/** One step taken. An answer that could not be read has no code but a reason, and leaves the walker where it is. */
export type Taken =
  | { readonly code: Code; readonly from: number; readonly to: number }
  | { readonly code: null; readonly from: number; readonly to: number; readonly why: string }

export interface Walk {
  readonly lake: Lake
  /** Hidden where the environment says so. */
  readonly mapping: Mapping
  readonly slippery: boolean
  readonly stepCap: number
  readonly at: number
  readonly taken: ReadonlyArray<Taken>
}

export const begin = (options: LakeOptions, task: LakeTask, mapping: Mapping): Walk => {
  const lake = lakeOf(task.map)
  return { lake, mapping, slippery: options.slippery, stepCap: options.stepCap, at: lake.start, taken: [] }
}

/** Takes the step that a code stands for. Off the edge one stays, and the step is spent. */
export const take = (walk: Walk, code: Code, rng: Rng): Walk => {
  const intended = moves.indexOf(walk.mapping[code - 1]!)
  const move = walk.slippery ? slip(intended, rng) : intended
  const to = steps(walk.lake.size)[4 * walk.at + move]!
  return { ...walk, at: to, taken: [...walk.taken, { code, from: walk.at, to }] }
}

/** On slippery ice a third of the moves go as intended and a third to either side. */
const slip = (intended: number, rng: Rng): number => {
  const side = rng.int(0, 2)
  return side === 2 ? intended : intended < 2 ? 2 + side : side
}

/** Spends a step on an answer that could not be read. */
export const waste = (walk: Walk, why: string): Walk => ({
  ...walk,
  taken: [...walk.taken, { code: null, from: walk.at, to: walk.at, why }]
})

export const isOnGoal = (walk: Walk): boolean => walk.at === walk.lake.goal
export const isInHole = (walk: Walk): boolean => walk.lake.tiles[walk.at] === "H"
export const isOutOfSteps = (walk: Walk): boolean => walk.taken.length >= walk.stepCap

/** What the machines of both environments have in common, for hidden knowledge `K` and tasks `T`. */
export const walkSetup = <K, T extends LakeTask = LakeTask>() =>
  setup({
    types: {} as {
      context: Walk
      events: EnvironmentEvent<Code>
      input: Start<LakeOptions, K, T, undefined>
      output: Ending
    },
    guards: {
      onGoal: ({ context }) => isOnGoal(context),
      inHole: ({ context }) => isInHole(context),
      outOfSteps: ({ context }) => isOutOfSteps(context)
    },
    actions: {
      take: assign(({ context, event }) =>
        event.type === "answer" ? take(context, event.action, event.rng) : context
      ),
      waste: assign(({ context, event }) => (event.type === "malformed" ? waste(context, event.why) : context))
    }
  })

/** Where a walk may have led after a step, best news first. */
export const arrivals = [
  { guard: "onGoal", target: "onGoal" },
  { guard: "inHole", target: "inHole" },
  { guard: "outOfSteps", target: "outOfSteps" }
] as const

const ending = (outcome: Ending["outcome"]) => {
  const success = outcome === "success"
  return { type: "final", output: { success, reward: success ? 1 : 0, outcome } } as const
}

/** The final states, each with its ending. */
export const endings = {
  onGoal: ending("success"),
  inHole: ending("failure"),
  outOfSteps: ending("truncated")
} as const

/** The final state of an environment that ends at an answer it can't read. */
export const misread = ending("malformed")
