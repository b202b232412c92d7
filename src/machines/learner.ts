/**
 * The course of a training run: demonstrations until the skill of looking up is there, mediocre demonstrations, then
 * policy updates on lifecycles. Its snapshot is JSON and all that a resumed run needs to know of where it stood.
 */
import { assign, setup } from "xstate"
import { transitions } from "./transition.ts"

export interface CourseInput {
  /** Steps of the first stage: at least `minimum`, then until `recall` is reached, at most `maximum`. */
  readonly drill: { readonly minimum: number; readonly maximum: number; readonly recall: number }
  /** Steps of the second stage. */
  readonly settle: number
  /** Policy updates on lifecycles. */
  readonly updates: number
  /** Begin with a policy that needs no warm start. */
  readonly skipWarmStart: boolean
}

export interface Course {
  readonly plan: CourseInput
  /** Steps taken in the present stage of the warm start. */
  readonly step: number
  /** Policy updates done. */
  readonly update: number
  /** Smoothed probability that the policy gives to what follows from the context or the episode; 0 before the first step. */
  readonly recall: number
}

export type CourseEvent = { readonly type: "demonstrated"; readonly recall: number } | { readonly type: "updated" }

/** Share of the newest batch in the smoothed recall. */
const freshness = 0.2

const recallAfter = (course: Course, recall: number): number =>
  course.step === 0 ? recall : course.recall + freshness * (recall - course.recall)

const machine = setup({
  types: {} as { context: Course; events: CourseEvent; input: CourseInput },
  guards: {
    skips: ({ context }) => context.plan.skipWarmStart,
    drilled: ({ context, event }) => {
      if (event.type !== "demonstrated") return false
      const { maximum, minimum, recall } = context.plan.drill
      const step = context.step + 1
      return step >= maximum || (step >= minimum && recallAfter(context, event.recall) >= recall)
    },
    settled: ({ context }) => context.step + 1 >= context.plan.settle,
    atLast: ({ context }) => context.update >= context.plan.updates
  },
  actions: {
    practise: assign(({ context, event }) =>
      event.type === "demonstrated" ? { step: context.step + 1, recall: recallAfter(context, event.recall) } : {}
    ),
    turn: assign({ step: 0 }),
    improve: assign({ update: ({ context }) => context.update + 1 })
  }
}).createMachine({
  id: "course",
  context: ({ input }) => ({ plan: input, step: 0, update: 0, recall: 0 }),
  initial: "beginning",
  states: {
    beginning: { always: [{ guard: "skips", target: "improving" }, { target: "drilling" }] },
    drilling: {
      on: {
        demonstrated: [{ guard: "drilled", target: "settling", actions: ["practise", "turn"] }, { actions: "practise" }]
      }
    },
    settling: {
      on: {
        demonstrated: [
          { guard: "settled", target: "improving", actions: ["practise", "turn"] },
          { actions: "practise" }
        ]
      }
    },
    improving: {
      always: { guard: "atLast", target: "finished" },
      on: { updated: { actions: "improve" } }
    },
    finished: { type: "final" }
  }
})

export const courseMachine = machine
export const course = transitions(machine)
export type CourseSnapshot = ReturnType<typeof course.initial>[0]
