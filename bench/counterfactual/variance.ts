/**
 * What the returns of updates vary with, on a real environment and policy: with the history before the update, with the
 * context that it writes, or with chance after it.
 *
 * Runs of a pack are lived, at each update of each run other contexts are sampled from the same state, and each of them is
 * lived with several times. Variances are estimated by the method of moments (analysis of variance, nested), so what is
 * printed under *context* is the part that credit is meant to find, *history* is what siblings have in common, and *chance*
 * is what neither can take away.
 *
 *     npx node bench/counterfactual/variance.ts runs/first
 */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { forkPlan } from "../../src/actors/fork.ts"
import { runLifecycle } from "../../src/actors/lifecycle.ts"
import { freshPacks, planGroups } from "../../src/actors/rollout.ts"
import { openTaskSet } from "../../src/cli/environments.ts"
import { openPolicy } from "../../src/cli/policy.ts"
import type { Lifecycle } from "../../src/machines/episode.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy } from "../../src/policies/policy.ts"

const [folder, env = "frozen-lake-obscure", packs = "12"] = process.argv.slice(2)
if (folder === undefined) {
  console.error("variance: expected a policy, and optionally an environment and how many packs")
  process.exit(2)
}
const [runs, contexts, lives, packSize] = [4, 4, 4, 4]

/** Mean reward of the tasks after an update, of the first `horizon` of them. */
const returnOf = ({ episodes }: Lifecycle, index: number, horizon: number): number => {
  const rewards = episodes.filter(
    (each) => each.kind === "solve" && each.index > index && each.index <= index + horizon
  )
  return rewards.reduce((sum, { reward }) => sum + reward, 0) / rewards.length
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((a, b) => a + b, 0) / values.length
const variance = (values: ReadonlyArray<number>): number => {
  const center = mean(values)
  return values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1)
}

/** Variances of history, context and chance from returns by run, context and life. */
const components = (groups: ReadonlyArray<ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>>) => {
  const chance = mean(groups.flat(2).map(variance))
  const ofContexts = mean(groups.flat().map((contexts) => variance(contexts.map(mean))))
  const ofRuns = mean(groups.map((runs) => variance(runs.map((contexts) => mean(contexts.map(mean))))))
  return { history: ofRuns - ofContexts / contexts, context: ofContexts - chance / lives, chance }
}

const measured = Effect.gen(function* () {
  const taskSet = yield* openTaskSet(env, 0)
  const layer = yield* openPolicy(folder, { environment: taskSet.environment })
  return yield* Effect.gen(function* () {
    const { style } = yield* Policy
    const dealt = freshPacks(taskSet, { phase: "eval", baseSeed: 1, epoch: 0, count: Number(packs), size: packSize })
    const plans = planGroups(dealt, runs, { ...defaultSettings, style })
    const inFlight = { concurrency: 16 }
    return yield* Effect.forEach(
      plans,
      Effect.fnUntraced(function* (plan) {
        const lived = yield* runLifecycle(plan)
        return yield* Effect.forEach(
          Array.from({ length: packSize - 1 }, (_, position) => position),
          (position) =>
            Effect.forEach(
              Array.from({ length: contexts }, (_, branch) => branch),
              Effect.fnUntraced(function* (branch) {
                const alternative = forkPlan(plan, lived, { kind: "update", position, seed: 1, branch: branch + 1 })
                const first = yield* runLifecycle(alternative)
                const others = Array.from({ length: lives - 1 }, (_, life) =>
                  forkPlan(alternative, first, { kind: "solve", position: position + 1, seed: 1, branch: life + 1 })
                )
                return [first, ...(yield* Effect.forEach(others, runLifecycle, inFlight))]
              }),
              inFlight
            ),
          inFlight
        )
      }),
      inFlight
    )
  }).pipe(Effect.provide(layer))
}).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const lived = await Effect.runPromise(measured)
console.log("update  tasks ahead  history   context   chance    runs/siblings")
for (let index = 0; index < packSize - 1; index++) {
  for (const horizon of new Set([1, packSize - 1 - index])) {
    const groups = Array.from({ length: Number(packs) }, (_, pack) =>
      lived
        .slice(pack * runs, (pack + 1) * runs)
        .map((updates) => updates[index]!.map((lives) => lives.map((life) => returnOf(life, index, horizon))))
    )
    const { chance, context, history } = components(groups)
    // Variance of a score around its truth, eight runs against three siblings, the mean including the episode itself.
    const ratio = ((history + chance) * (8 / 7)) / (chance * (3 / 2))
    const shown = [history, context, chance, ratio].map((value) => value.toFixed(4).padStart(8))
    console.log(`${String(index).padStart(6)}  ${String(horizon).padStart(11)}  ${shown.join("  ")}`)
  }
}
