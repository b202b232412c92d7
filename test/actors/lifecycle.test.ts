/**
 * What a lifecycle means, pinned. These are decisions:
 *
 *  1. Solve and update take turns, and the last task is not followed by an update.
 *  2. The context that an update writes is in force from the next task on.
 *  3. An update that cannot be read costs the coefficient, and the context.
 *  4. A reply that was cut off and cannot be read makes an episode truncated, not malformed.
 *  5. Messages are reused from step to step, and an assistant message is the reply and nothing else.
 *  6. A fault of environment or policy ends the lifecycle as error or timeout, never as a reward of 0.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { runLifecycle } from "../../src/actors/lifecycle.ts"
import { hintsBlock } from "../../src/environment.ts"
import type { Lifecycle } from "../../src/machines/episode.ts"
import { defaultSettings, type Settings } from "../../src/machines/lifecycle.ts"
import type { Pack } from "../../src/machines/packs.ts"
import { Policy, PolicyError } from "../../src/policies/policy.ts"
import { scripted } from "../../src/policies/scripted.ts"
import { guess } from "../fixtures/guess.ts"
import { answering, doors, packsOf, saying, spoken } from "../fixtures/living.ts"

const live = (policy: Policy["Service"], pack: Pack, settings: Partial<Settings> = {}) =>
  Effect.provideService(
    runLifecycle({ pack, run: 0, settings: { ...defaultSettings, style: policy.style, ...settings } }),
    Policy,
    policy
  )

const [pack] = packsOf(doors({ doors: 3, tries: 3 }), { size: 2 }) as [Pack]
const door = pack.knowledge() as number
const right = `<answer>${door}</answer>`
const wrong = `<answer>${(door + 1) % 3}</answer>`
const hints = hintsBlock.write("it is behind one of them")

const names = ({ episodes }: Lifecycle) => episodes.map(({ index, kind, outcome }) => `${kind} ${index} ${outcome}`)

describe("a lifecycle", () => {
  it.effect("takes turns between solving and updating", () =>
    Effect.gen(function* () {
      const lifecycle = yield* live(scripted(guess, "oracle"), packsOf(doors(), { size: 3 })[0]!)
      expect(names(lifecycle)).toEqual([
        "solve 0 success",
        "update 0 success",
        "solve 1 success",
        "update 1 success",
        "solve 2 success"
      ])
    })
  )

  it.effect("hands the context that an update wrote to the next task, in its own section", () =>
    Effect.gen(function* () {
      const { policy, requests } = saying("chat", right, hints, right)
      const { episodes, totalReward } = yield* live(policy, pack)
      expect(episodes.map(({ contextAfter, contextBefore }) => [contextBefore, contextAfter])).toEqual([
        ["Hints: null", "Hints: null"],
        ["Hints: null", "Hints: it is behind one of them"],
        ["Hints: it is behind one of them", "Hints: it is behind one of them"]
      ])
      expect(requests.map(({ context }) => context)).toEqual(episodes.map(({ contextBefore }) => contextBefore))
      expect(requests[0]!.messages[0]!.content).toMatch(/^Behind one of 3 doors [^]*\n## Hints [^]*\n\nHints: null$/)
      expect(requests[2]!.messages[0]!.content).toMatch(/\n\nHints: it is behind one of them$/)
      // One of ten steps each, and 0 for an update that could be read.
      expect(episodes.map(({ reward }) => reward)).toEqual([0.99, 0, 0.99])
      expect(totalReward).toBeCloseTo(1.98)
    })
  )

  it.effect(
    "shows the update what was seen and done, how it ended, and nothing of earlier hints in the trajectory",
    () =>
      Effect.gen(function* () {
        const { policy, requests } = saying("chat", wrong, right, hints, right)
        yield* live(policy, pack, { tokenLimit: 900 })
        const [system, user] = requests[2]!.messages
        expect(requests[2]!.kind).toBe("update")
        expect(system!.content).toContain(`${hintsBlock.start}\n`)
        expect(system!.content).toMatch(/within 900 tokens\.$/)
        expect(requests[0]!.messages[0]!.content).toMatch(/within 900 tokens\.$/)
        expect(user!.content).toContain("## Earlier hints\nHints: null\n")
        const [, trajectory] = user!.content.split("## New trajectory\n")
        expect(trajectory).not.toMatch(/Hints|900/)
        expect(trajectory!.split("\n\n").slice(1, 3)).toEqual([
          `[Step 1]\nObservation:\nTry 1.\nAction:\n${wrong}`,
          `[Step 2]\nObservation:\nTry 2. ${(door + 1) % 3 < door ? "higher" : "lower"}\nAction:\n${right}`
        ])
        expect(trajectory).toContain("## Reward\n0.980\n\n## Feedback of the environment\nThe door is open.")
      })
  )

  it.effect("reuses messages from step to step, and keeps replies to the letter", () =>
    Effect.gen(function* () {
      const odd = `thinking…\u2028 ${wrong}\r\n`
      const { policy, requests } = saying("chat", odd, right, hints, right)
      const { episodes } = yield* live(policy, pack)
      const [first, second] = requests
      expect(second!.messages.slice(0, 2).every((message, i) => message === first!.messages[i])).toBe(true)
      expect(second!.messages[2]).toEqual({ role: "assistant", content: odd })
      const [step, next] = episodes[0]!.steps
      expect(next!.prompt.startsWith(`${step!.prompt}\n\n[assistant]\n${odd}\n\n[user]\nTry 2.`)).toBe(true)
    })
  )

  it.effect("gives every call of every attempt a stream of its own", () =>
    Effect.gen(function* () {
      const drawn: Array<number> = []
      const policy = answering((request) => {
        drawn.push(request.rng.uniform())
        return Effect.succeed(spoken(request.kind === "solve" ? wrong : hints))
      })
      for (const run of [0, 1]) {
        for (const attempt of [0, 1]) {
          const plan = { pack, run, attempt, settings: defaultSettings }
          yield* Effect.provideService(runLifecycle(plan), Policy, policy)
        }
      }
      // Two tasks of three wrong tries each, and an update between them.
      expect(drawn).toHaveLength(4 * 7)
      expect(new Set(drawn).size).toBe(4 * 7)
    })
  )

  it.effect("frames terse prompts in few words", () =>
    Effect.gen(function* () {
      const other = String((door + 1) % 3)
      const { policy, requests } = saying("terse", other, String(door), "0 1", String(door))
      const { episodes } = yield* live(policy, pack)
      const said = other < String(door) ? "higher" : "lower"
      expect(episodes.map(({ steps }) => steps.map(({ prompt }) => prompt))).toEqual([
        ["<solve> | ?", `<solve> | ? ${other} ${said} ?`],
        [`<update> | ? ${other} ${said} ? ${door} <ctx>`],
        ["<solve> 0 1 | ?"]
      ])
      expect(requests.map(({ maxTokens }) => maxTokens)).toEqual([1, 1, 2, 1])
    })
  )
})

describe("an update that cannot be read", () => {
  it.each([
    ["reasoning, then the block", `because\n${hintsBlock.write("- 1 is Up")}`, "Hints: - 1 is Up"],
    ["text after the block", `${hintsBlock.write(" x ")}\nbye`, "Hints: x"],
    ["a blank block", hintsBlock.write("  "), undefined],
    ["the delimiters twice", `${hintsBlock.write("a")}\n${hintsBlock.write("b")}`, undefined],
    ["the end before the start", `${hintsBlock.end}\nx\n${hintsBlock.start}`, undefined],
    ["no end", `${hintsBlock.start}\nx`, undefined],
    ["an empty reply", "", undefined]
  ])("or can: %s", async (_, reply, context) => {
    const { policy } = saying("chat", right, reply, right)
    const { episodes } = await Effect.runPromise(live(policy, pack))
    const { contextAfter, outcome, reward, success } = episodes[1]!
    expect({ contextAfter, outcome, reward, success }).toEqual(
      context === undefined
        ? { contextAfter: "Hints: no hint available.", outcome: "malformed", reward: -0.1, success: false }
        : { contextAfter: context, outcome: "success", reward: 0, success: true }
    )
  })

  it.effect("is told apart from one that was cut off", () =>
    Effect.gen(function* () {
      const { policy } = saying("terse", String(door), { text: "0 1", truncated: true }, String(door))
      const { episodes } = yield* live(policy, pack, { onParseFailure: "keep" })
      const { contextAfter, outcome, reward } = episodes[1]!
      expect({ contextAfter, outcome, reward }).toEqual({ contextAfter: "", outcome: "truncated", reward: -0.1 })
    })
  )
})

describe("an answer that cannot be read", () => {
  it.effect("makes an episode malformed, and truncated when it was cut off", () =>
    Effect.gen(function* () {
      const { policy } = saying("chat", "no idea", hints, { text: "let me think", truncated: true })
      const lifecycle = yield* live(policy, pack)
      expect(names(lifecycle)).toEqual(["solve 0 malformed", "update 0 success", "solve 1 truncated"])
      expect(lifecycle.episodes[0]).toMatchObject({ reward: 0, success: false, why: "no number" })
    })
  )

  it.effect("counts as read when the cut came after it", () =>
    Effect.gen(function* () {
      const { policy } = saying("chat", { text: `${right} and`, truncated: true }, hints, right)
      expect(names(yield* live(policy, pack))[0]).toBe("solve 0 success")
    })
  )
})

describe("a fault", () => {
  it.effect.each([
    ["an environment that throws", { flaw: "throws" }, "error", "the door fell off"],
    [
      "a reward that is not a number",
      { flaw: "not-a-number" },
      "error",
      "environment guess: reward is NaN, expected a finite number"
    ]
  ] as const)("of %s ends the lifecycle there", ([_name, options, outcome, why]) =>
    Effect.gen(function* () {
      const [flawed] = packsOf(doors({ ...options, flawAt: 1 }))
      const lifecycle = yield* live(scripted(guess, "oracle"), flawed!)
      expect(names(lifecycle)).toEqual(["solve 0 success", "update 0 success", `solve 1 ${outcome}`])
      expect(lifecycle.episodes.at(-1)).toMatchObject({ success: false, outcome, why })
    })
  )

  it.live("of an environment that takes too long is a timeout", () =>
    Effect.gen(function* () {
      const [slow] = packsOf(doors({ flaw: "slow", flawAt: 0 }))
      const { episodes } = yield* live(scripted(guess, "oracle"), slow!, { environmentMillis: 5 })
      expect(episodes.map(({ outcome }) => outcome)).toEqual(["timeout"])
      expect(episodes[0]!.why).toMatch(/^environment guess took \d+ ms$/)
    })
  )

  it.effect("before the first step leaves an episode without steps", () =>
    Effect.gen(function* () {
      const broken = {
        ...guess,
        task: {
          sample: () => {
            throw new Error("no tasks left")
          }
        }
      }
      const [flawed] = packsOf({ ...doors(), environment: broken })
      const { episodes } = yield* live(scripted(guess, "oracle"), flawed!)
      expect(episodes).toMatchObject([{ outcome: "error", why: "no tasks left", steps: [], task: null }])
    })
  )

  it.effect("of the policy is an error, and the steps before it stay", () =>
    Effect.gen(function* () {
      let asked = 0
      const policy = answering(() =>
        asked++ === 0 ? Effect.succeed(spoken(wrong)) : Effect.fail(new PolicyError({ policy: "fake", reason: "gone" }))
      )
      const { episodes } = yield* live(policy, pack)
      expect(episodes).toMatchObject([{ outcome: "error", why: "gone", steps: [{ reply: wrong }] }])
    })
  )

  it.effect("of a policy that never answers is a timeout in the clock's time", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(
        live(
          answering(() => Effect.never),
          pack,
          { replyMillis: 60_000 }
        )
      )
      yield* TestClock.adjust(59_999)
      expect(fiber.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust(1)
      const { episodes } = yield* Fiber.join(fiber)
      expect(episodes).toMatchObject([{ outcome: "timeout", why: "policy fake did not answer in 60000 ms" }])
      expect(episodes[0]!.timing).toEqual({ startedMillis: 0, endedMillis: 60_000 })
    })
  )

  it.effect("of an episode that never ends by itself is the engine's step cap", () =>
    Effect.gen(function* () {
      const [endless] = packsOf(doors({ doors: 2, tries: 1000 }), { size: 1 })
      const policy = answering(() => Effect.succeed(spoken("<answer>7</answer>")))
      const { episodes } = yield* live(policy, endless!, { maxSteps: 5 })
      expect(episodes).toMatchObject([{ outcome: "truncated", success: false, reward: 0 }])
      expect(episodes[0]!.steps).toHaveLength(5)
    })
  )
})
