/** `constellate replay`: lives recorded lifecycles again and names the first difference. */
import { Effect, FileSystem, Option, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { type Difference, readTraceLine, replayLifecycle, type TraceLine } from "../actors/trace.ts"
import { restoreDynamics } from "./dynamics.ts"
import { openEnvironment } from "./environments.ts"
import { CheckFailed, WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"

/** A line that is not as it was written: the checksum says so. */
interface Altered {
  readonly line: number
  readonly lifecycle: string
  readonly kind: TraceLine["kind"]
  readonly index: number
}

export const replay = Command.make(
  "replay",
  {
    trace: Argument.File("trace").pipe(Argument.withDescription("Trace file, one line of JSON an episode")),
    lifecycle: Flag.String("lifecycle").pipe(
      Flag.withMetavar("ID"),
      Flag.withDescription("Only this lifecycle"),
      Flag.optional
    ),
    env: Flag.String("env").pipe(
      Flag.withMetavar("ID or path"),
      Flag.withDescription("The environment, where the recorded id does not lead to it"),
      Flag.optional
    ),
    json
  },
  Effect.fnUntraced(function* ({ env, json, lifecycle, trace }) {
    const files = yield* FileSystem.FileSystem
    const wanted = Option.getOrUndefined(lifecycle)
    const altered: Array<Altered> = []
    const differences: Array<Difference> = []
    let lifecycles = 0
    let number = 0
    const recorded = files.stream(trace).pipe(
      Stream.decodeText,
      Stream.splitLines,
      Stream.mapEffect((text) => {
        number++
        const read = readTraceLine(text)
        if (read === undefined) {
          const value = text.length > 60 ? `${text.slice(0, 60)}...` : text
          return Effect.fail(
            new WrongInput({
              file: `${trace}:${number}`,
              field: "line",
              value,
              expected: "an episode with its checksum"
            })
          )
        }
        const { intact, line } = read
        if (!intact && (wanted ?? line.lifecycle) === line.lifecycle)
          altered.push({ line: number, lifecycle: line.lifecycle, kind: line.kind, index: line.index })
        return Effect.succeed(line)
      }),
      Stream.filter((line) => wanted === undefined || line.lifecycle === wanted),
      Stream.groupAdjacentBy((line) => line.lifecycle)
    )
    yield* Stream.runForEach(
      recorded,
      Effect.fnUntraced(function* ([id, lines]) {
        lifecycles++
        if (lines[0].plan === undefined) {
          return yield* new WrongInput({ file: trace, field: id, value: undefined, expected: "all its episodes" })
        }
        const bare = yield* openEnvironment(Option.getOrElse(env, () => lines[0].environment))
        const environment = restoreDynamics(bare, lines[0].plan.dynamics)
        const difference = yield* replayLifecycle(lines, environment)
        if (difference !== undefined) differences.push(difference)
      })
    )
    if (wanted !== undefined && lifecycles === 0) {
      return yield* new WrongInput({ field: "--lifecycle", value: wanted, expected: `a lifecycle in ${trace}` })
    }
    yield* answer(json, { lifecycles, altered, differences }, () => report(lifecycles, altered, differences))
    const [first] = differences
    if (first !== undefined || altered.length > 0) {
      return yield* new CheckFailed({
        reason: `${differences.length} of ${lifecycles} lifecycles differ, ${altered.length} lines were altered`
      })
    }
  })
).pipe(
  Command.withDescription("Live recorded lifecycles again and name the first difference of each"),
  Command.withExamples([{ command: "constellate replay traces.jsonl", description: "All lifecycles of a trace" }])
)

const report = (lifecycles: number, altered: ReadonlyArray<Altered>, differences: ReadonlyArray<Difference>): string =>
  [
    ...altered.map(({ index, kind, lifecycle, line }) => `line ${line} was altered: ${lifecycle}, ${kind} ${index}`),
    ...differences.map(
      ({ field, index, kind, lifecycle, recorded, replayed }) =>
        `${lifecycle}, ${kind} ${index}, ${field}: recorded ${short(recorded)}, replayed ${short(replayed)}`
    ),
    `${lifecycles} lifecycles replayed, ${differences.length} differ`
  ].join("\n")

const short = (value: unknown): string => {
  const json = JSON.stringify(value) ?? "nothing"
  return json.length > 200 ? `${json.slice(0, 200)}...` : json
}
