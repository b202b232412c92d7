/**
 * Simulation at scale, against its limits: machine events of bare lifecycles (an environment that does nothing), steps with
 * `scripted:random` and everything on, cost and memory by lifecycles in flight, and two shards against one.
 *
 * Rates are per CPU second, garbage collection included, so that neighbours on the machine do not count; shards are
 * compared by the wall clock and need two free cores.
 */
import { spawnSync } from "node:child_process"
import { Effect, Schema } from "effect"
import { assign, setup } from "xstate"
import frozenLakeObscure from "../environments/frozen-lake-obscure/index.ts"
import type { TaskSet } from "../src/actors/rollout.ts"
import { simulate } from "../src/actors/simulate.ts"
import {
  defineEnvironment,
  type Environment,
  type Ending,
  type EnvironmentEvent,
  hintsBlock
} from "../src/environment.ts"
import { defaultSettings } from "../src/machines/lifecycle.ts"
import { Policy } from "../src/policies/policy.ts"
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

const run = (environment: Environment, lifecycles: number, concurrency: number) => {
  const taskSet: TaskSet = { id: 0, environment, options: Schema.decodeSync(environment.options)({}) }
  const options = { lifecycles, packSize, concurrency, seed: 1, settings: defaultSettings }
  return Effect.runPromise(Effect.provideService(simulate(taskSet, options), Policy, scripted(environment, "random")))
}

const measured = async (environment: Environment, lifecycles: number, concurrency: number) => {
  const before = process.cpuUsage()
  const { steps } = await run(environment, lifecycles, concurrency)
  const { system, user } = process.cpuUsage(before)
  return { steps, seconds: (system + user) / 1e6 }
}

const best = async (environment: Environment, lifecycles: number, concurrency: number) => {
  await run(environment, lifecycles / 2, concurrency)
  const rates: Array<number> = []
  for (let round = 0; round < 3; round++) {
    const { seconds, steps } = await measured(environment, lifecycles, concurrency)
    rates.push(steps / seconds)
  }
  return Math.max(...rates)
}

const say = (what: string, value: number, wanted: number, atMost = false): void => {
  const holds = atMost ? value <= wanted : value >= wanted
  console.log(
    `${what}: ${value.toPrecision(3)}, wanted ${atMost ? "at most" : "at least"} ${wanted}${holds ? "" : " (MISSED)"}`
  )
}

// A solve step is an event of the environment and one of its agent; an update episode one of its agent and one of the
// context store; an episode one of the lifecycle.
const solveSteps = packSize * nothingSteps
const eventsPerLifecycle = 2 * solveSteps + 3 * (packSize - 1) + packSize
const bare = (await best(nothing, 2_000, 64)) / (solveSteps + packSize - 1)
say("machine events/s, environment that does nothing", bare * eventsPerLifecycle, 100_000)
say("steps/s, scripted:random on frozen-lake-obscure", await best(frozenLakeObscure, 2_000, 64), 40_000)

const command = (...args: ReadonlyArray<string>) => {
  const environment = ["--env", "frozen-lake-obscure", "--policy", "scripted:random"]
  const { stdout } = spawnSync(
    process.execPath,
    [`${import.meta.dirname}/../src/cli/main.ts`, "simulate", ...environment, "--json", ...args],
    { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }
  )
  return JSON.parse(stdout) as { readonly seconds: number; readonly peakRssBytes: number; readonly digest: string }
}

const [few, many] = [1_000, 12_000]
const window = [few, many].map((concurrency) =>
  command("--lifecycles", String(many), "--concurrency", String(concurrency))
)
const kib = (window[1]!.peakRssBytes - window[0]!.peakRssBytes) / (many - few) / 1024
say("KiB of peak memory for each lifecycle more in flight", kib, 16, true)
say(`time with ${many} in flight against ${few}`, window[1]!.seconds / window[0]!.seconds, 1.2, true)

const shards = ["1", "2"].map((count) => command("--lifecycles", String(many), "--shards", count))
if (shards[0]!.digest !== shards[1]!.digest || window[0]!.digest !== window[1]!.digest)
  throw new Error("digests differ")
say("two shards against one, wall clock", shards[0]!.seconds / shards[1]!.seconds, 1.7)
