/**
 * The inference actor: one bounded mailbox in front of the model workers, from which it forms batches.
 *
 * Whoever asks waits for a reply and for nothing else; a new policy version reaches requests that are batched after it,
 * and those on their way end with the version they began with. Randomness comes with each request as uniforms, so replies
 * do not depend on the batch.
 */
import { Deferred, Effect, Layer, Queue } from "effect"
import type { Style } from "../environment.ts"
import { paddedLength } from "../kernels/model.ts"
import { nextBatch, type Waiting } from "../machines/inference.ts"
import { Policy, PolicyError, type Reply } from "../policies/policy.ts"
import type { Tokenizer } from "../policies/tokenizer.ts"
import type { ModelWorkers } from "./model-workers.ts"

interface Asked extends Waiting {
  readonly prompt: ReadonlyArray<number>
  readonly uniforms: ReadonlyArray<number>
  readonly temperature: number
  readonly reply: Deferred.Deferred<Answer, PolicyError>
}

interface Answer {
  readonly tokens: ReadonlyArray<number>
  readonly logprobs: ReadonlyArray<number>
  readonly policyVersion: number
}

type Message = { readonly type: "asked"; readonly asked: Asked } | { readonly type: "idle"; readonly worker: number }

export interface InferenceOptions {
  readonly name: string
  readonly style: Style
  readonly tokenizer: Tokenizer
  readonly workers: ModelWorkers
  /** Longest sequence of the model, prompt and reply together. */
  readonly maxPositions: number
  /** Requests that may wait before who asks has to. Default 65,536. */
  readonly capacity?: number
  /** Most tokens of a batch, padding included. Default 16,384. */
  readonly budgetTokens?: number
  /** The version to sample from, read when a batch is formed. */
  readonly policyVersion: () => number
}

/** Starts the actor in the surrounding scope and gives the policy that asks it. */
export const makeInference = Effect.fnUntraced(function* (options: InferenceOptions) {
  const { budgetTokens = 16_384, capacity = 65_536, maxPositions, name, policyVersion, style, tokenizer } = options
  const { workers } = options.workers
  const mailbox = yield* Queue.bounded<Message>(capacity)
  const scope = yield* Effect.scope
  let waiting: ReadonlyArray<Asked> = []
  const idle = new Set(workers.keys())

  const run = (worker: number, batch: ReadonlyArray<Asked>) => {
    const version = policyVersion()
    return workers[worker]!.call({
      type: "generate",
      version,
      rows: batch.map(({ prompt, uniforms }) => ({ prompt, uniforms })),
      temperature: batch[0]!.temperature,
      end: tokenizer.end
    }).pipe(
      Effect.matchCause({
        onFailure: (cause) => {
          const error = new PolicyError({ policy: name, reason: String(cause) })
          for (const { reply } of batch) Deferred.doneUnsafe(reply, Effect.fail(error))
        },
        onSuccess: (generated) => {
          batch.forEach(({ reply }, i) => {
            Deferred.doneUnsafe(reply, Effect.succeed({ ...generated[i]!, policyVersion: version }))
          })
        }
      }),
      Effect.andThen(Queue.offer(mailbox, { type: "idle", worker }))
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
        if (message.type === "idle") idle.add(message.worker)
        else arrived.push(message.asked)
      }
      waiting = [...waiting, ...arrived]
      while (waiting.length > 0 && idle.size > 0) {
        const { batch, rest } = nextBatch(waiting, idle.size, budgetTokens)
        const worker = Math.min(...idle)
        idle.delete(worker)
        waiting = rest
        yield* Effect.forkIn(run(worker, batch), scope)
      }
    }
  }).pipe(
    Effect.onExit(() =>
      Effect.sync(() => {
        const error = new PolicyError({ policy: name, reason: "inference has stopped" })
        for (const { reply } of waiting) Deferred.doneUnsafe(reply, Effect.fail(error))
      })
    ),
    Effect.forkScoped({ startImmediately: true })
  )

  const ask = Effect.fnUntraced(function* (
    prompt: ReadonlyArray<number>,
    uniforms: ReadonlyArray<number>,
    temperature: number
  ) {
    const reply = Deferred.makeUnsafe<Answer, PolicyError>()
    const length = paddedLength(prompt.length)
    const shape = `${length} ${uniforms.length} ${temperature}`
    const asked: Asked = { prompt, uniforms, temperature, reply, shape, cost: length + uniforms.length }
    if (!(yield* Queue.offer(mailbox, { type: "asked", asked })))
      return yield* new PolicyError({ policy: name, reason: "inference has stopped" })
    return yield* Deferred.await(reply)
  })

  return Policy.of({
    name,
    style,
    reply: Effect.fnUntraced(function* ({ kind, maxTokens, messages, previous, rng, temperature }) {
      const promptTokens =
        previous === undefined
          ? messages.flatMap(({ content }) => tokenizer.encode(content))
          : [...previous.promptTokens, ...previous.tokens, ...tokenizer.encode(messages.at(-1)!.content)]
      const cap = Math.min(maxTokens, maxPositions - promptTokens.length)
      if (cap < 1)
        return yield* new PolicyError({
          policy: name,
          reason: `a prompt of ${promptTokens.length} tokens leaves no room in ${maxPositions} positions`
        })
      const uniforms = Array.from({ length: cap }, rng.uniform)
      const { logprobs, policyVersion, tokens } = yield* ask(promptTokens, uniforms, temperature)
      const ended = tokens.at(-1) === tokenizer.end
      return {
        text: tokenizer.decode(ended ? tokens.slice(0, -1) : tokens),
        promptTokens,
        tokens,
        logprobs,
        policyVersion,
        // A terse step is complete at its cap.
        truncated: !ended && !(style === "terse" && kind === "solve")
      } satisfies Reply
    })
  })
})

/** The policy as a layer. */
export const layerInference = (options: InferenceOptions) => Layer.effect(Policy, makeInference(options))
