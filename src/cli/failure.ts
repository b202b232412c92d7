/**
 * What a command may fail with, and what the process makes of it: an exit code and, on stderr, one line.
 *
 * Exit codes: 0 done; 1 a check failed or something was found; 2 wrong input; 3 a defect of ours; 130 interrupted after
 * a clean stop. Every typed error that reaches the shell is taken as wrong input, unless it carries an exit code of its
 * own (`Runtime.errorExitCode`); what was never typed is a defect.
 */
import { Cause, PlatformError, Runtime, Schema } from "effect"
import type { CliError } from "effect/cli"

/** A value that can't be used: `training.yaml:12: "training.lr" is "fast", expected a number`. */
export class WrongInput extends Schema.TaggedError<WrongInput>()("WrongInput", {
  /** The file it stands in, with `:line` where that is known. Absent for the command line. */
  file: Schema.optionalKey(Schema.String),
  /** An option (`--packs`) or the dotted name of a field (`training.lr`). */
  field: Schema.String,
  /** As it was given; undefined where it is missing. */
  value: Schema.Unknown,
  /** Completes "expected ...". */
  expected: Schema.String
}) {
  override get message() {
    const field = this.field.startsWith("-") ? this.field : JSON.stringify(this.field)
    const value = this.value === undefined ? "missing" : shown(this.value)
    return `${this.file === undefined ? "" : `${this.file}: `}${field} is ${value}, expected ${this.expected}`
  }
}

/** A name that nothing has: `unknown environment "frozen-lke", did you mean "frozen-lake"?` */
export class UnknownName extends Schema.TaggedError<UnknownName>()("UnknownName", {
  file: Schema.optionalKey(Schema.String),
  /** What it should have named: "key", "environment", "preset". */
  kind: Schema.String,
  name: Schema.String,
  valid: Schema.Array(Schema.String)
}) {
  override get message() {
    const near = nearest(this.name, this.valid)
    const help =
      near === undefined
        ? `, expected one of ${this.valid.map((name) => JSON.stringify(name)).join(", ")}`
        : `, did you mean ${JSON.stringify(near)}?`
    return `${this.file === undefined ? "" : `${this.file}: `}unknown ${this.kind} ${JSON.stringify(this.name)}${this.valid.length === 0 ? "" : help}`
  }
}

/** The command did its work and found something: exit code 1. What it found has been printed. */
export class CheckFailed extends Schema.TaggedError<CheckFailed>()("CheckFailed", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
  override readonly [Runtime.errorExitCode] = 1
}

/** What is left to do when a command has ended: lines for stderr and the exit code. */
export const outcome = (
  cause: Cause.Cause<unknown>
): { readonly code: number; readonly lines: ReadonlyArray<string> } => {
  if (Cause.hasInterruptsOnly(cause)) return { code: 130, lines: ["interrupted"] }
  const error = Cause.hasDies(cause) ? undefined : Cause.squash(cause)
  if (error === undefined) {
    return {
      code: 3,
      lines: [
        "constellate: a defect of constellate, not of your input; please report it with the command and what follows",
        Cause.pretty(cause)
      ]
    }
  }
  if (isHelp(error)) {
    const first = error.errors[0]
    return { code: 2, lines: first === undefined ? [] : [`constellate: ${oneLine(usage(first))}`] }
  }
  const code = Runtime.getErrorExitCode({ [Runtime.errorExitCode]: 2, ...pickCode(error) })
  return { code, lines: [`constellate: ${oneLine(text(error))}`] }
}

/** The valid name that is nearest, if it is near enough to be what was meant. */
export const nearest = (name: string, valid: ReadonlyArray<string>): string | undefined => {
  const last = (path: string) => path.slice(path.lastIndexOf(".") + 1)
  const ranked = valid
    .map((candidate) => ({
      candidate,
      // A right key in the wrong place is nearer than any other spelling.
      distance: last(candidate) === last(name) ? 0.5 : edits(name.toLowerCase(), candidate.toLowerCase())
    }))
    .toSorted((a, b) => a.distance - b.distance)
  const best = ranked[0]
  return best !== undefined && best.distance <= Math.max(2, Math.floor(name.length / 3)) ? best.candidate : undefined
}

/** Levenshtein's distance, one row at a time. */
const edits = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    row = next
  }
  return row[b.length]!
}

const isHelp = (error: unknown): error is CliError.ShowHelp =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ShowHelp"

const pickCode = (error: unknown): object =>
  typeof error === "object" && error !== null && Runtime.errorExitCode in error
    ? { [Runtime.errorExitCode]: error[Runtime.errorExitCode] }
    : {}

/** The command line's own errors, in the words of the others. */
const usage = (error: CliError.NonShowHelpErrors): string => {
  const didYouMean = (names: ReadonlyArray<string>) =>
    names.length === 0 ? "" : `, did you mean ${names.map((name) => JSON.stringify(name)).join(" or ")}?`
  switch (error._tag) {
    case "UnrecognizedOption": {
      const command = error.command?.join(" ") ?? "constellate"
      if (error.option === "--set") return `${command} takes no settings (--set a.b=value or --a.b value)`
      return `unknown option ${JSON.stringify(error.option)} of ${command}${didYouMean(error.suggestions) || `, see ${command} --help`}`
    }
    case "UnknownSubcommand": {
      const parent = error.parent?.join(" ") ?? "constellate"
      return `unknown command ${JSON.stringify(error.subcommand)}${didYouMean(error.suggestions) || `, see ${parent} --help`}`
    }
    case "MissingOption":
      return `--${error.option.replace(/^--/, "")} is missing`
    case "MissingArgument":
      return `argument ${error.argument} is missing`
    case "UnexpectedArgument":
      return `unexpected argument ${error.arguments.map((value) => JSON.stringify(value)).join(", ")}`
    case "InvalidValue": {
      const field = error.kind === "flag" ? `--${error.option}` : error.option
      const value = error.kind === "flag" && error.value === "" ? "missing" : JSON.stringify(error.value)
      const expected = error.expected
        .replace(/^Expected:? /i, "")
        .replace(/^Failed to parse (\S+):?.*/is, "a value of type $1")
      return `${field} is ${value}, expected ${expected}`
    }
    default:
      return error.message
  }
}

/** An error in words. */
export const text = (error: unknown): string => {
  if (PlatformError.isPlatformError(error) && error.reason._tag !== "BadArgument") {
    const { _tag, pathOrDescriptor, description } = error.reason
    const what = {
      NotFound: "no such file or folder",
      PermissionDenied: "no permission",
      AlreadyExists: "exists already"
    }
    const reason = what[_tag as keyof typeof what] ?? description ?? _tag
    return `${pathOrDescriptor ?? error.reason.method}: ${reason}`
  }
  return error instanceof Error ? error.message : shown(error)
}

const oneLine = (message: string): string => message.trim().replaceAll(/\s*\n\s*/g, " ")

/** A value as it may stand in a message: JSON, cut where it is long. */
const shown = (value: unknown): string => {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 120 ? `${json.slice(0, 117)}...` : json
}
