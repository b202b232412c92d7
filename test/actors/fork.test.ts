/**
 * What forking a lifecycle means. Decisions that are pinned here:
 *
 *  1. Up to its fork a branch is the lifecycle that it continues, bit for bit; the policy is not asked for any of it.
 *  2. From its fork on all draws are its own: of policy and environment, by point, seed, branch and attempt.
 *  3. A lifecycle without forks draws what it always has.
 *  4. The state at a fork has everything: contexts, the environment's memory, what an update looks back at.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as fc from "fast-check"
import { alternativesOf, rolloutWithAlternatives } from "../../src/actors/counterfactual.ts"
import { forkPlan } from "../../src/actors/fork.ts"
import { journalEntry, replayPolicy } from "../../src/actors/journal.ts"
import { lifecycleId, type Plan, runLifecycle } from "../../src/actors/lifecycle.ts"
import { experiencesOf } from "../../src/actors/policy-update.ts"
import { freshPacks, planGroups } from "../../src/actors/rollout.ts"
import { digestOf } from "../../src/actors/trace.ts"
import grid from "../../environments/grid-navigation/index.ts"
import { hintsBlock } from "../../src/environment.ts"
import type { Episode, Lifecycle } from "../../src/machines/episode.ts"
import { isBefore, ownEpisodes, pointOf } from "../../src/machines/fork.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy, PolicyError } from "../../src/policies/policy.ts"
import { scripted } from "../../src/policies/scripted.ts"
import { guess } from "../fixtures/guess.ts"
import { answering, doors, packsOf, spoken } from "../fixtures/living.ts"

const size = 4
const [pack] = packsOf(doors({ doors: 5, tries: 3 }), { size })
const plan: Plan = { pack: pack!, run: 0, settings: defaultSettings }

/** Answers at random, writes at random, and keeps what it drew. */
const babbling = () => {
  const drawn: Array<number> = []
  const policy = answering(({ kind, rng }) => {
    const draw = rng.uniform()
    drawn.push(draw)
    const text = kind === "solve" ? `<answer>${Math.floor(draw * 5)}</answer>` : hintsBlock.write(`${draw}`)
    return Effect.succeed(spoken(text))
  })
  return { drawn, policy }
}

const live = (plan: Plan, policy: Policy["Service"] = babbling().policy): Promise<Lifecycle> =>
  Effect.runPromise(Effect.provideService(runLifecycle(plan), Policy, policy))

const bare = ({ lifecycle: _lifecycle, timing: _timing, ...episode }: Episode) => episode

const before = (episodes: ReadonlyArray<Episode>, point: Parameters<typeof isBefore>[1]) =>
  episodes.filter((episode) => isBefore(pointOf(episode), point)).map(bare)

const points = fc.oneof(
  fc.record({ kind: fc.constant("solve" as const), position: fc.nat({ max: size - 1 }) }),
  fc.record({ kind: fc.constant("update" as const), position: fc.nat({ max: size - 2 }) })
)

