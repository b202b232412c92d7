/**
 * An actor: one fiber that owns some state, and one bounded mailbox in front of it.
 *
 * The fiber takes all messages that wait and handles them to the end before it takes more, so the state needs no lock. Who
 * tells or asks waits while the mailbox is full. When the fiber ends, for whatever reason, everyone who still waits for an
 * answer is told; a dead fiber says nothing by itself.
 */
import { Cause, Deferred, Effect, Exit, Queue, Schema } from "effect"

export class ActorStopped extends Schema.TaggedError<ActorStopped>()("ActorStopped", {
  actor: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.actor} has stopped: ${this.reason}`
  }
}

export interface Actor<M> {
  readonly name: string
  /** Succeeds when the mailbox has taken the message. */
  readonly tell: (message: M) => Effect.Effect<void, ActorStopped>
  /** Tells a message that carries where to answer, and waits for the answer. */
  readonly ask: <A, E = never>(
    message: (reply: Deferred.Deferred<A, E | ActorStopped>) => M
  ) => Effect.Effect<A, E | ActorStopped>
}

/** Starts an actor that lives until the surrounding scope closes or `handle` fails. */
export const makeActor = Effect.fnUntraced(function* <M, E, R>(
  options: { readonly name: string; readonly capacity: number },
  handle: (messages: ReadonlyArray<M>) => Effect.Effect<unknown, E, R>
) {
  const mailbox = yield* Queue.bounded<M>(options.capacity)
  const waiting = new Set<Deferred.Deferred<any, any>>()
  let stopped: ActorStopped | undefined
  const stop = (exit: Exit.Exit<unknown, E>) =>
    Effect.suspend(() => {
      const reason =
        Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause) ? "its scope has closed" : Cause.pretty(exit.cause)
      const error = (stopped = new ActorStopped({ actor: options.name, reason }))
      // Shut first: who is told goes on at once, and must find the door closed.
      return Effect.map(Queue.shutdown(mailbox), () => {
        for (const reply of waiting) Deferred.doneUnsafe(reply, Exit.fail(error))
      })
    })
  yield* Queue.takeAll(mailbox).pipe(
    Effect.flatMap(handle),
    Effect.forever,
    Effect.onExit(stop),
    Effect.forkScoped({ startImmediately: true }) // Otherwise a scope that closes at once never runs `stop`.
  )
  const tell = (message: M) =>
    Effect.flatMap(Queue.offer(mailbox, message), (taken) => (taken ? Effect.void : Effect.fail(stopped!)))
  const actor: Actor<M> = {
    name: options.name,
    tell,
    ask: <A, E2 = never>(message: (reply: Deferred.Deferred<A, E2 | ActorStopped>) => M) =>
      Effect.suspend(() => {
        const reply = Deferred.makeUnsafe<A, E2 | ActorStopped>()
        waiting.add(reply)
        return tell(message(reply)).pipe(
          Effect.andThen(Deferred.await(reply)),
          Effect.ensuring(Effect.sync(() => waiting.delete(reply)))
        )
      })
  }
  return actor
})
