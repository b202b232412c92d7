/**
 * Runs a suite: every environment of it, under every context control, with every seed.
 *
 * An environment with one seed is a part. In a folder finished parts are kept, so that an interrupted suite goes on behind
 * them; a part that was made with other settings is refused. Where a policy cannot read an environment there is no
 * number, but the reason.
 */
import { Effect, FileSystem, Result } from "effect"
import { join } from "node:path"
import { contextControls, type Evaluation, type Life, liveUnder, measure } from "../actors/evaluate.ts"
import { writeDurably } from "../actors/durable-file.ts"
import { faultOf, freshPacks } from "../actors/rollout.ts"
import { canonicalJson } from "../actors/episode-text.ts"
import type { Lifecycle } from "../machines/episode.ts"
import type { Settings } from "../machines/lifecycle.ts"
import { Policy } from "../policies/policy.ts"
import { type Chosen, openTaskSet } from "./environments.ts"
import { WrongInput } from "./failure.ts"
import { openPolicy, type PolicyOptions } from "./policy.ts"
import type { Suite, SuitePart } from "./suites.ts"
import type { Part } from "./suite-report.ts"

export interface SuiteOptions {
  readonly name: string
  readonly suite: Suite
  /** As given on the command line. */
  readonly policy: string
  readonly policyOptions: Omit<PolicyOptions, "environment">
  /** What the suite does not fix. */
  readonly settings: Settings
  /** For each seed. */
  readonly packs: number
  readonly seed: number
  readonly seeds: number
  readonly concurrency: number
  /** Keeps finished parts. */
  readonly folder?: string | undefined
  readonly onLifecycle: (part: string, lifecycle: Lifecycle) => Effect.Effect<void>
}

/** What is kept of a part: a list of lifecycles for each control, in the order of the packs. */
interface Lived {
  readonly lives: Readonly<Record<string, ReadonlyArray<Life>>>
  readonly firstFault?: string
}

/** How many lifecycles a suite lives: each pack once under each control, the foreign contexts being those of `own`. */
export const lifecyclesOfSuite = (suite: Suite, packs: number, seeds: number): number =>
  suite.parts.length * packs * seeds * contextControls.length

export const runSuite = Effect.fnUntraced(function* (options: SuiteOptions) {
  const parts: Array<Part> = []
  for (const part of options.suite.parts) {
    parts.push(yield* Effect.scoped(runPart(yield* openTaskSet(part.env, 0), part, options)))
  }
  return parts
})

const runPart = Effect.fnUntraced(function* (taskSet: Chosen, part: SuitePart, options: SuiteOptions) {
  const { packs, policy, policyOptions, seed, seeds, suite } = options
  const { environment, preset } = taskSet
  const opened = yield* Effect.result(openPolicy(policy, { ...policyOptions, environment }))
  if (Result.isFailure(opened)) {
    const { failure } = opened
    // What a policy cannot read is said of `--env`; anything else is wrong with the policy itself.
    if (!(failure instanceof WrongInput) || failure.field !== "--env") return yield* failure
    return {
      environment: environment.id,
      preset,
      evaluations: [],
      notApplicable: failure.expected.replace(/^an environment that .*?\((.*)\)$/, "$1")
    } satisfies Part as Part
  }
  return yield* Effect.gen(function* () {
    const { name, style } = yield* Policy
    const lived: Array<Lived> = []
    for (let baseSeed = seed; baseSeed < seed + seeds; baseSeed++) {
      lived.push(yield* kept(taskSet, part, baseSeed, { ...options, settings: { ...options.settings, style } }))
    }
    const firstFault = lived.find((one) => one.firstFault !== undefined)?.firstFault
    return {
      environment: environment.id,
      preset,
      evaluations: contextControls.map((context): Evaluation => {
        const lives = lived.flatMap((one) => one.lives[context]!)
        return {
          environment: environment.id,
          policy: name,
          packs: packs * seeds,
          packSize: suite.packSize,
          strategy: part.strategy,
          context,
          seed,
          seeds,
          ...measure(lives, suite.packSize, seed, suite.packSeeds === "stable" ? packs : lives.length)
        }
      }),
      ...(firstFault === undefined ? {} : { firstFault })
    } satisfies Part as Part
  }).pipe(Effect.provide(opened.success))
})

/** The packs of a part. Stable ones are the same for every seed. */
const packsOf = (taskSet: Chosen, { strategy, turns }: SuitePart, baseSeed: number, { packs, suite }: SuiteOptions) =>
  Array.from({ length: packs }, (_, first) => {
    const options =
      turns === undefined
        ? taskSet.options
        : { ...(taskSet.options as object), [turns.option]: turns.values[first % turns.values.length] }
    const drawn = suite.packSeeds === "stable" ? { seeds: "stable" as const, drawSeed: 1 } : {}
    const at = { phase: "eval", baseSeed, epoch: 0, first, count: 1, size: suite.packSize, strategy } as const
    return freshPacks({ ...taskSet, options }, { ...at, ...drawn })
  }).flat()

const live = Effect.fnUntraced(function* (taskSet: Chosen, part: SuitePart, baseSeed: number, options: SuiteOptions) {
  const { concurrency, onLifecycle, settings } = options
  const packs = packsOf(taskSet, part, baseSeed, options)
  let firstFault: string | undefined
  const lives: Record<string, ReadonlyArray<Life>> = {}
  for (const context of contextControls) {
    lives[context] = yield* liveUnder(
      context,
      packs,
      {
        concurrency,
        settings,
        onLifecycle: (lifecycle) => {
          firstFault ??= faultOf(lifecycle)?.why
          return onLifecycle(`${part.env}, context ${context}, seed ${baseSeed}`, lifecycle)
        }
      },
      lives["own"]
    )
  }
  return { lives, ...(firstFault === undefined ? {} : { firstFault }) } satisfies Lived as Lived
})

/** The part as it was kept; otherwise it is lived, and kept if there is a folder. */
const kept = Effect.fnUntraced(function* (taskSet: Chosen, part: SuitePart, baseSeed: number, options: SuiteOptions) {
  const { folder, name, packs, policy, policyOptions, settings } = options
  if (folder === undefined) return yield* live(taskSet, part, baseSeed, options)
  const files = yield* FileSystem.FileSystem
  const path = join(folder, "parts", `${part.env.replace(":", "-")}-${baseSeed}.json`)
  const plan = { suite: name, policy, policyOptions, settings, packs, seed: baseSeed, options: taskSet.options }
  if (yield* files.exists(path)) {
    const { plan: before, ...lived } = JSON.parse(yield* files.readFileString(path)) as Lived & { plan: unknown }
    if (canonicalJson(before) === canonicalJson(JSON.parse(JSON.stringify(plan)))) return lived as Lived
    const expected = "a folder of this policy and these settings"
    return yield* new WrongInput({ file: path, field: "--out", value: folder, expected })
  }
  const lived = yield* live(taskSet, part, baseSeed, options)
  const lives = Object.fromEntries(
    Object.entries(lived.lives).map(([context, own]) => [context, own.map(withoutContexts)])
  )
  yield* files.makeDirectory(join(folder, "parts"), { recursive: true })
  yield* writeDurably(path, `${JSON.stringify({ plan, ...lived, lives })}\n`)
  return lived
})

/** Contexts are needed while foreign ones are lived under, and not afterwards. */
const withoutContexts = ({ solves, ...life }: Life): Life => ({
  ...life,
  solves: solves.map((solve) => ({ ...solve, contextBefore: "" }))
})
