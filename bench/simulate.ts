/**
 * Simulation against its limits: machine events of bare lifecycles (an environment that does nothing), steps with
 * `scripted:random` and everything on and where they go, and two shards against one; what plain Python does, where it is
 * there. For what grows with lifecycles in flight see `scale`.
 *
 * Rates are per CPU second, garbage collection included, so that neighbours on the machine do not count; shards are
 * compared by the wall clock and need two free cores.
 */
import { execFile, spawnSync } from "node:child_process"
import { Effect, Schema } from "effect"
import { assign, setup } from "xstate"
import frozenLakeObscure from "../environments/frozen-lake-obscure/index.ts"
import { freshPacks, type TaskSet } from "../src/actors/rollout.ts"
import { simulate } from "../src/actors/simulate.ts"
import {
  defineEnvironment,
  type Environment,
  type Ending,
  type EnvironmentEvent,
  hintsBlock
} from "../src/environment.ts"
import { stream } from "../src/kernels/random.ts"
import { defaultSettings } from "../src/machines/lifecycle.ts"
import { transitions } from "../src/machines/transition.ts"
import { Policy, type Request } from "../src/policies/policy.ts"
import { scripted } from "../src/policies/scripted.ts"

const nothingSteps = 8
const packSize = 4

const nothing = defineEnvironment({
  id: "nothing",
  title: "Nothing happens",
  options: Schema.Struct({}),
  presets: {},
  knowledge: { sample: () => null, describe: () => "" },
  task: { sample: () => null },
  machine: setup({
    types: {} as { context: { steps: number }; events: EnvironmentEvent<null>; output: Ending }
  }).createMachine({
    context: { steps: 0 },
    initial: "waiting",
    states: {
      waiting: {
        always: { guard: ({ context }) => context.steps === nothingSteps, target: "over" },
        on: { answer: { actions: assign({ steps: ({ context }) => context.steps + 1 }) }, malformed: "over" }
      },
      over: { type: "final" }
    },
    output: { success: true, reward: 1, outcome: "success" } as const
  }),
  chat: { system: () => "", user: () => "?", parse: () => ({ action: null }) },
  feedback: { step: () => "", end: () => "" },
  agents: ((agent) => ({ random: agent, oracle: agent, careful: agent, amnesiac: agent }))(
    ({ kind }: { kind: string }) => (kind === "update" ? hintsBlock.write("null") : "!")
  )
})

const taskSetOf = (environment: Environment): TaskSet => ({
  id: 0,
  environment,
  options: Schema.decodeSync(environment.options)({})
})

const run = (environment: Environment, lifecycles: number, policy = scripted(environment, "random")) => {
  const options = { lifecycles, packSize, concurrency: 64, seed: 1, settings: defaultSettings }
  return Effect.runPromise(Effect.provideService(simulate(taskSetOf(environment), options), Policy, policy))
}

/** CPU seconds. */
const timed = async <A>(work: () => A | Promise<A>) => {
  const before = process.cpuUsage()
  const result = await work()
  const { system, user } = process.cpuUsage(before)
  return { result, seconds: (system + user) / 1e6 }
}

/** The least of three. */
const least = async (work: () => unknown) => {
  await work()
  const rounds = [await timed(work), await timed(work), await timed(work)]
  return Math.min(...rounds.map(({ seconds }) => seconds))
}

const say = (what: string, value: number, wanted: number): void => {
  const holds = value >= wanted
  if (!holds) process.exitCode = 1
  console.log(`${what}: ${value.toPrecision(3)}, wanted at least ${wanted}${holds ? "" : " (MISSED)"}`)
}

// A solve step is an event of the environment and one of its agent; an update episode one of its agent and one of the
// context store; an episode one of the lifecycle.
const lifecycles = 2_000
const solveSteps = packSize * nothingSteps
const eventsPerLifecycle = 2 * solveSteps + 3 * (packSize - 1) + packSize
const bare = await least(() => run(nothing, lifecycles))
say("machine events/s, environment that does nothing", (lifecycles * eventsPerLifecycle) / bare, 100_000)
const whole = await least(() => run(frozenLakeObscure, lifecycles))
const { steps } = await run(frozenLakeObscure, lifecycles)
say("steps/s, scripted:random on frozen-lake-obscure", steps / whole, 40_000)

