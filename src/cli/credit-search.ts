/**
 * Supervision of the searching thread: what it finds, how far it is, and what becomes of an estimator that never answers
 * or takes its thread down.
 */
import { Clock, Context, Effect, Queue, Schema } from "effect"
import { Worker } from "node:worker_threads"
import { answers, type Finding, type FuzzOptions } from "../kernels/credit/fuzz/fuzz.ts"
import { generate, type FuzzCase } from "../kernels/credit/fuzz/generator.ts"
import { poison } from "../kernels/credit/fuzz/hostile.ts"
import { shrink } from "../kernels/credit/fuzz/shrink.ts"

export interface SearchJob {
  /** A file, or the name of a built-in estimator. */
  readonly estimator: { readonly file: string } | { readonly name: "causal" | "grpo" }
  readonly options: FuzzOptions
  /** Cases of the seed to search; Infinity for as many as there is time for. */
  readonly cases: number
  /** Go on after a finding, without the law that was broken. */
  readonly all: boolean
  /** Saved cases, searched first. */
  readonly saved: ReadonlyArray<FuzzCase>
  readonly standing: SharedArrayBuffer
}

/** Slots of the standing: calls of the estimator, the case being searched (saved ones count down from -1), cases done. */
export const slots = { calls: 0, number: 1, done: 2, stop: 3 } as const

export type SearchMessage =
  | { readonly type: "ready" }
  | { readonly type: "unusable"; readonly reason: string }
  | { readonly type: "found"; readonly finding: Finding; readonly answer: ReadonlyArray<unknown> }
  /** The same finding as before, smaller. */
  | { readonly type: "shrunk"; readonly finding: Finding; readonly answer: ReadonlyArray<unknown> }
  | { readonly type: "answered" }
  | { readonly type: "done" }

/** The plug-in could not be loaded. */
export class EstimatorUnusable extends Schema.TaggedError<EstimatorUnusable>()("EstimatorUnusable", {
  reason: Schema.String
}) {}

/** A finding and what the estimator answered to its case. */
export interface Found {
  readonly finding: Finding
  readonly answer: ReadonlyArray<any>
}

/**
 * An estimator that has not answered one call after `callMillis` never does. While an endless case is made smaller, patience
 * is shorter.
 */
export const Patience = Context.Reference("constellate/credit/Patience", {
  defaultValue: () => ({ callMillis: 5_000, candidateMillis: 1_000 })
})
const loadMillis = 20_000
const pollMillis = 200

const entry = new URL(
  import.meta.url.endsWith(".ts") ? "./credit-fuzz-worker.ts" : "./credit-fuzz-worker.js",
  import.meta.url
)

type Event = SearchMessage | { readonly type: "ended"; readonly reason: string }

/** Starts a thread and hands out what it says. What a plug-in prints goes to stderr. */
const thread = Effect.fnUntraced(function* (job: SearchJob) {
  const events = yield* Queue.unbounded<Event>()
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(entry, { workerData: job, stdout: true, stderr: true })),
    (worker) => Effect.promise(() => worker.terminate())
  )
  worker.stdout.pipe(process.stderr, { end: false })
  worker.stderr.pipe(process.stderr, { end: false })
  worker.on("message", (message: SearchMessage) => Queue.offerUnsafe(events, message))
  worker.on("error", (error) => Queue.offerUnsafe(events, { type: "ended", reason: error.message }))
  worker.on("exit", (code) =>
    Queue.offerUnsafe(events, { type: "ended", reason: `ended its thread with code ${code}` })
  )
  return { worker, events }
})

export interface SearchResult {
  readonly cases: number
  readonly findings: ReadonlyArray<Found>
}

