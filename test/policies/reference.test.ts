/** Policy folders of the reference implementation, and what it says of them: `test/vectors/transformer/make.py`. */
import { NodeServices } from "@effect/platform-node"
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { openModel } from "../../src/kernels/model.ts"
import { parameters } from "../../src/kernels/transformer.ts"
import { readCheckpoint } from "../../src/policies/checkpoint.ts"

interface Expected {
  readonly rows: ReadonlyArray<{
    readonly tokens: ReadonlyArray<number>
    /** Of each token but the first, at temperature 1 and at a lower one. */
    readonly logprobs: ReadonlyArray<number>
    readonly cooler: ReadonlyArray<number>
    /** By which the gradient counts them. */
    readonly weights: ReadonlyArray<number>
  }>
  readonly coolerTemperature: number
  readonly gradients: Readonly<Record<string, { readonly norm: number; readonly first: ReadonlyArray<number> }>>
  readonly texts: ReadonlyArray<{
    readonly text: string
    readonly tokens: ReadonlyArray<number>
    readonly decoded: string
  }>
}

const vectors = `${import.meta.dirname}/../vectors/transformer`
const expected: Readonly<Record<string, Expected>> = JSON.parse(readFileSync(`${vectors}/expected.json`, "utf8"))

const open = (name: string) =>
  Effect.runPromise(readCheckpoint(`${vectors}/${name}`).pipe(Effect.provide(NodeServices.layer)))

/** The largest difference of two ragged lists of numbers. */
const gap = (a: ReadonlyArray<ReadonlyArray<number>>, b: ReadonlyArray<ReadonlyArray<number>>): number => {
  expect(a.map((row) => row.length)).toEqual(b.map((row) => row.length))
  return Math.max(...a.flatMap((row, i) => row.map((x, j) => Math.abs(x - b[i]![j]!))))
}

it("covers each family, tied and untied, in one file and in shards", () => {
  const folders = readdirSync(vectors, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  expect(folders.map(({ name }) => name)).toEqual(Object.keys(expected).toSorted())
  expect(Object.keys(expected).toSorted()).toEqual(
    ["llama", "qwen2", "qwen3"].flatMap((family) => [`${family}-tied`, `${family}-untied`])
  )
})

describe.each(Object.entries(expected))("%s", (name, { coolerTemperature, gradients, rows, texts }) => {
  const asked = rows.map((row) => ({
    tokens: row.tokens,
    positions: row.logprobs.map((_, i) => i + 1),
    weights: row.weights
  }))

  it("gives the reference's log-probabilities and gradients", async () => {
    const { config, weights } = await open(name)
    const model = openModel(config)
    try {
      const logprobs = await model.score(weights, asked, { temperature: 1 })
      const cooler = await model.score(weights, asked, { temperature: coolerTemperature })
      expect(
        gap(
          logprobs,
          rows.map((row) => row.logprobs)
        )
      ).toBeLessThan(1e-4)
      expect(
        gap(
          cooler,
          rows.map((row) => row.cooler)
        )
      ).toBeLessThan(1e-4)

      const { gradient } = await model.gradient(weights, asked, { temperature: 1 })
      expect(
        parameters(config)
          .map((parameter) => parameter.name)
          .toSorted()
      ).toEqual(Object.keys(gradients).toSorted())
      for (const { name: at, offset, size } of parameters(config)) {
        const { first, norm } = gradients[at]!
        const found = gradient.subarray(offset, offset + size)
        expect(Math.hypot(...found) / norm, at).toBeCloseTo(1, 4)
        expect(gap([Array.from(found.subarray(0, first.length))], [first]), at).toBeLessThan(1e-4 * (1 + norm))
      }
    } finally {
      await model.release()
    }
  })

  it("gives the reference's tokens and texts", async () => {
    const { tokenizer } = await open(name)
    for (const { decoded, text, tokens } of texts) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(tokens)
      expect(tokenizer.decode(tokens), JSON.stringify(text)).toBe(decoded)
    }
  })
})
