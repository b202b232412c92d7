/**
 * A judge that is asked about answers. Decisions:
 *
 *  1. It is asked where the environment's rules do not reach, and about nothing else.
 *  2. It is asked again while it cannot be read, six times at most, with growing pauses.
 *  3. What it said is recorded with the step, so that a replay asks nobody.
 *  4. Where it could not be read nobody knows what the rewards are worth: the lifecycle trains nothing and counts in no mean.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { TestClock } from "effect/testing"
import learn2ask from "../../environments/learn2ask/index.ts"
import { evaluate } from "../../src/actors/evaluate.ts"
import { canonicalJson, makeEpisodeText, untimed } from "../../src/actors/episode-text.ts"
import { journalEntry, replayPolicy } from "../../src/actors/journal.ts"
import { runLifecycle } from "../../src/actors/lifecycle.ts"
import { experiencesOf } from "../../src/actors/policy-update.ts"
import { causal } from "../../src/kernels/credit/causal.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { givenPack } from "../../src/machines/packs.ts"
import { Policy, PolicyError, type Request } from "../../src/policies/policy.ts"
import { answering, saying, spoken } from "../fixtures/living.ts"

const options = Schema.decodeSync(learn2ask.options)({})
const asking = {
  messages: [{ role: "patient", content: "My head hurts." }],
  decision: "continue",
  open: ["severity of the headache"]
}
const ending = { ...asking, decision: "stop", open: [] }
const packOf = (...tasks: ReadonlyArray<object>) =>
  givenPack(
    {
      id: "eval-0000-0000000",
      seed: 1n,
      baseSeed: 1,
      phase: "eval",
      environment: learn2ask,
      options,
      environmentPositions: tasks.map((_, i) => i)
    },
    [{ from: 0, knowledge: { diagnosis: "migraine", attributes: asking.open } }],
    tasks
  )
const hints = "--- Start of updated hints ---\n- ask\n--- End of updated hints ---"
const verdict = (format: number, content: number, feedback = "Ask about how bad it is.") =>
  `Thinking...\n[format]${format}[/format]\n[content]${content}[/content]\n[feedback]${feedback}[/feedback]`

/** A policy that says some things, judged by texts that come one after the other; an Error is a failure. */
const judgedBy = (said: ReadonlyArray<string>, judgements: ReadonlyArray<string | Error>) => {
  const asked: Array<Request> = []
  const { policy } = saying("chat", ...said)
  const judge = (request: Request) => {
    const text = judgements[asked.length] ?? ""
    asked.push(request)
    return typeof text === "string"
      ? Effect.succeed(spoken(text))
      : Effect.fail(new PolicyError({ policy: "judge", reason: text.message }))
  }
  return { asked, policy: { ...policy, judge } }
}
const live = (policy: Policy["Service"], ...tasks: ReadonlyArray<object>) =>
  Effect.provideService(runLifecycle({ pack: packOf(...tasks), run: 0, settings: defaultSettings }), Policy, policy)
/** The same while pauses pass at once. */
const patiently = <A>(living: Effect.Effect<A>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(living)
    yield* TestClock.adjust("10 minutes")
    return yield* Fiber.join(fiber)
  })

