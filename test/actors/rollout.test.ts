import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { dealPacks, freshPacks, planGroups, rollout } from "../../src/actors/rollout.ts"
import { digestOf } from "../../src/actors/trace.ts"
import type { Lifecycle } from "../../src/machines/episode.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy, PolicyError } from "../../src/policies/policy.ts"
import { scripted } from "../../src/policies/scripted.ts"
import { guess } from "../fixtures/guess.ts"
import { answering, doors, packsOf } from "../fixtures/living.ts"

const careful = scripted(guess, "careful")

/** Answers as `careful`, but each in its own time, so that lifecycles overtake each other. */
const unevenly = answering((request) => {
  const waits = 1 + Math.floor(request.rng.uniform() * 5)
  return Effect.andThen(Effect.replicateEffect(Effect.yieldNow, waits), careful.reply(request))
})

describe("a rollout", () => {
  it.effect("lives the same lives at any concurrency", () =>
    Effect.gen(function* () {
      const digests = yield* Effect.forEach([1, 8, 64], (concurrency) =>
        Effect.gen(function* () {
          const arrived: Array<string> = []
          const plans = planGroups(packsOf(doors(), { count: 6 }), 4, defaultSettings)
          const { lifecycles } = yield* rollout(plans, {
            concurrency,
            onLifecycle: ({ id }) => Effect.sync(() => void arrived.push(id))
          })
          expect(lifecycles.map(({ id }) => id)).toEqual(plans.map(({ pack, run }) => `${pack.id}/${run}`))
          expect(arrived.toSorted()).toEqual(lifecycles.map(({ id }) => id).toSorted())
          return digestOf(lifecycles)
        })
      )
      expect(new Set(digests).size).toBe(1)
      expect(digests[0]).toMatchInlineSnapshot(`"4633a9529df09d90e8bb2b886963a1c8b5ab6eb063d95a585a7f8e45dee3044c"`)
    }).pipe(Effect.provideService(Policy, unevenly))
  )

  it.effect("gives the runs of a group the same knowledge and tasks, and other randomness", () =>
    Effect.gen(function* () {
      const packs = packsOf(doors({ doors: 1000, tries: 2 }), { count: 3, size: 4 })
      const { lifecycles } = yield* rollout(planGroups(packs, 5, defaultSettings), { concurrency: 4 })
      const tasks = ({ episodes }: Lifecycle) => episodes.flatMap(({ kind, task }) => (kind === "solve" ? [task] : []))
      for (const group of Map.groupBy(lifecycles, ({ pack }) => pack).values()) {
        expect(group.map(({ run }) => run)).toEqual([0, 1, 2, 3, 4])
        expect(new Set(group.map((lifecycle) => JSON.stringify(tasks(lifecycle)))).size).toBe(1)
        expect(new Set(group.map(({ episodes }) => episodes[0]!.seed)).size).toBe(1)
        expect(new Set(group.map(({ episodes }) => episodes[0]!.steps[0]!.reply)).size).toBeGreaterThan(1)
      }
    }).pipe(Effect.provideService(Policy, careful))
  )

  it.effect("lives a lost lifecycle again with other randomness, at most twice, and reports it", () =>
    Effect.gen(function* () {
      const plans = planGroups(packsOf(doors(), { count: 2 }), 2, defaultSettings)
      const failures = new Map<string, number>([["<answer>", 0]])
      const drawn: Array<number> = []
      // The first request of every attempt fails, until two have.
      const policy = answering((request) => {
        if (request.kind === "solve" && request.messages.length === 2 && request.context === "Hints: null") {
          drawn.push(request.rng.uniform())
          const failed = failures.get("<answer>")!
          failures.set("<answer>", failed + 1)
          if (failed < 2) return Effect.fail(new PolicyError({ policy: "fake", reason: "busy" }))
        }
        return careful.reply(request)
      })
      const { dropped, lifecycles, lost } = yield* Effect.provideService(
        rollout(plans, { concurrency: 1 }),
        Policy,
        policy
      )
      expect(lost).toEqual(
        [0, 1].map((attempt) => ({ lifecycle: plans[0]!.pack.id + "/0", attempt, outcome: "error", why: "busy" }))
      )
      expect(lifecycles.map(({ attempt }) => attempt)).toEqual([2, 0, 0, 0])
      expect(new Set(drawn.slice(0, 3)).size).toBe(3)
      expect(dropped).toEqual([])
    })
  )

  it.effect("drops a group with a hole, and keeps it where fewer survivors are enough", () =>
    Effect.gen(function* () {
      const packs = packsOf(doors(), { count: 2 })
      const plans = planGroups(packs, 2, defaultSettings)
      // The second run of the first pack has a broken environment.
      const broken = packsOf(doors({ flaw: "throws", flawAt: 2 }), { count: 1 })[0]!
      const mixed = plans.map((plan, i) => (i === 1 ? { ...plan, pack: broken } : plan))
      const strict = yield* rollout(mixed, { concurrency: 2 })
      expect(strict.dropped).toEqual([packs[0]!.id])
      expect(strict.lifecycles.map(({ id }) => id)).toEqual([`${packs[1]!.id}/0`, `${packs[1]!.id}/1`])
      expect(strict.lost.map(({ attempt, why }) => [attempt, why])).toEqual(
        [0, 1, 2].map((n) => [n, "the door fell off"])
      )
      const lenient = yield* rollout(mixed, { concurrency: 2, minimum: 1 })
      expect(lenient.dropped).toEqual([])
      expect(lenient.lifecycles).toHaveLength(3)
    }).pipe(Effect.provideService(Policy, careful))
  )
})

