/** Weights that the runtime maps from a file: the numbers of the folder, and the numbers of the model in memory. */
import { NodeServices } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { initializeAdapter, type LoraConfig } from "../../src/kernels/lora.ts"
import { openModel } from "../../src/kernels/model.ts"
import { stream } from "../../src/kernels/random.ts"
import { parameterCount, parameters } from "../../src/kernels/transformer.ts"
import { readCheckpoint } from "../../src/policies/checkpoint.ts"
import { storeWeights } from "../../src/policies/weights.ts"

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
