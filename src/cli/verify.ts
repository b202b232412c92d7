/** `constellate runs verify`: what of a run or of a trace file is not as it was written. */
import { Effect, FileSystem, Option, Stream } from "effect"
import { Argument, Command } from "effect/cli"
import { join } from "node:path"
import { damageOf, listCheckpoints } from "../actors/checkpoint.ts"
import { readTraceLine } from "../actors/trace.ts"
import { CheckFailed, WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"

interface Damage {
  readonly file: string
  /** Counted from 1; absent for a checkpoint. */
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
    for (const file of isFile ? [path] : yield* tracesOf(path)) {
      const checked = yield* checkTrace(file)
      lines += checked.lines
      damages.push(...checked.damages)
    }
    const document = { path, checkpoints: checkpoints.length, lines, damages }
    yield* answer(options.json, document, () =>
      [
        ...damages.map(({ file, line, problem }) => `${file}${line === undefined ? "" : `:${line}`}: ${problem}`),
        `${checkpoints.length} checkpoints and ${lines} lines of traces checked, ${damages.length} damaged`
      ].join("\n")
    )
    if (damages.length > 0) return yield* new CheckFailed({ reason: `${damages.length} damaged in ${path}` })
  })
).pipe(
  Command.withDescription("Whether checkpoints and traces are as they were written: torn and altered ones are named"),
  Command.withExamples([
    { command: "constellate runs verify traces.jsonl", description: "Every line of a trace against its checksum" }
  ])
)

const find = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  for (const candidate of [path, join("runs", path)]) if (yield* files.exists(candidate)) return candidate
  return yield* new WrongInput({ field: "path", value: path, expected: "a run folder or a trace file" })
})

const tracesOf = Effect.fnUntraced(function* (run: string) {
  const files = yield* FileSystem.FileSystem
  const folder = join(run, "traces")
  if (!(yield* files.exists(folder))) return []
  const names = yield* files.readDirectory(folder)
  return names
    .filter((name) => name.endsWith(".jsonl"))
    .toSorted()
    .map((name) => join(folder, name))
})

/** Lines end with a line feed and with nothing else. */
const checkTrace = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  const damages: Array<Damage> = []
  let lines = 0
  let rest = ""
  const check = (text: string, whole: boolean): void => {
    const line = ++lines
    const read = readTraceLine(text)
    if (!whole) damages.push({ file, line, problem: "is torn: it has no end" })
    else if (read === undefined) damages.push({ file, line, problem: "is not an episode with its checksum" })
    else if (!read.intact) damages.push({ file, line, problem: "was altered" })
  }
  yield* Stream.runForEach(Stream.decodeText(files.stream(file)), (text) =>
    Effect.sync(() => {
      const parts = (rest + text).split("\n")
      rest = parts.pop()!
      for (const part of parts) check(part, true)
    })
  )
  if (rest !== "") check(rest, false)
  return { lines, damages }
})
