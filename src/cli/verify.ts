/** `constellate runs verify`: what of a run or of a trace is not as it was written. */
import { Effect, FileSystem, Option, Stream } from "effect"
import { Argument, Command } from "effect/cli"
import { join } from "node:path"
import { type FileLine, linesOf } from "../actors/checked-lines.ts"
import { damageOf, listCheckpoints } from "../actors/checkpoint.ts"
import { journalLines } from "../actors/journal.ts"
import { isLast } from "../actors/tally.ts"
import { readTraceLine, type TraceLine } from "../actors/trace.ts"
import { partsOf } from "../actors/trace-file.ts"
import { CheckFailed, WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"

interface Damage {
  readonly file: string
  /** Counted from 1; absent for a checkpoint, and for what is missing at the end of a file. */
  readonly line?: number
  readonly problem: string
}

export const verify = Command.make(
  "verify",
  {
    path: Argument.String("path").pipe(
      Argument.withDescription("A run folder, the name of one in ./runs, or a trace file")
    ),
    json
  },
  Effect.fnUntraced(function* (options) {
    const path = yield* find(options.path)
    const files = yield* FileSystem.FileSystem
    const damages: Array<Damage> = []
    let lines = 0
    const isFile = (yield* files.stat(path)).type === "File"
    const checkpoints = isFile ? [] : yield* listCheckpoints(join(path, "checkpoints"))
    for (const checkpoint of checkpoints) {
      const damage = yield* damageOf(checkpoint)
      if (Option.isSome(damage)) damages.push({ file: checkpoint.path, problem: damage.value })
    }
    const traces = isFile ? yield* partsOf(path) : yield* filesIn(path, "traces")
    for (const file of traces) {
      const check = makeTraceCheck()
      yield* Stream.runForEach(linesOf(file), (line) =>
        Effect.sync(() => {
          lines++
          const problem = check.line(line)
          if (problem !== undefined) damages.push({ file, line: line.number, problem })
        })
      )
      const problem = check.end()
      if (problem !== undefined) damages.push({ file, problem })
    }
    const journals = isFile ? [] : yield* filesIn(path, "journal")
    let entries = 0
    for (const file of journals) {
      yield* Stream.runForEach(journalLines(file), ({ number, problem }) =>
        Effect.sync(() => {
          entries++
          if (problem !== undefined) damages.push({ file, line: number, problem })
        })
      )
    }
    const document = { path, checkpoints: checkpoints.length, lines, entries, damages }
    yield* answer(options.json, document, () =>
      [
        ...damages.map(({ file, line, problem }) => `${file}${line === undefined ? "" : `:${line}`}: ${problem}`),
        `${checkpoints.length} checkpoints, ${lines} lines of traces and ${entries} of journals checked, ${damages.length} damaged`
      ].join("\n")
    )
    if (damages.length > 0) return yield* new CheckFailed({ reason: `${damages.length} damaged in ${path}` })
  })
).pipe(
  Command.withDescription(
    "Whether checkpoints, traces and journals are as they were written: what is torn, altered or missing is named"
  ),
  Command.withExamples([
    { command: "constellate runs verify traces.jsonl", description: "Every line of a trace against its checksum" }
  ])
)

const find = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  for (const candidate of [path, join("runs", path)]) if (yield* files.exists(candidate)) return candidate
  return yield* new WrongInput({ field: "path", value: path, expected: "a run folder or a trace file" })
})

const filesIn = Effect.fnUntraced(function* (run: string, name: string) {
  const files = yield* FileSystem.FileSystem
  const folder = join(run, name)
  if (!(yield* files.exists(folder))) return []
  const names = yield* files.readDirectory(folder)
  return names
    .filter((name) => name.endsWith(".jsonl"))
    .toSorted()
    .map((name) => join(folder, name))
})

/** Goes through the lines of a trace, each of them intact and following from the one before it. */
const makeTraceCheck = () => {
  /** Unknown at the beginning of the file and behind a damaged line. */
  let before: TraceLine | undefined
  let packSize = 0
  let torn = false
  const follows = (line: TraceLine): string | undefined => {
    if (before === undefined) return undefined
    if (line.plan === undefined) {
      const next = before.kind === "solve" ? ["update", before.index] : ["solve", before.index + 1]
      const isNext = line.lifecycle === before.lifecycle && line.kind === next[0] && line.index === next[1]
      return isNext ? undefined : `does not follow the line before it: lines are missing`
    }
    if (packSize > 0 && !isLast(before, packSize)) {
      return `begins a lifecycle, but the end of ${before.lifecycle} before it is missing`
    }
    const missing = numberOf(line) - numberOf(before) - 1
    return missing > 0 ? `begins a lifecycle, but ${missing} before it are missing` : undefined
  }
  return {
    line: ({ text, whole }: FileLine): string | undefined => {
      const read = readTraceLine(text)
      torn = !whole
      if (!whole || read === undefined || !read.intact) {
        before = undefined
        return !whole
          ? "is torn: it has no end"
          : read === undefined
            ? "is not an episode with its checksum"
            : "was altered"
      }
      const { line } = read
      const problem = follows(line)
      if (line.plan !== undefined) packSize = line.plan.tasks ?? line.plan.environmentPositions.length
      else if (before === undefined) packSize = 0
      before = line
      return problem
    },
    end: (): string | undefined =>
      before === undefined || torn || packSize === 0 || isLast(before, packSize)
        ? undefined
        : `ends within lifecycle ${before.lifecycle}`
  }
}

/** The number at the end of a pack's id. */
const numberOf = ({ pack }: TraceLine): number => Number(/\d+$/.exec(pack)?.[0])