describe("a branch", () => {
  it("has the past of what it continues, without asking for it, and another future", () =>
    fc.assert(
      fc.asyncProperty(points, fc.integer({ min: 1, max: 99 }), fc.nat(9), async (point, branch, seed) => {
        const lived = await live(plan)
        const { drawn, policy } = babbling()
        const forked = forkPlan(plan, lived, { ...point, seed, branch })
        const life = await live(forked, policy)
        expect(before(life.episodes, point)).toEqual(before(lived.episodes, point))
        const own = ownEpisodes(life)
        expect(own[0]).toMatchObject({ kind: point.kind, index: point.position })
        expect(drawn).toHaveLength(own.reduce((sum, { steps }) => sum + steps.length, 0))
        const others = own.flatMap(({ steps }) => steps.map(({ prompt, reply }) => ({ prompt, reply })))
        const theirs = lived.episodes.flatMap(({ steps }) => steps.map(({ prompt, reply }) => ({ prompt, reply })))
        // An update writes its draw; a lone last solve may happen to say the same.
        if (point.kind === "update" || point.position < size - 1)
          expect(theirs).not.toEqual(expect.arrayContaining(others))
        // The task and its hidden knowledge stay.
        expect(own.map(({ task }) => task)).toEqual(
          lived.episodes.filter((episode) => !isBefore(pointOf(episode), point)).map(({ task }) => task)
        )
        expect(digestOf([await live(forked)])).toBe(digestOf([life]))
      }),
      { seed: 1, numRuns: 40 }
    ))

  it("is told apart by point, seed, number and attempt, in its name and in what it draws", async () => {
    const lived = await live(plan)
    const at = { kind: "update", position: 1, seed: 1, branch: 1 } as const
    const forks = [
      at,
      { ...at, branch: 2 },
      { ...at, seed: 2 },
      { ...at, position: 2 },
      { ...at, kind: "solve" } as const
    ]
    const plans = [...forks.map((fork) => forkPlan(plan, lived, fork)), { ...forkPlan(plan, lived, at), attempt: 1 }]
    const firsts = await Promise.all(
      plans.map(async (plan) => {
        const { drawn, policy } = babbling()
        await live(plan, policy)
        return drawn[0]
      })
    )
    expect(new Set(firsts).size).toBe(plans.length)
    expect(lifecycleId(plans[0]!)).toBe(`${pack!.id}/0~update1.1`)
  })

  it("may be forked again: earlier forks stay, later ones are left behind", async () => {
    const lived = await live(plan)
    const first = forkPlan(plan, lived, { kind: "solve", position: 1, seed: 1, branch: 1 })
    const child = await live(first)
    const second = forkPlan(first, child, { kind: "update", position: 2, seed: 1, branch: 3 })
    const grandchild = await live(second)
    expect(grandchild.id).toBe(`${pack!.id}/0~solve1.1~update2.3`)
    expect(before(grandchild.episodes, { kind: "update", position: 2 })).toEqual(
      before(child.episodes, { kind: "update", position: 2 })
    )
    const earlier = forkPlan(second, grandchild, { kind: "update", position: 0, seed: 1, branch: 1 })
    expect(lifecycleId(earlier)).toBe(`${pack!.id}/0~update0.1`)
    // The replies alone lead there: also through the environment's draws, which every fork renames.
    const entry = journalEntry(grandchild, { ...second, past: [] })
    const { past: _past, ...bySeeds } = second
    expect(digestOf([await live(bySeeds, replayPolicy(entry, { name: "replay", style: "chat" }))])).toBe(
      digestOf([grandchild])
    )
  })

  it("of a second attempt has that attempt's past", async () => {
    const again = { ...plan, attempt: 1 }
    const lived = await live(again)
    const forked = forkPlan(plan, lived, { kind: "solve", position: 2, seed: 1, branch: 1 })
    const life = await live(forked)
    const point = { kind: "solve", position: 2 } as const
    expect(before(life.episodes, point)).toEqual(before(lived.episodes, point))
    expect(forked.forks).toEqual([{ kind: "solve", position: 2, seed: 1, branch: 1, attempt: 1 }])
  })

  it("takes over the environment's memory", async () => {
    const options = Schema.decodeSync(grid.options)({})
    const [pack] = freshPacks(
      { id: 0, environment: grid, options },
      { phase: "eval", baseSeed: 1, epoch: 0, count: 1, size: 3 }
    )
    const plan: Plan = { pack: pack!, run: 0, settings: defaultSettings }
    const careful = scripted(grid, "careful")
    const lived = await live(plan, careful)
    const branch = await live(forkPlan(plan, lived, { kind: "solve", position: 2, seed: 1, branch: 1 }), careful)
    const first = ({ episodes }: Lifecycle) => episodes.find(({ index, kind }) => kind === "solve" && index === 2)!
    // What is revealed of the map stands in the first prompt.
    expect(first(branch).steps[0]!.prompt).toBe(first(lived).steps[0]!.prompt)
  })
})

