/** Feedback on steps that is told otherwise than it is, or not at all, wherever an agent reads it. */
import type { Environment, Told } from "../environment.ts"
import { beside, ownOf, type Turn, type World } from "./operator.ts"

/** What is told instead of the feedback on a step, in each style; empty for nothing. */
export interface Tale {
  readonly chat: string
  readonly terse: string
}

interface Tales {
  /** On the last step; null where the truth is told. */
  readonly last: Tale | null
  /** On each step, in terse words. */
  readonly told: ReadonlyArray<string | null>
}

/** The truth is replaced in whole lines where it is told as nothing. */
const replaced = (text: string, truth: string, told: string): string => {
  if (truth === "") return text
  if (told !== "") return text.replace(truth, () => told)
  return text.includes(`${truth}\n`) ? text.replace(`${truth}\n`, "") : text.replace(truth, "").trim()
}

/**
 * The environment with feedback retold. `tell` says after each answer what is told of it, null for the truth. A terse style
 * that does not say which words are feedback can't be retold: it is left out, and the demonstrations with it.
 */
export const retold = (
  environment: Environment,
  key: string,
  tell: (turn: Turn & { readonly event: { readonly type: "answer" } }) => Tale | null
): Environment => {
  const { chat, demonstrate, feedback, machine, terse, ...rest } = environment
  const after = ({ told }: Tales, turn: Turn): Tales => {
    const last = turn.event.type === "answer" ? tell(turn as Parameters<typeof tell>[0]) : null
    return { last, told: [...told, last?.terse ?? null] }
  }
  const last = (world: World): Tale | null => ownOf<Tales>(world, key)?.last ?? null
  const words = terse?.feedback
  return {
    ...rest,
    machine: beside<Tales>(machine, key, { begin: () => ({ last: null, told: [] }), after }),
    chat: {
      ...chat,
      user: (world) => {
        const tale = last(world)
        return tale === null ? chat.user(world) : replaced(chat.user(world), feedback.step(world), tale.chat)
      }
    },
    feedback: {
      step: (world) => {
        const truth = feedback.step(world)
        return truth === "" ? "" : (last(world)?.chat ?? truth)
      },
      end: (world) => {
        const tale = last(world)
        if (tale === null) return feedback.end(world)
        return replaced(feedback.end(world), feedback.step(world), tale.chat) || "The task is over."
      }
    },
    ...(terse === undefined || words === undefined
      ? {}
      : {
          terse: {
            ...terse,
            feedback: (world) => (words(world) === "" ? "" : (last(world)?.terse ?? words(world))),
            user: (world) => {
              const tale = last(world)
              const text = terse.user(world)
              const truth = words(world)
              return tale === null || truth === "" ? text : `${tale.terse}${text.slice(truth.length)}`.trimStart()
            },
            ...(terse.trajectory === undefined
              ? {}
              : {
                  trajectory: (world, outer: Told = []) => {
                    const told = ownOf<Tales>(world, key)?.told ?? []
                    return terse.trajectory!(
                      world,
                      told.map((own, step) => outer[step] ?? own ?? undefined)
                    )
                  }
                })
          },
          ...(demonstrate === undefined ? {} : { demonstrate })
        })
  }
}
