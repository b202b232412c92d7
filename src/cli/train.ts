/** `constellate train`: from task sets to a better policy, in a run folder that can be resumed. */
import { Clock, Effect, FileSystem, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { join, resolve } from "node:path"
import { type Evaluation, evaluate } from "../actors/evaluate.ts"
import type { TaskSet } from "../actors/rollout.ts"
import { createRun, openRun, policyFolderOf, type RunFolder } from "../actors/run-folder.ts"
import { makeSpark } from "../actors/spark.ts"
import { train as trainPolicy, type TrainingNews } from "../actors/training.ts"
import { loraOf, overlapOf, presets, TrainingConfig } from "../actors/training-config.ts"
import { publishedPolicy } from "../actors/published-presets.ts"
import { initializeAdapter, type LoraConfig } from "../kernels/lora.ts"
import { defaultSettings } from "../machines/lifecycle.ts"
import { neededStaleness } from "../machines/overlap.ts"
import type { Checkpoint } from "../policies/checkpoint.ts"
import { layerScripted } from "../policies/scripted.ts"
import { fromFile, fromObject, printConfig, resolveConfig, settingOptions, settingsOf } from "./config.ts"
import { openDevices } from "./device.ts"
import { openTaskSet } from "./environments.ts"
import { checkLoss, openEstimator } from "./estimator.ts"
import { UnknownName, WrongInput } from "./failure.ts"
import { checkStyle, openJudge } from "./judge.ts"
import { answer, json } from "./output.ts"
import { openStyle, readPolicyFolder } from "./policy.ts"
import { progress, statusLine } from "./progress.ts"
import { checkRoom } from "./room.ts"
import { curve, reportPage, successTable } from "./report.ts"

const optional = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const toggle = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDefault(false), Flag.withDescription(description))

export const train = Command.make(
  "train",
  {
    env: Flag.String("env").pipe(
      Flag.withMetavar("ID[:PRESET]"),
      Flag.withDescription("Environment to train on; repeated ones are mixed"),
      Flag.atLeast(0)
    ),
    preset: optional("preset", Object.keys(presets).join("|"), "Named settings; default spark"),
    run: optional("run", "DIR", "Run folder; default runs/<UTC time>-<id>"),
    resume: toggle("resume", "Go on with the run in --run DIR, with its own configuration"),
    dryRun: toggle("dry-run", "Print the resolved configuration and stop"),
    json,
    ...settingOptions(TrainingConfig, ["environments"])
  },
  Effect.fnUntraced(function* (given) {
    const { dryRun, resume, run } = given
    const config = yield* resume ? resumedConfig(given) : newConfig(given)
    const taskSets = yield* Effect.forEach(config.environments, (text, id) =>
      openTaskSet(text, id, fromObject({ environment: config.environment }))
    )
    yield* checkTaskSets(taskSets, config)
    const estimate = yield* openEstimator(config.credit)
    yield* checkLoss(config.loss)
    yield* checkModel(config)
    yield* checkCounterfactual(config)
    yield* checkOverlap(config)
    yield* checkStyle("rollout", config.rollout, config.style)
    if (dryRun) return yield* answer(given.json, config, () => printConfig(TrainingConfig, config).trimEnd())
    if (config.policy !== "") yield* checkRoom(config)
    const policy =
      config.policy === ""
        ? makeSpark(
            config,
            taskSets.map(({ environment }) => environment)
          )
        : yield* adapted(config, yield* readPolicyFolder(config.policy))
    const chat = yield* openStyle(config.policy, policy, {
      environments: taskSets.map(({ environment }) => environment),
      style: config.style,
      thinking: config.thinking
    })

    const devices = yield* openDevices(config.device)

    yield* Effect.scoped(
      Effect.gen(function* () {
        const judge = yield* openJudge(
          "rollout",
          config.rollout,
          taskSets.map(({ environment }) => environment)
        )
        const started = yield* Clock.currentTimeMillis
        const folder = yield* resume
          ? openRun(Option.getOrThrow(run))
          : createRun({
              path: Option.getOrUndefined(run),
              config: printConfig(TrainingConfig, config),
              environments: config.environments,
              policy: config.policy === "" ? "spark" : config.policy
            })
        const { report } = yield* progress()
        const result = yield* trainPolicy({
          config,
          taskSets,
          policy,
          chat,
          devices,
          folder,
          estimate,
          judge,
          onNews: (news) => report(standing(news))
        }).pipe(
          Effect.onInterrupt(() =>
            Effect.sync(() => statusLine.print(`go on with: constellate train --resume --run ${folder.path}`))
          )
        )
        const references = yield* Effect.forEach(result.after, (after, i) => referencesFor(taskSets[i]!, after))
        yield* keepReport(folder, config, result, references)
        yield* folder.finish
        const document = {
          run: folder.path,
          updates: result.updates,
          seconds: ((yield* Clock.currentTimeMillis) - started) / 1000,
          tokens: result.tokens,
          peakRssBytes: process.resourceUsage().maxRSS * 1024,
          before: single(result.before),
          after: single(result.after)
        }
        const tables = result.after.map((after, i) => successTable(result.before[i]!, after, references[i]!))
        yield* answer(given.json, document, () => [...tables, folder.path].join("\n\n"))
      })
    )
  })
).pipe(
  Command.withDescription("Trains a policy on lifecycles, from nothing or from a policy folder"),
  Command.withExamples([
    { command: "constellate train --preset spark", description: "From nothing to a risen curve in minutes" },
    {
      command: "constellate train --env frozen-lake-obscure --seed 2 --updates 80 --run runs/second",
      description: "Another seed, fewer updates, a folder of your choice"
    },
    { command: "constellate train --resume --run runs/second", description: "Go on after Ctrl-C or a crash" },
    {
      command: "constellate train --set credit.estimator=grpo --set optimizer.learningRate=1e-3 --dry-run",
      description: "See the configuration that these settings make"
    }
  ])
)

