/** `constellate simulate`: many lifecycles without learning. */
import { Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { resolveConfig, settingOptions, settingsOf } from "./config.ts"
import { strategies } from "../machines/packs.ts"
import { envs } from "./environments.ts"
import { openDevices } from "./device.ts"
import { CheckFailed, WrongInput } from "./failure.ts"
import { LifecycleConfig } from "../actors/lifecycle-config.ts"
import { answer, json } from "./output.ts"
import { policyFields } from "./policy.ts"
import { packingFields } from "./task-packs.ts"
import { simulateFork } from "./simulate-fork.ts"
import { describe } from "./simulation-report.ts"
import { isolations, runSimulation } from "./simulation-run.ts"

const withDefault = <S extends Schema.Top>(schema: S, value: S["Type"]) =>
  schema.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))

const positive = (description: string) => Schema.Int.check(Schema.isGreaterThan(0)).annotate({ description })

const SimulationConfig = Schema.Struct({
  lifecycles: Schema.optionalKey(positive("How many; lifecycle i plays pack i; default 1000, or all packs of --tasks")),
  packSize: Schema.optionalKey(positive("Tasks of a pack; default 4, or what the file of --tasks has")),
  strategy: withDefault(
    Schema.Literals(strategies).annotate({ description: "Packs: cod (default), ralph-sample or ralph-full" }),
    "cod"
  ),
  ...packingFields,
  concurrency: withDefault(positive("Lifecycles in flight; default 256"), 256),
  shards: withDefault(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 })).annotate({
      description: "Worker threads to share the lifecycles among, 1 to 64; default 1"
    }),
    1
  ),
  isolation: Schema.optionalKey(
    Schema.Literals(isolations).annotate({
      description:
        "inline: in this thread; worker: in threads of their own, which are ended and replaced when an environment does not come back; default worker where shards are many, else inline"
    })
  ),
  seed: withDefault(Schema.Int.annotate({ description: "Default 1" }), 1),
  temperature: withDefault(
    Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)).annotate({ description: "Of sampling; default 1" }),
    1
  ),
  ...policyFields,
  lifecycle: LifecycleConfig.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
})

