/** Weights that the runtime maps from a file: the numbers of the folder, and the numbers of the model in memory. */
import { NodeServices } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { initialize } from "../../src/kernels/initialize.ts"
import { initializeAdapter, type LoraConfig } from "../../src/kernels/lora.ts"
import { largeModel, openModel } from "../../src/kernels/model.ts"
import { stream } from "../../src/kernels/random.ts"
import { parameterCount, parameters, type TransformerConfig } from "../../src/kernels/transformer.ts"
import { readCheckpoint } from "../../src/policies/checkpoint.ts"
import { storeWeights, writeWeights } from "../../src/policies/weights.ts"

const vectors = `${import.meta.dirname}/../vectors/transformer`
const folders = readdirSync(vectors, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? [entry.name] : []
)

const opened = (name: string) =>
  Effect.gen(function* () {
    const { config, weights } = yield* readCheckpoint(join(vectors, name))
    const stored = yield* storeWeights(join(vectors, name), config)
    return { config, weights, stored }
  })

const { int, uniform } = stream("stored weights")
const rowsOf = (vocabulary: number) =>
  [5, 19, 12].map((length) => ({
    tokens: Array.from({ length }, () => int(0, vocabulary - 1)),
    positions: [1, length - 1],
    weights: [0.7, -0.4]
  }))

