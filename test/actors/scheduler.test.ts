import { Effect, Fiber, Scheduler } from "effect"
import { describe, expect, it } from "vitest"
import { makeScheduler } from "../../src/actors/scheduler.ts"

const spin = (millis: number) =>
  Effect.sync(() => {
    const until = performance.now() + millis
    while (performance.now() < until);
  })

/** Fibers that take turns, each a few times. */
const living = (fibers: number, turns: number, turn: (fiber: number, turn: number) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const forked: Array<Fiber.Fiber<void>> = []
    for (let fiber = 0; fiber < fibers; fiber++) {
      const live = Effect.gen(function* () {
        for (let i = 0; i < turns; i++) {
          yield* turn(fiber, i)
          yield* Effect.yieldNow
        }
      })
      forked.push(yield* Effect.forkChild(live))
    }
    yield* Fiber.awaitAll(forked)
  }).pipe(Effect.provideService(Scheduler.Scheduler, makeScheduler()))

describe("the scheduler of simulations", () => {
  it("gives every fiber its turn before any has the next", async () => {
    const order: Array<string> = []
    await Effect.runPromise(living(50, 3, (fiber, turn) => Effect.sync(() => void order.push(`${turn}.${fiber}`))))
    expect(order).toEqual([0, 1, 2].flatMap((turn) => Array.from({ length: 50 }, (_, fiber) => `${turn}.${fiber}`)))
  })

  it("lets timers run in the middle of a round", async () => {
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    await Effect.runPromise(living(120, 1, () => spin(1)))
    clearInterval(timer)
    // 120 ms in slices of 5 ms; Effect's own scheduler lets none of them run before the end.
    expect(ticks).toBeGreaterThan(8)
  })

  it("runs what is urgent first, and flushes all at once", () => {
    const said: Array<string> = []
    const dispatcher = makeScheduler().makeDispatcher()
    for (const [text, priority] of [
      ["second", 0],
      ["third", 1],
      ["first", -1]
    ] as const) {
      dispatcher.scheduleTask(() => void said.push(text), priority)
    }
    dispatcher.flush()
    expect(said).toEqual(["first", "second", "third"])
  })
})
