import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { makeModelWorkers, weightBuffers } from "../../src/actors/model-workers.ts"
import { initialize } from "../../src/kernels/initialize.ts"
import { parameterCount, type TransformerConfig } from "../../src/kernels/transformer.ts"

/** Large enough in its embedding that every version kept by mistake shows: about 4 MB each. */
const config: TransformerConfig = {
  family: "llama",
  vocabularySize: 62_000,
  hiddenSize: 16,
  innerSize: 16,
  layers: 1,
  heads: 2,
  keyValueHeads: 2,
  headSize: 8,
  epsilon: 1e-6,
  ropeTheta: 100,
  maxPositions: 32,
  tied: true
}

const row = { prompt: [1, 2, 3], uniforms: [0.3, 0.6] }
const run = <A, E>(program: Effect.Effect<A, E, never>) => Effect.runPromise(program)

describe("model workers", () => {
  it("publish hundreds of versions without holding on to their memory", async () => {
    const versions = 500
    const grown = await run(
      Effect.gen(function* () {
        const workers = yield* makeModelWorkers({ config }, 2)
        const buffer = weightBuffers({ config })
        const initial = initialize(config, "published")
        const publishAndAsk = Effect.fnUntraced(function* (version: number) {
          const weights = buffer()
          weights.set(initial)
          yield* workers.publish(version, weights)
          yield* workers.workers[version % 2]!.call({ type: "generate", version, rows: [row], temperature: 1, end: 0 })
        })
        for (let version = 0; version < 20; version++) yield* publishAndAsk(version)
        const before = process.memoryUsage.rss()
        for (let version = 20; version < versions; version++) yield* publishAndAsk(version)
        return process.memoryUsage.rss() - before
      }).pipe(Effect.scoped)
    )
    // Kept, they would take 1.9 GB.
    expect(4 * parameterCount(config) * versions).toBeGreaterThan(1.9e9)
    expect(grown).toBeLessThan(2.5e8)
  })

  it("answer with the version that a call names, as long as it is among the newest", async () => {
    const answers = await run(
      Effect.gen(function* () {
        const workers = yield* makeModelWorkers({ config }, 1)
        const buffer = weightBuffers({ config })
        for (let version = 0; version < 4; version++) {
          const weights = buffer()
          weights.set(initialize(config, "version", version))
          yield* workers.publish(version, weights)
        }
        const ask = (version: number) =>
          workers.workers[0]!.call({ type: "generate", version, rows: [row], temperature: 1, end: 0 })
        const gone = yield* Effect.flip(ask(0))
        return { one: yield* ask(1), again: yield* ask(1), three: yield* ask(3), gone }
      }).pipe(Effect.scoped)
    )
    expect(answers.again).toEqual(answers.one)
    expect(answers.three).not.toEqual(answers.one)
    expect(answers.gone.message).toBe("model worker: policy version 0 is not published here")
  })
})
