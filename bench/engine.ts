/**
 * The engine's own share of a rollout: wall time of whole lifecycles through machines, fibers, inference actor and
 * journal, against bare generate calls to the same workers. Two yardsticks: the very same batches again in a bare loop,
 * and perfect full batches, in which all calls of the rollout are sorted by shape as if nobody had to wait for a reply.
 *
 * With few lifecycles in flight the second is out of reach, since an episode's calls come one after the other. The policy
 * is `spark` after a short warm start, so that episodes have their usual length.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, FileSystem, Schema } from "effect"
import frozenLakeObscure from "../environments/frozen-lake-obscure/index.ts"
import { demonstrate } from "../src/actors/demonstrations.ts"
import { makeInference } from "../src/actors/inference.ts"
import { openJournal } from "../src/actors/journal.ts"
import { type ModelCall, makeModelWorkers, type ModelWorkers, weightBuffers } from "../src/actors/model-workers.ts"
import { freshPacks, planGroups, rollout } from "../src/actors/rollout.ts"
import { makeSpark } from "../src/actors/spark.ts"
import { TrainingConfig } from "../src/actors/training-config.ts"
import { imitate } from "../src/actors/warm-start.ts"
import { adamWState } from "../src/kernels/adamw.ts"
import { paddedLength } from "../src/kernels/model.ts"
import { defaultSettings } from "../src/machines/lifecycle.ts"
import { Policy } from "../src/policies/policy.ts"

const warmStartSteps = 80
const repeats = 7
/** In flight, as packs of 8 runs; what the ratio to either yardstick may be. With one worker the engine has a core to itself. */
const sizes = [
  { packs: 8, threads: 2, same: 1.1, perfect: undefined },
  { packs: 64, threads: 2, same: undefined, perfect: undefined },
  { packs: 64, threads: 1, same: undefined, perfect: 1.05 }
]
const budgetTokens = 16_384

const config = Schema.decodeSync(TrainingConfig)({})
const taskSet = {
  id: 0,
  environment: frozenLakeObscure,
  options: Schema.decodeSync(frozenLakeObscure.options)({})
}
const settings = { ...defaultSettings, style: "terse" as const }

const median = (numbers: ReadonlyArray<number>): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!

type Generate = Extract<ModelCall, { readonly type: "generate" }>

const program = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const journalFolder = yield* files.makeTempDirectoryScoped()
  const { config: model, tokenizer, weights: initial } = makeSpark(config, [frozenLakeObscure])
  const workers = yield* makeModelWorkers({ config: model }, 2)
  const buffer = weightBuffers({ config: model })
  const weights = buffer()
  weights.set(initial)
  const learner = { policyVersion: 0, weights, buffer, moments: adamWState(weights.length) }
  yield* workers.publish(0, weights)
  for (let step = 0; step < warmStartSteps; step++) {
    const batch = yield* demonstrate({
      taskSets: [taskSet],
      tokenizer,
      settings,
      baseSeed: 1,
      stage: 0,
      step,
      lifecycles: 24,
      packSize: 4
    })
    yield* imitate(learner, workers, batch, config, 3e-3 * Math.min(1, (step + 1) / 20))
  }

  const timed = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
    const started = performance.now()
    const value = yield* effect
    return { value, millis: performance.now() - started }
  })
  for (const { packs, perfect, same, threads } of sizes) {
    const used = workers.workers.slice(0, threads)
    // Which calls go to which worker, in their order, is what the bare loop repeats.
    let calls: Array<Array<Generate>> = []
    const recording: ModelWorkers = {
      ...workers,
      workers: used.map((worker, i) => ({
        call: (call) => {
          if (call.type === "generate") calls[i]!.push(call)
          return worker.call(call)
        }
      }))
    }
    const policy = yield* makeInference({
      name: "spark",
      style: "terse",
      tokenizer,
      workers: recording,
      maxPositions: model.maxPositions,
      policyVersion: () => learner.policyVersion
    })
    const bare = (dealt: ReadonlyArray<ReadonlyArray<Generate>>) =>
      Effect.forEach(used, (worker, i) => Effect.forEach(dealt[i]!, (call) => worker.call(call), { discard: true }), {
        concurrency: "unbounded",
        discard: true
      })
    const times: Array<{ readonly engine: number; readonly same: number; readonly perfect: number }> = []
    let count = { calls: 0, batches: 0, full: 0 }
    for (let repeat = 0; repeat < repeats; repeat++) {
      calls = used.map(() => [])
      const dealt = freshPacks(taskSet, { phase: "train", baseSeed: 1, epoch: repeat, count: packs, size: 4 })
      const engine = yield* timed(
        Effect.gen(function* () {
          const journal = yield* openJournal(`${journalFolder}/${packs}-${threads}-${repeat}.jsonl`)
          return yield* rollout(planGroups(dealt, 8, settings), { concurrency: 8 * packs, journal })
        }).pipe(Effect.scoped, Effect.provideService(Policy, policy))
      )
      const batches = fullBatches(calls.flat())
      const again = yield* timed(bare(calls))
      const best = yield* timed(bare(used.map((_, worker) => batches.filter((_, i) => i % threads === worker))))
      times.push({ engine: engine.millis, same: again.millis, perfect: best.millis })
      const rows = calls.flat().reduce((sum, call) => sum + call.rows.length, 0)
      count = { calls: rows, batches: calls.flat().length, full: batches.length }
    }
    const millis = (of: "engine" | "same" | "perfect") => median(times.map((time) => time[of])).toFixed(0)
    const ratio = (to: "same" | "perfect", limit: number | undefined) => {
      const value = median(times.map((time) => time.engine / time[to]))
      const holds = limit === undefined ? "" : ` (limit ${limit}: ${value <= limit ? "holds" : "exceeded"})`
      return `${value.toFixed(3)}${holds}`
    }
    console.log(`engine: ${8 * packs} lifecycles of 4 tasks in flight, workers: ${threads}, median of ${repeats}`)
    console.log(`  with the engine        ${millis("engine")} ms, ${count.calls} model calls`)
    console.log(`  the same batches       ${millis("same")} ms, ${count.batches} of them, ratio ${ratio("same", same)}`)
    console.log(
      `  perfect full batches   ${millis("perfect")} ms, ${count.full} of them, ratio ${ratio("perfect", perfect)}`
    )
  }
})

/** All rows in batches of one shape each, as full as the budget allows, the largest first. */
const fullBatches = (calls: ReadonlyArray<Generate>): Array<Generate> => {
  const rows = calls.flatMap((call) => call.rows)
  const shapes = Map.groupBy(rows, ({ prompt, uniforms }) => `${paddedLength(prompt.length)} ${uniforms.length}`)
  return [...shapes.values()]
    .flatMap((alike) => {
      const cost = paddedLength(alike[0]!.prompt.length) + alike[0]!.uniforms.length
      const most = Math.floor(budgetTokens / cost)
      return Array.from({ length: Math.ceil(alike.length / most) }, (_, i): Generate => ({
        ...calls[0]!,
        rows: alike.slice(i * most, (i + 1) * most)
      }))
    })
    .toSorted((a, b) => b.rows.length - a.rows.length)
}

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
