/** What a replay finds out: decisions on what is named when something in a record is not as it was. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { journalEntry } from "../../src/actors/journal.ts"
import { runLifecycle } from "../../src/actors/lifecycle.ts"
import { checkReplies, fromReplies, replayLifecycle } from "../../src/actors/replay.ts"
import { planGroups, rollout } from "../../src/actors/rollout.ts"
import { planOfLines, readTraceLine, traceLines } from "../../src/actors/trace.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import type { Episode } from "../../src/machines/episode.ts"
import { Policy } from "../../src/policies/policy.ts"
import { scripted } from "../../src/policies/scripted.ts"
import { guess } from "../fixtures/guess.ts"
import { answering, doors, packsOf, spoken } from "../fixtures/living.ts"

const careful = scripted(guess, "careful")
const withTokens = answering((request) => Effect.map(careful.reply(request), ({ text }) => spoken(text)))

/** A lifecycle as a trace gives it back. */
const recorded = Effect.gen(function* () {
  const [plan] = planGroups(packsOf(doors({ doors: 9 })), 1, defaultSettings)
  const { lifecycles } = yield* rollout([plan!], { concurrency: 1 })
  const lines = traceLines(lifecycles[0]!, plan!)
    .trimEnd()
    .split("\n")
    .map((text) => readTraceLine(text)!.line)
  const episodes = lines.map(({ plan: _plan, ...episode }): Episode => episode)
  return { plan: planOfLines(lines, guess), episodes }
}).pipe(Effect.provideService(Policy, withTokens))

/** The same with one thing changed. */
const changed = (episodes: ReadonlyArray<Episode>, change: (episodes: any) => void) => {
  const copy = structuredClone(episodes)
  change(copy)
  return copy
}

describe("a replay", () => {
  it.effect("finds nothing in a record that is as it was", () =>
    Effect.gen(function* () {
      const { episodes, plan } = yield* recorded
      expect(yield* replayLifecycle(plan, episodes)).toBeUndefined()
    })
  )

  it.effect("names what does not follow from the replies: lifecycle, episode, step, field and both values", () =>
    Effect.gen(function* () {
      const { episodes, plan } = yield* recorded
      const named = (change: (episodes: any) => void) => replayLifecycle(plan, changed(episodes, change))
      const here = { lifecycle: "eval-0000-0000000/0", kind: "solve", index: 1 }
      const { feedback } = episodes[2]!.steps[0]!
      expect(yield* named((all) => (all[2].steps[0].feedback = "warm"))).toEqual({
        ...here,
        step: 0,
        field: "feedback",
        recorded: "warm",
        replayed: feedback
      })
      expect(yield* named((all) => (all[2].reward = 0.25))).toMatchObject({
        ...here,
        step: undefined,
        field: "reward",
        recorded: 0.25,
        replayed: episodes[2]!.reward
      })
      expect(yield* named((all) => (all[2].contextBefore = "x"))).toMatchObject({ ...here, field: "contextBefore" })
      expect(yield* named((all) => (all[2].steps[0].prompt += " "))).toMatchObject({
        ...here,
        step: 0,
        field: "prompt"
      })
      expect(yield* named((all) => all.pop())).toMatchObject({
        kind: "solve",
        index: 2,
        recorded: "no episode",
        replayed: "an episode"
      })
    })
  )

  it.effect("names the first thing that an altered reply changes", () =>
    Effect.gen(function* () {
      const { episodes, plan } = yield* recorded
      const altered = changed(episodes, (all) => {
        all[1].steps[0].reply = all[1].steps[0].reply.replace("door", "gate").replace("null", "nil")
      })
      expect(yield* replayLifecycle(plan, altered)).toMatchObject({ kind: "update", index: 0, field: "contextAfter" })
    })
  )

  it.effect("asks a policy again, and names the token that it would not have said", () =>
    Effect.gen(function* () {
      const { episodes, plan } = yield* recorded
      const again = (all: ReadonlyArray<Episode>) => replayLifecycle(plan, all, () => withTokens)
      expect(yield* again(episodes)).toBeUndefined()
      const token = episodes[0]!.steps[0]!.tokens[2]!
      const tokens = changed(episodes, (all) => (all[0].steps[0].tokens[2] = 7))
      expect(yield* again(tokens)).toMatchObject({ step: 0, field: "tokens.2", recorded: 7, replayed: token })
      const logprobs = changed(episodes, (all) => (all[0].steps[0].logprobs[1] = -1))
      expect(yield* again(logprobs)).toMatchObject({ field: "logprobs.1", recorded: -1, replayed: -0.2 })
    })
  )
})

describe("an entry of a journal", () => {
  it.effect("is found to have a reply too few or too many", () =>
    Effect.gen(function* () {
      const [plan] = planGroups(packsOf(doors({ doors: 9 })), 1, defaultSettings)
      const lived = yield* Effect.provideService(runLifecycle(plan!), Policy, withTokens)
      const entry = journalEntry(lived, plan!)
      const check = Effect.fnUntraced(function* (calls: typeof entry.calls) {
        const changed = { ...entry, calls }
        const again = Effect.provideService(runLifecycle(plan!), Policy, fromReplies(changed, plan!))
        return checkReplies(yield* again, changed, plan!)
      })
      const { calls } = entry
      expect(yield* check(calls)).toBeUndefined()
      expect(yield* check(calls.slice(0, -1))).toMatchObject({ field: "replies", recorded: calls.length - 1 })
      expect(yield* check([...calls, calls[0]!])).toMatchObject({ recorded: calls.length + 1, replayed: calls.length })
    })
  )
})
