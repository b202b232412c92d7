/** What commands print: one JSON document or text on stdout, everything else on stderr. */
import { Console, Effect, Logger } from "effect"
import { Flag } from "effect/cli"
import { format } from "node:util"
import { statusLine } from "./progress.ts"

/** Every command that can answer in JSON takes this option. */
export const json = Flag.Boolean("json").pipe(
  Flag.withoutNegation,
  Flag.withDefault(false),
  Flag.withDescription("Print exactly one JSON document on stdout")
)

/** The command's answer: the document with `--json`, otherwise the text. */
export const answer = (asJson: boolean, document: unknown, text: () => string): Effect.Effect<void> =>
  Console.log(asJson ? JSON.stringify(document, null, 2) : text())

/** Columns under their heads, numbers right-aligned. */
export const table = (heads: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const all = [heads, ...rows]
  const widths = heads.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)))
  const right = heads.map((_, column) => rows.every((row) => /^([-+.]?\d|$|-$)/.test(row[column] ?? "")))
  return all
    .map((row) =>
      heads
        .map((_, column) =>
          right[column] ? (row[column] ?? "").padStart(widths[column]!) : (row[column] ?? "").padEnd(widths[column]!)
        )
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

/** Answers go to stdout; whatever else is written, to stderr. */
export const console: Console.Console = Object.assign(Object.create(globalThis.console) as Console.Console, {
  log: (...parts: ReadonlyArray<unknown>) => {
    statusLine.end() // On a terminal the two share their last line.
    process.stdout.write(`${format(...parts)}\n`)
  },
  error: (...parts: ReadonlyArray<unknown>) => statusLine.print(format(...parts)),
  info: (...parts: ReadonlyArray<unknown>) => statusLine.print(format(...parts)),
  warn: (...parts: ReadonlyArray<unknown>) => statusLine.print(format(...parts)),
  debug: (...parts: ReadonlyArray<unknown>) => statusLine.print(format(...parts))
})

/** Logs are plain lines on stderr. */
export const logger = Logger.layer([
  Logger.withConsoleError(
    Logger.make<unknown, string>(({ logLevel, message }) => {
      const level = { Warn: "warning: ", Error: "error: ", Fatal: "error: " }[logLevel as string] ?? ""
      const parts = Array.isArray(message) ? message : [message]
      return level + parts.map((part) => (part instanceof Error ? part.message : format(part))).join(" ")
    })
  )
])
