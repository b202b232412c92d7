import { describe, expect, it } from "@effect/vitest"
import { type Deferred, Effect, Exit, Fiber, Latch, Scope } from "effect"
import * as Deferreds from "effect/Deferred"
import { ActorStopped, makeActor } from "../../src/actors/actor.ts"

type Message = { readonly add: number; readonly reply?: Deferred.Deferred<number, ActorStopped> }

/** Counts, batch by batch, and waits for a latch before each. */
const counter = Effect.fnUntraced(function* (capacity: number) {
  const latch = yield* Latch.make(true)
  const batches: Array<number> = []
  let sum = 0
  const actor = yield* makeActor<Message, string, never>({ name: "counter", capacity }, (messages) =>
    Effect.gen(function* () {
      yield* latch.await
      batches.push(messages.length)
      for (const { add, reply } of messages) {
        if (add < 0) return yield* Effect.fail("negative")
        sum += add
        if (reply !== undefined) Deferreds.doneUnsafe(reply, Effect.succeed(sum))
      }
    })
  )
  return { actor, batches, latch }
})

describe("an actor", () => {
  it.effect("answers in the order in which it was asked", () =>
    Effect.gen(function* () {
      const { actor } = yield* counter(4)
      const answers = yield* Effect.forEach([1, 2, 3, 4, 5], (add) => actor.ask<number>((reply) => ({ add, reply })), {
        concurrency: 5
      })
      expect(answers).toEqual([1, 3, 6, 10, 15])
    }).pipe(Effect.scoped)
  )

  it.effect("takes all that waits at once, and makes who tells wait when its mailbox is full", () =>
    Effect.gen(function* () {
      const { actor, batches, latch } = yield* counter(3)
      yield* latch.close
      yield* actor.tell({ add: 1 })
      yield* Effect.yieldNow
      const told = yield* Effect.forkChild(Effect.forEach([1, 2, 3, 4], () => actor.tell({ add: 1 })))
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      expect(told.pollUnsafe()).toBeUndefined()
      yield* latch.open
      yield* Fiber.join(told)
      expect(yield* actor.ask<number>((reply) => ({ add: 0, reply }))).toBe(5)
      expect(Math.max(...batches)).toBe(3)
    }).pipe(Effect.scoped)
  )

  it.effect("that fails tells those who wait, and all who come later", () =>
    Effect.gen(function* () {
      const { actor, latch } = yield* counter(8)
      yield* latch.close
      const asked = yield* Effect.forkChild(Effect.exit(actor.ask<number>((reply) => ({ add: 1, reply }))))
      yield* Effect.yieldNow
      yield* actor.tell({ add: -1 })
      const later = yield* Effect.forkChild(Effect.flip(actor.ask<number>((reply) => ({ add: 1, reply }))))
      yield* Effect.yieldNow
      yield* latch.open
      expect(yield* Fiber.join(asked)).toEqual(Exit.succeed(1))
      expect((yield* Fiber.join(later)).message).toMatch(/^counter has stopped: .*negative/s)
      expect(yield* Effect.flip(actor.tell({ add: 1 }))).toBeInstanceOf(ActorStopped)
    }).pipe(Effect.scoped)
  )

  it.effect("whose scope closes tells those who wait", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { actor, latch } = yield* Effect.provideService(counter(8), Scope.Scope, scope)
      yield* latch.close
      const asked = yield* Effect.forkChild(Effect.flip(actor.ask<number>((reply) => ({ add: 1, reply }))))
      yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      expect((yield* Fiber.join(asked)).message).toBe("counter has stopped: its scope has closed")
    })
  )
})
