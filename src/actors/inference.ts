/**
 * The inference actor: one bounded mailbox in front of the model workers, from which it forms batches.
 *
 * Whoever asks waits for a reply and for nothing else; a new policy version reaches requests that are made after it, and
 * those on their way end with the version they began with. Randomness comes with each request as uniforms, so replies do
 * not depend on the batch: a batch that is too large for the memory is taken apart and tried again.
 */
import { Deferred, Effect, Queue, Result } from "effect"
import type { Style } from "../environment.ts"
import { paddedLength } from "../kernels/model.ts"
import { nextBatch, type Waiting } from "../machines/inference.ts"
import type { Chat } from "../policies/chat.ts"
import { Policy, PolicyError, type Reply, type Request } from "../policies/policy.ts"
import type { Tokenizer } from "../policies/tokenizer.ts"
import type { ModelWorkers } from "./model-workers.ts"

/** What a model is asked to go on from. */
export interface Generation {
  readonly prompt: ReadonlyArray<number>
  /** Uniforms in [0, 1), one for each token that may be sampled. */
  readonly uniforms: ReadonlyArray<number>
  readonly temperature: number
  /** The policy version to sample from, when it is not the newest. */
  readonly version?: number | undefined
  /** The prompt of an answer from which this one goes on, the very array. */
  readonly after?: ReadonlyArray<number> | undefined
  /** Another prompt may go on from this one. */
  readonly goesOn?: boolean | undefined
}

interface Asked extends Waiting, Generation {
  readonly version: number
  readonly reply: Deferred.Deferred<Answer, PolicyError>
  /** Nobody waits for the reply any more. */
  abandoned: boolean
}

/** What a model said. */
export interface Answer {
  readonly tokens: ReadonlyArray<number>
  readonly logprobs: ReadonlyArray<number>
  readonly policyVersion: number
}

type Message =
  | { readonly type: "asked"; readonly asked: Asked }
  | { readonly type: "idle"; readonly place: number }
  /** A batch did not fit into memory. */
  | { readonly type: "tooLarge"; readonly place: number; readonly batch: ReadonlyArray<Asked> }
  /** A worker's thread has ended. The others go on; without any, nobody can be answered. */
  | { readonly type: "gone"; readonly worker: number }

export interface InferenceOptions extends ActorOptions {
  readonly style: Style
  readonly tokenizer: Tokenizer
  /** How conversations are rendered; needed in style `chat`. */
  readonly chat?: Chat | undefined
  /** The thinking switch of the template; default its own. */
  readonly thinking?: boolean | undefined
  /** Longest sequence of the model, prompt and reply together. */
  readonly maxPositions: number
}

export interface ActorOptions {
  readonly name: string
  readonly workers: ModelWorkers
  /** Requests that may wait before who asks has to. Default 65,536. */
  readonly capacity?: number
  /** Most tokens of a batch, padding included. Default 16,384. */
  readonly budgetTokens?: number
  /** The version to sample from, read when a request is made that names none. */
  readonly policyVersion: () => number
}

/** A worker has one batch in hand and one that lies ready, so that it need not wait while replies are carried around. */
const placesPerWorker = 2

/** Asks the actor. Who is interrupted while waiting takes the request back, unless a worker has it already. */
export type Generate = (generation: Generation) => Effect.Effect<Answer, PolicyError>