// Where a step goes: the agent alone answers what it was asked, and the environment alone is given these answers.
const asked: Array<Request> = []
const replies: Array<string> = []
const random = scripted(frozenLakeObscure, "random")
await run(frozenLakeObscure, lifecycles, {
  ...random,
  reply: (request) => {
    asked.push(request)
    return Effect.map(random.reply(request), (reply) => {
      if (request.kind === "solve") replies.push(reply.text)
      return reply
    })
  }
})
const agent = await least(() => {
  const rng = stream("bench")
  for (const request of asked) Effect.runSync(random.reply({ ...request, rng }))
})
const { chat, feedback, machine } = frozenLakeObscure
const world = transitions(machine)
const environment = await least(() => {
  const rng = stream("bench")
  let next = 0
  for (let number = 0; next < replies.length; number++) {
    const at = { phase: "eval", baseSeed: 1, epoch: 0, count: 1, size: packSize, first: number } as const
    const [pack] = freshPacks(taskSetOf(frozenLakeObscure), at)
    for (let position = 0; position < packSize; position++) {
      const { options } = pack!
      const start = { options, knowledge: pack!.knowledge(position), task: pack!.task(position), position, packSize }
      let [snapshot] = world.initial({ ...start, memory: undefined } as never)
      chat.system(snapshot)
      while (snapshot.status === "active") {
        chat.user(snapshot)
        const parsed = chat.parse(replies[next++] ?? "")
        const answer = "action" in parsed ? { type: "answer", action: parsed.action, rng } : { type: "malformed" }
        ;[snapshot] = world.transition(snapshot, answer as never)
        feedback.step(snapshot)
      }
      feedback.end(snapshot)
    }
  }
})
const micros = (seconds: number) => `${((1e6 * seconds) / steps).toFixed(1)} us`
const engine = whole - agent - environment
console.log(
  `of ${micros(whole)} a step: environment ${micros(environment)}, agent ${micros(agent)}, engine with digest ${micros(engine)}`
)

const command = (...args: ReadonlyArray<string>) => {
  const lakes = ["simulate", "--env", "frozen-lake-obscure", "--policy", "scripted:random", "--json"]
  return new Promise<{ readonly seconds: number; readonly digest: string }>((resolve, reject) => {
    const words = [`${import.meta.dirname}/../src/cli/main.ts`, ...lakes, ...args]
    execFile(process.execPath, words, (error, stdout) => (error === null ? resolve(JSON.parse(stdout)) : reject(error)))
  })
}

const one = await command("--lifecycles", "40000", "--isolation", "worker")
const two = await command("--lifecycles", "40000", "--shards", "2")
if (one.digest !== two.digest) throw new Error("digests differ")
// What two cores that share caches, memory and a clock can do at most.
const apart = await Promise.all(["1", "2"].map((seed) => command("--lifecycles", "20000", "--seed", seed)))
say("two shards against one, wall clock", one.seconds / two.seconds, 1.7)
const limit = Math.max(...apart.map(({ seconds }) => seconds))
say("two shards against two processes with half of it each, at once", limit / two.seconds, 0.9)

const python = process.env["PYTHON"] ?? "python3"
const peer = spawnSync(python, [`${import.meta.dirname}/peers/frozen_lake.py`], { encoding: "utf8" })
if (peer.status === 0) {
  const { envpool, gymnasium, python: version, ...rates } = JSON.parse(peer.stdout) as Record<string, string | number>
  console.log(`Python ${version}, gymnasium ${gymnasium}, EnvPool ${envpool ?? "missing"}, steps/s a core:`)
  for (const [name, rate] of Object.entries(rates)) {
    const against = rate === null ? "missing" : `${rate}, ${(steps / whole / Number(rate)).toPrecision(2)} of it here`
    console.log(`  ${name.replace(/StepsPerSecond$/, "")}: ${against}`)
  }
} else console.log(`no peers: ${python} has no gymnasium, see bench/peers/frozen_lake.py`)
