/**
 * The journal: for each lifecycle attempt its identity and the replies it got, one checked line each, only ever appended.
 *
 * Machines are pure and everything else random has a name, so this is enough to derive a lifecycle again: whoever resumes a
 * run rolls out the same plans, and what the journal holds is answered from it instead of by the policy. A line that a kill
 * has torn is dropped when the journal is opened.
 */
import { Deferred, Effect, FileSystem, type PlatformError, Result, Schema, type Scope, Stream } from "effect"
import type { Said } from "../machines/agent.ts"
import type { Episode, Lifecycle, Step } from "../machines/episode.ts"
import { Policy, PolicyError } from "../policies/policy.ts"
import { makeActor, type ActorStopped } from "./actor.ts"
import { checkedLine, type FileLine, linesOf, readCheckedLine } from "./checked-lines.ts"
import { flush as flushFile } from "./durable-file.ts"
import { lifecycleId, type Plan } from "./lifecycle.ts"

const Integers = Schema.Array(Schema.Int)

const Call = Schema.Struct({
  text: Schema.String,
  /** How many token ids at the beginning of the prompt were the last call's prompt and reply. */
  shared: Schema.Int,
  /** The prompt's other token ids. */
  prompt: Integers,
  tokens: Integers,
  logprobs: Schema.Array(Schema.Finite),
  policyVersion: Schema.Int,
  judgement: Schema.optionalKey(Schema.NullOr(Schema.String)),
  truncated: Schema.Boolean
})

const LostBy = Schema.optionalKey(Schema.Literals(["environment", "policy", "thread"]))

/** What the journal says of an attempt. */
export const JournalEntry = Schema.Struct({
  lifecycle: Schema.String,
  attempt: Schema.Int,
  environment: Schema.String,
  phase: Schema.String,
  baseSeed: Schema.Finite,
  /** Of the pack, decimal. */
  seed: Schema.String,
  /** In the order in which they were asked for; of a branch those after its fork, the others stand with what it continues. */
  calls: Schema.Array(Call),
  /** How the attempt was lost, if it was. */
  fault: Schema.optionalKey(
    Schema.Struct({ outcome: Schema.Literals(["timeout", "error"]), why: Schema.String, by: LostBy })
  )
})
export type JournalEntry = typeof JournalEntry.Type

/** A journal that cannot be read or does not belong to the plans. */
export class JournalError extends Schema.TaggedError<JournalError>()("JournalError", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
}

/** What a rollout asks of a journal; `E` is how it fails. */
export interface Recorder<E> {
  /** What is recorded of an attempt at a plan. */
  readonly recorded: (plan: Plan) => JournalEntry | undefined
  /** Takes a lifecycle; waits while too many are on their way to the disk. */
  readonly write: (lifecycle: Lifecycle, plan: Plan) => Effect.Effect<void, E>
  /** Waits until all that was written is on the disk. */
  readonly flush: Effect.Effect<void, E>
}

export type Journal = Recorder<ActorStopped>

type Message =
  | { readonly type: "line"; readonly text: string }
  | { readonly type: "flush"; readonly reply: Deferred.Deferred<void, ActorStopped> }

/** Opens a journal, new or to be continued, until the scope closes. */
export const openJournal: (
  path: string
) => Effect.Effect<Journal, JournalError | PlatformError.PlatformError, FileSystem.FileSystem | Scope.Scope> =
  Effect.fnUntraced(function* (path) {
    const files = yield* FileSystem.FileSystem
    const { entries, intactBytes } = yield* readJournal(path)
    if (yield* files.exists(path)) yield* files.truncate(path, intactBytes)
    const file = yield* files.open(path, { flag: "a" })
    const encoder = new TextEncoder()
    const handle = Effect.fnUntraced(function* (messages: ReadonlyArray<Message>) {
      const lines = messages.flatMap((message) => (message.type === "line" ? [message.text] : []))
      if (lines.length > 0) yield* file.writeAll(encoder.encode(lines.join("")))
      const waiting = messages.flatMap((message) => (message.type === "flush" ? [message.reply] : []))
      if (waiting.length > 0) yield* Effect.provideService(flushFile(path), FileSystem.FileSystem, files)
      for (const reply of waiting) Deferred.doneUnsafe(reply, Effect.void)
    })
    const actor = yield* makeActor<Message, PlatformError.PlatformError, never>(
      { name: `journal ${path}`, capacity: 1024 },
      handle
    )
    const journal: Journal = {
      recorded: recordedIn(entries),
      write: (lifecycle, plan) =>
        actor.tell({ type: "line", text: checkedLine(JSON.stringify(journalEntry(lifecycle, plan))) }),
      flush: actor.ask((reply) => ({ type: "flush", reply }))
    }
    // What was told before an interruption is not lost with the actor; whoever comes to an end asks for a flush itself.
    yield* Effect.addFinalizer(() => Effect.ignore(journal.flush))
    return journal
  })