export const simulate = Command.make(
  "simulate",
  {
    env: envs,
    tasks: Flag.String("tasks").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Tasks as env tasks writes them, instead of drawn ones"),
      Flag.optional
    ),
    policy: Flag.String("policy").pipe(
      Flag.withMetavar("POLICY"),
      Flag.withDescription(
        "scripted:NAME, a checkpoint folder, a run folder, or openai:MODEL@URL; default with --fork: the recorded one"
      ),
      Flag.optional
    ),
    fork: Flag.String("fork").pipe(
      Flag.withMetavar("TRACE:LIFECYCLE:POSITION"),
      Flag.withDescription(
        "Go on with a recorded lifecycle from before the solve episode at POSITION, with other samples"
      ),
      Flag.optional
    ),
    branches: Flag.Int("branches").pipe(
      Flag.withDescription("How many other futures of --fork; default 1"),
      Flag.optional
    ),
    out: Flag.String("out").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to write the traces, one line of JSON an episode; must not exist"),
      Flag.optional
    ),
    rotateMb: Flag.Finite("rotate-mb").pipe(
      Flag.withMetavar("MB"),
      Flag.withDescription("Go on in FILE.0001, FILE.0002, ... once a part has this size; default: one file"),
      Flag.optional
    ),
    resume: Flag.Boolean("resume").pipe(
      Flag.withoutNegation,
      Flag.withDefault(false),
      Flag.withDescription("Go on behind the whole lifecycles that FILE holds already")
    ),
    json,
    ...settingOptions(SimulationConfig)
  },
  Effect.fnUntraced(function* ({ branches, env, fork, json, out, resume, rotateMb, tasks, ...given }) {
    const all = yield* settingsOf(given)
    if (Option.isSome(fork)) {
      return yield* simulateFork({
        fork: fork.value,
        branches: Option.getOrElse(branches, () => 1),
        policy: Option.getOrUndefined(given.policy),
        out: Option.getOrUndefined(out),
        settings: all,
        beside: {
          "--env": env[0],
          "--tasks": Option.getOrUndefined(tasks),
          "--rotate-mb": Option.getOrUndefined(rotateMb),
          "--resume": resume || undefined
        },
        json
      })
    }
    if (Option.isSome(branches)) {
      return yield* new WrongInput({ field: "--branches", value: branches.value, expected: "nothing without --fork" })
    }
    if (Option.isNone(given.policy)) {
      return yield* new WrongInput({
        field: "--policy",
        value: undefined,
        expected: "a policy, such as scripted:careful"
      })
    }
    const policy = given.policy.value
    const config = yield* resolveConfig(
      SimulationConfig,
      all.filter(({ path }) => path[0] !== "environment")
    )
    if (env.length === 0 && Option.isNone(tasks)) {
      return yield* new WrongInput({ field: "--env", value: undefined, expected: "an environment, or --tasks" })
    }
    if (config.pad !== undefined && Option.isNone(tasks)) {
      const expected = "nothing without --tasks: drawn packs are full"
      return yield* new WrongInput({ field: "pad", value: config.pad, expected })
    }
    if (env.length > 1) return yield* new WrongInput({ field: "--env", value: env, expected: "one environment" })
    if (resume && Option.isNone(out)) {
      return yield* new WrongInput({ field: "--out", value: undefined, expected: "the file to resume" })
    }
    const megabytes = Option.getOrUndefined(rotateMb)
    if (megabytes !== undefined && (Option.isNone(out) || !(megabytes > 0))) {
      const expected = Option.isNone(out) ? "nothing without --out" : "a number above 0"
      return yield* new WrongInput({ field: "--rotate-mb", value: megabytes, expected })
    }
    const rotateBytes = megabytes === undefined ? undefined : megabytes * 1e6
    const { concurrency, isolation, lifecycle, packSize, seed, shards, temperature, ...others } = config
    if (isolation === "inline" && shards > 1) {
      return yield* new WrongInput({
        field: "isolation",
        value: isolation,
        expected: `"worker" where shards are ${shards}`
      })
    }
    const { lifecycles, packSeeds = "runtime", pad = true, strategy, ...policyOptions } = others
    const settings = all.filter(({ path }) => path[0] === "environment")
    const packing = { strategy, pad, packSeeds }
    const from = { env: env[0], tasks: Option.getOrUndefined(tasks), packing, packSize }
    // Tried once, not by every shard again. Whoever runs no model refuses it later.
    const runsModel = config.device !== undefined && !/^(scripted|openai):/.test(policy)
    const devices = runsModel ? yield* openDevices(config.device!) : undefined
    const opening = { ...policyOptions, devices }
    const simulated = yield* runSimulation({
      setup: { ...from, policy, settings, seed, temperature, lifecycle, policyOptions: opening },
      lifecycles,
      concurrency,
      shards,
      isolation: isolation ?? (shards > 1 ? "worker" : "inline"),
      out: Option.getOrUndefined(out),
      resume,
      rotateBytes
    })
    yield* answer(json, simulated, () => describe(simulated))
    const { untraced } = simulated
    if (untraced === undefined) return
    const reason = `${untraced.why}: ${untraced.lifecycles} lifecycles have no traces; --resume goes on behind the others`
    return yield* new CheckFailed({ reason })
  })
).pipe(
  Command.withDescription("Live many lifecycles without learning: to test, to compare, to collect data"),
  Command.withExamples([
    {
      command: "constellate simulate --env frozen-lake-obscure --policy scripted:careful --lifecycles 1000",
      description: "How fast, how well, and a digest of everything that happened"
    },
    {
      command: "constellate simulate --env frozen-lake --policy scripted:random --lifecycles 100 --out traces.jsonl",
      description: "Keep the traces"
    },
    {
      command: "constellate simulate --fork traces.jsonl:eval-0000-0000003/0:2 --branches 16",
      description: "Sixteen other futures of one of them, from before its third task"
    }
  ])
)
