import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { hash } from "node:crypto"
import { type ContextControl, evaluate, type EvaluationOptions } from "../../src/actors/evaluate.ts"
import { canonicalJson, untimed } from "../../src/actors/episode-text.ts"
import type { Agents } from "../../src/environment.ts"
import type { Episode } from "../../src/machines/episode.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy } from "../../src/policies/policy.ts"
import { scripted } from "../../src/policies/scripted.ts"
import { guess, type GuessOptions } from "../fixtures/guess.ts"
import { doors } from "../fixtures/living.ts"

const run = (
  agent: keyof Agents<unknown>,
  context: ContextControl,
  more: Partial<EvaluationOptions> = {},
  options: Partial<GuessOptions> = { doors: 8, tries: 2 }
) =>
  Effect.gen(function* () {
    const solves: Array<Episode> = []
    const evaluation = yield* evaluate(doors(options), {
      packs: 40,
      packSize: 4,
      strategy: "cod",
      seed: 1,
      seeds: 1,
      concurrency: 8,
      settings: defaultSettings,
      onLifecycle: ({ episodes }) =>
        Effect.sync(() => void solves.push(...episodes.filter(({ kind }) => kind === "solve"))),
      ...more,
      context
    })
    // An episode as its hash: equal when they are equal to the byte.
    const episodes = solves
      .toSorted((a, b) => (a.pack < b.pack ? -1 : a.pack > b.pack ? 1 : a.index - b.index))
      .map((episode) => ({
        position: episode.index,
        contextBefore: episode.contextBefore,
        hash: hash("sha256", canonicalJson(untimed(episode)), "hex")
      }))
    return { evaluation, episodes }
  }).pipe(Effect.provideService(Policy, scripted(guess, agent)))

const success = ({ evaluation }: { evaluation: { positions: ReadonlyArray<{ success: { mean: number | null } }> } }) =>
  evaluation.positions.map(({ success }) => success.mean!)

describe("an evaluation", () => {
  it.effect("of an agent that knows the truth succeeds everywhere", () =>
    Effect.gen(function* () {
      expect(success(yield* run("oracle", "own"))).toEqual([1, 1, 1, 1])
    })
  )

  it.effect("rises over positions for an agent that remembers, and not for one that forgets", () =>
    Effect.gen(function* () {
      const remembering = success(yield* run("careful", "own", { packs: 200 }))
      const forgetting = success(yield* run("amnesiac", "own", { packs: 200 }))
      expect(remembering[3]! - remembering[0]!).toBeGreaterThan(0.2)
      expect(Math.abs(forgetting[3]! - forgetting[0]!)).toBeLessThan(0.15)
    })
  )

  it.effect("is the same twice, at any concurrency, and another with another seed", () =>
    Effect.gen(function* () {
      const { evaluation } = yield* run("careful", "own", { concurrency: 1 })
      expect((yield* run("careful", "own", { concurrency: 64 })).evaluation).toEqual(evaluation)
      expect((yield* run("careful", "own", { seed: 2 })).evaluation.positions).not.toEqual(evaluation.positions)
    })
  )

  it.effect("pools the packs of its seeds", () =>
    Effect.gen(function* () {
      const both = yield* run("careful", "own", { seeds: 2 })
      const one = yield* run("careful", "own")
      const two = yield* run("careful", "own", { seed: 2 })
      expect(both.evaluation.packs).toBe(80)
      expect(success(both)).toEqual(success(one).map((mean, i) => expect.closeTo((mean + success(two)[i]!) / 2)))
    })
  )

  it.effect("tells the mean over positions and what the last has over the first, over packs", () =>
    Effect.gen(function* () {
      const { evaluation } = yield* run("careful", "own")
      const means = success({ evaluation })
      const { gain, mean } = evaluation
      expect(gain.success.mean).toBeCloseTo(means[3]! - means[0]!)
      expect(mean.success.mean).toBeCloseTo(means.reduce((a, b) => a + b) / 4)
      for (const { high, low, mean: middle } of [gain.success, gain.reward, mean.success, mean.reward]) {
        expect(low!).toBeLessThanOrEqual(middle!)
        expect(high!).toBeGreaterThanOrEqual(middle!)
      }
    })
  )

  it.effect("says where episodes were lost, and does not count them as failures", () =>
    Effect.gen(function* () {
      const { evaluation } = yield* run("oracle", "own", { packs: 5 }, { flaw: "throws", flawAt: 2 })
      expect(evaluation.positions.map(({ episodes }) => episodes)).toEqual([5, 5, 5, 0])
      expect(evaluation.positions[2]).toMatchObject({
        success: { mean: null, low: null, high: null },
        outcomes: { error: 5, failure: 0 }
      })
      expect(evaluation.positions[1]!.success.mean).toBe(1)
      expect(evaluation.updates).toMatchObject({ episodes: 10, parsed: 10, meanTokens: 0 })
    })
  )
})

const firsts = ({ episodes }: { episodes: ReadonlyArray<{ position: number; hash: string }> }) =>
  episodes.filter(({ position }) => position === 0).map(({ hash }) => hash)

describe("a context control", () => {
  it.effect("leaves the first position as it is, to the byte", () =>
    Effect.gen(function* () {
      const own = yield* run("careful", "own")
      for (const control of ["none", "foreign"] as const) {
        const other = yield* run("careful", control)
        // Under `foreign` everything is lived twice, once as own.
        expect(new Set(firsts(other))).toEqual(new Set(firsts(own)))
      }
    })
  )

  it.effect("none makes an agent that remembers the agent that forgets", () =>
    Effect.gen(function* () {
      const none = yield* run("careful", "none")
      const amnesiac = yield* run("amnesiac", "own")
      expect(none.episodes).toEqual(amnesiac.episodes)
      expect(none.episodes).not.toEqual((yield* run("careful", "own")).episodes)
    })
  )

  it.effect("foreign gives position k the context that the next pack's lifecycle had at k", () =>
    Effect.gen(function* () {
      const own = (yield* run("careful", "own", { packs: 6 })).episodes.map(({ contextBefore }) => contextBefore)
      const both = (yield* run("careful", "foreign", { packs: 6 })).episodes.map(({ contextBefore }) => contextBefore)
      // By pack, the lives under own and foreign contexts lie side by side, in any order.
      for (let pack = 0; pack < 6; pack++) {
        for (let position = 0; position < 4; position++) {
          const here = both.slice(8 * pack, 8 * pack + 8).slice(2 * position, 2 * position + 2)
          const expected = [own[4 * pack + position], own[4 * ((pack + 1) % 6) + position]]
          expect(here.toSorted()).toEqual(expected.toSorted())
        }
      }
    })
  )

  it.effect("oracle tells the truth from the first position on", () =>
    Effect.gen(function* () {
      expect(success(yield* run("careful", "oracle"))).toEqual([1, 1, 1, 1])
    })
  )
})
