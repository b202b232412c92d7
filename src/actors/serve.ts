/**
 * An OpenAI-compatible endpoint in front of the inference actor: what many clients ask at once becomes common batches.
 *
 * A reply's randomness comes from its request's seed alone, so the same request gets the same reply whoever else asks;
 * without a seed it comes from the endpoint's own stream. A client that goes away takes its request back. Generation
 * runs as a whole, so a stream opens at once, is kept open, and gets its pieces when the reply is there.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { ByteSize, Clock, Effect, Layer, Result, Stream } from "effect"
import {
  HttpIncomingMessage,
  HttpRouter,
  HttpServer,
  type HttpServerError,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import { createServer } from "node:http"
import { stream } from "../kernels/random.ts"
import type { Chat } from "../policies/chat.ts"
import { chatShape, type Choice, type Head, makeChoice, type Shape, textShape } from "../policies/completion.ts"
import {
  badRequest,
  type CompletionRequest,
  readChatRequest,
  readTextRequest,
  RequestError
} from "../policies/completion-request.ts"
import type { PolicyError } from "../policies/policy.ts"
import type { Tokenizer } from "../policies/tokenizer.ts"
import { type Generate, upToEnd } from "./inference.ts"

export interface ServeOptions {
  /** The address to listen on, such as `127.0.0.1`. */
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** By which clients ask for the policy. */
  readonly model: string
  readonly policyVersion: number
  readonly tokenizer: Tokenizer
  readonly chat: Chat
  readonly thinking: boolean | undefined
  readonly maxPositions: number
  readonly generate: Generate
  /** Base of the seeds of requests that bring none. */
  readonly seed: number
  /** Most replies on their way; more are told to come back later. */
  readonly maxWaiting: number
}

const maxBody = ByteSize.mebibytes(16)
const keepAliveMillis = 10_000

/** Listens until the surrounding scope closes. Gives the base address. */
export const serve = Effect.fnUntraced(function* (options: ServeOptions) {
  const { host, maxPositions, model, policyVersion, port, tokenizer } = options
  const createdSeconds = Math.floor((yield* Clock.currentTimeMillis) / 1000)
  let requests = 0
  let onTheirWay = 0

  const card = {
    id: model,
    object: "model",
    created: createdSeconds,
    owned_by: "constellate",
    max_model_len: maxPositions
  }
  const models = HttpServerResponse.jsonUnsafe({ object: "list", data: [card] })

  /** Generates all choices of a request, handing each to `onChoice` as soon as it is there. */
  const generateAll = (
    asked: CompletionRequest,
    prompts: ReadonlyArray<ReadonlyArray<number>>,
    ends: ReadonlyArray<number>,
    request: number
  ): ReadonlyArray<Effect.Effect<Choice, RequestError>> =>
    prompts.flatMap((prompt, p) =>
      Array.from({ length: asked.choices }, (_, c) => {
        const index = p * asked.choices + c
        const room = maxPositions - prompt.length
        const cap = Math.min(asked.maxTokens ?? room, room)
        const rng =
          asked.seed === undefined
            ? stream("serve", options.seed, request, index)
            : stream("serve seeded", String(asked.seed), index)
        const uniforms = Array.from({ length: cap }, rng.uniform)
        return options.generate({ prompt, uniforms, temperature: asked.temperature, goesOn: true }).pipe(
          Effect.map((answer) => {
            const said = upToEnd(answer, ends)
            return makeChoice(tokenizer, { ...said, promptTokens: prompt }, asked.stops, index)
          }),
          Effect.mapError(unavailable)
        )
      })
    )

  /** Holds a place for each reply while `work` runs; refuses when there are too many. */
  const place = (count: number) =>
    Effect.acquireRelease(
      Effect.suspend(() => {
        if (onTheirWay > 0 && onTheirWay + count > options.maxWaiting) {
          const reason = `${onTheirWay} replies are on their way already; try again later`
          return Effect.fail(new RequestError({ status: 429, reason, param: null, code: "rate_limit_exceeded" }))
        }
        onTheirWay += count
        return Effect.void
      }),
      () => Effect.sync(() => (onTheirWay -= count))
    )

  const complete = Effect.fnUntraced(function* (
    asked: CompletionRequest,
    prompts: ReadonlyArray<ReadonlyArray<number>>,
    param: string,
    shape: Shape,
    ends: ReadonlyArray<number>
  ) {
    if (asked.model !== model) {
      const reason = `the model "${asked.model}" does not exist, the one here is "${model}"`
      return yield* new RequestError({ status: 404, reason, param: "model", code: "model_not_found" })
    }
    for (const prompt of prompts) {
      const foreign = prompt.find((token) => token < 0 || token >= tokenizer.vocabularySize)
      if (foreign !== undefined) return yield* badRequest(`there is no token ${foreign}`, param)
      if (prompt.length === 0) return yield* badRequest(`"${param}" is empty`, param)
      if (prompt.length >= maxPositions) {
        const reason = `a prompt of ${prompt.length} tokens leaves no room for a reply in the model's ${maxPositions}`
        return yield* badRequest(reason, param, "context_length_exceeded")
      }
    }
    const request = requests++
    const head: Head = {
      id: `${shape === chatShape ? "chatcmpl" : "cmpl"}-${request}`,
      model,
      createdSeconds: Math.floor((yield* Clock.currentTimeMillis) / 1000),
      logprobs: asked.logprobs,
      tokenIds: asked.tokenIds
    }
    const work = generateAll(asked, prompts, ends, request)
    if (!asked.stream) {
      const choices = yield* Effect.scoped(
        Effect.andThen(place(work.length), Effect.all(work, { concurrency: "unbounded" }))
      )
      return HttpServerResponse.jsonUnsafe(shape.whole(head, choices))
    }
    // The place belongs to the request, whose scope stays open until the stream has ended.
    yield* place(work.length)
    return events(head, asked, shape, work)
  })

  const respond = <R>(answer: Effect.Effect<HttpServerResponse.HttpServerResponse, RequestError, R>) =>
    Effect.catch(answer, (error) => Effect.succeed(refusal(error)))

  const chatCompletions = Effect.gen(function* () {
    const asked = yield* Effect.fromResult(readChatRequest(yield* jsonBody))
    const { chat } = options
    const thinking = asked.thinking ?? options.thinking
    if (asked.thinking !== undefined && !chat.canSwitchThinking) {
      return yield* badRequest("the chat template has no thinking switch", "chat_template_kwargs.enable_thinking")
    }
    const prompt = yield* Effect.fromResult(
      Result.mapError(chat.prompt(asked.messages, { thinking }), (why) =>
        badRequest(`the chat template refuses these messages: ${why}`, "messages")
      )
    )
    return yield* complete(asked, [prompt], "messages", chatShape, chat.ends)
  })

  const completions = Effect.gen(function* () {
    const asked = yield* Effect.fromResult(readTextRequest(yield* jsonBody))
    const prompts = asked.prompts.map((prompt) => (typeof prompt === "string" ? tokenizer.encode(prompt) : prompt))
    return yield* complete(asked, prompts, "prompt", textShape, options.chat.ends)
  })

  const oneModel = Effect.flatMap(HttpRouter.params, ({ id }) => {
    if (id === model) return Effect.succeed(HttpServerResponse.jsonUnsafe(card))
    const reason = `the model "${id}" does not exist`
    return Effect.fail(new RequestError({ status: 404, reason, param: "model", code: "model_not_found" }))
  })

  const nowhere = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ method, url }) =>
    Effect.fail(new RequestError({ status: 404, reason: `there is no ${method} ${url}`, param: null, code: null }))
  )

  const health = { status: "ok", model, policy_version: policyVersion }
  const routes = HttpRouter.addAll([
    HttpRouter.route("GET", "/health", HttpServerResponse.jsonUnsafe(health)),
    HttpRouter.route("GET", "/v1/models", models),
    HttpRouter.route("GET", "/v1/models/:id", respond(oneModel)),
    HttpRouter.route("POST", "/v1/chat/completions", respond(chatCompletions)),
    HttpRouter.route("POST", "/v1/completions", respond(completions)),
    HttpRouter.route("*", "*", respond(nowhere))
  ])
  const server = yield* Layer.build(
    HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host, port, gracefulShutdownTimeout: "2 seconds" }))
    )
  )
  const { address } = yield* Effect.provideContext(HttpServer.HttpServer, server)
  const bound = "port" in address ? address.port : port
  return `http://${host.includes(":") ? `[${host}]` : host}:${bound}/v1`
})