describe("a judge", () => {
  it.effect("scores a question that was rightly asked; the specification's example", () =>
    Effect.gen(function* () {
      const { asked, policy } = judgedBy(["How bad is it, 1, 2 or 3?"], [verdict(1, 0.5)])
      const { episodes } = yield* live(policy, asking)
      expect(episodes[0]).toMatchObject({ success: true, reward: 3 })
      expect(episodes[0]!.steps[0]).toMatchObject({
        judgement: verdict(1, 0.5),
        feedback: "Score 3 of at most 4: decision 1, content 0.5, format 1. Ask about how bad it is."
      })
      const [{ messages, temperature }] = asked as [Request]
      expect(temperature).toBe(1)
      expect(messages[1]!.content).toBe(
        "## Dialogue\nPatient: My head hurts.\n\n## Open attributes\n- severity of the headache\n\n## Response\nHow bad is it, 1, 2 or 3?"
      )
    })
  )

  it.effect("is not asked where the decision is wrong, or right and to stop", () =>
    Effect.gen(function* () {
      const { asked, policy } = judgedBy(["<stop />", hints, "Since when?", hints, "<stop />"], [])
      const { episodes } = yield* live(policy, asking, ending, ending)
      expect(episodes.filter(({ kind }) => kind === "solve").map(({ reward }) => reward)).toEqual([0, 0, 4])
      expect(asked).toEqual([])
      expect(episodes.flatMap(({ steps }) => steps).every((step) => !("judgement" in step))).toBe(true)
    })
  )

  it.effect("does not tell what is open, whatever it says", () =>
    Effect.gen(function* () {
      const telling = verdict(1, 0, "You should ask for the Severity of the headache.")
      const { episodes } = yield* live(judgedBy(["Why?"], [telling]).policy, asking)
      expect(episodes[0]!.steps[0]!.feedback).not.toMatch(/severity/i)
    })
  )

  it.effect("is asked again while it fails or cannot be read", () =>
    Effect.gen(function* () {
      const { asked, policy } = judgedBy(["Why?"], [new Error("busy"), "[format]7[/format]", verdict(0.5, 1)])
      const { episodes } = yield* patiently(live(policy, asking))
      expect(asked).toHaveLength(3)
      expect(new Set(asked.map(({ rng }) => rng.uniform())).size).toBe(3)
      expect(episodes[0]!.reward).toBe(3.5)
    })
  )

  it.effect("that cannot be read six times gives no scores and flags the lifecycle", () =>
    Effect.gen(function* () {
      const { asked, policy } = judgedBy(["Why?", hints, "<stop />"], [])
      const { episodes } = yield* patiently(live(policy, asking, ending))
      expect(asked).toHaveLength(6)
      expect(episodes[0]!.steps[0]!.judgement).toBe(null)
      expect(episodes[0]).toMatchObject({ reward: 1, success: true })
      const lifecycle = { id: "a", pack: "p", run: 0, attempt: 0, totalReward: 5, episodes }
      const experiences = experiencesOf([lifecycle], () => 0)
      expect(experiences.map(({ flag }) => flag)).toEqual(["own", "trajectory", "trajectory"])
      expect(causal(experiences)).toMatchObject({ experiences: [], metrics: { judge_format_error_count: 3 } })
    })
  )

  it.effect("counts in no mean where it could not be read", () =>
    Effect.gen(function* () {
      const policy = { ...answering(() => Effect.succeed(spoken("Why?"))), judge: () => Effect.succeed(spoken("hm")) }
      const evaluation = yield* patiently(
        evaluate(
          { id: 0, environment: learn2ask, options },
          {
            packs: 2,
            packSize: 1,
            strategy: "cod",
            context: "own",
            seed: 1,
            seeds: 1,
            concurrency: 2,
            settings: defaultSettings,
            given: () => [packOf(asking), packOf(ending)]
          }
        ).pipe(Effect.provideService(Policy, policy))
      )
      expect(evaluation.flagged).toBe(1)
      expect(evaluation.positions[0]).toMatchObject({ episodes: 2, success: { mean: 0 }, reward: { mean: 0 } })
    })
  )

  it.effect("is not needed for a replay, and its words are in the canonical text", () =>
    Effect.gen(function* () {
      const { policy } = judgedBy(["Why?", hints, "<stop />"], [verdict(1, 1)])
      const lifecycle = yield* live(policy, asking, ending)
      const plan = { pack: packOf(asking, ending), run: 0, settings: defaultSettings }
      const entry = JSON.parse(JSON.stringify(journalEntry(lifecycle, plan)))
      const replayed = yield* Effect.provideService(runLifecycle(plan), Policy, replayPolicy(entry, policy))
      expect(replayed.episodes.map(untimed)).toEqual(lifecycle.episodes.map(untimed))
      const text = makeEpisodeText("chat")
      const { bytes, places } = text.unpack(text.pack(lifecycle.episodes))
      expect(places.map(({ end, start }) => Buffer.from(bytes.subarray(start, end)).toString())).toEqual(
        lifecycle.episodes.map((episode) => canonicalJson(untimed(episode)))
      )
    })
  )
})
