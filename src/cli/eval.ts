/** `constellate eval`: success and reward by position. */
import { Context, Effect, FileSystem, Layer, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { join } from "node:path"
import { writeDurably } from "../actors/durable-file.ts"
import { evaluate as evaluateTaskSet, type Evaluation, lifecyclesOf } from "../actors/evaluate.ts"
import { lifecycleSettings } from "../actors/lifecycle-config.ts"
import type { Interval } from "../kernels/statistics.ts"
import { Policy } from "../policies/policy.ts"
import { resolveConfig, type Setting, settingOptions, settingsOf } from "./config.ts"
import { type Chosen, envs, openTaskSet } from "./environments.ts"
import { EvalConfig, type Given, onePack, type Outcome, policyOptionsOf, reporter } from "./eval-config.ts"
import { bySuite } from "./eval-suite.ts"
import { WrongInput } from "./failure.ts"
import { checkStyle, openJudge } from "./judge.ts"
import { answer, json, table } from "./output.ts"
import { openPolicy } from "./policy.ts"
import { evaluationPage, isPage, type Reported } from "./suite-report.ts"
import { suiteNames } from "./suites.ts"
import { packTasks, readTaskFile, type TaskFile } from "./task-packs.ts"

const optional = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

export const evaluate = Command.make(
  "eval",
  {
    policy: Argument.String("policy").pipe(
      Argument.withDescription("scripted:NAME, a checkpoint folder, a run folder, or openai:MODEL@URL")
    ),
    env: envs,
    tasks: optional("tasks", "FILE", "Tasks as env tasks writes them, instead of drawn ones"),
    suite: optional("suite", suiteNames.join("|"), "The published environments, packs, temperature and limits"),
    out: optional("out", "FILE.html|DIR", "Write a page with charts; into a folder (suites only), finished parts too"),
    json,
    ...settingOptions(EvalConfig)
  },
  Effect.fnUntraced(function* (given) {
    const settings = yield* settingsOf(given)
    const config = yield* resolveConfig(
      EvalConfig,
      settings.filter(({ path }) => path[0] !== "environment")
    )
    const reported = yield* Option.isSome(given.suite)
      ? Effect.scoped(bySuite(given, given.suite.value, settings, config))
      : byEnvironment(given, settings, config)
    if (Option.isSome(given.out)) yield* write(given.out.value, reported)
    yield* answer(given.json, reported.document, () => reported.text)
  })
).pipe(
  Command.withDescription("Success and reward by position, on packs that no training sees"),
  Command.withExamples([
    {
      command: "constellate eval scripted:careful --env frozen-lake-obscure --packs 500 --pack-size 4",
      description: "A reference agent that learns from task to task"
    },
    {
      command: "constellate eval scripted:careful --env frozen-lake-obscure:hard --context none --json",
      description: "The same on larger maps, without what it wrote"
    },
    {
      command: "constellate eval scripted:careful --suite 8b-a --packs 50 --out suite.html",
      description: "A published suite under all context controls, on fewer packs"
    },
    {
      command: "constellate eval scripted:careful --tasks tasks.jsonl --pack-size 4",
      description: "On tasks of a file"
    }
  ])
)

export const evalCommand = evaluate

const write = Effect.fnUntraced(function* (out: string, { document, page }: Outcome) {
  const files = yield* FileSystem.FileSystem
  if (isPage(out)) return yield* files.writeFileString(out, evaluationPage(page))
  yield* writeDurably(join(out, "suite.json"), `${JSON.stringify(document, null, 2)}\n`)
  yield* writeDurably(join(out, "report.html"), evaluationPage(page))
})

const byEnvironment = Effect.fnUntraced(function* (given: Given, settings: ReadonlyArray<Setting>, config: EvalConfig) {
  const { env, out, policy } = given
  if (Option.isSome(out) && !isPage(out.value)) {
    return yield* new WrongInput({ field: "--out", value: out.value, expected: "a name that ends in .html" })
  }
  if (config.context === "foreign" && config.packs === 1) return yield* onePack(1)
  const sources = yield* Option.isSome(given.tasks)
    ? readTaskFile(given.tasks.value, env, settings)
    : drawnFrom(env, settings, config)
  const evaluations = yield* Effect.forEach(sources, (source) => Effect.scoped(evaluateOn(source, policy, config)))
  const first = evaluations[0]!
  const { context, seed, seeds, strategy } = first
  const page: Reported = {
    title: evaluations.map(({ environment }) => environment).join(", "),
    policy,
    parts: evaluations.map(({ preset, ...evaluation }) => ({
      environment: evaluation.environment,
      preset,
      evaluations: [evaluation]
    })),
    notes: evaluations.map(
      ({ environment, packs, packSize }) =>
        `${environment}: ${packs} packs of ${packSize} (${strategy}), context ${context}, from seed ${seed} on, seeds: ${seeds}.`
    ),
    command: `constellate eval ${policy} ${env.map((text) => `--env ${text}`).join(" ")}${
      Option.isSome(given.tasks) ? ` --tasks ${given.tasks.value}` : ""
    } --packs ${first.packs / seeds} --pack-size ${first.packSize} --strategy ${strategy} --context ${context} --seed ${seed} --seeds ${seeds}`
  }
  return {
    document: evaluations.length === 1 ? first : evaluations,
    page,
    text: evaluations.map(report).join("\n\n")
  } satisfies Outcome as Outcome
})

const drawnFrom = Effect.fnUntraced(function* (
  env: ReadonlyArray<string>,
  settings: ReadonlyArray<Setting>,
  { pad }: EvalConfig
) {
  if (env.length === 0) {
    return yield* new WrongInput({ field: "--env", value: undefined, expected: "an environment, --tasks or --suite" })
  }
  if (pad !== undefined) {
    return yield* new WrongInput({
      field: "pad",
      value: pad,
      expected: "nothing without --tasks: drawn packs are full"
    })
  }
  return yield* Effect.forEach(env, (text, id) => openTaskSet(text, id, settings))
})

const evaluateOn = Effect.fnUntraced(function* (source: Chosen | TaskFile, policy: string, config: EvalConfig) {
  const { lifecycle, remote: _remote, style: _style, temperature, thinking: _thinking, ...options } = config
  const { environment, preset } = source
  const { pad = true, packSeeds = "runtime", seed, seeds = 1, strategy } = options
  const settings = lifecycleSettings(lifecycle, temperature)
  const packSize = options.packSize ?? ("rows" in source ? source.packSize : undefined) ?? 8
  const given =
    "rows" in source
      ? yield* Effect.forEach(
          Array.from({ length: seeds }, (_, i) => seed + i),
          (baseSeed) => packTasks(source, { strategy, pad, packSeeds }, packSize, baseSeed)
        )
      : undefined
  const packs = options.packs ?? given?.[0]!.length ?? 128
  if (given !== undefined && packs > given[0]!.length) {
    const expected = `at most ${given[0]!.length}, which ${(source as TaskFile).file} makes of ${environment.id}`
    return yield* new WrongInput({ field: "packs", value: packs, expected })
  }
  if (options.context === "foreign" && packs < 2) return yield* onePack(packs)
  const counts = { ...options, packs, packSize, packSeeds, seeds, settings }
  const judge = yield* openJudge("lifecycle", lifecycle, [environment])
  const opened = yield* Layer.build(yield* openPolicy(policy, { ...policyOptionsOf(config), environment }))
  const asked = Context.get(opened, Policy)
  yield* checkStyle("lifecycle", lifecycle, asked.style)
  const report = yield* reporter(`evaluation on ${environment.id}`, lifecyclesOf(counts))
  const taskSet = "rows" in source ? { id: 0, environment, options: source.rows[0]!.options } : source
  const evaluation = yield* Effect.provideService(
    evaluateTaskSet(taskSet, {
      ...counts,
      onLifecycle: (lifecycle) => report(lifecycle),
      ...(given === undefined ? {} : { given: (baseSeed) => given[baseSeed - seed]!.slice(0, packs) })
    }),
    Policy,
    judge === undefined ? asked : { ...asked, judge }
  )
  return { ...evaluation, preset }
})

/** For people: a line a position, with a bar of twenty cells. */
const report = (evaluation: Evaluation): string => {
  const { context, dynamics, environment, packs, packSize, policy, positions, seed, seeds, strategy, updates } =
    evaluation
  const lost = positions.reduce((sum, { outcomes }) => sum + outcomes.timeout + outcomes.error, 0)
  return [
    `${policy} on ${environment}${withOperators(dynamics)}: ${packs} packs of ${packSize} (${strategy}), context ${context}, ${
      seeds === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + seeds - 1}`
    }`,
    "",
    table(
      ["position", "success", "95 % interval", "reward", "95 % interval", ""],
      positions.map(({ position, reward, success }) => [
        `${position}`,
        share(success.mean),
        range(success),
        share(reward.mean),
        range(reward),
        bar(success.mean)
      ])
    ),
    "",
    `outcomes: ${outcomes(positions)}`,
    updates.episodes === 0
      ? "no update episodes"
      : `updates: ${updates.parsed} of ${updates.episodes} could be read${
          updates.meanTokens ? `, ${updates.meanTokens.toFixed(1)} tokens on average` : ""
        }`,
    ...(evaluation.flagged === 0
      ? []
      : [`${evaluation.flagged} lifecycles are left out because the judge could not be read`]),
    ...(lost === 0 ? [] : [`${lost} lifecycles were lost to errors or timeouts; the means leave them out`])
  ].join("\n")
}

const withOperators = (dynamics: Evaluation["dynamics"] = []): string =>
  dynamics.length === 0 ? "" : ` with ${dynamics.flatMap(Object.keys).join(", ")}`

const share = (value: number | null): string => (value === null ? "-" : value.toFixed(3))

const range = ({ high, low }: Interval): string => `${share(low)} to ${share(high)}`

const bar = (value: number | null): string => {
  const eighths = Math.round((value ?? 0) * 160)
  return "█".repeat(Math.floor(eighths / 8)) + (eighths % 8 === 0 ? "" : " ▏▎▍▌▋▊▉"[eighths % 8]!)
}

const outcomes = (positions: Evaluation["positions"]): string => {
  const sums = new Map<string, number>()
  for (const { outcomes } of positions) {
    for (const [outcome, count] of Object.entries(outcomes)) sums.set(outcome, (sums.get(outcome) ?? 0) + count)
  }
  return [...sums].flatMap(([outcome, count]) => (count === 0 ? [] : [`${count} ${outcome}`])).join(", ")
}
