/** What is wrong with a policy folder, in one line. */
import { Schema, SchemaIssue } from "effect"

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
    const at = `${this.folder}/${this.file}`
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

/** The first thing that a schema found wrong with JSON, with the value that stands there. */
export const faultOf = (issue: SchemaIssue.Issue, json: unknown): Fault => {
  const [first] = SchemaIssue.makeFormatterStandardSchemaV1()(issue).issues
  const path = (first?.path ?? []).map((key) => String(typeof key === "object" ? key.key : key))
  const value = path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], json)
  const words = (first?.message ?? "").replace(/^Expected /, "").replace(/, got .*$/s, "")
  return {
    field: path.length === 0 ? undefined : path.join("."),
    value: path.length === 0 ? "not usable" : value,
    expected: words === "Missing key" ? "a value" : words
  }
}
