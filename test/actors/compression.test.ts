/** What of an episode stands in its later prompts (lifecycle specification, section 8). */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { canonicalJson, makeEpisodeText, untimed } from "../../src/actors/episode-text.ts"
import { runLifecycle } from "../../src/actors/lifecycle.ts"
import { type Environment, hintsBlock } from "../../src/environment.ts"
import { type Compression, defaultSettings, type Settings } from "../../src/machines/lifecycle.ts"
import { remembered } from "../../src/machines/prompts.ts"
import { Policy, type Reply } from "../../src/policies/policy.ts"
import { shorten } from "../../environments/pde-discovery/chat.ts"
import { doors, packsOf, saying, spoken } from "../fixtures/living.ts"

describe("a reply in later prompts", () => {
  const odd = " <think>a\nb</think> so <think>c</think><answer> 2 </answer> \n"
  it.each<[Compression, string, string]>([
    ["keep_all", odd, odd],
    ["remove_think", odd, "so <answer> 2 </answer>"],
    ["remove_think", "<think>never closed", "<think>never closed"],
    ["remove_think", "<think>a</think><think>b</think>", ""],
    ["keep_answer", odd, "<answer>2</answer>"],
    ["keep_answer", "no answer", "(this reply held no answer that could be read)"],
    ["keep_answer", "<answer>1</answer><answer>2</answer>", "(this reply held no answer that could be read)"]
  ])("%s of %j", (compression, reply, expected) => {
    expect(remembered(reply, compression)).toBe(expected)
  })
})

const taskSet = doors({ doors: 5, tries: 4 })
const [pack] = packsOf(taskSet, { size: 2 })
const door = pack!.knowledge() as number
const wrong = (i: number) => `<think>${i}</think> <answer>${(door + i) % 5}</answer>`
const right = `<think>now</think> <answer>${door}</answer>`
const hints = hintsBlock.write("it is there")
const withTokens = (text: string): Partial<Reply> => ({ ...spoken(text), promptTokens: [7] })

const live = (settings: Partial<Settings>, environment: Partial<Environment> = {}) => {
  const { policy, requests } = saying("chat", ...[wrong(1), wrong(2), wrong(3), right, hints, right].map(withTokens))
  const plan = {
    pack: { ...pack!, environment: { ...pack!.environment, ...environment } },
    run: 0,
    settings: { ...defaultSettings, ...settings }
  }
  return Effect.map(Effect.provideService(runLifecycle(plan), Policy, policy), ({ episodes }) => ({
    episodes,
    requests
  }))
}
const assistants = (messages: ReadonlyArray<{ role: string; content: string }>) =>
  messages.flatMap(({ content, role }) => (role === "assistant" ? [content] : []))

describe("an episode", () => {
  it.effect("keeps replies in its record, and what was trained, whatever later prompts hold", () =>
    Effect.gen(function* () {
      const { episodes, requests } = yield* live({ compression: "remove_think" })
      expect(assistants(requests[3]!.messages)).toEqual([1, 2, 3].map((i) => `<answer>${(door + i) % 5}</answer>`))
      expect(episodes[0]!.steps.map(({ reply }) => reply)).toEqual([wrong(1), wrong(2), wrong(3), right])
      expect(episodes[0]!.steps[1]!.prompt).not.toContain("<think>")
      // The trajectory that the update reads is compressed as well, its last action included.
      expect(requests[4]!.messages[1]!.content).not.toContain("<think>")
      // A prompt that is not the last one going on has no tokens to go on from.
      expect(requests.slice(0, 4).map(({ previous }) => previous)).toEqual([undefined, undefined, undefined, undefined])
      const whole = yield* live({})
      expect(whole.requests[1]!.previous).toMatchObject({ promptTokens: [7] })
      expect(whole.requests[4]!.messages[1]!.content).toContain("<think>")
    })
  )

  it.effect("goes on from its tokens after a reply that compression leaves alone", () =>
    Effect.gen(function* () {
      const { policy, requests } = saying("chat", ...["<answer>9</answer>", "x"].map(withTokens))
      const settings = { ...defaultSettings, compression: "keep_answer" as const }
      yield* Effect.provideService(runLifecycle({ pack: pack!, run: 0, settings }), Policy, policy)
      expect(requests[1]!.previous).toMatchObject({ promptTokens: [7] })
    })
  )

  it.effect("shortens old observations where its environment says how", () =>
    Effect.gen(function* () {
      const chat = {
        ...pack!.environment.chat,
        shorten: (text: string, age: number) => (age < 2 || !text.startsWith("Try") ? text : `[${text.split(" ")[1]}]`)
      }
      const { episodes, requests } = yield* live({}, { chat })
      const seen = (request: number) =>
        requests[request]!.messages.flatMap(({ content, role }) => (role === "user" ? [content.slice(0, 6)] : []))
      expect(seen(1)).toEqual(["Try 1.", "Try 2."])
      expect(seen(3)).toEqual(["[1.]", "[2.]", "Try 3.", "Try 4."])
      expect(requests[1]!.previous).toBeDefined()
      expect(requests[3]!.previous).toBe(undefined)
      expect(episodes[0]!.steps[3]!.prompt).toContain("[user]\n[2.]\n\n[assistant]")
      expect(requests[4]!.messages[1]!.content).toContain("Observation:\n[1.]\n")
      // Messages that did not change are the same objects.
      expect(requests[3]!.messages[1]).toBe(requests[2]!.messages[1])
    })
  )

  it.effect("has its canonical text under compression too", () =>
    Effect.gen(function* () {
      for (const compression of ["keep_all", "remove_think", "keep_answer"] as const) {
        const { episodes } = yield* live({ compression })
        const text = makeEpisodeText("chat", compression === "keep_all")
        const { bytes, places } = text.unpack(text.pack(episodes))
        expect(places.map(({ end, start }) => Buffer.from(bytes.subarray(start, end)).toString())).toEqual(
          episodes.map((episode) => canonicalJson(untimed(episode)))
        )
      }
    })
  )
})

describe("PDE Discovery", () => {
  const observation =
    "Task 1 of 8, step 3/6\nBudget left: 0 points\n\nRegression on d1.\nx t u y\n1 2 3 4\n\nPossible now: a, b"
  it("keeps the feedback on the latest two actions and a note for older ones", () => {
    expect(shorten(observation, 0)).toBe(observation)
    expect(shorten(observation, 1)).toBe(observation)
    expect(shorten(observation, 2)).toBe(
      "Task 1 of 8, step 3/6\nBudget left: 0 points\n\n(The feedback on this action was left out to save space.)\n\nPossible now: a, b"
    )
    const first = "Task 1 of 8, step 1/6\n\nPossible now: a"
    expect(shorten(first, 5)).toBe(first)
  })
})
