/** `constellate runs`: what run folders hold. */
import { Effect, FileSystem, Option, Result } from "effect"
import { Argument, Command } from "effect/cli"
import { join } from "node:path"
import { damageOf, listCheckpoints } from "../actors/checkpoint.ts"
import { isBeingWritten, isRun, readRecord } from "../actors/run-folder.ts"
import { exportCommand } from "./export.ts"
import { WrongInput } from "./failure.ts"
import { merge } from "./merge.ts"
import { answer, json, table } from "./output.ts"
import { verify } from "./verify.ts"

/** A run at a glance. */
export interface RunSummary {
  readonly id: string
  readonly path: string
  /** `unreadable`: of another version, or damaged; `reason` says how. */
  readonly state: "running" | "finished" | "interrupted" | "unreadable"
  readonly reason?: string
  readonly created?: string
  readonly environments: ReadonlyArray<string>
  readonly policy?: string
  /** Policy updates done. */
  readonly updates: number
  /** Share of successes by position at the last update that measured it. */
  readonly success: ReadonlyArray<number>
}

export const summarize = Effect.fnUntraced(function* (path: string) {
  const record = yield* readRecord(path)
  const metrics = yield* readMetrics(path)
  const running = yield* isBeingWritten(path)
  return {
    id: record.id,
    path,
    state: running ? "running" : record.finished === undefined ? "interrupted" : "finished",
    created: record.created,
    environments: record.environments,
    policy: record.policy,
    updates: metrics.findLast((line) => typeof line.update === "number")?.update ?? 0,
    success: metrics.findLast((line) => Array.isArray(line.success))?.success ?? []
  } satisfies RunSummary
})

interface MetricsLine {
  readonly update?: number
  readonly success?: ReadonlyArray<number>
}

/** The lines of a run's `metrics.jsonl`; one that is torn (the run is being written, or was killed) is left out. */
export const readMetrics = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const file = join(path, "metrics.jsonl")
  if (!(yield* files.exists(file))) return []
  return (yield* files.readFileString(file))
    .split("\n")
    .flatMap((line) => Option.toArray(Result.getSuccess(Result.try(() => JSON.parse(line) as MetricsLine))))
})

const summaries = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  if (!(yield* files.exists(folder))) return []
  const paths = (yield* files.readDirectory(folder)).toSorted().map((name) => join(folder, name))
  return yield* Effect.forEach(yield* Effect.filter(paths, isRun), (path) =>
    summarize(path).pipe(
      Effect.catchTag("RunFolderError", ({ message }) =>
        Effect.succeed<RunSummary>({
          id: path,
          path,
          state: "unreadable",
          reason: message,
          environments: [],
          updates: 0,
          success: []
        })
      )
    )
  )
})

const list = Command.make(
  "list",
  {
    folder: Argument.String("folder").pipe(
      Argument.withDescription("Where the run folders are"),
      Argument.withDefault("runs")
    ),
    json
  },
  Effect.fnUntraced(function* (options) {
    const runs: ReadonlyArray<RunSummary> = yield* summaries(options.folder)
    yield* answer(options.json, runs, () => (runs.length === 0 ? `No runs in ${options.folder}.` : glance(runs)))
  })
).pipe(
  Command.withDescription("All runs of a folder: state, environment, updates and success by position"),
  Command.withExamples([{ command: "constellate runs list", description: "The runs in ./runs" }])
)

const glance = (runs: ReadonlyArray<RunSummary>): string =>
  table(
    ["run", "state", "environment", "updates", "success by position"],
    runs.map(({ environments, path, state, success, updates }) => [
      path,
      state,
      environments.join(", "),
      String(updates),
      shares(success)
    ])
  )

const shares = (success: ReadonlyArray<number>): string => success.map((share) => share.toFixed(2)).join(" ")

const show = Command.make(
  "show",
  { run: Argument.String("run").pipe(Argument.withDescription("A run folder, or the name of one in ./runs")), json },
  Effect.fnUntraced(function* (options) {
    const path = yield* find(options.run)
    const summary: RunSummary = yield* summarize(path)
    const checkpoints = yield* Effect.forEach(yield* listCheckpoints(join(path, "checkpoints")), (checkpoint) =>
      Effect.map(damageOf(checkpoint), (damage) => ({ ...checkpoint, damage: Option.getOrNull(damage) }))
    )
    yield* answer(options.json, { ...summary, checkpoints }, () =>
      [
        `run           ${summary.id}`,
        `folder        ${path}`,
        `state         ${summary.state}`,
        `created       ${summary.created}`,
        `environments  ${summary.environments.join(", ")}`,
        `policy        ${summary.policy}`,
        `updates       ${summary.updates}`,
        `success       ${shares(summary.success) || "-"}`,
        ...checkpoints.map(
          ({ damage, path }) => `checkpoint    ${path}${damage === null ? "" : ` (damaged: ${damage})`}`
        )
      ].join("\n")
    )
  })
).pipe(
  Command.withDescription("One run: how far it is, how well it does, and whether its checkpoints are intact"),
  Command.withExamples([
    { command: "constellate runs show runs/20260102T030405Z-a1b2c3", description: "By its folder" }
  ])
)

const find = Effect.fnUntraced(function* (run: string) {
  const files = yield* FileSystem.FileSystem
  for (const path of [run, join("runs", run)]) if (yield* files.exists(path)) return path
  return yield* new WrongInput({ field: "run", value: run, expected: "a run folder, or the name of one in ./runs" })
})

export const runs = Command.make("runs").pipe(Command.withSubcommands([list, show, verify, merge, exportCommand]))
