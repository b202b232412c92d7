/**
 * An episode on a task that is handed in rather than sampled, with replies that are handed in too: how a trace is
 * replayed by people and by the checks of an environment. It goes the engine's own way: the same prompts, parsers and
 * shaping of rewards.
 */
import type { Environment, Outcome, Rng, Style } from "../environment.ts"
import { outcomeOf, type Said } from "./agent.ts"
import { defaultSettings, type Settings } from "./lifecycle.ts"
import type { Pack } from "./packs.ts"
import { beginSolve, type Solve, takeSolveReply } from "./solve.ts"

/** A task and everything that it needs, decoded. */
export interface GivenTask {
  readonly environment: Environment
  readonly options: unknown
  readonly knowledge: unknown
  readonly task: unknown
  /** 0-based, below `packSize`. */
  readonly position: number
  readonly packSize: number
  /** Absent: what the environment's memory is when a lifecycle begins. */
  readonly memory?: unknown
}

/** How the task is put; the defaults are the engine's. */
export interface Manner {
  readonly style: Style
  /** In force during the episode; default: none is shown. */
  readonly context?: string
  /** Default: the engine's own. */
  readonly maxSteps?: number
}

export interface TracedStep {
  readonly observation: string
  readonly answer: string
  readonly feedback: string
  /** The shaped reward of the episode at its last step, 0 before. */
  readonly reward: number
  /** Whether the episode ended here. */
  readonly end: boolean
}

export interface TaskTrace {
  /** The environment's own instructions. */
  readonly system: string
  readonly steps: ReadonlyArray<TracedStep>
  /** Null when the answers ran out first. */
  readonly outcome: Outcome | null
  readonly success: boolean
  /** Shaped; 0 while there is no outcome. */
  readonly reward: number
  /** On the episode. */
  readonly feedback: string
  /** Null where the environment has no such block. */
  readonly finalState: string | null
  /** The environment's memory for the next task; null where it has none. */
  readonly memory: unknown
  /** Why the episode was lost or its last answer could not be read. */
  readonly why?: string
  /** Answers left over when the episode was over. */
  readonly unused: number
}

/** The pack of one task. */
const packOf = ({ environment, knowledge, options, packSize, task }: GivenTask): Pack => ({
  id: "given",
  seed: 0n,
  baseSeed: 0,
  phase: "eval",
  environment,
  options,
  size: packSize,
  environmentPositions: Array.from({ length: packSize }, (_, position) => position),
  knowledge: () => knowledge,
  task: () => task
})

/** What a policy without tokens says. */
export const saying = (text: string): Said => ({
  text,
  promptTokens: [],
  tokens: [],
  logprobs: [],
  policyVersion: 0,
  truncated: false
})

/** An episode that can be stepped by hand. Throws what the environment throws. */
export const given = (task: GivenTask, { context = "", maxSteps, style }: Manner) => {
  const pack = packOf(task)
  const settings: Settings = { ...defaultSettings, style, maxSteps: maxSteps ?? defaultSettings.maxSteps }
  const { environment, knowledge, options, packSize, position } = task
  const memory = task.memory === undefined ? environment.memory?.({ options, knowledge, packSize }) : task.memory
  return {
    begin: (): Solve => beginSolve(pack, settings, { position, context, memory }),
    take: (solve: Solve, reply: string, rng: Rng): Solve => takeSolveReply(solve, pack, settings, saying(reply), rng)
  }
}

/** Gives the answers until they or the episode end. Throws only what the environment throws before the first of them. */
export const traceTask = (
  task: GivenTask,
  manner: Manner,
  answers: ReadonlyArray<string>,
  rngOf: (step: number) => Rng
): TaskTrace => {
  const { begin, take } = given(task, manner)
  let solve = begin()
  let thrown: string | undefined
  for (const answer of answers) {
    if (outcomeOf(solve.agent) !== undefined) break
    try {
      solve = take(solve, answer, rngOf(solve.agent.context.steps.length))
    } catch (error) {
      thrown = error instanceof Error ? error.message : String(error)
      break
    }
  }
  return traceOf(task, solve, answers, thrown)
}

const traceOf = (
  { environment }: GivenTask,
  { agent, memory, system, world }: Solve,
  answers: ReadonlyArray<string>,
  thrown: string | undefined
): TaskTrace => {
  const outcome = thrown === undefined ? (outcomeOf(agent) ?? null) : "error"
  const { reward, steps } = agent.context
  const why = thrown ?? agent.context.why
  return {
    system,
    steps: steps.map(({ feedback, observation, reply }, i) => {
      const end = i === steps.length - 1 && outcome !== null && thrown === undefined
      return { observation, answer: reply, feedback, reward: end ? reward : 0, end }
    }),
    outcome,
    success: outcome === "success",
    reward: outcome === null ? 0 : reward,
    feedback: environment.feedback.end(world),
    finalState: environment.finalState?.(world) ?? null,
    memory: memory ?? null,
    ...(why === undefined ? {} : { why }),
    unused: answers.length - steps.length
  }
}
