/** A rollout of a model that reuses what it has read is, number for number, one that reads every prompt anew. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Environment } from "../../src/environment.ts"
import { makeInference } from "../../src/actors/inference.ts"
import { makeModelWorkers } from "../../src/actors/model-workers.ts"
import { planGroups, rollout } from "../../src/actors/rollout.ts"
import { digestOf } from "../../src/actors/trace.ts"
import { initialize } from "../../src/kernels/initialize.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy } from "../../src/policies/policy.ts"
import { guess } from "../fixtures/guess.ts"
import { doors, packsOf } from "../fixtures/living.ts"
import { tinyTransformer } from "../fixtures/tiny-transformer.ts"
import { letters as tokenizer } from "../fixtures/letters.ts"

const config = { ...tinyTransformer, vocabularySize: 128, maxPositions: 160 }

/** The door game for a model that has learnt nothing: whatever it says is a number, so that episodes have many steps. */
const forgiving: Environment = {
  ...guess,
  terse: {
    ...guess.terse!,
    system: () => "which of all these doors is it",
    parse: (text: string) => ({ action: [...text].reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % 50 })
  }
}

const lived = (workers: number, concurrency: number, keptBytes: number) =>
  Effect.gen(function* () {
    const opened = yield* makeModelWorkers({ config, keptBytes }, workers)
    yield* opened.publish(
      0,
      initialize(config, "reuse").map((x) => 3 * x)
    )
    const model = { tokenizer, workers: opened, maxPositions: config.maxPositions, policyVersion: () => 0 }
    const policy = yield* makeInference({ ...model, name: "model", style: "terse" })
    const taskSet = { ...doors({ doors: 50, tries: 8 }), environment: forgiving }
    const plans = planGroups(packsOf(taskSet, { count: 2, size: 2 }), 4, { ...defaultSettings, style: "terse" })
    const { lifecycles } = yield* Effect.provideService(rollout(plans, { concurrency }), Policy, policy)
    const steps = lifecycles.flatMap(({ episodes }) => episodes.flatMap((episode) => episode.steps))
    return {
      digest: digestOf(lifecycles),
      said: steps.map(({ logprobs, promptTokens }) => ({ logprobs, promptTokens }))
    }
  }).pipe(Effect.scoped)

it.live(
  "a rollout is the same with reuse, without it and where little can be kept, at any concurrency",
  () =>
    Effect.gen(function* () {
      const anew = yield* lived(1, 8, 0)
      expect(Math.max(...anew.said.map(({ promptTokens }) => promptTokens.length))).toBeGreaterThan(48)
      expect(yield* lived(2, 8, 2 ** 24)).toEqual(anew)
      expect(yield* lived(2, 3, 2 ** 24)).toEqual(anew)
      expect(yield* lived(2, 8, 60_000)).toEqual(anew)
    }),
  180_000
)