describe("packs", () => {
  const at = { baseSeed: 1, epoch: 0, size: 4 } as const
  const secrets = (packs: ReadonlyArray<{ seed: bigint; knowledge: () => unknown }>) =>
    packs.map((pack) => `${pack.seed} ${pack.knowledge() as number}`)

  it("of evaluation share no seed with those of training", () => {
    const [train, evaluation] = (["train", "eval"] as const).map((phase) =>
      freshPacks(doors({ doors: 1_000_000 }), { ...at, phase, count: 50 })
    )
    const all = [...secrets(train!), ...secrets(evaluation!)]
    expect(new Set(all).size).toBe(100)
  })

  it("depend on their number, not on how many are dealt", () => {
    const all = freshPacks(doors({ doors: 1_000_000 }), { ...at, phase: "eval", count: 10 })
    const one = freshPacks(doors({ doors: 1_000_000 }), { ...at, phase: "eval", count: 1, first: 7 })
    expect(secrets(one)).toEqual([secrets(all)[7]])
    expect(one[0]!.id).toBe(all[7]!.id)
  })

  it("that repeat a task begin with the task of the ordinary pack", () => {
    const tasks = (strategy: "cod" | "ralph-sample" | "ralph-full") =>
      freshPacks(doors(), { ...at, phase: "eval", count: 8, strategy }).map((pack) => [0, 1, 2, 3].map(pack.task))
    const ordinary = tasks("cod")
    for (const [i, repeated] of tasks("ralph-sample").entries()) {
      expect(repeated).toEqual(Array.from({ length: 4 }, () => ordinary[i]![0]))
    }
    for (const repeated of tasks("ralph-full")) expect(new Set(repeated).size).toBe(1)
  })

  it("in stable mode are named by their rows alone", () => {
    const rows = [0, 1, 2, 3].map((index) => ({ taskSet: 0, index }))
    const how = { ...at, strategy: "cod", pad: true, seeds: "stable", phase: "train" } as const
    expect(dealPacks([doors()], rows, how)[0]!.seed).toBe(15069623396018555611n)
    expect(dealPacks([doors()], rows, { ...how, epoch: 9, baseSeed: 5 })[0]!.seed).toBe(15069623396018555611n)
  })
})
