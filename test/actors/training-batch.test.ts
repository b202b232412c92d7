import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { freshPacks } from "../../src/actors/rollout.ts"
import { rolloutBatch, trainingSettings } from "../../src/actors/training-batch.ts"
import { TrainingConfig } from "../../src/actors/training-config.ts"
import { stablePackSeed } from "../../src/kernels/seeds.ts"
import { Policy } from "../../src/policies/policy.ts"
import { scripted } from "../../src/policies/scripted.ts"
import { guess } from "../fixtures/guess.ts"
import { doors } from "../fixtures/living.ts"

const configOf = (packSeeds: "runtime" | "stable", seed = 1) =>
  Schema.decodeSync(TrainingConfig)({
    seed,
    style: "chat",
    rollout: { packs: 2, groupSize: 2, packSize: 2, packSeeds }
  } as never)

/** Seeds and hidden knowledge of the packs of a batch, by run. */
const seedsOf = (batch: number, config: TrainingConfig) =>
  Effect.gen(function* () {
    const packs: Array<readonly [string, bigint, unknown]> = []
    yield* rolloutBatch([doors({ doors: 1000 })], config, batch, {
      onLifecycle: (_, { pack }) => Effect.sync(() => void packs.push([pack.id, pack.seed, pack.knowledge()]))
    })
    return packs.toSorted(([a], [b]) => (a < b ? -1 : 1))
  }).pipe(Effect.provideService(Policy, scripted(guess, "careful")))

describe("the packs of a batch", () => {
  it.effect("have stable seeds from the places of their tasks, of which every batch reads on", () =>
    Effect.gen(function* () {
      const of = (...places: ReadonlyArray<number>) => stablePackSeed(places.map((place) => [0, place]))
      const seeds = (packs: ReadonlyArray<readonly [string, bigint, unknown]>) => packs.map(([, seed]) => seed)
      expect(seeds(yield* seedsOf(0, configOf("stable")))).toEqual([of(0, 1), of(0, 1), of(2, 3), of(2, 3)])
      expect(seeds(yield* seedsOf(3, configOf("stable")))).toEqual([of(12, 13), of(12, 13), of(14, 15), of(14, 15)])
      expect(seeds(yield* seedsOf(0, configOf("stable", 2)))).toEqual(seeds(yield* seedsOf(0, configOf("stable"))))
    })
  )

  it.effect("differ from batch to batch in both modes, and are shared by the runs of a group", () =>
    Effect.gen(function* () {
      for (const mode of ["runtime", "stable"] as const) {
        const [first, second] = [yield* seedsOf(0, configOf(mode)), yield* seedsOf(1, configOf(mode))]
        expect(first[0]).toEqual(first[1])
        expect(new Set([...first, ...second].map(([, seed]) => seed)).size).toBe(4)
        expect(new Set([...first, ...second].map(([id]) => id)).size).toBe(4)
      }
    })
  )

  it("may be drawn with a seed of their own, for rollouts that differ on packs that do not", () => {
    const knowledge = (baseSeed: number, drawSeed?: number) =>
      freshPacks(doors({ doors: 1000 }), {
        phase: "eval",
        baseSeed,
        epoch: 0,
        count: 4,
        size: 2,
        seeds: "stable",
        drawSeed
      }).map((pack) => pack.knowledge())
    expect(knowledge(2, 1)).toEqual(knowledge(1, 1))
    expect(knowledge(2)).not.toEqual(knowledge(1))
  })
})

describe("the settings of training", () => {
  it("are those of its rollout", () => {
    const { compression, rewardDecay, tokenLimit, updatePenalty } = trainingSettings(
      Schema.decodeSync(TrainingConfig)({
        rollout: {
          compression: "keep_answer",
          rewardDecay: 0.5,
          tokenLimit: 9,
          updatePenalty: 0.2,
          updateLength: { zeroTokens: 1, fullTokens: 2 }
        }
      } as never)
    )
    expect({ compression, rewardDecay, tokenLimit }).toEqual({
      compression: "keep_answer",
      rewardDecay: 0.5,
      tokenLimit: 9
    })
    expect(updatePenalty).toEqual({ coefficient: 0.2, length: { zeroTokens: 1, fullTokens: 2 } })
  })
})