interface Given {
  readonly env: ReadonlyArray<string>
  readonly preset: Option.Option<string>
  readonly run: Option.Option<string>
  readonly config: Option.Option<string>
  readonly set: ReadonlyArray<string>
  readonly keys: Readonly<Record<string, Option.Option<string>>>
}

const newConfig = Effect.fnUntraced(function* ({ env, preset, ...given }: Given) {
  const name = Option.getOrElse(preset, () => "spark")
  if (!Object.hasOwn(presets, name)) {
    return yield* new UnknownName({ kind: "preset", name, valid: Object.keys(presets) })
  }
  const settings = yield* settingsOf(given)
  const environments = env.length === 0 ? [] : fromObject({ environments: env })
  const config = yield* resolveConfig(TrainingConfig, fromObject(presets[name]!), settings, environments)
  const published = publishedPolicy(name)
  if (published !== undefined && config.policy === "") {
    const expected = `the folder of a policy to start from, which preset ${name} needs (published with ${published})`
    return yield* new WrongInput({ field: "--policy", value: undefined, expected })
  }
  return config
})

/** A run goes on as it was begun; more updates and how it is carried out are all that may be new. */
const resumedConfig = Effect.fnUntraced(function* ({ env, preset, run, ...given }: Given) {
  if (Option.isNone(run)) {
    return yield* new WrongInput({ field: "--run", value: undefined, expected: "the run folder to resume" })
  }
  const mayChange = ["updates", "concurrency", "shards"]
  const settings = yield* settingsOf(given)
  const refused =
    settings.find(({ path }) => !mayChange.includes(path.join(".")))?.path.join(".") ??
    (env.length > 0 ? "--env" : Option.isSome(preset) ? "--preset" : undefined)
  if (refused !== undefined) {
    const expected = `nothing but ${mayChange.join(", ")} beside --resume; the rest is in ${join(run.value, "config.yaml")}`
    return yield* new WrongInput({ field: refused, value: "given", expected })
  }
  yield* readRunConfig(run.value)
  return yield* resolveConfig(TrainingConfig, yield* fromFile(join(run.value, "config.yaml")), settings)
})

