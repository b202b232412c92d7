/** The walk through a pack: solve 0, update 0, solve 1, ... and no update after the last task (specification, section 4). */
import { assign, setup } from "xstate"
import type { EpisodeKind, Outcome, Style } from "../environment.ts"
import type { UpdatePenalty } from "./reward.ts"
import { transitions } from "./transition.ts"

/** What of a reply stands in the later prompts of its episode (specification, section 8). */
export type Compression = "keep_all" | "remove_think" | "keep_answer"

/** How lifecycles are lived. */
export interface Settings {
  readonly style: Style
  /** Sampling temperature, at least 0. */
  readonly temperature: number
  /** Most tokens of one reply in `chat` style; `terse` environments bring their own caps. */
  readonly maxTokens: number
  /** Advisory limit told to the agent in `chat` style. */
  readonly tokenLimit?: number
  /** Engine's cap on the steps of an episode, for environments that never end by themselves. */
  readonly maxSteps: number
  /** In `chat` style. */
  readonly compression: Compression
  /** What becomes of the context when a reply of an update episode cannot be read. */
  readonly onParseFailure: "fallback" | "keep"
  /** Prompts of update episodes show an example of their form, in `chat` style; absent: they do not. */
  readonly updateExample?: boolean
  readonly updatePenalty: UpdatePenalty
  /** Of the total reward. */
  readonly rewardDecay: number
  /** Who scores what the environment's rules do not reach, as given on the command line; absent: its rules do. */
  readonly judge?: string
  /** Wall time of one model call. */
  readonly replyMillis: number
  /** Wall time of one call of an environment. */
  readonly environmentMillis: number
}

export const defaultSettings: Settings = {
  style: "chat",
  temperature: 1,
  maxTokens: 2000,
  maxSteps: 1000,
  compression: "keep_all",
  onParseFailure: "fallback",
  updatePenalty: { coefficient: 0.1 },
  rewardDecay: 1,
  replyMillis: 300_000,
  environmentMillis: 30_000
}

/** Outcomes that end a lifecycle: nobody knows how its episode would have gone. */
export type Fault = Extract<Outcome, "timeout" | "error">

export const isFault = (outcome: Outcome): outcome is Fault => outcome === "timeout" || outcome === "error"

export interface Walk {
  readonly position: number
  readonly packSize: number
  /** Shaped rewards of the tasks solved so far. */
  readonly rewards: ReadonlyArray<number>
}

export type LifecycleEvent =
  | { readonly type: "solved"; readonly reward: number }
  | { readonly type: "updated" }
  | { readonly type: "lost" }

const machine = setup({
  types: {} as { context: Walk; events: LifecycleEvent; input: { packSize: number } },
  actions: {
    solve: (_asked, _params: { position: number }) => {},
    update: (_asked, _params: { position: number }) => {}
  },
  guards: { atLast: ({ context }) => context.position + 1 === context.packSize }
}).createMachine({
  id: "lifecycle",
  context: ({ input }) => ({ position: 0, packSize: input.packSize, rewards: [] }),
  initial: "solving",
  on: { lost: ".lost" },
  states: {
    solving: {
      entry: { type: "solve", params: ({ context }) => ({ position: context.position }) },
      on: {
        solved: [
          {
            guard: "atLast",
            target: "finished",
            actions: assign({ rewards: ({ context, event }) => [...context.rewards, event.reward] })
          },
          {
            target: "updating",
            actions: assign({ rewards: ({ context, event }) => [...context.rewards, event.reward] })
          }
        ]
      }
    },
    updating: {
      entry: { type: "update", params: ({ context }) => ({ position: context.position }) },
      on: { updated: { target: "solving", actions: assign({ position: ({ context }) => context.position + 1 }) } }
    },
    finished: { type: "final" },
    lost: { type: "final" }
  }
})

export const lifecycleMachine = machine
export const lifecycle = transitions(machine)

/** The episode that the lifecycle wants next; undefined when it is over. */
export const wantedEpisode = (
  asked: ReturnType<typeof lifecycle.transition>[1]
): { readonly type: EpisodeKind; readonly params: { readonly position: number } } | undefined => asked[0] as never
