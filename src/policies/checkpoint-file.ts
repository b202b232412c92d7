/** The files of a policy folder: reading JSON, and what can be wrong with one, in one line. */
import { Effect, FileSystem, Result, Schema, SchemaIssue } from "effect"
import { join } from "node:path"

/** A fault within one file. */
export interface Fault {
  /** A key of the file or one of its tensors; absent where it is the file as a whole. */
  readonly field?: string | undefined
  /** As it was found; of a tensor or a whole file a text that completes "is ...". */
  readonly value: unknown
  /** Completes "expected ...". */
  readonly expected: string
}

export class CheckpointError extends Schema.TaggedError<CheckpointError>()("CheckpointError", {
  folder: Schema.String,
  /** Relative to the folder. */
  file: Schema.String,
  field: Schema.UndefinedOr(Schema.String),
  value: Schema.Unknown,
  expected: Schema.String
}) {
  override get message() {
    const at = join(this.folder, this.file)
    const subject = this.field === undefined ? at : `${at}: ${JSON.stringify(this.field)}`
    const json = this.file.endsWith(".json") && this.field !== undefined
    const found = this.value === undefined ? "missing" : json ? shown(this.value) : String(this.value)
    return `${subject} is ${found}, expected ${this.expected}`
  }
}

const shown = (value: unknown): string => {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 120 ? `${json.slice(0, 117)}...` : json
}

export const errorIn = (folder: string, file: string, fault: Fault) =>
  new CheckpointError({ folder, file, field: fault.field, value: fault.value, expected: fault.expected })

/** A JSON object; a missing file is one that should have been there. */
export const readJson = Effect.fnUntraced(function* (folder: string, file: string) {
  const files = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(files.readFileString(join(folder, file)), ({ reason }) =>
    errorIn(folder, file, {
      value: reason._tag === "NotFound" ? "missing" : `not readable (${reason._tag})`,
      expected: "a file of a policy folder in Hugging Face layout"
    })
  )
  const json = Result.getOrUndefined(Result.try(() => JSON.parse(text) as unknown))
  return typeof json === "object" && json !== null && !Array.isArray(json)
    ? json
    : yield* errorIn(folder, file, { value: "malformed", expected: "a JSON object" })
})

/** Checks JSON by a schema; the fault is the first that was found. */
export const decodeJson = <A>(schema: Schema.Codec<A, any>, json: object): Result.Result<A, Fault> =>
  Result.mapError(Schema.decodeResult(schema)(json), ({ issue }) => {
    const [first] = SchemaIssue.makeFormatterStandardSchemaV1()(issue).issues
    const path = (first?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key))
    const words = (first?.message ?? "").replace(/^Expected /, "").replace(/, got .*$/s, "")
    return {
      field: path.join("."),
      value: path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], json),
      expected: words === "Missing key" ? "a value" : words
    }
  })

/** Names the file in which a fault was found. */
export const within = <A>(folder: string, file: string, result: Result.Result<A, Fault>) =>
  Effect.mapError(Effect.fromResult(result), (fault) => errorIn(folder, file, fault))
