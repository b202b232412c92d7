/**
 * How fast environments step by themselves: one thread, no engine, the scripted agent `random` instead of a policy.
 *
 * A step is: render the observation, answer, parse, transition. Drawing tasks, starting machines, system texts and
 * feedback are spread over the steps. The same calls are then made again kind by kind, which tells what the time goes into.
 *
 *     npx node bench/environments.ts
 */
import { Schema } from "effect"
import alchemy from "../environments/alchemy/index.ts"
import frozenLakeObscure from "../environments/frozen-lake-obscure/index.ts"
import frozenLake from "../environments/frozen-lake/index.ts"
import gridNavigation from "../environments/grid-navigation/index.ts"
import terminal from "../environments/terminal/index.ts"
import type { Environment, Message } from "../src/environment.ts"
import { stream } from "../src/kernels/random.ts"
import { transitions } from "../src/machines/transition.ts"

const environments: ReadonlyArray<{ readonly environment: Environment; readonly wantedStepsPerSecond: number }> = [
  { environment: frozenLake, wantedStepsPerSecond: 120_000 },
  { environment: frozenLakeObscure, wantedStepsPerSecond: 120_000 },
  { environment: alchemy, wantedStepsPerSecond: 60_000 },
  { environment: gridNavigation, wantedStepsPerSecond: 60_000 },
  { environment: terminal, wantedStepsPerSecond: 60_000 }
]

const kinds = ["tasks", "dynamics", "rendering", "agent", "parsing"] as const
type Recorder = <A>(kind: (typeof kinds)[number], call: () => A) => A

/** Plays that many tasks and returns the steps taken. Every call into the environment goes through `on`. */
const play = (environment: Environment, tasks: number, on: Recorder): number => {
  const { initial, transition } = transitions(environment.machine)
  const { chat, feedback, agents, task, knowledge } = environment
  const options: unknown = Schema.decodeSync(environment.options)(environment.presets["train"] ?? {})
  const rng = stream("bench", environment.id)
  const pack = { options, packSize: 1 }
  const at = { ...pack, knowledge: knowledge.sample(rng, pack), position: 0 }
  const memory = environment.memory?.(at)
  let steps = 0
  for (let i = 0; i < tasks; i++) {
    const input = { ...at, memory, task: on("tasks", () => task.sample(rng, at)) }
    let snapshot: any = on("dynamics", () => initial(input as never)[0])
    const messages: Array<Message> = [{ role: "system", content: on("rendering", () => chat.system(snapshot)) }]
    while (snapshot.status === "active") {
      const before = snapshot
      messages.push({ role: "user", content: on("rendering", () => chat.user(before)) })
      const prompt = { kind: "solve" as const, messages: [...messages] }
      const reply = on("agent", () => agents.random(prompt, "", rng))
      messages.push({ role: "assistant", content: reply })
      const parsed = on("parsing", () => chat.parse(reply))
      const event = "why" in parsed ? { type: "malformed", ...parsed } : { type: "answer", ...parsed, rng }
      snapshot = on("dynamics", () => transition(before, event as never)[0])
      steps++
    }
    const after = snapshot
    on("rendering", () => feedback.end(after))
  }
  return steps
}

const bare: Recorder = (_, call) => call()

const secondsOf = (work: () => unknown): number => {
  const started = performance.now()
  work()
  return (performance.now() - started) / 1000
}

for (const { environment, wantedStepsPerSecond } of environments) {
  play(environment, 5_000, bare)
  let best = 0
  for (let round = 0; round < 5; round++) {
    let steps = 0
    const seconds = secondsOf(() => (steps = play(environment, 20_000, bare)))
    best = Math.max(best, steps / seconds)
  }
  const calls = Object.fromEntries(kinds.map((kind) => [kind, [] as Array<() => unknown>]))
  const steps = play(environment, 20_000, (kind, call) => {
    calls[kind]!.push(call)
    return call()
  })
  const shares = kinds.map((kind) => {
    const micros = (1e6 * secondsOf(() => calls[kind]!.forEach((call) => call()))) / steps
    return `${kind} ${micros.toFixed(2)}`
  })
  console.log(
    `${environment.id}: ${Math.round(best)} steps/s, ${(best / wantedStepsPerSecond).toFixed(2)} of what is wanted;`,
    `us a step: ${shares.join(", ")}`
  )
}
