import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import fc from "fast-check"
import { join } from "node:path"
import { journalEntry, type JournalEntry, openJournal, readJournal, replayPolicy } from "../../src/actors/journal.ts"
import { runLifecycle } from "../../src/actors/lifecycle.ts"
import { planGroups, rollout } from "../../src/actors/rollout.ts"
import { untimed } from "../../src/actors/episode-text.ts"
import { digestOf } from "../../src/actors/trace.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy, PolicyError, type Reply } from "../../src/policies/policy.ts"
import { scripted } from "../../src/policies/scripted.ts"
import { guess } from "../fixtures/guess.ts"
import { answering, doors, packsOf, spoken } from "../fixtures/living.ts"

const careful = scripted(guess, "careful")
const settings = defaultSettings

/** A policy with tokens, whose later prompts go on from the step before as those of a model do. */
const withTokens = answering(
  Effect.fnUntraced(function* (request) {
    const { text } = yield* careful.reply(request)
    const reply = spoken(text, 3)
    const observed = Array.from(request.messages.at(-1)!.content, (character) => character.codePointAt(0)!)
    const promptTokens =
      request.previous === undefined
        ? observed
        : [...request.previous.promptTokens, ...request.previous.tokens, ...observed]
    return { ...reply, promptTokens }
  })
)

const temporary = Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped()).pipe(
  Effect.map((folder) => join(folder, "journal.jsonl"))
)

const inFolder = <A, E>(test: (path: string) => Effect.Effect<A, E, FileSystem.FileSystem>) =>
  Effect.flatMap(temporary, test).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

const write = (path: string, plans: ReturnType<typeof planGroups>, policy: Policy["Service"], concurrency = 4) =>
  Effect.scoped(
    Effect.gen(function* () {
      const journal = yield* openJournal(path)
      return yield* Effect.provideService(rollout(plans, { concurrency, journal }), Policy, policy)
    })
  )

const refusing = answering(() => Effect.fail(new PolicyError({ policy: "fake", reason: "must not be asked" })))

describe("a journal", () => {
  it.effect("is enough to live its lifecycles again without a policy", () =>
    inFolder((path) =>
      Effect.gen(function* () {
        const plans = planGroups(packsOf(doors({ doors: 20 }), { count: 3 }), 2, settings)
        const first = yield* write(path, plans, withTokens)
        const again = yield* write(path, plans, refusing)
        expect(again.lost).toEqual([])
        expect(again.lifecycles.map(({ episodes }) => episodes.map(untimed))).toEqual(
          first.lifecycles.map(({ episodes }) => episodes.map(untimed))
        )
        expect((yield* readJournal(path)).entries).toHaveLength(6)
      })
    )
  )

  it.effect("is continued where it ends, after a line that was torn", () =>
    inFolder((path) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const plans = planGroups(packsOf(doors({ doors: 20 }), { count: 5 }), 1, settings)
        const whole = yield* write(path, plans, withTokens, 1)
        const bytes = yield* files.readFile(path)
        const lines = [...bytes].flatMap((byte, i) => (byte === 10 ? [i + 1] : []))
        for (const cut of [0, 1, lines[0]! - 1, lines[0]!, lines[2]! + 40, bytes.length - 1]) {
          yield* files.writeFile(path, bytes.subarray(0, cut))
          const asked: Array<string> = []
          const counting = answering((request) => {
            asked.push(request.kind)
            return withTokens.reply(request)
          })
          const resumed = yield* write(path, plans, counting, 3)
          expect(digestOf(resumed.lifecycles)).toBe(digestOf(whole.lifecycles))
          const { entries } = yield* readJournal(path)
          expect(entries.map(({ lifecycle }) => lifecycle).toSorted()).toEqual(plans.map(({ pack }) => `${pack.id}/0`))
          const intact = lines.filter((end) => end <= cut).length
          expect(asked.filter((kind) => kind === "update")).toHaveLength(2 * (5 - intact))
        }
      })
    )
  )

  it.effect("refuses a line that is no entry, with its place", () =>
    inFolder((path) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        yield* write(path, planGroups(packsOf(doors()), 1, settings), careful)
        yield* files.writeFileString(path, `${yield* files.readFileString(path)}{"lifecycle":3}\n`)
        const error = yield* Effect.flip(readJournal(path))
        expect(error.message).toBe(`${path}:2: is not an entry of a journal`)
      })
    )
  )

  it.effect("does not answer for packs of another seed", () =>
    inFolder((path) =>
      Effect.scoped(
        Effect.gen(function* () {
          const [plan] = planGroups(packsOf(doors()), 1, settings)
          yield* write(path, [plan!], careful)
          const journal = yield* openJournal(path)
          expect(journal.recorded(plan!)).toBeDefined()
          expect(journal.recorded({ ...plan!, attempt: 1 })).toBeUndefined()
          expect(journal.recorded({ ...plan!, pack: { ...plan!.pack, seed: 3n } })).toBeUndefined()
        })
      )
    )
  )

  it("keeps any reply to the letter and to the bit", () => {
    const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value || 0)
    const ids = fc.array(fc.nat(50_000), { maxLength: 6 })
    const reply: fc.Arbitrary<Reply> = fc.record({
      text: fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("\u2028\u2029\n\r\n\0", "\ud800", "𝕏 ü")),
      promptTokens: ids,
      tokens: ids,
      logprobs: fc.array(number, { maxLength: 6 }),
      policyVersion: fc.nat(),
      truncated: fc.boolean()
    })
    const [plan] = planGroups(packsOf(doors({ tries: 2 }), { size: 4 }), 1, settings)
    return fc.assert(
      fc.asyncProperty(fc.array(reply, { minLength: 1, maxLength: 12 }), async (replies) => {
        let asked = 0
        const policy = answering(() => Effect.succeed(replies[asked++ % replies.length]!))
        const live = (policy: Policy["Service"]) =>
          Effect.runPromise(Effect.provideService(runLifecycle(plan!), Policy, policy))
        const lifecycle = await live(policy)
        const entry = JSON.parse(JSON.stringify(journalEntry(lifecycle, plan!))) as JournalEntry
        expect(digestOf([await live(replayPolicy(entry, policy))])).toBe(digestOf([lifecycle]))
      }),
      { seed: 1, numRuns: 60 }
    )
  })

  it.effect("answers a lost lifecycle with its fault", () =>
    Effect.gen(function* () {
      const [plan] = planGroups(packsOf(doors()), 1, settings)
      let asked = 0
      const failing = answering((request) =>
        asked++ < 2
          ? careful.reply(request)
          : Effect.fail(new PolicyError({ policy: "fake", reason: "gone", outcome: "timeout" }))
      )
      const lifecycle = yield* Effect.provideService(runLifecycle(plan!), Policy, failing)
      expect(lifecycle.episodes.at(-1)).toMatchObject({ outcome: "timeout", why: "gone" })
      const replayed = yield* Effect.provideService(
        runLifecycle(plan!),
        Policy,
        replayPolicy(journalEntry(lifecycle, plan!), failing)
      )
      expect(digestOf([replayed])).toBe(digestOf([lifecycle]))
    })
  )
})
