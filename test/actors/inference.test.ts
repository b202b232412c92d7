/** The inference actor in front of workers of straw: what it promises does not depend on a model. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Latch, Result } from "effect"
import { makeInference, makeVersions } from "../../src/actors/inference.ts"
import { type ModelCall, ModelFailure, type ModelWorkers } from "../../src/actors/model-workers.ts"
import { stream } from "../../src/kernels/random.ts"
import type { Chat } from "../../src/policies/chat.ts"
import type { Request } from "../../src/policies/policy.ts"
import { letters as tokenizer } from "../fixtures/letters.ts"

type Generate = Extract<ModelCall, { readonly type: "generate" }>

/** Says the last letter of the prompt again and ends, if there is room for an end. */
const echo = ({ rows }: Generate) =>
  rows.map(({ prompt, uniforms }) => {
    const tokens = [prompt.at(-1)!, 0].slice(0, uniforms.length)
    return { tokens, logprobs: tokens.map(() => -1) }
  })

const workersOf = (
  ...answers: ReadonlyArray<(call: Generate) => Effect.Effect<ReturnType<typeof echo>, ModelFailure>>
): ModelWorkers => ({
  workers: answers.map((answer) => ({ call: (call) => answer(call as never) as never })),
  publish: () => Effect.void
})

const request = (text: string, more: Partial<Request> = {}): Request => ({
  kind: "update",
  messages: [{ role: "user", content: text }],
  previous: undefined,
  context: "",
  knowledge: undefined,
  rng: stream("inference", text),
  temperature: 1,
  maxTokens: 4,
  ...more
})

const policyOver = (workers: ModelWorkers, version = () => 7) =>
  makeInference({ name: "straw", style: "terse", tokenizer, workers, maxPositions: 40, policyVersion: version })

const together = { concurrency: "unbounded" } as const