const readRunConfig = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  if (!(yield* files.exists(join(path, "run.json")))) {
    return yield* new WrongInput({ field: "--run", value: path, expected: "a run folder, one with run.json" })
  }
})

const checkModel = Effect.fnUntraced(function* ({ lora, model, policy }: TrainingConfig) {
  if (lora !== undefined && policy === "") {
    const expected = "nothing, or a policy to start from (--policy DIR): of a new one everything is trained"
    return yield* new WrongInput({ field: "lora", value: lora, expected })
  }
  const { headSize, heads, keyValueHeads } = model
  if (heads % keyValueHeads !== 0) {
    const expected = `a divisor of model.heads, which is ${heads}`
    return yield* new WrongInput({ field: "model.keyValueHeads", value: keyValueHeads, expected })
  }
  if (headSize % 2 !== 0) {
    return yield* new WrongInput({ field: "model.headSize", value: headSize, expected: "an even number" })
  }
})

/** A policy of whose weights adapters alone are trained: new ones, or those that it has. */
const adapted = Effect.fnUntraced(function* (config: TrainingConfig, policy: Checkpoint) {
  const lora = loraOf(config)
  if (lora === undefined) return policy
  const { adapter } = policy
  if (adapter === undefined) {
    const base = resolve(yield* policyFolderOf(config.policy))
    const weights = initializeAdapter(policy.config, lora, config.seed, "lora")
    return { ...policy, adapter: { base, lora, weights } }
  }
  const same = (key: keyof LoraConfig) => JSON.stringify(adapter.lora[key]) === JSON.stringify(lora[key])
  const other = (["rank", "alpha", "targets"] as const).find((key) => !same(key))
  if (other === undefined) return policy
  const expected = `${JSON.stringify(adapter.lora[other])}, as in the adapters of ${config.policy}, or other ones on a merged model (constellate runs merge)`
  return yield* new WrongInput({ field: `lora.${other}`, value: lora[other], expected })
})

/** Settings under which something would have to be thrown away for its age, or that would change nothing, are refused. */
const checkOverlap = Effect.fnUntraced(function* (config: TrainingConfig) {
  const overlap = overlapOf(config)
  const needed = neededStaleness(overlap)
  if (needed > overlap.staleness) {
    const expected = `at least ${needed}: async.ahead ${overlap.ahead} + async.syncInterval ${overlap.syncInterval} + async.uses ${overlap.uses} - 2`
    return yield* new WrongInput({ field: "async.staleness", value: overlap.staleness, expected })
  }
  if (overlap.noise > 0 && overlap.uses === 1) {
    const expected = "0 where every group is learnt from once (async.uses is 1)"
    return yield* new WrongInput({ field: "async.noise", value: overlap.noise, expected })
  }
})

/** Branches and the estimator that needs them belong together; branches that would not be lived are refused. */
const checkCounterfactual = Effect.fnUntraced(function* ({ credit, rollout }: TrainingConfig) {
  const { counterfactual, packSize } = rollout
  const { alternatives, horizon } = counterfactual
  const refuse = (field: string, value: unknown, expected: string) =>
    new WrongInput({ field: `rollout.counterfactual.${field}`, value, expected })
  if (alternatives === 1 && credit.estimator === "counterfactual") {
    return yield* refuse("alternatives", 1, "at least 2, siblings to compare (credit.estimator is counterfactual)")
  }
  if (alternatives === 1 && horizon > 0) {
    return yield* refuse("horizon", horizon, "0 where there are no branches (rollout.counterfactual.alternatives is 1)")
  }
  if (alternatives > 1 && credit.estimator === "grpo") {
    return yield* refuse("alternatives", alternatives, "1: credit.estimator grpo would pay branches for their past")
  }
  if (alternatives > 1 && packSize === 1) {
    return yield* refuse("alternatives", alternatives, "1: packs of one task have no updates (rollout.packSize)")
  }
  if (horizon >= packSize) {
    return yield* refuse("horizon", horizon, `at most ${packSize - 1}, or 0: no more tasks follow (rollout.packSize)`)
  }
})

