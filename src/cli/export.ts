/** `constellate runs export`: experiences of a run for other trainers, and episodes as Parquet. */
import { Effect, FileSystem, Result, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { linesOf } from "../actors/checked-lines.ts"
import { type EpisodeRow, openEpisodeParquet } from "../actors/episode-parquet.ts"
import { experiencesOf } from "../actors/policy-update.ts"
import { readTraceLine } from "../actors/trace.ts"
import { partsOf } from "../actors/trace-file.ts"
import { type CreditedCall, creditedCalls, makeTrainerRows, trainers } from "../actors/trainer-rows.ts"
import { ownEpisodes } from "../machines/fork.ts"
import { openEstimator } from "./estimator.ts"
import { WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"
import { type BatchJournal, journalsAt, openRecords, type RunJournals } from "./run-records.ts"

/** The journal of a batch lacks lifecycles: the run was stopped while it lived them. */
export class IncompleteBatch extends Schema.TaggedError<IncompleteBatch>()("IncompleteBatch", {
  file: Schema.String,
  lifecycle: Schema.String
}) {
  override get message() {
    return `${this.file}: lifecycle ${this.lifecycle} is missing: the run was stopped in the middle of the batch`
  }
}

export const exportCommand = Command.make(
  "export",
  {
    path: Argument.String("path").pipe(
      Argument.withDescription("A run folder, a journal of one, or (for parquet) a trace file")
    ),
    format: Flag.Literals("format", [...trainers, "parquet"]).pipe(
      Flag.withDescription("The trainer that is to read the experiences, or parquet for analysis")
    ),
    out: Flag.String("out").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to: lines of JSON, or Parquet; must not exist")
    ),
    json
  },
  Effect.fnUntraced(function* ({ format, json, out, path }) {
    const files = yield* FileSystem.FileSystem
    if (yield* files.exists(out)) {
      return yield* new WrongInput({ field: "--out", value: out, expected: "a file that does not exist yet" })
    }
    const journals = yield* journalsAt(path)
    if (journals === undefined && format !== "parquet") {
      const expected = `a run folder or a journal of one: a trace has no groups to credit; ${format} is for learning`
      return yield* new WrongInput({ field: "path", value: path, expected })
    }
    // Under another name until it is complete: a file that is there is whole.
    const partial = `${out}.partial`
    const document = yield* Effect.gen(function* () {
      if (journals === undefined) return { ...(yield* exportTrace(path, partial)), batches: [], without: [] }
      if (format === "parquet") return yield* exportEpisodes(journals, partial)
      const rowOf = makeTrainerRows(format)
      const file = yield* files.open(partial, { flag: "w" })
      const encoder = new TextEncoder()
      let rows = 0
      const batches = yield* creditBatches(journals, ({ batch, calls }) => {
        rows += calls.length
        const lines = calls.map((call) => `${JSON.stringify(rowOf(batch, call))}\n`)
        return lines.length === 0 ? Effect.void : file.writeAll(encoder.encode(lines.join("")))
      })
      return { rows, ...batches }
    }).pipe(
      Effect.scoped,
      Effect.onError(() => Effect.ignore(files.remove(partial, { force: true })))
    )
    yield* files.rename(partial, out)
    yield* answer(json, { format, out, ...document }, () =>
      [
        ...document.without,
        `${document.rows} ${format === "parquet" ? "episodes" : "experiences"}${
          document.batches.length === 0 ? "" : ` of batches ${document.batches.join(", ")}`
        } in ${out}`
      ].join("\n")
    )
  })
).pipe(
  Command.withDescription("What was lived, for other trainers or for analysis"),
  Command.withExamples([
    { command: "constellate runs export runs/first --format trl --out rows.jsonl", description: "For TRL" },
    {
      command: "constellate runs export traces.jsonl --format parquet --out traces.parquet",
      description: "The episodes of a simulation, for DuckDB and its kind"
    }
  ])
)

interface CreditedBatch {
  readonly batch: number
  readonly calls: ReadonlyArray<CreditedCall>
}

/** Lives the batches of a run again, one after the other, and credits them with the run's own estimator. */
const creditBatches = Effect.fnUntraced(function* <E, R>(
  { all, journals, run }: RunJournals,
  onBatch: (batch: CreditedBatch) => Effect.Effect<void, E, R>
) {
  const { config, relive, taskSets } = yield* openRecords(run)
  const estimate = yield* openEstimator(config.credit)
  const credited = Effect.fnUntraced(function* (journal: BatchJournal) {
    const { altered, rollout } = yield* relive(journal, {
      onMissing: (lifecycle) => Effect.fail(new IncompleteBatch({ file: journal.file, lifecycle }))
    })
    const [line] = altered
    if (line !== undefined) {
      const expected = "an entry as it was written (constellate runs verify names all that are not)"
      const at = `${line.file}:${line.number}`
      return yield* new WrongInput({ file: at, field: "lifecycle", value: line.entry!.lifecycle, expected })
    }
    const experiences = experiencesOf(rollout.lifecycles, (id) =>
      taskSets.findIndex(({ environment }) => environment.id === id)
    )
    const calls = creditedCalls(rollout.lifecycles, experiences, yield* estimate(experiences))
    yield* onBatch({ batch: journal.batch, calls })
  })
  const batches: Array<number> = []
  const without: Array<string> = []
  const first = journals[0]!.batch
  if (all && first > 0) {
    const gone = first === 1 ? "without batch 0" : `without batches 0 to ${first - 1}`
    without.push(`${gone}: a run keeps the journals since its last checkpoint, and that of the update before it`)
  }
  for (const journal of journals) {
    const done = yield* Effect.result(credited(journal))
    if (Result.isSuccess(done)) batches.push(journal.batch)
    // Of a run that was stopped the newest batch may be half lived. Alone it is nothing to export.
    else if (done.failure instanceof IncompleteBatch && journals.length > 1) {
      without.push(`without batch ${journal.batch}: ${done.failure.message}`)
    } else return yield* Effect.fail(done.failure)
  }
  return { batches, without }
})

/** The episodes of a run's batches, each step with its credit. */
const exportEpisodes = Effect.fnUntraced(function* (journals: RunJournals, out: string) {
  const parquet = yield* openEpisodeParquet(out)
  let rows = 0
  const write = (row: EpisodeRow) => {
    rows++
    return parquet.write(row)
  }
  const batches = yield* creditBatches(journals, ({ calls }) => {
    const scores = new Map(calls.map(({ scored, step }) => [step, scored]))
    const lifecycles = new Set(calls.map(({ lifecycle }) => lifecycle))
    return Effect.forEach(
      [...lifecycles].flatMap(ownEpisodes),
      (episode) => write({ episode, policy: journals.run, credit: episode.steps.map((step) => scores.get(step)) }),
      { discard: true }
    )
  })
  yield* parquet.end
  return { rows, ...batches }
})

/** The episodes of a trace and its parts. Damaged lines are refused: an analysis should not miss them. */
const exportTrace = Effect.fnUntraced(function* (trace: string, out: string) {
  const parquet = yield* openEpisodeParquet(out)
  let rows = 0
  let policy: string | null = null
  for (const part of yield* partsOf(trace)) {
    yield* Stream.runForEach(
      linesOf(part),
      Effect.fnUntraced(function* ({ file, number, text, whole }) {
        const read = readTraceLine(text)
        if (!whole || read?.intact !== true) {
          const at = `${file}:${number}`
          const expected = "an episode as it was written (constellate runs verify names all that are not)"
          return yield* new WrongInput({ file: at, field: "line", value: text.slice(0, 60), expected })
        }
        const { plan, ...episode } = read.line
        if (plan !== undefined) policy = plan.policy ?? null
        rows++
        return yield* parquet.write({ episode, policy })
      })
    )
  }
  yield* parquet.end
  return { rows }
})