/** Starts the actor in the surrounding scope. `end` is the token at which a reply is over. */
export const startInference = Effect.fnUntraced(function* (options: ActorOptions & { readonly end: number }) {
  const { capacity = 65_536, end, name, policyVersion } = options
  let { budgetTokens = 16_384 } = options
  const { workers } = options.workers
  const mailbox = yield* Queue.bounded<Message>(capacity)
  const scope = yield* Effect.scope
  let waiting: ReadonlyArray<Asked> = []
  // Place i belongs to worker i modulo their number; one place of each comes before the second of any.
  const idle = new Set(Array.from({ length: placesPerWorker * workers.length }, (_, place) => place))
  const workerAt = (place: number): number => place % workers.length
  /** The place for the next batch: with the home of its first, unless another worker has less in hand. */
  const placeFor = ({ home }: Asked): number => {
    const first = Math.min(...idle)
    const atHome = first - workerAt(first) + (home ?? workerAt(first))
    return idle.has(atHome) ? atHome : first
  }
  /** Who read a prompt. By identity: what comes back from elsewhere was not read here, and is read anew. */
  const readers = new WeakMap<ReadonlyArray<number>, { readonly worker: number; readonly version: number }>()

  const ended = new Set<number>()
  const refuse = (asked: ReadonlyArray<Asked>, reason: string, by: "policy" | "thread") => {
    const error = Effect.fail(new PolicyError({ policy: name, reason, by }))
    for (const { reply } of asked) Deferred.doneUnsafe(reply, error)
  }

  const run = (place: number, batch: ReadonlyArray<Asked>) => {
    const { temperature, version } = batch[0]!
    const worker = workerAt(place)
    return workers[worker]!.call({
      type: "generate",
      version,
      rows: batch.map(({ goesOn, prompt, uniforms }) => ({ prompt, uniforms, goesOn })),
      temperature,
      end
    }).pipe(
      Effect.match({
        onFailure: (failure): Message => {
          if (failure.outOfMemory && batch.length > 1) return { type: "tooLarge", place, batch }
          refuse(batch, failure.message, failure.ended ? "thread" : "policy")
          return failure.ended ? { type: "gone", worker } : { type: "idle", place }
        },
        onSuccess: (generated): Message => {
          batch.forEach(({ goesOn, prompt, reply }, i) => {
            if (goesOn) readers.set(prompt, { worker, version })
            Deferred.doneUnsafe(reply, Effect.succeed({ ...generated[i]!, policyVersion: version }))
          })
          return { type: "idle", place }
        }
      }),
      Effect.flatMap((message) => Queue.offer(mailbox, message))
    )
  }

  yield* Effect.gen(function* () {
    while (true) {
      let messages: ReadonlyArray<Message> = [yield* Queue.take(mailbox)]
      // Lets every fiber that can run ask first: a batch of one now costs a full batch later.
      yield* Effect.yieldNow
      messages = [...messages, ...(yield* Queue.clear(mailbox))]
      const arrived: Array<Asked> = []
      for (const message of messages) {
        if (message.type === "idle") idle.add(message.place)
        else if (message.type === "tooLarge") {
          // What did not fit will not fit again: from here on batches are half as large.
          budgetTokens = Math.min(budgetTokens, message.batch.reduce((sum, { cost }) => sum + cost, 0) / 2)
          waiting = [...message.batch, ...waiting]
          idle.add(message.place)
        } else if (message.type === "gone") ended.add(message.worker)
        else arrived.push(message.asked)
      }
      waiting = [...waiting, ...arrived].filter(({ abandoned }) => !abandoned)
      for (const place of idle) if (ended.has(workerAt(place))) idle.delete(place)
      if (ended.size === workers.length) {
        refuse(waiting, "all model workers have ended", "thread")
        waiting = []
      }
      while (waiting.length > 0 && idle.size > 0) {
        const place = placeFor(waiting[0]!)
        const { batch, rest } = nextBatch(waiting, workerAt(place), idle.size, budgetTokens)
        idle.delete(place)
        waiting = rest
        yield* Effect.forkIn(run(place, batch), scope)
      }
    }
  }).pipe(
    Effect.onExit(() =>
      Effect.andThen(
        Queue.shutdown(mailbox),
        Effect.sync(() => refuse(waiting, "inference has stopped", "policy"))
      )
    ),
    Effect.forkScoped({ startImmediately: true })
  )

  const generate: Generate = Effect.fnUntraced(function* ({
    after,
    goesOn,
    prompt,
    temperature,
    uniforms,
    version = policyVersion()
  }) {
    if (uniforms.length === 0) return { tokens: [], logprobs: [], policyVersion: version }
    const reply = Deferred.makeUnsafe<Answer, PolicyError>()
    const length = paddedLength(prompt.length)
    const shape = `${length} ${uniforms.length} ${temperature} ${version}`
    const cost = length + uniforms.length
    const reader = after && readers.get(after)
    const home = reader?.version === version ? reader.worker : undefined
    const asked: Asked = { prompt, uniforms, temperature, version, goesOn, reply, shape, cost, home, abandoned: false }
    if (!(yield* Queue.offer(mailbox, { type: "asked", asked })))
      return yield* new PolicyError({ policy: name, reason: "inference has stopped" })
    return yield* Effect.onInterrupt(Deferred.await(reply), () => Effect.sync(() => (asked.abandoned = true)))
  })
  return generate
})