const checkTaskSets = Effect.fnUntraced(function* (taskSets: ReadonlyArray<TaskSet>, config: TrainingConfig) {
  if (config.style === "chat" && config.policy === "") {
    const expected = `"terse", or a policy to start from (--policy DIR)`
    return yield* new WrongInput({ field: "style", value: "chat", expected })
  }
  for (const { environment } of taskSets) {
    if (config.style === "chat") continue
    if (environment.terse === undefined) {
      const expected = "environments with a terse style, or --style chat"
      return yield* new WrongInput({ field: "environments", value: environment.id, expected })
    }
    if (config.policy === "" && (environment.demonstrate?.stages.length ?? 0) < 2) {
      const expected = "environments with demonstrations of two stages, or a policy to start from (--policy)"
      return yield* new WrongInput({ field: "environments", value: environment.id, expected })
    }
  }
})

const standing = ({ done, stage, success, tokens, total }: TrainingNews) => ({
  stage: {
    drill: "warm start, drill",
    settling: "warm start, settling",
    evaluation: "evaluation",
    training: "training"
  }[stage],
  done,
  total,
  unit: stage === "training" ? "update" : stage === "evaluation" ? "pack" : "step",
  ...(tokens === 0 ? {} : { tokens }),
  ...(success === undefined ? {} : { success })
})

const single = (evaluations: ReadonlyArray<Evaluation>) => (evaluations.length === 1 ? evaluations[0] : evaluations)

/** What scripted agents reach on the packs of an evaluation: the frame of every chart. */
const referencesFor = Effect.fnUntraced(function* (taskSet: TaskSet, after: Evaluation) {
  const { packs, packSize, seed } = after
  return yield* Effect.forEach(["random", "careful"] as const, (agent) =>
    evaluate(taskSet, {
      packs,
      packSize,
      seed,
      seeds: 1,
      strategy: "cod",
      context: "own",
      settings: defaultSettings,
      concurrency: 64
    }).pipe(Effect.provide(layerScripted(taskSet.environment, agent)))
  )
})

/** Picture, page and numbers of a finished run; one of each for every task set. */
const keepReport = Effect.fnUntraced(function* (
  folder: RunFolder,
  config: TrainingConfig,
  { after, before }: { readonly before: ReadonlyArray<Evaluation>; readonly after: ReadonlyArray<Evaluation> },
  references: ReadonlyArray<ReadonlyArray<Evaluation>>
) {
  const files = yield* FileSystem.FileSystem
  yield* folder.write("after.json", `${JSON.stringify(after, null, 2)}\n`)
  const metricsFile = folder.at("metrics.jsonl")
  const lines = (yield* files.exists(metricsFile))
    ? (yield* files.readFileString(metricsFile)).split("\n").slice(0, -1)
    : []
  const metrics = lines.map((line) => JSON.parse(line))
  for (const [i, evaluation] of after.entries()) {
    const run = {
      path: folder.path,
      command: `constellate train --config ${join(folder.path, "config.yaml")}`,
      config: printConfig(TrainingConfig, config),
      before: before[i]!,
      after: evaluation,
      references: references[i]!,
      metrics
    }
    const suffix = after.length === 1 ? "" : `-${evaluation.environment}`
    yield* folder.write(`curve${suffix}.svg`, curve(run))
    yield* folder.write(`report${suffix}.html`, reportPage(run))
  }
})
