/**
 * Episodes as Parquet, for analysis: a row an episode, with the names of a trace line, so that the same questions can be put
 * to both. Row groups are written as they fill: memory is that of one group, however long the file.
 */
import { Effect, Schema } from "effect"
import type { SchemaElement } from "hyparquet-writer"
import type { Scored } from "../kernels/credit/estimator.ts"
import type { Episode } from "../machines/episode.ts"

/** An episode to be written. */
export interface EpisodeRow {
  readonly episode: Episode
  /** By which it was played, as on the command line; null where the record does not say. */
  readonly policy: string | null
  /** What each step was worth, where that is known. */
  readonly credit?: ReadonlyArray<Scored | undefined>
}

/** The file cannot be written. */
export class ParquetError extends Schema.TaggedError<ParquetError>()("ParquetError", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.reason}`
  }
}

/** A group is full with so many rows, or characters of prompts. */
const groupRows = 10_000
const groupCharacters = 1 << 23

type Repetition = "REQUIRED" | "OPTIONAL"
const text = (name: string, repetition_type: Repetition = "REQUIRED"): SchemaElement => ({
  name,
  type: "BYTE_ARRAY",
  converted_type: "UTF8",
  repetition_type
})
const value = (
  name: string,
  type: "INT32" | "DOUBLE" | "BOOLEAN",
  repetition_type: Repetition = "REQUIRED"
): SchemaElement => ({ name, type, repetition_type })
const list = (name: string, element: ReadonlyArray<SchemaElement>): Array<SchemaElement> => [
  { name, repetition_type: "REQUIRED", num_children: 1, converted_type: "LIST" },
  { name: "list", repetition_type: "REPEATED", num_children: 1 },
  ...element
]
const struct = (name: string, fields: ReadonlyArray<ReadonlyArray<SchemaElement>>): Array<SchemaElement> => [
  { name, repetition_type: "REQUIRED", num_children: fields.length },
  ...fields.flat()
]

const step = struct("element", [
  [text("observation")],
  [text("prompt")],
  list("promptTokens", [value("element", "INT32")]),
  list("tokens", [value("element", "INT32")]),
  list("logprobs", [value("element", "DOUBLE")]),
  [value("policyVersion", "INT32")],
  [text("reply")],
  [value("truncated", "BOOLEAN")],
  [text("feedback")],
  [value("return", "DOUBLE", "OPTIONAL")],
  [value("baseline", "DOUBLE", "OPTIONAL")],
  [value("score", "DOUBLE", "OPTIONAL")],
  [value("advantage", "DOUBLE", "OPTIONAL")]
])

/** Columns in their order: how each is stored, and what a row has there. */
const columns: ReadonlyArray<readonly [ReadonlyArray<SchemaElement>, (row: EpisodeRow) => unknown]> = [
  [[text("lifecycle")], ({ episode }) => episode.lifecycle],
  [[text("pack")], ({ episode }) => episode.pack],
  [[value("run", "INT32")], ({ episode }) => episode.run],
  [[text("kind")], ({ episode }) => episode.kind],
  [[value("index", "INT32")], ({ episode }) => episode.index],
  [[text("environment")], ({ episode }) => episode.environment],
  [[text("policy", "OPTIONAL")], ({ policy }) => policy],
  [[text("seed")], ({ episode }) => episode.seed],
  // Tasks have as many shapes as there are environments.
  [[{ ...text("task"), converted_type: "JSON" }], ({ episode }) => episode.task ?? null],
  [[text("contextBefore")], ({ episode }) => episode.contextBefore],
  [[text("contextAfter")], ({ episode }) => episode.contextAfter],
  [list("steps", step), stepsOf],
  [[value("reward", "DOUBLE")], ({ episode }) => episode.reward],
  [[value("success", "BOOLEAN")], ({ episode }) => episode.success],
  [[text("outcome")], ({ episode }) => episode.outcome],
  [[text("why", "OPTIONAL")], ({ episode }) => episode.why ?? null],
  [
    struct("timing", [[value("startedMillis", "DOUBLE")], [value("endedMillis", "DOUBLE")]]),
    ({ episode }) => episode.timing
  ]
]

function stepsOf({ credit = [], episode }: EpisodeRow) {
  return episode.steps.map((step, i) => {
    const { advantage = null, baseline = null, return: following = null, score = null } = credit[i] ?? {}
    return { ...step, return: following, baseline, score, advantage }
  })
}

const schema: Array<SchemaElement> = [
  { name: "episodes", num_children: columns.length },
  ...columns.flatMap(([elements]) => elements)
]

/** Begins a file, or writes over one; `end` completes it. */
export const openEpisodeParquet = Effect.fnUntraced(function* (path: string) {
  // Loaded when it is needed: no other command has any use for it.
  const { fileWriter, ParquetWriter } = yield* Effect.promise(() => import("hyparquet-writer"))
  const attempt = <A>(call: () => A | Promise<A>) =>
    Effect.tryPromise({
      try: async () => call(),
      catch: (thrown) => new ParquetError({ path, reason: thrown instanceof Error ? thrown.message : String(thrown) })
    })
  const parquet = yield* attempt(
    () => new ParquetWriter({ writer: fileWriter(path), schema, createdBy: "constellate" })
  )
  let rows: Array<EpisodeRow> = []
  let characters = 0
  const writeGroup = Effect.suspend(() => {
    const group = rows
    rows = []
    characters = 0
    if (group.length === 0) return Effect.void
    const columnData = columns.map(([[element], read]) => ({ name: element!.name, data: group.map(read) }))
    return attempt(() => parquet.write({ columnData, rowGroupSize: group.length }))
  })
  return {
    write: (row: EpisodeRow) => {
      rows.push(row)
      for (const { prompt, promptTokens } of row.episode.steps) characters += prompt.length + 4 * promptTokens.length
      return rows.length >= groupRows || characters >= groupCharacters ? writeGroup : Effect.void
    },
    end: Effect.andThen(
      writeGroup,
      attempt(() => parquet.finish())
    )
  }
})