describe.each(folders)("%s", (name) => {
  it.live("stores the numbers of the folder, and takes the file away in the end", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.scoped(
        Effect.gen(function* () {
          const { config, stored, weights } = yield* opened(name)
          const file = readFileSync(join(stored.folder, "weights.bin"))
          for (const { name, offset, size } of parameters(config)) {
            const place = stored.places.get(name)!
            const found = new Float32Array(file.buffer.slice(file.byteOffset + place.offset), 0, size)
            expect(found, name).toEqual(weights.subarray(offset, offset + size))
          }
          expect(statSync(join(stored.folder, "weights.bin")).size).toBeGreaterThanOrEqual(4 * parameterCount(config))
          return stored.folder
        })
      )
      expect(existsSync(folder)).toBe(false)
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("gives what the model in memory gives, alone and with adapters", () =>
    Effect.gen(function* () {
      const { config, stored, weights } = yield* opened(name)
      const rows = rowsOf(config.vocabularySize)
      const asked = rows.flatMap(({ tokens }) => [
        { prompt: tokens, uniforms: Array.from({ length: 6 }, uniform) },
        { prompt: tokens, uniforms: Array.from({ length: 3 }, uniform) }
      ])
      const lora: LoraConfig = { rank: 2, alpha: 4, targets: ["q_proj", "down_proj"] }
      const adapter = initializeAdapter(config, lora, "stored weights").map((x) => x + 0.1)
      yield* Effect.promise(async () => {
        const [inMemory, inFile] = [openModel(config, { generateFrom: "constants" }), openModel(config, { stored })]
        const none = new Float32Array(0)
        const said = await inMemory.generate(weights, asked, { temperature: 1, end: 2 })
        expect(await inFile.generate(none, asked, { temperature: 1, end: 2 })).toEqual(said)
        expect(await inFile.generate(none, [asked[1]!], { temperature: 1, end: 2 })).toEqual([said[1]])
        const scored = await inMemory.score(weights, rows, { temperature: 0.8 })
        expect(await inFile.score(none, rows, { temperature: 0.8 })).toEqual(scored)
        await expect(inFile.gradient(none, rows, { temperature: 1 })).rejects.toThrow("only adapters")
        const [adapted, adaptedInFile] = [
          openModel(config, { frozen: { base: weights, lora } }),
          openModel(config, { stored, frozen: { base: none, lora } })
        ]
        const own = await adapted.gradient(adapter, rows, { temperature: 1 })
        expect(await adaptedInFile.gradient(adapter, rows, { temperature: 1 })).toEqual(own)
        expect(own.gradient.some((x) => x !== 0)).toBe(true)
        const spoken = await adapted.generate(adapter, asked, { temperature: 1, end: 2 })
        const spokenFromFile = await adaptedInFile.generate(adapter, asked, { temperature: 1, end: 2 })
        expect(spokenFromFile.map(({ tokens }) => tokens)).toEqual(spoken.map(({ tokens }) => tokens))
        for (const model of [inMemory, inFile, adapted, adaptedInFile]) await model.release()
        expect(readdirSync(stored.folder)).toEqual(["weights.bin"])
      })
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})

describe("matrices in bytes", () => {
  const config: TransformerConfig = {
    family: "qwen2",
    vocabularySize: 300,
    hiddenSize: 64,
    innerSize: 96,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    headSize: 16,
    epsilon: 1e-6,
    ropeTheta: 1000,
    maxPositions: 64,
    tied: true
  }

  it.live.each([true, false])("generate about what the numbers do, in any batch, tied %s", (tied) =>
    Effect.gen(function* () {
      const own = { ...config, tied }
      const folder = mkdtempSync(join(tmpdir(), "constellate-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
      const { normal } = stream("bytes")
      const weights = initialize(own, "bytes").map((x) => 1.5 * x + 0.02 * normal())
      yield* writeWeights(folder, own, weights)
      const stored = yield* storeWeights(folder, own, { quantised: true })
      // No matrix is there twice, but for an embedding that is also the head.
      const names = [...stored.places.keys()]
      expect(names.filter((name) => name.endsWith("_proj.weight"))).toEqual([])
      expect(names.filter((name) => name.startsWith("model.embed"))).toHaveLength(tied ? 3 : 1)
      const asked = Array.from({ length: 16 }, (_, i) => ({
        prompt: Array.from({ length: 5 + i }, () => int(0, 299)),
        uniforms: Array.from({ length: 8 }, uniform)
      }))
      yield* Effect.promise(async () => {
        const [exact, bytes] = [openModel(own, { generateFrom: "constants" }), openModel(own, { stored })]
        const options = { temperature: 1, end: -1 }
        const said = await exact.generate(weights, asked, options)
        const rounded = await bytes.generate(new Float32Array(0), asked, options)
        for (const i of [0, 7, 15]) {
          expect(await bytes.generate(new Float32Array(0), [asked[i]!], options)).toEqual([rounded[i]])
        }
        // The first tokens that were drawn alike saw the same prompt.
        const gaps = said.flatMap(({ logprobs, tokens }, i) =>
          tokens[0] === rounded[i]!.tokens[0] ? [Math.abs(logprobs[0]! - rounded[i]!.logprobs[0]!)] : []
        )
        expect(gaps.length).toBeGreaterThan(8)
        expect(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length).toBeLessThan(0.12)
        expect(Math.max(...gaps)).toBeLessThan(0.5)
        expect(Math.max(...gaps)).toBeGreaterThan(1e-5)
        const row = { tokens: [1, 2, 3], positions: [1], weights: [1] }
        await expect(bytes.score(new Float32Array(0), [row], { temperature: 1 })).rejects.toThrow("neither score")
        await expect(bytes.gradient(new Float32Array(0), [row], { temperature: 1 })).rejects.toThrow("neither score")
        await exact.release()
        await bytes.release()
      })
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})

describe("weights of a large model, which stay as they are", () => {
  const config: TransformerConfig = {
    family: "qwen3",
    hiddenSize: 128,
    innerSize: 256,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    headSize: 32,
    vocabularySize: Math.ceil(largeModel / 128),
    maxPositions: 64,
    epsilon: 1e-6,
    ropeTheta: 10_000,
    tied: true
  }

  it.live("say the same alone, among others, and where they go on from what they have read", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "constellate-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
      // Drawn once and repeated: so many draws would take longer than everything else.
      const { normal } = stream("large weights")
      const some = Float32Array.from({ length: 100_003 }, () => 0.1 * normal())
      const numbers = Float32Array.from({ length: parameterCount(config) }, (_, i) => some[i % some.length]!)
      writeFileSync(join(folder, "weights.bin"), numbers)
      const places = new Map(
        parameters(config).map(({ name, offset, size }) => [
          name,
          { location: "weights.bin", offset: 4 * offset, length: 4 * size }
        ])
      )
      const asked = [3, 20, 20].map((length) => ({
        prompt: Array.from({ length }, () => int(0, config.vocabularySize - 1)),
        uniforms: Array.from({ length: 4 }, uniform)
      }))
      yield* Effect.promise(async () => {
        const model = openModel(config, { stored: { folder, places } })
        const generate = (rows: typeof asked) => model.generate(new Float32Array(0), rows, { temperature: 1, end: -1 })
        const alike = asked.slice(1)
        const together = await generate(alike)
        for (const [i, row] of alike.entries()) expect(await generate([row])).toEqual([together[i]])
        // Samples of one prompt, with which it is read once.
        const samples = alike.map(({ uniforms }) => ({ prompt: asked[0]!.prompt, uniforms }))
        const both = await generate(samples)
        for (const [i, row] of samples.entries()) expect(await generate([row])).toEqual([both[i]])
        // A conversation that goes on from what was read of it.
        const kept = openModel(config, { stored: { folder, places }, keptBytes: 2 ** 24 })
        const none = new Float32Array(0)
        const rows = [20, 40, 60].map((length) => ({
          prompt: Array.from({ length }, (_, i) => (7 * i) % config.vocabularySize),
          uniforms: [uniform(), uniform()],
          goesOn: true
        }))
        for (const row of rows)
          expect(await kept.generate(none, [row], { temperature: 1, end: -1 })).toEqual(await generate([row]))
        await kept.release()
        await model.release()
      })
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