describe("inference", () => {
  it.effect("answers each request with its own reply, however they are batched", () =>
    Effect.gen(function* () {
      const sizes: Array<number> = []
      const answer = (call: Generate) => {
        sizes.push(call.rows.length)
        return Effect.as(Effect.yieldNow, echo(call))
      }
      const policy = yield* policyOver(workersOf(answer, answer))
      const texts = Array.from({ length: 60 }, (_, i) => "x".repeat(i % 20) + String.fromCharCode(65 + (i % 26)))
      const replies = yield* Effect.forEach(texts, (text) => policy.reply(request(text)), together)
      expect(replies.map(({ text }) => text)).toEqual(texts.map((text) => text.at(-1)))
      expect(replies.every(({ policyVersion }) => policyVersion === 7)).toBe(true)
      expect(sizes.reduce((a, b) => a + b)).toBe(60)
      // Two padded lengths, two workers: far fewer calls than requests.
      expect(sizes.length).toBeLessThan(20)
    })
  )

  it.effect("goes on from the tokens of the step before and tokenises the new message only", () =>
    Effect.gen(function* () {
      const policy = yield* policyOver(workersOf((call) => Effect.succeed(echo(call))))
      const { promptTokens } = yield* policy.reply(
        request("never looked at", {
          messages: [
            { role: "user", content: "a" },
            { role: "assistant", content: "?" },
            { role: "user", content: "b" }
          ],
          previous: { promptTokens: [97], tokens: [1, 2] }
        })
      )
      expect(promptTokens).toEqual([97, 1, 2, 98])
    })
  )

  it.effect("a terse step is complete at its cap, an update that reaches it is cut off", () =>
    Effect.gen(function* () {
      const policy = yield* policyOver(workersOf((call) => Effect.succeed(echo(call))))
      const capped = { maxTokens: 1 }
      const solve = yield* policy.reply(request("a", { kind: "solve", ...capped }))
      const update = yield* policy.reply(request("a", capped))
      expect([solve.truncated, update.truncated]).toEqual([false, true])
      expect((yield* policy.reply(request("a"))).truncated).toBe(false)
    })
  )

  it.effect("a reply for which there is no room is cut off before its first token; what follows starts anew", () =>
    Effect.gen(function* () {
      const policy = yield* policyOver(workersOf((call) => Effect.succeed(echo(call))))
      const unsaid = yield* policy.reply(request("x".repeat(40)))
      const nothing = { text: "", promptTokens: [], tokens: [], logprobs: [], truncated: true }
      expect(unsaid).toMatchObject(nothing)
      expect(yield* policy.reply(request("x".repeat(41), { previous: unsaid }))).toMatchObject(nothing)
      expect((yield* policy.reply(request("y"))).text).toBe("y")
    })
  )

  it.effect("a request taken back while it waits never reaches a worker", () =>
    Effect.gen(function* () {
      const open = yield* Latch.make(false)
      const seen: Array<string> = []
      const policy = yield* policyOver(
        workersOf((call) => {
          seen.push(...call.rows.map(({ prompt }) => tokenizer.decode(prompt)))
          return Effect.as(open.await, echo(call))
        })
      )
      const ask = (text: string) => Effect.forkChild(policy.reply(request(text)))
      const settled = Effect.repeat(Effect.yieldNow, { times: 20 })
      const first = yield* ask("a")
      yield* settled
      // One batch is in hand, one lies ready: only the third waits.
      const ready = yield* ask("r")
      yield* settled
      const [gone, last] = [yield* ask("b"), yield* ask("c")]
      yield* settled
      yield* Fiber.interrupt(gone)
      yield* open.open
      const texts = yield* Effect.forEach([first, ready, last], (fiber) =>
        Effect.map(Fiber.join(fiber), ({ text }) => text)
      )
      expect(texts).toEqual(["a", "r", "c"])
      expect(seen).toEqual(["a", "r", "c"])
    })
  )

  it.effect("a reply ends at the first of several end tokens", () =>
    Effect.gen(function* () {
      const long = (call: Generate) =>
        Effect.succeed(call.rows.map(() => ({ tokens: [97, 4, 98, 0], logprobs: [-1, -2, -3, -4] })))
      const chat: Chat = { prompt: () => Result.succeed([1]), ends: [0, 4], canSwitchThinking: false }
      const model = { tokenizer, workers: workersOf(long), maxPositions: 40, policyVersion: () => 0 }
      const policy = yield* makeInference({ ...model, name: "straw", style: "chat", chat })
      const { logprobs, text, tokens, truncated } = yield* policy.reply(request("a"))
      expect({ logprobs, text, tokens, truncated }).toEqual({
        logprobs: [-1, -2],
        text: "a",
        tokens: [97, 4],
        truncated: false
      })
    })
  )

  it.effect("a call that fails fails its own requests; the worker is used again", () =>
    Effect.gen(function* () {
      let calls = 0
      const policy = yield* policyOver(
        workersOf((call) =>
          ++calls === 1 ? Effect.fail(new ModelFailure({ reason: "no", ended: false })) : Effect.succeed(echo(call))
        )
      )
      expect((yield* Effect.flip(policy.reply(request("a")))).message).toBe("policy straw: model worker: no")
      expect((yield* policy.reply(request("b"))).text).toBe("b")
    })
  )

  it.effect("a batch that does not fit into memory is taken apart until it does, and nobody notices", () =>
    Effect.gen(function* () {
      const sizes: Array<number> = []
      const policy = yield* policyOver(
        workersOf((call) => {
          sizes.push(call.rows.length)
          return call.rows.length > 3
            ? Effect.fail(new ModelFailure({ reason: "Failed to allocate memory for requested buffer", ended: false }))
            : Effect.as(Effect.yieldNow, echo(call))
        })
      )
      const texts = [..."abcdefghijklmnop"]
      const replies = yield* Effect.forEach(texts, (text) => policy.reply(request(text)), together)
      expect(replies.map(({ text }) => text)).toEqual(texts)
      expect(sizes.filter((size) => size > 3).length).toBeLessThanOrEqual(4)
    })
  )

  it.effect("a single request that does not fit is refused by name", () =>
    Effect.gen(function* () {
      const reason = "Failed to allocate memory for requested buffer of size 9"
      const policy = yield* policyOver(workersOf(() => Effect.fail(new ModelFailure({ reason, ended: false }))))
      const error = yield* Effect.flip(policy.reply(request("a")))
      expect(error.message).toBe(`policy straw: model worker: ${reason}`)
    })
  )

  it.effect("a request names its policy version, and versions never share a batch", () =>
    Effect.gen(function* () {
      const seen: Array<{ readonly version: number; readonly text: string }> = []
      const workers = workersOf((call) => {
        for (const { prompt } of call.rows) seen.push({ version: call.version, text: tokenizer.decode(prompt) })
        return Effect.as(Effect.yieldNow, echo(call))
      })
      let newest = 3
      const policyVersion = () => newest
      const model = { name: "straw", style: "terse", tokenizer, workers, maxPositions: 40, policyVersion } as const
      const policyOf = yield* makeVersions(model)
      const asks = ["a", "b", "c", "d"].map((text, i) => policyOf(i % 2 === 0 ? 2 : undefined).reply(request(text)))
      const replies = yield* Effect.all(asks, together)
      newest = 4
      const later = yield* policyOf().reply(request("e"))
      expect([...replies, later].map(({ policyVersion }) => policyVersion)).toEqual([2, 3, 2, 3, 4])
      expect(seen.toSorted((a, b) => a.text.localeCompare(b.text)).map(({ version }) => version)).toEqual([
        2, 3, 2, 3, 4
      ])
    })
  )

  it.effect("a thread that ends takes only its batch with it; without any, requests are refused", () =>
    Effect.gen(function* () {
      const ends = () => Effect.fail(new ModelFailure({ reason: "the thread has ended", ended: true }))
      let healthy = true
      const policy = yield* policyOver(workersOf(ends, (call) => (healthy ? Effect.succeed(echo(call)) : ends())))
      const exits = yield* Effect.forEach(
        ["a", "b", "c", "d"],
        (text) => Effect.exit(policy.reply(request(text))),
        together
      )
      expect(exits.filter(Exit.isFailure).length).toBeLessThanOrEqual(2)
      expect((yield* policy.reply(request("e"))).text).toBe("e")
      healthy = false
      yield* Effect.flip(policy.reply(request("f")))
      const refused = yield* Effect.flip(policy.reply(request("g")))
      expect(refused.message).toBe("policy straw: all model workers have ended")
    })
  )
})