describe("a counterfactual rollout", () => {
  const counterfactual = { alternatives: 3, horizon: 1 }
  const plans = planGroups(packsOf(doors({ doors: 5, tries: 3 }), { count: 2, size }), 2, defaultSettings)
  const roll = (given = plans, options = counterfactual, concurrency = 8, policy = babbling().policy) =>
    Effect.runPromise(Effect.provideService(rolloutWithAlternatives(given, { concurrency }, options), Policy, policy))
  const callsOf = (lifecycles: ReadonlyArray<Lifecycle>) =>
    lifecycles.flatMap((each) => ownEpisodes(each).flatMap(({ steps }) => steps)).length

  it("lives every branch for its horizon, at any concurrency", async () => {
    const [one, many] = [await roll(plans, counterfactual, 1), await roll(plans, counterfactual, 64)]
    expect(digestOf(one.lifecycles)).toBe(digestOf(many.lifecycles))
    expect(one.lifecycles).toHaveLength(4 + 4 * 3 * 2)
    const shapes = one.lifecycles
      .slice(4, 10)
      .map((each) => ownEpisodes(each).map(({ index, kind }) => `${kind} ${index}`))
    expect(shapes).toEqual([0, 0, 1, 1, 2, 2].map((at) => [`update ${at}`, `solve ${at + 1}`]))
    const long = await roll(plans, { alternatives: 2, horizon: 0 })
    expect(long.lifecycles[4]!.episodes.map(({ index, kind }) => `${kind} ${index}`)).toEqual([
      "solve 0",
      "update 0",
      "solve 1",
      "update 1",
      "solve 2",
      "update 2",
      "solve 3"
    ])
  })

  it("asks the policy once for each call that counts: a past is nobody's tokens twice", async () => {
    const { drawn, policy } = babbling()
    const { lifecycles } = await roll(plans, counterfactual, 8, policy)
    expect(drawn).toHaveLength(callsOf(lifecycles))
    expect(experiencesOf(lifecycles, () => 0)).toHaveLength(drawn.length)
  })

  it("lives the same lifecycles as one without branches", async () => {
    const [plain, forked] = [await roll(plans, { alternatives: 1, horizon: 0 }), await roll()]
    expect(digestOf(forked.lifecycles.slice(0, 4))).toBe(digestOf(plain.lifecycles))
    const ids = experiencesOf(plain.lifecycles, () => 0)
    expect(experiencesOf(forked.lifecycles, () => 0).slice(0, ids.length)).toEqual(
      ids.map((each) => (each.kind === "update" ? { ...each, fork: expect.any(String) } : each))
    )
  })

  it("names siblings: one state, one prompt, a run for each, and the same rewards before", async () => {
    const { lifecycles } = await roll()
    const experiences = experiencesOf(lifecycles, () => 0)
    expect(new Set(experiences.map(({ id }) => id)).size).toBe(experiences.length)
    const prompts = new Map(
      lifecycles.flatMap((each) =>
        each.episodes.map(({ index, kind, steps }) => [`${each.id}/${kind}/${index}/0`, steps[0]!.prompt])
      )
    )
    const states = Map.groupBy(
      experiences.filter(({ fork }) => fork !== undefined),
      ({ fork }) => fork!
    )
    expect(states.size).toBe(4 * (size - 1))
    for (const siblings of states.values()) {
      expect(siblings).toHaveLength(3)
      expect(new Set(siblings.map(({ run }) => run)).size).toBe(3)
      expect(new Set(siblings.map(({ id }) => prompts.get(id))).size).toBe(1)
      for (const { index, kind, taskRewards } of siblings) {
        expect(kind).toBe("update")
        expect(taskRewards.slice(0, index + 1)).toEqual(siblings[0]!.taskRewards.slice(0, index + 1))
      }
    }
    for (const [, group] of Map.groupBy(experiences, ({ pack }) => pack)) {
      const byRun = Map.groupBy(group, ({ run }) => run)
      expect([...byRun.keys()].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 2 + 2 * 6 }, (_, i) => i))
    }
  })

  it("leaves siblings one fewer where a branch is lost for good, and reports it", async () => {
    let asked = 0
    const { policy } = babbling()
    const failing = answering((request) => {
      asked++
      // The first update of the first branch and of its two retries: the calls after all lifecycles.
      return asked > whole && asked <= whole + 3
        ? Effect.fail(new PolicyError({ policy: "fake", reason: "busy" }))
        : policy.reply(request)
    })
    const whole = callsOf((await roll(plans, { alternatives: 1, horizon: 0 })).lifecycles)
    const { dropped, lifecycles, lost } = await roll(plans, counterfactual, 1, failing)
    expect(dropped).toEqual([])
    expect(lost.map(({ attempt, lifecycle }) => [lifecycle, attempt])).toEqual(
      [0, 1, 2].map((attempt) => [`${plans[0]!.pack.id}/0~update0.1`, attempt])
    )
    expect(lifecycles).toHaveLength(4 + 4 * 3 * 2 - 1)
  })

  it("plans nothing after the last task", async () => {
    const [lived] = (await roll()).lifecycles
    const branches = alternativesOf(plans[0]!, lived!, { alternatives: 2, horizon: 9 })
    expect(branches.map(({ forks, tasks }) => [forks![0]!.position, tasks])).toEqual([
      [0, size],
      [1, size],
      [2, size]
    ])
  })
})

it("a lifecycle without forks draws what it always has", async () => {
  const lifecycle = await live(plan, scripted(guess, "careful"))
  expect(digestOf([lifecycle])).toBe(
    digestOf([await live({ ...plan, forks: [], past: [] }, scripted(guess, "careful"))])
  )
  expect(lifecycle).not.toHaveProperty("forks")
})
