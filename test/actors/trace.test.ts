import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { planGroups, rollout } from "../../src/actors/rollout.ts"
import { type LifecycleTexts, simulate } from "../../src/actors/simulate.ts"
import { canonicalJson, untimed } from "../../src/actors/episode-text.ts"
import { digestOf, readTraceLine, traceLines } from "../../src/actors/trace.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy } from "../../src/policies/policy.ts"
import { scripted } from "../../src/policies/scripted.ts"
import { guess } from "../fixtures/guess.ts"
import { doors, packsOf } from "../fixtures/living.ts"

const careful = Effect.provideService(Policy, scripted(guess, "careful"))

const recorded = Effect.gen(function* () {
  const plans = planGroups(packsOf(doors({ doors: 9 }), { count: 2 }), 2, defaultSettings)
  const { lifecycles } = yield* rollout(plans, { concurrency: 2 })
  const texts = lifecycles.map((lifecycle, i) => traceLines(lifecycle, plans[i]!))
  return {
    lifecycles,
    lines: texts.map((text) =>
      text
        .trimEnd()
        .split("\n")
        .map((line) => readTraceLine(line)!)
    )
  }
}).pipe(careful)

describe("a digest", () => {
  it.effect("is SHA-256 over the canonical JSON of the episodes in order, without times", () =>
    Effect.gen(function* () {
      const { lifecycles } = yield* recorded
      const episodes = lifecycles.flatMap(({ episodes }) => episodes).map(untimed)
      const hash = createHash("sha256").update(canonicalJson(episodes)).digest("hex")
      expect(digestOf(lifecycles)).toBe(hash)
      expect(digestOf(lifecycles.toReversed())).toBe(hash)
    })
  )

  it("does not see the order of keys, and sees everything else", () => {
    expect(canonicalJson({ b: [{ d: 1, c: null }], a: "x" })).toBe('{"a":"x","b":[{"c":null,"d":1}]}')
    expect(canonicalJson([[2, 1]])).toBe("[[2,1]]")
  })
})

describe("a trace", () => {
  it.effect("says of a line that was altered anywhere that it was", () =>
    Effect.gen(function* () {
      const { lines } = yield* recorded
      const text = traceLines({ episodes: [lines[0]![0]!.line] } as never, {
        pack: packsOf(doors())[0]!,
        run: 0,
        settings: defaultSettings
      }).trimEnd()
      expect(readTraceLine(text)).toMatchObject({ intact: true })
      for (let at = 2; at < text.length - 30; at += 37) {
        const altered = text.slice(0, at) + (text[at] === "1" ? "2" : "1") + text.slice(at + 1)
        expect(readTraceLine(altered)?.intact ?? false).toBe(false)
      }
      expect(readTraceLine(text.slice(0, -5))).toBeUndefined()
      expect(readTraceLine("")).toBeUndefined()
    })
  )
})

describe("a simulation", () => {
  it.effect("gives the same digest and the same order at any concurrency", () =>
    Effect.gen(function* () {
      const results = yield* Effect.forEach([1, 2, 8, 64], (concurrency) =>
        Effect.gen(function* () {
          const ids: Array<string> = []
          const onTexts = ({ bytes, first, places }: LifecycleTexts) => {
            const { lifecycle } = JSON.parse(Buffer.from(bytes.subarray(0, places[0]!.end)).toString())
            if (first) ids.push(lifecycle)
            return undefined
          }
          const options = { lifecycles: 30, packSize: 3, concurrency, seed: 7, settings: defaultSettings, onTexts }
          const { digest, lost, outcomes, steps } = yield* simulate(doors(), options)
          expect(ids).toEqual(ids.toSorted())
          expect(ids).toHaveLength(30)
          expect(Object.values(outcomes).reduce((sum, n) => sum + n, 0)).toBe(90)
          return { digest, lost, outcomes, steps }
        })
      )
      for (const result of results) expect(result).toEqual(results[0])
    }).pipe(careful)
  )

  it.effect("goes on when lifecycles are lost, and counts them", () =>
    Effect.gen(function* () {
      const options = {
        lifecycles: 5,
        packSize: 3,
        concurrency: 2,
        seed: 7,
        settings: defaultSettings
      }
      const result = yield* simulate(doors({ flaw: "throws", flawAt: 1 }), options)
      expect(result).toMatchObject({ lost: 5, deterministic: true, outcomes: { error: 5 } })
    }).pipe(careful)
  )
})
