/**
 * A solve episode: the environment's machine and the agent's machine stepped side by side, inline and purely.
 *
 * Whatever the environment throws passes through; a broken promise of its (a reward that is not finite, an unknown
 * outcome, an end before the first step) is thrown as an Error that names it.
 */
import type { Ending, Environment, Message, Parsed, Rng, Style } from "../environment.ts"
import { agent, type AgentSnapshot, type Said, whyUnsaid } from "./agent.ts"
import type { Settings } from "./lifecycle.ts"
import type { Pack } from "./packs.ts"
import { chatSolveSystem, chatTrajectory, remembered, shortened, terseSolveSystem, terseTrajectory } from "./prompts.ts"
import { solveReward } from "./reward.ts"
import { transitions } from "./transition.ts"

type Worlds = ReturnType<typeof transitions>
type World = ReturnType<Worlds["initial"]>[0]

export interface Solve {
  readonly agent: AgentSnapshot
  /** The environment's own system text, without hints and limit. */
  readonly system: string
  readonly world: World
  /** The environment's memory for the next task. */
  readonly memory: unknown
}

interface Views {
  readonly system: (world: World) => string
  readonly user: (world: World) => string
  readonly parse: (reply: string) => Parsed<unknown>
}

const worldsOf = new WeakMap<Environment, Worlds>()

const worlds = (environment: Environment): Worlds => {
  let own = worldsOf.get(environment)
  if (own === undefined) worldsOf.set(environment, (own = transitions(environment.machine)))
  return own
}

const views = (environment: Environment, style: Style): Views => {
  const found = environment[style]
  if (found === undefined) throw new Error(`environment ${environment.id} has no ${style} style`)
  return found
}

export const beginSolve = (
  pack: Pack,
  settings: Settings,
  at: { readonly position: number; readonly context: string; readonly memory: unknown }
): Solve => {
  const { environment, options } = pack
  const { style, tokenLimit, maxSteps } = settings
  const { context, memory, position } = at
  const view = views(environment, style)
  const start = {
    options,
    knowledge: pack.knowledge(position),
    task: pack.task(position),
    memory,
    position,
    packSize: pack.size
  }
  const [world] = worlds(environment).initial(start as never)
  if (world.status === "error") throw world.error
  if (world.status !== "active") throw new Error(`environment ${environment.id} ended before the first step`)
  const system = view.system(world)
  const framed = style === "chat" ? chatSolveSystem(system, context, tokenLimit) : terseSolveSystem(system, context)
  const [begun] = agent.initial({ kind: "solve", style, maxSteps, system: framed, user: view.user(world) })
  return { agent: begun, system, world, memory }
}

/** The reply reaches the environment, its answer reaches the agent. `rng` is what the environment may draw from. */
export const takeSolveReply = (solve: Solve, pack: Pack, settings: Settings, said: Said, rng: Rng): Solve => {
  const { environment } = pack
  const unsaid = whyUnsaid(said)
  if (unsaid !== undefined) {
    // As at the cap on steps: the budget has ended, the task has not.
    const [ended] = agent.transition(solve.agent, { type: "truncated", said, reward: 0, why: unsaid })
    return { ...solve, agent: ended }
  }
  const view = views(environment, settings.style)
  const parsed = view.parse(said.text)
  const event =
    "action" in parsed
      ? { type: "answer", action: parsed.action, rng, ...verdictOf(environment, said) }
      : { type: "malformed", why: parsed.why, truncated: said.truncated }
  const [world] = worlds(environment).transition(solve.world, event as never)
  const feedback = environment.feedback.step(world)
  if (world.status === "active") {
    const observation = view.user(world)
    const memory = settings.style === "terse" ? {} : compressed(solve.agent, environment, settings, said)
    const [next] = agent.transition(solve.agent, { type: "stepped", said, feedback, observation, ...memory })
    return { ...solve, agent: next, world }
  }
  const ending = checked(environment, world.output)
  const tokens = [...solve.agent.context.steps.map((step) => step.tokens.length), said.tokens.length]
  const [ended] = agent.transition(solve.agent, {
    // A reply that was cut off is not the agent's way of writing an answer.
    type: ending.outcome === "malformed" && said.truncated ? "truncated" : ending.outcome,
    said,
    feedback,
    reward: solveReward(ending.reward, tokens, environment.lengthPenalty?.(pack.options)),
    why: "why" in parsed ? parsed.why : undefined
  })
  return { ...solve, agent: ended, world, memory: ending.memory ?? solve.memory }
}

/** What of the conversation so far later prompts do not hold as it was. */
const compressed = (
  { context: { messages } }: AgentSnapshot,
  { chat }: Environment,
  { compression }: Settings,
  { text }: Said
) => {
  const earlier = shortened(messages, chat.shorten)
  const reply = remembered(text, compression)
  return { ...(earlier === undefined ? {} : { earlier }), ...(reply === text ? {} : { remembered: reply }) }
}

/** What a judge is to be asked about a reply; undefined when nobody needs to be asked. */
export const judgeAbout = (
  { world }: Solve,
  { environment }: Pack,
  { style }: Settings,
  { text }: Said
): ReadonlyArray<Message> | undefined => {
  const parsed = views(environment, style).parse(text)
  return "action" in parsed ? environment.judge?.ask(world as never, parsed.action) : undefined
}

const verdictOf = ({ judge }: Environment, { judgement }: Said) =>
  judgement === undefined ? {} : { verdict: judgement === null ? null : (judge?.read(judgement) ?? null) }

const endings: ReadonlySet<string> = new Set<Ending["outcome"]>(["success", "failure", "truncated", "malformed"])

const checked = (environment: Environment, ending: Ending | undefined): Ending => {
  if (ending === undefined) throw new Error(`environment ${environment.id} ended without an output`)
  const { outcome, reward, success } = ending
  if (!Number.isFinite(reward))
    throw new Error(`environment ${environment.id}: reward is ${reward}, expected a finite number`)
  if (!endings.has(outcome))
    throw new Error(`environment ${environment.id}: outcome is ${outcome}, expected one of ${[...endings].join(", ")}`)
  if (success !== (outcome === "success"))
    throw new Error(`environment ${environment.id}: success is ${success} but outcome is ${outcome}`)
  return ending
}

/** The episode as its update episode reads it. */
export const trajectory = (solve: Solve, { environment }: Pack, { compression, style }: Settings): string => {
  const { messages, steps } = solve.agent.context
  const lastReply = steps.at(-1)?.reply ?? ""
  if (style === "chat") {
    const last = remembered(lastReply, compression)
    return chatTrajectory(solve.system, messages, last, environment.finalState?.(solve.world) ?? "")
  }
  return environment.terse?.trajectory?.(solve.world) ?? terseTrajectory(messages, lastReply)
}
