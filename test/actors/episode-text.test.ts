import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import fc from "fast-check"
import { canonicalJson, makeEpisodeText, untimed } from "../../src/actors/episode-text.ts"
import { runLifecycle } from "../../src/actors/lifecycle.ts"
import { planGroups } from "../../src/actors/rollout.ts"
import type { Episode } from "../../src/machines/episode.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy } from "../../src/policies/policy.ts"
import { doors, packsOf, saying } from "../fixtures/living.ts"

const said = fc.oneof(
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.constantFrom(
    "<answer>1</answer>",
    '<answer>2</answer> "\\\n√ 🧊',
    "--- Start of updated hints ---\n√🧊\ud800\n--- End of updated hints ---"
  )
)

describe("packed episodes", () => {
  it.each(["chat", "terse"] as const)("are their canonical JSON when unpacked, in %s style", (style) => {
    const text = makeEpisodeText(style)
    fc.assert(
      fc.property(fc.array(said, { maxLength: 12 }), fc.nat(3), (texts, doorsLess) => {
        const [plan] = planGroups(packsOf(doors({ doors: 4 - doorsLess })), 1, { ...defaultSettings, style })
        const { policy } = saying(style, ...texts)
        const { episodes } = Effect.runSync(Effect.provideService(runLifecycle(plan!), Policy, policy))
        const units: Array<ReadonlyArray<Episode>> = []
        for (let i = 0; i < episodes.length; i += 2) units.push(episodes.slice(i, i + 2))
        const packed = units.map((unit) => Buffer.from(text.pack(unit)))
        for (const [i, unit] of units.entries()) {
          const { bytes, places } = text.unpack(packed[i]!)
          expect(places.map(({ timing }) => timing)).toEqual(unit.map(({ timing }) => timing))
          expect(places.map(({ end, start }) => Buffer.from(bytes.subarray(start, end)).toString())).toEqual(
            unit.map((episode) => canonicalJson(untimed(episode)))
          )
        }
      }),
      { seed: 3, numRuns: 150 }
    )
  })

  it("take a fraction of the bytes", () => {
    const text = makeEpisodeText("chat")
    const [plan] = planGroups(packsOf(doors({ doors: 9, tries: 8 })), 1, defaultSettings)
    const { policy } = saying("chat", ...Array.from({ length: 30 }, (_, i) => `<answer>${i % 2}</answer>`))
    const { episodes } = Effect.runSync(Effect.provideService(runLifecycle(plan!), Policy, policy))
    expect(text.pack(episodes).length).toBeLessThan(canonicalJson(episodes.map(untimed)).length / 3)
  })
})
