/**
 * The engine's own share of a rollout: wall time of whole lifecycles through machines, fibers, inference actor and
 * journal, against the very same generate calls issued in a bare loop to the same workers.
 *
 * The policy is `spark` after a short warm start, so that episodes have their usual length.
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
import { defaultSettings } from "../src/machines/lifecycle.ts"
import { Policy } from "../src/policies/policy.ts"

const warmStartSteps = 80
const repeats = 7
const limit = 1.1

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

  // Which calls go to which worker, in their order, is what the bare loop repeats.
  let calls: Array<Array<Generate>> = [[], []]
  const recording: ModelWorkers = {
    ...workers,
    workers: workers.workers.map((worker, i) => ({
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
  const engine: Array<number> = []
  const bare: Array<number> = []
  let steps = 0
  for (let repeat = 0; repeat < repeats; repeat++) {
    calls = [[], []]
    const packs = freshPacks(taskSet, { phase: "train", baseSeed: 1, epoch: repeat, count: 8, size: 4 })
    const started = performance.now()
    const { lifecycles } = yield* Effect.gen(function* () {
      const journal = yield* openJournal(`${journalFolder}/${repeat}.jsonl`)
      return yield* rollout(planGroups(packs, 8, settings), { concurrency: 64, journal })
    }).pipe(Effect.scoped, Effect.provideService(Policy, policy))
    engine.push(performance.now() - started)
    steps = lifecycles.reduce(
      (sum, { episodes }) => sum + episodes.reduce((n, episode) => n + episode.steps.length, 0),
      0
    )
    const again = performance.now()
    yield* Effect.forEach(
      workers.workers,
      (worker, i) => Effect.forEach(calls[i]!, (call) => worker.call(call), { discard: true }),
      { concurrency: "unbounded", discard: true }
    )
    bare.push(performance.now() - again)
  }
  const ratio = median(engine.map((millis, i) => millis / bare[i]!))
  const count = calls.flat().length
  console.log(
    `engine: 64 lifecycles of 4 tasks, ${steps} model calls in ${count} batches, two workers, median of ${repeats}`
  )
  console.log(`  with the engine  ${median(engine).toFixed(0)} ms`)
  console.log(`  bare calls       ${median(bare).toFixed(0)} ms`)
  console.log(`  ratio            ${ratio.toFixed(3)} (limit ${limit}: ${ratio <= limit ? "holds" : "exceeded"})`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
