/** What the checks of an environment look at: packs of it, single episodes, and lifecycles of its agents. */
import { type Agents, type Environment, initialContext, type Rng } from "../environment.ts"
import { stream } from "../kernels/random.ts"
import { outcomeOf } from "../machines/agent.ts"
import type { Lifecycle } from "../machines/episode.ts"
import { given, type GivenTask } from "../machines/given-task.ts"
import type { Pack } from "../machines/packs.ts"
import type { Solve } from "../machines/solve.ts"
import { freshPacks, type TaskSet } from "./rollout.ts"

export type AgentName = keyof Agents<unknown>

export const agentNames: ReadonlyArray<AgentName> = ["random", "oracle", "careful", "amnesiac"]

export interface Verdict {
  readonly passed: boolean
  readonly warning: boolean
  readonly message: string
  readonly evidence: unknown
}

/** Passes when nothing is wrong; otherwise tells the first thing that is, and how many there are. */
export const verdict = (
  problems: ReadonlyArray<string>,
  summary: string,
  evidence: unknown = null,
  warnings: ReadonlyArray<string> = []
): Verdict => {
  const [first] = problems.length > 0 ? problems : warnings
  const others = Math.max(problems.length, problems.length > 0 ? 0 : warnings.length) - 1
  return {
    passed: problems.length === 0,
    warning: problems.length === 0 && warnings.length > 0,
    message: first === undefined ? summary : `${first}${others > 0 ? ` (and ${others} more)` : ""}`,
    evidence
  }
}

/** One episode with all states that it went through; `solves[i]` is the one before `replies[i]`. */
export interface Played {
  readonly task: GivenTask
  readonly label: string
  readonly replies: ReadonlyArray<string>
  readonly solves: ReadonlyArray<Solve>
}

/** What an environment may draw from at a step of an episode with that label. */
export const rngOf =
  (label: string) =>
  (step: number): Rng =>
    stream("check", label, step)

/** Says what comes next in an episode. */
export type Speaker = (solve: Solve, step: number) => string

export const speaker =
  ({ environment, knowledge }: GivenTask, agent: AgentName, label: string): Speaker =>
  ({ agent: { context } }, step) =>
    environment.agents[agent](
      { kind: "solve", messages: context.messages },
      initialContext,
      stream("check", label, agent, step),
      agent === "oracle" ? knowledge : undefined
    )

/** Plays to the end, or to `maxSteps`. */
export const play = (task: GivenTask, label: string, speak: Speaker, maxSteps = 1000): Played => {
  const { begin, take } = given(task, { style: "chat", context: initialContext, maxSteps })
  const solves = [begin()]
  const replies: Array<string> = []
  for (let solve = solves[0]!; outcomeOf(solve.agent) === undefined; solves.push(solve)) {
    replies.push(speak(solve, replies.length))
    solve = take(solve, replies.at(-1)!, rngOf(label)(replies.length - 1))
  }
  return { task, label, replies, solves }
}

/** What an episode looked like, as text that can be compared. */
export const transcript = ({ solves }: Pick<Played, "solves">): string => {
  const { agent, memory, world } = solves.at(-1)!
  return JSON.stringify([agent.context, agent.value, memory, world.output])
}

/** What an environment is checked on. */
export interface Sampling {
  /** Packs that each agent lives; default sixteen, fewer where lifecycles take long. */
  readonly packs?: number | undefined
  readonly packSize: number
  readonly seed: number
}

export interface Specimen {
  readonly taskSet: TaskSet
  readonly environment: Environment
  readonly seed: number
  readonly packSize: number
  /** Sampled anew, so that no two callers share what an environment may spoil. As many as are asked for. */
  readonly packs: (count?: number) => Array<Pack>
  /** Packs for checks that live each several times. */
  readonly few: () => Array<Pack>
  /** The tasks of the first packs, at their first and last position. */
  readonly tasks: () => Array<GivenTask>
  /** A lifecycle of an agent on each pack; lived once. */
  readonly lives: (agent: AgentName) => ReadonlyArray<Lifecycle>
}

/** Lives the lifecycle of an agent in a pack at once. */
export type Live = (pack: Pack, agent: AgentName, contexts?: ReadonlyArray<string>) => Lifecycle

/** Enough for what is true of every task or of none. */
const samples = 3

/** Packs that each agent lives where that is cheap, and where it is not. */
const mostPacks = 16
const fewestPacks = 4

/** What all lifecycles of all agents may cost together before there are fewer of them. */
const affordableMillis = 1_500

export const specimen = (taskSet: TaskSet, at: Sampling, live: Live): Specimen => {
  const { packSize, seed } = at
  const { environment, options } = taskSet
  const lived = new Map<AgentName, ReadonlyArray<Lifecycle>>()
  const fresh = (count: number) =>
    freshPacks(taskSet, { phase: "eval", baseSeed: seed, epoch: 0, count, size: packSize })
  const affordable = () => {
    const started = cpuMillis()
    live(fresh(1)[0]!, "careful")
    const millis = agentNames.length * (cpuMillis() - started)
    return Math.max(fewestPacks, Math.min(mostPacks, Math.floor(affordableMillis / millis)))
  }
  let most: number | undefined
  const packs = (count = (most ??= at.packs ?? affordable())) => fresh(count)
  return {
    taskSet,
    environment,
    seed,
    packSize,
    packs,
    few: () => packs().slice(0, most! > fewestPacks ? 2 : 1),
    tasks: () =>
      packs()
        .slice(0, samples)
        .flatMap((pack) =>
          [0, packSize - 1].map((position) => ({
            environment,
            options,
            knowledge: pack.knowledge(position),
            task: pack.task(position),
            position,
            packSize
          }))
        ),
    lives: (agent) => {
      if (!lived.has(agent))
        lived.set(
          agent,
          packs().map((pack) => live(pack, agent))
        )
      return lived.get(agent)!
    }
  }
}

/** Where in a lifecycle something was seen. */
export const place = ({ position }: GivenTask, step: number): string => `position ${position}, step ${step + 1}`

/** Time of this process alone, whatever else the machine is busy with. */
export const cpuMillis = (): number => {
  const { system, user } = process.cpuUsage()
  return (user + system) / 1000
}