describe("what a worker has read", () => {
  it.effect("brings the next steps of a conversation to it, as long as the version is the same", () =>
    Effect.gen(function* () {
      let version = 1
      /** Each worker notes what it is asked. */
      const seen: Array<ReadonlyArray<string>> = [[], []]
      const note = (worker: number) => (call: Generate) =>
        Effect.suspend(() => {
          seen[worker] = [...seen[worker]!, ...call.rows.map(({ prompt }) => tokenizer.decode(prompt))]
          return Effect.as(Effect.yieldNow, echo(call))
        })
      const policy = yield* policyOver(workersOf(note(0), note(1)), () => version)
      const solve = (text: string, previous?: Request["previous"]) =>
        policy.reply(request(text, { kind: "solve", previous, messages: [{ role: "user", content: text }] }))
      const first = yield* Effect.forEach([..."abcdefgh"], (text) => solve(text), together)
      const homes = seen.map((prompts) => new Set(prompts))
      expect(homes.every(({ size }) => size > 0)).toBe(true)
      let before = first
      for (let step = 0; step < 3; step++)
        before = yield* Effect.forEach(before, (previous) => solve("x", previous), together)
      seen.forEach((prompts, worker) => {
        const strangers = prompts.filter((prompt) => !homes[worker]!.has(prompt[0]!))
        expect(strangers, `worker ${worker}`).toEqual([])
      })
      version = 2
      const calls = seen[0]!.length
      yield* solve("x", before[7])
      expect(seen[0]).toHaveLength(calls + 1)
    })
  )
})
