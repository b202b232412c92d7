/** An environment that says which of its functions is being called, to whoever watches from another thread. */
import { Schema } from "effect"
import type { Agents, Environment } from "../environment.ts"
import { transitions } from "../machines/transition.ts"

/** Told before every call, and `undefined` after it. */
export type Mark = (call: string | undefined) => void

/** The same environment; `mark` knows at any time which call has not returned. */
export const watched = (environment: Environment, mark: Mark): Environment => {
  const watch = <A extends ReadonlyArray<any>, B>(name: string, call: (...args: A) => B): ((...args: A) => B) =>
    typeof call !== "function"
      ? call // Its absence is another check's finding.
      : (...args) => {
          mark(name)
          try {
            return call(...args)
          } finally {
            mark(undefined)
          }
        }
  /** The functions of an object, each under its name. */
  const all = <T extends object>(name: string, functions: T): T =>
    Object.fromEntries(
      Object.entries(functions).map(([key, value]) => [
        key,
        typeof value === "function" && !Schema.isSchema(value) ? watch(`${name}.${key}`, value) : value
      ])
    ) as T
  const { agents, chat, demonstrate, feedback, finalState, knowledge, memory, task, terse } = environment
  return {
    ...environment,
    knowledge: all("knowledge", knowledge),
    task: all("task", task),
    chat: all("chat", chat),
    feedback: all("feedback", feedback),
    agents: all("agents", agents) as Agents<unknown>,
    machine: watchedMachine(environment, watch),
    ...(memory === undefined ? {} : { memory: watch("memory", memory) }),
    ...(finalState === undefined ? {} : { finalState: watch("finalState", finalState) }),
    ...(terse === undefined ? {} : { terse: all("terse", terse) }),
    ...(demonstrate === undefined ? {} : { demonstrate: all("demonstrate", demonstrate) })
  }
}

const watchedMachine = (
  { machine }: Environment,
  watch: <A extends ReadonlyArray<any>, B>(name: string, call: (...args: A) => B) => (...args: A) => B
): Environment["machine"] => {
  const { initial, transition } = transitions(machine)
  const own = {
    getInitialSnapshot: watch("machine, at its start", (_: unknown, input: never) => initial(input)[0]),
    transition: watch("machine, at an answer", (world: never, event: never) => transition(world, event)[0])
  }
  return Object.assign(Object.create(machine) as Environment["machine"], own)
}