/** Runs a job to its end, or until the time is over. */
export const search = Effect.fnUntraced(function* (
  job: Omit<SearchJob, "standing">,
  timeMillis: number,
  progress: (cases: number, findings: number) => void
) {
  const standing = new Int32Array(new SharedArrayBuffer(4 * Object.keys(slots).length))
  const { callMillis } = yield* Patience
  const begin = yield* Clock.currentTimeMillis
  const findings: Array<Found> = []
  const { events } = yield* thread({ ...job, standing: standing.buffer })
  const result = (): SearchResult => ({ cases: Atomics.load(standing, slots.done), findings })

  let ready = false
  let calls = 0
  let since = begin
  while (true) {
    const event = yield* Effect.timeoutOrElse(Queue.take(events), {
      duration: pollMillis,
      orElse: () => Effect.void
    })
    const now = yield* Clock.currentTimeMillis
    if (now - begin > timeMillis) Atomics.store(standing, slots.stop, 1)
    progress(Atomics.load(standing, slots.done), findings.length)
    switch (event?.type) {
      case "unusable":
        return yield* new EstimatorUnusable({ reason: event.reason })
      case "found":
        findings.push(event)
        break
      case "shrunk":
        findings[findings.length - 1] = event
        break
      case "done":
        return result()
      case "ready":
        ready = true
        since = now
        break
      case "ended":
        if (!ready) return yield* new EstimatorUnusable({ reason: event.reason })
        findings.push({ finding: { law: answers, message: event.reason, ...at(job, standing) }, answer: [] })
        return result()
    }
    if (!ready) {
      if (now - begin > loadMillis) return yield* new EstimatorUnusable({ reason: "it does not finish loading" })
      continue
    }
    const beat = Atomics.load(standing, slots.calls)
    if (beat !== calls) {
      calls = beat
      since = now
      // Odd: a call is under way. Even: laws are at work, which are ours and end.
    } else if (beat % 2 === 1 && now - since > callMillis) {
      const endless = at(job, standing)
      const left = timeMillis - (now - begin)
      const smallest = yield* smallestEndless(job, endless.case, Math.min(left, 30_000))
      const message = `did not answer within ${callMillis / 1000} seconds`
      findings.push({ finding: { law: answers, message, ...endless, case: smallest }, answer: [] })
      return result()
    }
  }
})

/** The case that a thread was at. */
const at = (
  job: Omit<SearchJob, "standing">,
  standing: Int32Array
): { readonly case: FuzzCase; readonly number?: number } => {
  const number = Atomics.load(standing, slots.number)
  if (number < 0) return { case: job.saved[-1 - number]! }
  const { mode, seed, hostile } = job.options
  return { case: (hostile && poison(mode, seed, number)?.given) || generate(mode, seed, number), number }
}

/** Makes a case smaller that is never answered, as long as there is time; each wait costs a thread. */
const smallestEndless = Effect.fnUntraced(function* (
  job: Omit<SearchJob, "standing">,
  given: FuzzCase,
  timeMillis: number
) {
  const deadline = (yield* Clock.currentTimeMillis) + timeMillis
  const { candidateMillis } = yield* Patience
  const idle = { ...job, cases: 0, saved: [], standing: new SharedArrayBuffer(16) }
  const search = shrink(given)
  let smallest = given
  let next = search.next()
  while (!next.done && (yield* Clock.currentTimeMillis) < deadline) {
    // One thread answers candidate after candidate, until one is not answered.
    yield* Effect.scoped(
      Effect.gen(function* () {
        const { worker, events } = yield* thread(idle)
        while ((yield* Queue.take(events)).type !== "done"); // Nothing to search.
        while (!next.done && (yield* Clock.currentTimeMillis) < deadline) {
          worker.postMessage(next.value)
          const answered = yield* Effect.timeoutOrElse(Queue.take(events), {
            duration: candidateMillis,
            orElse: () => Effect.void
          })
          if (answered === undefined) smallest = next.value
          next = search.next(answered === undefined)
          if (answered?.type !== "answered") return
        }
      })
    )
  }
  return smallest
})