/** What entries say of an attempt at a plan. */
export const recordedIn = (entries: ReadonlyArray<JournalEntry>): Journal["recorded"] => {
  const byAttempt = new Map(entries.map((entry) => [attemptId(entry.lifecycle, entry.attempt), entry]))
  return (plan) => {
    const entry = byAttempt.get(attemptId(lifecycleId(plan), plan.attempt ?? 0))
    return entry !== undefined && entry.seed === String(plan.pack.seed) && entry.baseSeed === plan.pack.baseSeed
      ? entry
      : undefined
  }
}

const attemptId = (lifecycle: string, attempt: number): string => `${lifecycle} ${attempt}`

/** A line of a journal: its entry, unless it is none, and what is wrong with it. */
export interface JournalLine extends FileLine {
  readonly entry: JournalEntry | undefined
  readonly problem: string | undefined
}

/** The lines of a journal, read as they are asked for. */
export const journalLines = (path: string) => Stream.map(linesOf(path), readJournalLine)

const readJournalLine = (line: FileLine): JournalLine => {
  const read = readCheckedLine(line.text)
  const entry = Result.getOrUndefined(Schema.decodeUnknownResult(JournalEntry)(read?.value))
  const problem = !line.whole
    ? "is torn: it has no end"
    : entry === undefined
      ? "is not an entry of a journal"
      : read!.intact
        ? undefined
        : "was altered"
  return { ...line, entry, problem }
}

/** All entries, and how many bytes they take. A last line that a kill has torn is left out. */
export const readJournal = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const entries: Array<JournalEntry> = []
  if (!(yield* files.exists(path))) return { entries, intactBytes: 0 }
  let intactBytes = 0
  yield* Stream.runForEach(journalLines(path), ({ entry, number, problem, text, whole }) => {
    if (!whole) return Effect.void
    if (problem !== undefined) return Effect.fail(new JournalError({ path: `${path}:${number}`, reason: problem }))
    entries.push(entry!)
    intactBytes += Buffer.byteLength(text) + 1
    return Effect.void
  })
  return { entries, intactBytes }
})

/** What the journal says of a lifecycle. */
export const journalEntry = ({ attempt, episodes, id }: Lifecycle, { pack, past = [] }: Plan): JournalEntry => {
  const last = episodes.at(-1)
  const fault = last !== undefined && (last.outcome === "timeout" || last.outcome === "error") ? last : undefined
  return {
    lifecycle: id,
    attempt,
    environment: pack.environment.id,
    phase: pack.phase,
    baseSeed: pack.baseSeed,
    seed: String(pack.seed),
    calls: episodes.flatMap(({ steps }) => steps.map((step, i) => callOf(step, steps[i - 1]))).slice(past.length),
    ...(fault === undefined ? {} : { fault: faultIn(fault) })
  }
}

const faultIn = ({ lostBy, outcome, why = "" }: Episode): NonNullable<JournalEntry["fault"]> => ({
  outcome: outcome as "timeout" | "error",
  why,
  ...(lostBy === undefined ? {} : { by: lostBy })
})

const callOf = (step: Step, before: Step | undefined): typeof Call.Type => {
  const { judgement, logprobs, policyVersion, promptTokens, reply, tokens, truncated } = step
  const known = before === undefined ? [] : [...before.promptTokens, ...before.tokens]
  const shared =
    known.length <= promptTokens.length && known.every((id, i) => promptTokens[i] === id) ? known.length : 0
  const said = { text: reply, shared, prompt: promptTokens.slice(shared), tokens, logprobs, policyVersion, truncated }
  return judgement === undefined ? said : { ...said, judgement }
}

/** Answers one attempt from what is recorded of it, and then as the policy did: by its fault. */
export const replayPolicy = (
  { calls, fault, lifecycle }: JournalEntry,
  { name, style }: Pick<Policy["Service"], "name" | "style">
): Policy["Service"] => {
  let asked = 0
  let known: ReadonlyArray<number> = []
  return {
    name,
    style,
    reply: () => {
      const call = calls[asked++]
      if (call === undefined) {
        const { why: reason, ...how } = fault ?? {
          why: `the journal of ${lifecycle} ends after ${calls.length} replies`,
          outcome: "error"
        }
        return Effect.fail(new PolicyError({ policy: name, reason, ...how }))
      }
      const { prompt, shared, ...said } = call
      const promptTokens = [...known.slice(0, shared), ...prompt]
      known = [...promptTokens, ...said.tokens]
      return Effect.succeed({ ...said, promptTokens } satisfies Said)
    }
  }
}