const jsonBody = Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) => request.text).pipe(
  Effect.provideService(HttpIncomingMessage.MaxBodySize, maxBody),
  Effect.mapError((error: HttpServerError.HttpServerError) => badRequest(`the body can't be read: ${error.message}`)),
  Effect.flatMap((text) =>
    Effect.fromResult(
      Result.mapError(
        Result.try(() => JSON.parse(text) as unknown),
        () => badRequest("the body is no JSON")
      )
    )
  )
)

/** Data lines of a stream, comments while there is nothing to say, and `[DONE]`. */
const events = (
  head: Head,
  asked: CompletionRequest,
  shape: Shape,
  work: ReadonlyArray<Effect.Effect<Choice, RequestError>>
) => {
  const choices: Array<Choice> = []
  const opening = Stream.fromIterable(work.flatMap((_, index) => shape.opening(head, index)).map(data))
  const pieces = Stream.fromIterable(work).pipe(
    Stream.flatMap((one) => Stream.fromEffect(one), { concurrency: "unbounded" }),
    Stream.flatMap((choice) => {
      choices.push(choice)
      return Stream.fromIterable(shape.pieces(head, choice).map(data))
    })
  )
  const ending = Stream.suspend(() =>
    Stream.fromIterable([...(asked.streamUsage ? [data(shape.usage(head, choices))] : []), "data: [DONE]\n\n"])
  )
  const said = Stream.concat(opening, Stream.concat(pieces, ending)).pipe(
    // The status has been sent: what goes wrong now is said in the stream.
    Stream.catch((error) => Stream.make(data(error.body)))
  )
  const alive = Stream.drop(Stream.tick(keepAliveMillis), 1).pipe(Stream.map(() => ": waiting\n\n"))
  const body = Stream.merge(said, alive, { haltStrategy: "left" }).pipe(Stream.encodeText)
  return HttpServerResponse.stream(body, {
    contentType: "text/event-stream",
    headers: { "cache-control": "no-cache" }
  })
}

const data = (json: object): string => `data: ${JSON.stringify(json)}\n\n`

const refusal = (error: RequestError) =>
  HttpServerResponse.jsonUnsafe(error.body, {
    status: error.status,
    ...(error.status === 429 ? { headers: { "retry-after": "1" } } : {})
  })

const unavailable = ({ reason }: PolicyError) => new RequestError({ status: 500, reason, param: null, code: null })
