/**
 * A policy on a server that speaks the OpenAI-compatible protocol.
 *
 * What a network does is no fault of the agent's: too many requests, errors of the server and lost connections are
 * tried again, with growing pauses and never before the server wants it. What remains is a fault of one lifecycle, an
 * `error` or a `timeout`, and the others go on.
 *
 * The key is in `OPENAI_API_KEY` and nowhere else: not in requests as they are traced, not in what is said of failures.
 */
import { Clock, Config, Effect, Option, Redacted, Semaphore } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { stream } from "../kernels/random.ts"
import { adapted, chatBody, type Endpoint, fullDialect, readAnswer, type Verdict } from "../policies/openai.ts"
import { Policy, PolicyError } from "../policies/policy.ts"

export interface RemoteOptions {
  /** Most requests on their way. */
  readonly concurrency: number
  /** Most requests begun in a minute; 0 for no limit. */
  readonly requestsPerMinute: number
  /** Time limit of one request. */
  readonly timeoutSeconds: number
  /** How often a request is tried again. */
  readonly retries: number
  /** The first pause; each is up to twice the one before, at most 30 s. */
  readonly backoffSeconds: number
}

export const defaultRemote: RemoteOptions = {
  concurrency: 64,
  requestsPerMinute: 0,
  timeoutSeconds: 120,
  retries: 5,
  backoffSeconds: 0.5
}

const longestPause = 30_000

/** The policy, named as on the command line. */
export const makeRemote = Effect.fnUntraced(function* (
  name: string,
  endpoint: Endpoint,
  options: RemoteOptions & { readonly thinking?: boolean | undefined }
) {
  const client = yield* HttpClient.HttpClient
  const key = Option.getOrUndefined(yield* Config.option(Config.Redacted("OPENAI_API_KEY")))
  const slots = yield* Semaphore.make(options.concurrency)
  const jitter = stream("remote", name)
  let dialect = fullDialect
  let warned = false
  /** No request begins before: what the server asked for, and the pace of the rate limit. */
  let wanted = 0
  let paced = 0

  const withoutKey = (text: string) =>
    key === undefined || Redacted.value(key) === "" ? text : text.replaceAll(Redacted.value(key), "[key]")

  const turn = Effect.gen(function* () {
    let now = yield* Clock.currentTimeMillis
    // While one waits, the server may ask another to wait for longer.
    for (; now < wanted; now = yield* Clock.currentTimeMillis) yield* Effect.sleep(wanted - now)
    if (options.requestsPerMinute === 0) return
    const begin = Math.max(now, paced)
    paced = begin + 60_000 / options.requestsPerMinute
    if (begin > now) yield* Effect.sleep(begin - now)
  })

  const send = (body: object): Effect.Effect<Verdict | { readonly type: "late"; readonly reason: string }> =>
    HttpClientRequest.post(`${endpoint.url}/chat/completions`).pipe(
      HttpClientRequest.acceptJson,
      HttpClientRequest.bodyJsonUnsafe(body),
      key === undefined ? (request) => request : HttpClientRequest.bearerToken(key),
      client.execute,
      Effect.flatMap((response) =>
        Effect.flatMap(response.text, (text) =>
          Effect.map(Clock.currentTimeMillis, (now) =>
            readAnswer({ status: response.status, headers: response.headers, body: text }, now)
          )
        )
      ),
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.catch(({ reason }) =>
        Effect.succeed({ type: "trouble", reason: `the connection failed: ${causeOf(reason)}`, waitMillis: 0 } as const)
      ),
      Effect.timeoutOrElse({
        duration: `${options.timeoutSeconds} seconds`,
        orElse: () =>
          Effect.succeed({ type: "late", reason: `the server did not answer in ${options.timeoutSeconds} s` } as const)
      })
    )

  return Policy.of({
    name,
    style: "chat",
    reply: Effect.fnUntraced(function* ({ maxTokens, messages, rng, temperature }) {
      const asked = { messages, temperature, maxTokens, seed: rng.int(0, 2 ** 31 - 1), thinking: options.thinking }
      const failure = (reason: string, outcome: "timeout" | "error" = "error") =>
        new PolicyError({ policy: name, reason: withoutKey(reason), outcome })
      for (let attempt = 0; ;) {
        const spoken = dialect
        const verdict = yield* slots.withPermits(1)(
          Effect.andThen(
            turn,
            Effect.suspend(() => send(chatBody(endpoint.model, asked, spoken)))
          )
        )
        if (verdict.type === "reply") {
          if (!verdict.hasTokens && !warned) {
            warned = true
            yield* Effect.logWarning(
              `${name} gives no token ids with log-probabilities: it can be simulated and evaluated, not trained on`
            )
          }
          return verdict.reply
        }
        if (verdict.type === "refusal") {
          // Another request may have learnt the server's dialect while this one was on its way.
          const simpler = verdict.status === 400 || verdict.status === 422 ? adapted(spoken, verdict.reason) : undefined
          if (simpler === undefined) return yield* failure(verdict.reason)
          if (dialect === spoken) dialect = simpler
          continue
        }
        if (attempt === options.retries) {
          const reason = `${verdict.reason}, after ${attempt + 1} attempts`
          return yield* failure(reason, verdict.type === "late" ? "timeout" : "error")
        }
        yield* Effect.logDebug(`${name}: ${withoutKey(verdict.reason)}; trying again`)
        const pause =
          Math.min(longestPause, 1000 * options.backoffSeconds * 2 ** attempt) * (0.5 + jitter.uniform() / 2)
        attempt++
        const now = yield* Clock.currentTimeMillis
        if (verdict.type === "trouble") wanted = Math.max(wanted, now + verdict.waitMillis)
        yield* Effect.sleep(pause)
      }
    })
  })
})

/** What the network said, down to the first cause: "connect ECONNREFUSED ...". */
const causeOf = (error: unknown): string => {
  const inner = (error as { readonly cause?: unknown }).cause
  if (inner !== undefined && inner !== null) return causeOf(inner)
  return error instanceof Error && error.message !== "" ? error.message : String((error as Error).name ?? error)
}
