/** Plays environments in tests, in chat style, with the prompts that the engine writes: pure and in plain loops. */
import { Schema } from "effect"
import { type Agents, type Environment, hintsBlock, initialContext, type Message } from "../../src/environment.ts"
import { stream } from "../../src/kernels/random.ts"
import { chatSolveSystem, chatTrajectory, chatUpdateSystem, chatUpdateUser } from "../../src/machines/prompts.ts"
import { transitions } from "../../src/machines/transition.ts"

export const optionsOf = (environment: Environment, given: object = {}): any =>
  Schema.decodeSync(environment.options)(given)

/** A task with everything that it needs, in the environment's own schemas. */
export interface Given {
  readonly options?: object
  readonly knowledge?: unknown
  readonly task: unknown
  readonly memory?: unknown
  readonly position?: number
  readonly packSize?: number
}

/** Gives replies until the task or they end. Every snapshot on the way, the first one included. */
export const answering = (environment: Environment, given: Given, replies: ReadonlyArray<string>): Array<any> => {
  const { initial, transition } = transitions(environment.machine)
  const options = optionsOf(environment, given.options)
  const knowledge = Schema.decodeSync(environment.knowledge.schema!)(given.knowledge ?? null)
  const task = Schema.decodeSync(environment.task.schema!)(given.task)
  const { packSize = 1, position = 0 } = given
  const memory = given.memory ?? environment.memory?.({ options, knowledge, packSize })
  const [first] = initial({ options, knowledge, task, memory, position, packSize } as never)
  const snapshots: Array<any> = [first]
  for (const reply of replies) {
    const last = snapshots.at(-1)
    if (last.status !== "active") break
    const parsed = environment.chat.parse(reply)
    const rng = stream("answering", snapshots.length)
    const event = "why" in parsed ? { type: "malformed", ...parsed } : { type: "answer", ...parsed, rng }
    snapshots.push(transition(last, event as never)[0])
  }
  return snapshots
}

export interface Played {
  readonly knowledge: any
  readonly rewards: Array<number>
  readonly successes: Array<boolean>
  readonly outcomes: Array<string>
  /** The context that followed each task. */
  readonly contexts: Array<string>
  /** The system text of each task. */
  readonly systems: Array<string>
  /** All user messages of each task. */
  readonly observations: Array<Array<string>>
}

/** One lifecycle of a scripted agent. */
export const lifecycle = (
  environment: Environment,
  agentName: keyof Agents<unknown>,
  at: { readonly pack: number; readonly packSize: number; readonly options?: object }
): Played => {
  const { initial, transition } = transitions(environment.machine)
  const { chat, feedback, finalState, hidesReward } = environment
  const agent = environment.agents[agentName]
  const options = optionsOf(environment, at.options)
  const { pack, packSize } = at
  const knowledge = environment.knowledge.sample(stream("pack", pack), { options, packSize })
  const handed = agentName === "oracle" ? knowledge : undefined
  const rng = stream("agent", pack)
  let memory = environment.memory?.({ options, knowledge, packSize })
  let context = initialContext
  const played: Played = {
    knowledge,
    rewards: [],
    successes: [],
    outcomes: [],
    contexts: [],
    systems: [],
    observations: []
  }
  for (let position = 0; position < packSize; position++) {
    const place = { options, knowledge, position, packSize }
    const task = environment.task.sample(stream("task", pack, position), place)
    let [world]: any = initial({ ...place, task, memory } as never)
    const system = chat.system(world)
    const messages: Array<Message> = [{ role: "system", content: chatSolveSystem(system, context, undefined) }]
    const observations: Array<string> = []
    let reply = ""
    while (world.status === "active") {
      observations.push(chat.user(world))
      messages.push({ role: "user", content: observations.at(-1)! })
      reply = agent({ kind: "solve", messages }, context, rng, handed)
      const parsed = chat.parse(reply)
      if ("why" in parsed) throw new Error(`${agentName}: ${parsed.why}`)
      ;[world] = transition(world, {
        type: "answer",
        action: parsed.action,
        rng: stream("noise", pack, position, observations.length)
      } as never)
      if (world.status === "active") messages.push({ role: "assistant", content: reply })
    }
    const { outcome, reward, success } = world.output
    memory = world.output.memory ?? memory
    const trajectory = chatTrajectory(system, messages, reply, finalState?.(world) ?? "")
    const told = { context, trajectory, reward: hidesReward === true ? undefined : reward }
    const update: ReadonlyArray<Message> = [
      { role: "system", content: chatUpdateSystem(undefined) },
      { role: "user", content: chatUpdateUser({ ...told, feedback: feedback.end(world) }) }
    ]
    context = `Hints: ${hintsBlock.read(agent({ kind: "update", messages: update }, context, rng, handed))}`
    played.rewards.push(reward)
    played.successes.push(success)
    played.outcomes.push(outcome)
    played.contexts.push(context)
    played.systems.push(system)
    played.observations.push(observations)
  }
  return played
}

/** Mean reward and share of successes at each position. */
export const curve = (
  environment: Environment,
  agent: keyof Agents<unknown>,
  at: { readonly packs: number; readonly packSize: number; readonly options?: object }
): { readonly reward: Array<number>; readonly success: Array<number> } => {
  const zeros = () => Array.from({ length: at.packSize }, () => 0)
  const [reward, success] = [zeros(), zeros()]
  for (let pack = 0; pack < at.packs; pack++) {
    const { rewards, successes } = lifecycle(environment, agent, { ...at, pack })
    for (let position = 0; position < at.packSize; position++) {
      reward[position]! += rewards[position]! / at.packs
      success[position]! += successes[position]! ? 1 / at.packs : 0
    }
  }
  return { reward, success }
}

export const mean = (numbers: ReadonlyArray<number>): number =>
  numbers.reduce((sum, number) => sum + number, 0) / numbers.length

/** The end of an episode is the same when every state on the way was saved as JSON and restored. */
export const restored = (environment: Environment, snapshot: any): any => {
  const { value, context } = JSON.parse(JSON.stringify(environment.machine.getPersistedSnapshot(snapshot))) as any
  return environment.machine.resolveState({ value, context })
}