/** Starts the actor in the surrounding scope and gives the policy that asks it, always of the newest version. */
export const makeInference = (options: InferenceOptions) => Effect.map(makeVersions(options), (policyOf) => policyOf())

/** The same, for the policy of any version that the workers still hold; without one, of the newest. */
export const makeVersions = Effect.fnUntraced(function* (options: InferenceOptions) {
  const generate = yield* startInference({ ...options, end: endsOf(options)[0]! })
  return (version?: number): Policy["Service"] => modelPolicy(options, generate, version)
})

/** How a model is spoken to. */
export type Speech = Pick<InferenceOptions, "name" | "style" | "tokenizer" | "chat" | "thinking" | "maxPositions">

const endsOf = ({ chat, tokenizer }: Speech): ReadonlyArray<number> => chat?.ends ?? [tokenizer.end]

/** The policy that speaks through whatever generates: conversations to tokens, and tokens to replies. */
export const modelPolicy = (speech: Speech, generate: Generate, version?: number): Policy["Service"] => {
  const { chat, maxPositions, name, style, thinking, tokenizer } = speech
  if (style === "chat" && chat === undefined) throw new TypeError(`${name} speaks chat, but has no template`)
  const ends = endsOf(speech)
  const promptOf = ({ messages, previous: before }: Request): Result.Result<ReadonlyArray<number>, string> => {
    const previous = before?.promptTokens.length === 0 ? undefined : before
    if (chat !== undefined) {
      const prompt = chat.prompt(messages, { previous, thinking })
      return Result.mapError(prompt, (why) => `the chat template failed: ${why}`)
    }
    return Result.succeed(
      previous === undefined
        ? messages.flatMap(({ content }) => tokenizer.encode(content))
        : [...previous.promptTokens, ...previous.tokens, ...tokenizer.encode(messages.at(-1)!.content)]
    )
  }
  return {
    name,
    style,
    reply: Effect.fnUntraced(function* (request) {
      const { kind, maxTokens, rng, temperature } = request
      const promptTokens = yield* Effect.mapError(
        Effect.fromResult(promptOf(request)),
        (reason) => new PolicyError({ policy: name, reason })
      )
      // A conversation that has outgrown the model gets a reply that is cut off before its first token.
      const cap = Math.max(0, Math.min(maxTokens, maxPositions - promptTokens.length))
      const uniforms = Array.from({ length: cap }, rng.uniform)
      const answer = yield* generate({
        prompt: promptTokens,
        uniforms,
        temperature,
        version,
        after: request.previous?.promptTokens,
        // An update episode is a single step.
        goesOn: kind === "solve"
      })
      const { ended, logprobs, tokens } = upToEnd(answer, ends)
      return {
        text: tokenizer.decode(ended ? tokens.slice(0, -1) : tokens),
        // What the model was never shown is no prompt of its own, and none that a later one can go on from.
        promptTokens: cap === 0 ? [] : promptTokens,
        tokens,
        logprobs,
        policyVersion: answer.policyVersion,
        // A terse step is complete at its cap.
        truncated: cap === 0 || (!ended && !(style === "terse" && kind === "solve"))
      } satisfies Reply
    })
  }
}

/**
 * What was said up to the first end token, with it. The graph stops at one end token only; the others are so rare that
 * what is sampled behind them costs less than looking for them all at every token.
 */
export const upToEnd = ({ logprobs, tokens }: Answer, ends: ReadonlyArray<number>) => {
  const end = tokens.findIndex((token) => ends.includes(token))
  return end < 0
    ? { tokens, logprobs, ended: false }
    : { tokens: tokens.slice(0, end + 1), logprobs: logprobs.slice(0, end + 1), ended: true }
}
