/** Plays the FrozenLake environments in tests: pure and in a plain loop, with the prompts that the engine writes. */
import { Schema } from "effect"
import { type Agents, type Environment, hintsBlock, initialContext, type Message } from "../../src/environment.ts"
import { stream } from "../../src/kernels/random.ts"
import { chatSolveSystem, chatTrajectory, chatUpdateSystem, chatUpdateUser } from "../../src/machines/prompts.ts"
import { transitions } from "../../src/machines/transition.ts"

export const optionsOf = (environment: Environment, given: object = {}): any =>
  Schema.decodeSync(environment.options)(given)

/** The start of a task on a map of one's own. */
export const startOn = (
  map: ReadonlyArray<string>,
  given: { mapping?: ReadonlyArray<string>; options?: object } = {}
) => ({
  environmentOptions: given.options ?? {},
  knowledge: given.mapping === undefined ? null : { mapping: given.mapping },
  task: { map }
})

/** Steps a task by replies of a style until it ends or the replies do; returns every snapshot on the way. */
export const walk = (
  environment: Environment,
  start: ReturnType<typeof startOn>,
  replies: ReadonlyArray<string>,
  style: "chat" | "terse" = "chat"
): Array<any> => {
  const { initial, transition } = transitions(environment.machine)
  const options = optionsOf(environment, start.environmentOptions)
  const { knowledge, task } = start
  const [first] = initial({ options, knowledge, task, memory: undefined, position: 0, packSize: 1 } as never)
  const snapshots: Array<any> = [first]
  for (const reply of replies) {
    const parsed = environment[style]!.parse(reply)
    const event =
      "why" in parsed ? { type: "malformed", ...parsed } : { type: "answer", ...parsed, rng: stream("walk", reply) }
    const [next] = transition(snapshots.at(-1), event as never)
    snapshots.push(next)
  }
  return snapshots
}

export interface Played {
  readonly knowledge: any
  /** Whether each task was solved, and the context that followed it. */
  readonly solved: Array<boolean>
  readonly contexts: Array<string>
}

/** One lifecycle of a scripted agent. */
export const lifecycle = (
  environment: Environment,
  agentName: keyof Agents<unknown>,
  at: { readonly pack: number; readonly packSize: number; readonly options?: object }
): Played => {
  const { initial, transition } = transitions(environment.machine)
  const { chat, feedback } = environment
  const agent = environment.agents[agentName]
  const options = optionsOf(environment, at.options)
  const { packSize } = at
  const knowledge = environment.knowledge.sample(stream("pack", at.pack), { options, packSize })
  const rng = stream("agent", agentName, at.pack)
  const played: Played = { knowledge, solved: [], contexts: [] }
  let context = initialContext
  for (let position = 0; position < packSize; position++) {
    const place = { options, knowledge, position, packSize }
    const task = environment.task.sample(stream("task", at.pack, position), place)
    let [world]: any = initial({ ...place, task, memory: undefined } as never)
    const system = chat.system(world)
    const messages: Array<Message> = [{ role: "system", content: chatSolveSystem(system, context, undefined) }]
    while (world.status === "active") {
      messages.push({ role: "user", content: chat.user(world) })
      const reply = agent({ kind: "solve", messages }, context, rng, knowledge)
      messages.push({ role: "assistant", content: reply })
      const parsed = chat.parse(reply)
      if ("why" in parsed) throw new Error(parsed.why)
      ;[world] = transition(world, { type: "answer", action: parsed.action, rng } as never)
    }
    const { reward, success } = world.output
    const trajectory = chatTrajectory(system, messages, "", "")
    const update: ReadonlyArray<Message> = [
      { role: "system", content: chatUpdateSystem(undefined) },
      { role: "user", content: chatUpdateUser({ context, trajectory, reward, feedback: feedback.end(world) }) }
    ]
    context = `Hints: ${hintsBlock.read(agent({ kind: "update", messages: update }, context, rng, knowledge))}`
    played.solved.push(success)
    played.contexts.push(context)
  }
  return played
}

/** Share of tasks solved at each position. */
export const curve = (
  environment: Environment,
  agent: keyof Agents<unknown>,
  at: { readonly packs: number; readonly packSize: number; readonly options?: object }
): Array<number> => {
  const solved = Array.from({ length: at.packSize }, () => 0)
  for (let pack = 0; pack < at.packs; pack++) {
    lifecycle(environment, agent, { ...at, pack }).solved.forEach((success, position) => {
      solved[position]! += success ? 1 / at.packs : 0
    })
  }
  return solved
}
