/** `constellate replay`: lives recorded lifecycles again and names the first difference of each. */
import { Effect, FileSystem, Layer, Option, type PlatformError, Semaphore, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { join } from "node:path"
import { listCheckpoints } from "../actors/checkpoint.ts"
import type { JournalError } from "../actors/journal.ts"
import type { Plan } from "../actors/lifecycle.ts"
import {
  type Answering,
  checkReplies,
  type Difference,
  fromReplies,
  fromTokens,
  replayLifecycle
} from "../actors/replay.ts"
import { planOfLines, readTraceLine } from "../actors/trace.ts"
import { traceFileLines } from "../actors/trace-file.ts"
import type { Episode } from "../machines/episode.ts"
import { Policy } from "../policies/policy.ts"
import { restoreDynamics } from "./dynamics.ts"
import { openEnvironment } from "./environments.ts"
import { CheckFailed, type UnknownName, WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"
import { openPolicy, openSpeech } from "./policy.ts"
import { journalsAt, openRecords, type RunJournals } from "./run-records.ts"

/** A line that is not as it was written: the checksum says so. */
interface Altered {
  readonly file: string
  readonly line: number
  readonly lifecycle: string
  readonly kind?: Episode["kind"]
  readonly index?: number
}

/** A lifecycle to be lived again. */
interface Recorded {
  readonly plan: Plan
  readonly episodes: ReadonlyArray<Episode>
  /** The policy that was recorded, as it would be given on the command line. */
  readonly policy: string | undefined
  readonly thinking: boolean | undefined
  /** What is wrong with the record itself. */
  readonly difference?: Difference | undefined
}

/** What a record may fail with before anything is replayed. */
type RecordFault = JournalError | PlatformError.PlatformError | UnknownName | WrongInput

/** What a replayed lifecycle was compared by. */
type Comparison = "replies" | "tokens" | "samples"

export const replay = Command.make(
  "replay",
  {
    trace: Argument.String("trace").pipe(
      Argument.withDescription("A trace file, a run folder (its journals), or a journal of a run")
    ),
    lifecycle: Flag.String("lifecycle").pipe(
      Flag.withMetavar("ID"),
      Flag.withDescription("Only this lifecycle"),
      Flag.optional
    ),
    env: Flag.String("env").pipe(
      Flag.withMetavar("ID or path"),
      Flag.withDescription("The environment of a trace, where the recorded id does not lead to it"),
      Flag.optional
    ),
    policy: Flag.String("policy").pipe(
      Flag.withMetavar("POLICY"),
      Flag.withDescription("The policy that was recorded, where it is not where it was"),
      Flag.optional
    ),
    resample: Flag.Boolean("resample").pipe(
      Flag.withoutNegation,
      Flag.withDefault(false),
      Flag.withDescription("Ask the policy again, and compare what it says to the bit")
    ),
    json
  },
  Effect.fnUntraced(function* ({ env, json, lifecycle, policy, resample, trace }) {
    const wanted = Option.getOrUndefined(lifecycle)
    const given = { env: Option.getOrUndefined(env), policy: Option.getOrUndefined(policy), resample, wanted }
    const altered: Array<Altered> = []
    const journals = yield* journalsAt(trace)
    if (journals !== undefined && given.env !== undefined) {
      return yield* new WrongInput({ field: "--env", value: given.env, expected: "nothing: the run says which" })
    }
    const recorded: Stream.Stream<Recorded, RecordFault, FileSystem.FileSystem> =
      journals === undefined
        ? recordedInTrace(trace, given, altered)
        : yield* recordedInJournals(journals, given, altered)
    const counts: Record<Comparison, number> = { replies: 0, tokens: 0, samples: 0 }
    const differences: Array<Difference> = []
    yield* Effect.scoped(
      Effect.gen(function* () {
        const answering = yield* makeAnswering(given)
        const again = Effect.fnUntraced(function* ({ difference, episodes, plan, ...record }: Recorded) {
          if (difference !== undefined) return { comparison: "replies", difference } as const
          const { answer, comparison } = yield* answering({ episodes, plan, ...record })
          return { comparison, difference: yield* replayLifecycle(plan, episodes, answer) }
        })
        yield* Stream.runForEach(
          Stream.mapEffect(recorded, again, { concurrency: resample ? inFlight : 1 }),
          ({ comparison, difference }) =>
            Effect.sync(() => {
              counts[comparison]++
              if (difference !== undefined) differences.push(difference)
            })
        )
      })
    )
    const lifecycles = counts.replies + counts.tokens + counts.samples
    if (wanted !== undefined && lifecycles === 0) {
      return yield* new WrongInput({ field: "--lifecycle", value: wanted, expected: `a lifecycle in ${trace}` })
    }
    const document = { lifecycles, compared: counts, altered, differences }
    yield* answer(json, document, () => report(document))
    if (differences.length > 0 || altered.length > 0) {
      return yield* new CheckFailed({
        reason: `${differences.length} of ${lifecycles} lifecycles differ, ${altered.length} lines were altered`
      })
    }
  })
).pipe(
  Command.withDescription("Live recorded lifecycles again and name the first difference of each"),
  Command.withExamples([
    { command: "constellate replay traces.jsonl", description: "All lifecycles of a trace" },
    {
      command: "constellate replay traces.jsonl --resample",
      description: "And whether the policy would say the same again"
    },
    { command: "constellate replay runs/first", description: "What the journals of a training run hold" }
  ])
)

/** Lifecycles that are asked for again at once: they share batches. */
const inFlight = 256

interface Given {
  readonly env: string | undefined
  readonly policy: string | undefined
  readonly resample: boolean
  readonly wanted: string | undefined
}

/** Opens whoever is to answer, once for all lifecycles that were lived alike. */
const makeAnswering = Effect.fnUntraced(function* (given: Given) {
  const files = yield* FileSystem.FileSystem
  const scope = yield* Effect.scope
  const opened = new Map<string, { readonly comparison: Comparison; readonly answer: Answering }>()
  const turn = yield* Semaphore.make(1)
  const open = Effect.fnUntraced(function* ({ episodes, plan, policy: recorded, thinking }: Recorded) {
    const { environment } = plan.pack
    const text = given.policy ?? recorded
    const options = { environment, style: plan.settings.style, ...(thinking === undefined ? {} : { thinking }) }
    if (given.resample) {
      if (text === undefined) {
        const expected = "the policy to ask: the record names none"
        return yield* new WrongInput({ field: "--policy", value: undefined, expected })
      }
      const layer = yield* openPolicy(text, text.startsWith("scripted:") ? { environment } : options)
      const policy = yield* Effect.provide(Policy, yield* Layer.buildWithScope(layer, scope))
      return { comparison: "samples", answer: () => policy } as const
    }
    const hasTokens = episodes.some(({ steps }) => steps.some(({ tokens }) => tokens.length > 0))
    const isFolder = text !== undefined && !/^(scripted|openai):/.test(text)
    // A policy that is given must be there; one that was recorded may be gone.
    const atHand = isFolder && (given.policy !== undefined || (yield* files.exists(text)))
    if (!hasTokens || !atHand) return { comparison: "replies", answer: fromReplies } as const
    return { comparison: "tokens", answer: fromTokens(yield* openSpeech(text, options)) } as const
  })
  return Effect.fnUntraced(function* (record: Recorded) {
    const { plan, policy, thinking } = record
    const key = JSON.stringify([policy, plan.settings.style, thinking, plan.pack.environment.id])
    const known = opened.get(key) ?? (yield* open(record))
    opened.set(key, known)
    return known
  }, turn.withPermit)
})

/** The lifecycles of a trace, in its order. */
const recordedInTrace = (trace: string, { env, wanted }: Given, altered: Array<Altered>) =>
  traceFileLines(trace).pipe(
    Stream.mapEffect(({ file, number, text }) => {
      const read = readTraceLine(text)
      if (read === undefined) {
        const value = text.length > 60 ? `${text.slice(0, 60)}...` : text
        const expected = "an episode with its checksum"
        return Effect.fail(new WrongInput({ file: `${file}:${number}`, field: "line", value, expected }))
      }
      const { intact, line } = read
      if (!intact && (wanted ?? line.lifecycle) === line.lifecycle)
        altered.push({ file, line: number, lifecycle: line.lifecycle, kind: line.kind, index: line.index })
      return Effect.succeed(line)
    }),
    Stream.filter((line) => wanted === undefined || line.lifecycle === wanted),
    Stream.groupAdjacentBy((line) => line.lifecycle),
    Stream.mapEffect(([id, lines]) => {
      const { plan } = lines[0]
      if (plan === undefined) {
        return Effect.fail(new WrongInput({ file: trace, field: id, value: undefined, expected: "all its episodes" }))
      }
      return Effect.map(openEnvironment(env ?? lines[0].environment), (environment): Recorded => ({
        plan: planOfLines(lines, restoreDynamics(environment, plan.dynamics)),
        episodes: lines.map(({ plan: _plan, ...episode }) => episode),
        policy: plan.policy,
        thinking: plan.thinking
      }))
    })
  )

/** The attempts at lifecycles that journals of a run hold, with the episodes that follow from their replies. */
const recordedInJournals = Effect.fnUntraced(function* (
  { journals, run }: RunJournals,
  { policy, resample, wanted }: Given,
  altered: Array<Altered>
) {
  const files = yield* FileSystem.FileSystem
  const { config, relive } = yield* openRecords(run)
  // All checkpoints of a run have the same tokenizer; only one has the weights that a batch was sampled with.
  const hasCheckpoint = (yield* listCheckpoints(join(run, "checkpoints"))).length > 0
  const speaker = hasCheckpoint ? run : config.policy === "" ? undefined : config.policy
  return Stream.flatMap(
    Stream.fromIterable(journals),
    Effect.fnUntraced(function* (journal) {
      const sampler = join(run, "checkpoints", String(journal.batch))
      if (resample && policy === undefined && !(yield* files.exists(sampler))) {
        const expected = `the policy that sampled batch ${journal.batch}: there is no ${sampler}`
        return yield* new WrongInput({ field: "--policy", value: undefined, expected })
      }
      const relived = yield* relive(journal, { onMissing: () => Effect.void })
      for (const { entry, file, number: line } of relived.altered) {
        const { lifecycle } = entry!
        if ((wanted ?? lifecycle) === lifecycle) altered.push({ file, line, lifecycle })
      }
      return Stream.fromIterable(
        relived.attempts
          .filter(({ lifecycle: { id } }) => (wanted ?? id) === id)
          .map(({ entry, lifecycle, plan }): Recorded => ({
            plan,
            episodes: lifecycle.episodes,
            policy: resample ? sampler : speaker,
            thinking: config.thinking,
            difference: checkReplies(lifecycle, entry, plan)
          }))
      )
    }, Stream.unwrap)
  )
})

const report = ({
  altered,
  compared: { replies, samples, tokens },
  differences,
  lifecycles
}: {
  readonly lifecycles: number
  readonly compared: Record<Comparison, number>
  readonly altered: ReadonlyArray<Altered>
  readonly differences: ReadonlyArray<Difference>
}): string => {
  const by = [
    ...(samples === 0 ? [] : [`${samples} asked of the policy again`]),
    ...(tokens === 0 ? [] : [`${tokens} from their tokens`]),
    ...(replies === 0 ? [] : [`${replies} from their replies`])
  ]
  return [
    ...altered.map(
      ({ file, index, kind, lifecycle, line }) =>
        `${file}:${line} was altered: ${lifecycle}${kind === undefined ? "" : `, ${kind} ${index}`}`
    ),
    ...differences.map(({ field, index, kind, lifecycle, recorded, replayed, step }) => {
      const place = [
        lifecycle,
        `${kind} ${index}`,
        ...(step === undefined ? [] : [`step ${step}`]),
        field || "all of it"
      ]
      return `${place.join(", ")}: recorded ${short(recorded)}, replayed ${short(replayed)}`
    }),
    `${lifecycles} lifecycles replayed (${by.join(", ")}), ${differences.length} differ`
  ].join("\n")
}

const short = (value: unknown): string => {
  const json = JSON.stringify(value) ?? "nothing"
  return json.length > 200 ? `${json.slice(0, 200)}...` : json
}
