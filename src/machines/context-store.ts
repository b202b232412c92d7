/** What an agent has written from task to task: z0, z1, ... with their history (specification, sections 4 and 6.2). */
import { assign, setup } from "xstate"
import { initialContext, type Style } from "../environment.ts"
import type { Settings } from "./lifecycle.ts"
import { transitions } from "./transition.ts"

/** Contexts by style. In `terse` nothing known is no words. */
const texts = {
  chat: { initial: initialContext, fallback: "Hints: no hint available." },
  terse: { initial: "", fallback: "" }
} as const satisfies Record<Style, unknown>

/** Hints as a context of the `chat` style. */
export const chatContext = (hints: string): string => `Hints: ${hints}`

export const initialContextOf = (style: Style): string => texts[style].initial

export interface Contexts {
  /** The context in force at each position so far; the last one is in force now. */
  readonly history: ReadonlyArray<string>
  readonly style: Style
  readonly onParseFailure: Settings["onParseFailure"]
  /** Contexts that are in force whatever is written, by position: the controls of an evaluation. */
  readonly given: ReadonlyArray<string> | undefined
}

export type ContextEvent = { readonly type: "written"; readonly context: string } | { readonly type: "unreadable" }

const next = (contexts: Contexts, event: ContextEvent): string => {
  if (contexts.given !== undefined) return contexts.given[contexts.history.length] ?? texts[contexts.style].initial
  if (event.type === "written") return event.context
  return contexts.onParseFailure === "keep" ? currentContext(contexts) : texts[contexts.style].fallback
}

export const currentContext = ({ history }: Contexts): string => history[history.length - 1]!

const machine = setup({
  types: {} as {
    context: Contexts
    events: ContextEvent
    input: Omit<Contexts, "history"> & { readonly first?: string | undefined }
  },
  actions: { remember: assign({ history: ({ context, event }) => [...context.history, next(context, event)] }) }
}).createMachine({
  id: "contextStore",
  context: ({ input: { first, ...input } }) => ({
    ...input,
    history: [input.given?.[0] ?? first ?? texts[input.style].initial]
  }),
  initial: "holding",
  states: { holding: { on: { written: { actions: "remember" }, unreadable: { actions: "remember" } } } }
})

export const contextStoreMachine = machine
export const contextStore = transitions(machine)
