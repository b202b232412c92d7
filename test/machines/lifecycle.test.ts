import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { contextStore, currentContext, type ContextEvent } from "../../src/machines/context-store.ts"
import { lifecycle, type LifecycleEvent, wantedEpisode } from "../../src/machines/lifecycle.ts"

describe("a lifecycle", () => {
  it("solves and updates in turn, and does not update after the last task", () => {
    let [walk, asked] = lifecycle.initial({ packSize: 3 })
    const episodes: Array<string> = []
    for (let wanted = wantedEpisode(asked); wanted !== undefined; wanted = wantedEpisode(asked)) {
      episodes.push(`${wanted.type} ${wanted.params.position}`)
      ;[walk, asked] = lifecycle.transition(
        walk,
        wanted.type === "solve" ? { type: "solved", reward: wanted.params.position } : { type: "updated" }
      )
    }
    expect(episodes).toEqual(["solve 0", "update 0", "solve 1", "update 1", "solve 2"])
    expect(walk.value).toBe("finished")
    expect(walk.context.rewards).toEqual([0, 1, 2])
  })

  it("ends where an episode is lost", () => {
    const [walk] = lifecycle.initial({ packSize: 3 })
    const [lost, asked] = lifecycle.transition(walk, { type: "lost" })
    expect([lost.value, lost.status, asked]).toEqual(["lost", "done", []])
  })

  it("stays inside its pack, whatever happens", () => {
    const event: fc.Arbitrary<LifecycleEvent> = fc.oneof(
      fc.record({ type: fc.constant("solved" as const), reward: fc.double({ noNaN: true }) }),
      fc.constant({ type: "updated" as const }),
      { arbitrary: fc.constant({ type: "lost" as const }), weight: 1 }
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(event, { maxLength: 30 }), (packSize, events) => {
        let [walk] = lifecycle.initial({ packSize })
        for (const event of events) {
          ;[walk] = lifecycle.transition(walk, event)
          const { position, rewards } = walk.context
          expect(position).toBeLessThan(packSize)
          expect(rewards.length).toBeLessThanOrEqual(packSize)
          expect(rewards.length - position).toBe(
            walk.value === "solving" || (walk.value === "lost" && rewards.length === position) ? 0 : 1
          )
        }
      }),
      { seed: 1 }
    )
  })
})

describe("a context store", () => {
  const after = (
    input: Partial<Parameters<typeof contextStore.initial>[0]>,
    ...events: ReadonlyArray<ContextEvent>
  ) => {
    let [contexts] = contextStore.initial({ style: "chat", onParseFailure: "fallback", given: undefined, ...input })
    for (const event of events) [contexts] = contextStore.transition(contexts, event)
    return contexts.context.history
  }
  const written = (context: string): ContextEvent => ({ type: "written", context })
  const unreadable: ContextEvent = { type: "unreadable" }

  it("begins with nothing known", () => {
    expect(after({})).toEqual(["Hints: null"])
    expect(after({ style: "terse" })).toEqual([""])
  })

  it("keeps the history of what was written", () => {
    expect(after({}, written("a"), written("b"))).toEqual(["Hints: null", "a", "b"])
  })

  it("loses what it knew when an update cannot be read", () => {
    expect(after({}, written("a"), unreadable).at(-1)).toBe("Hints: no hint available.")
    expect(after({ style: "terse" }, written("a"), unreadable).at(-1)).toBe("")
  })

  it("keeps what it knew where that is asked for", () => {
    expect(after({ onParseFailure: "keep" }, written("a"), unreadable).at(-1)).toBe("a")
  })

  it("holds the contexts of a control whatever is written", () => {
    expect(after({ given: ["x", "y"] }, written("a"), unreadable)).toEqual(["x", "y", "Hints: null"])
  })

  it("has one context in force after any events", () => {
    const event = fc.oneof(fc.string().map(written), fc.constant(unreadable))
    fc.assert(
      fc.property(fc.array(event), (events) => {
        const history = after({}, ...events)
        expect(history).toHaveLength(events.length + 1)
        expect(currentContext({ history } as never)).toBe(history.at(-1))
      }),
      { seed: 1 }
    )
  })
})
