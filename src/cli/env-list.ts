/** `constellate env list`: which environments there are. */
import { Effect, FileSystem } from "effect"
import { Command } from "effect/cli"
import { join } from "node:path"
import { environmentIds, moduleFiles, openEnvironment } from "./environments.ts"
import { answer, json, table } from "./output.ts"

interface Listed {
  readonly id: string
  readonly title: string
  readonly presets: ReadonlyArray<string>
  readonly styles: ReadonlyArray<string>
  /** Whether a small policy can be trained on it from nothing. */
  readonly demonstrations: boolean
  /** What is wrong with one in the current directory. */
  readonly problem?: string
}

export const list = Command.make(
  "list",
  { json },
  Effect.fnUntraced(function* ({ json }) {
    const own = yield* localIds
    const ids = [...environmentIds.toSorted(), ...own.filter((id) => !environmentIds.includes(id))]
    const listed = yield* Effect.forEach(ids, describe)
    yield* answer(json, listed, () =>
      table(
        ["environment", "", "presets", "styles", "demonstrations"],
        listed.map(({ demonstrations, id, presets, problem, styles, title }) =>
          problem === undefined
            ? [id, title, presets.join(", "), styles.join(", "), demonstrations ? "yes" : "no"]
            : [id, problem]
        )
      )
    )
  })
).pipe(
  Command.withDescription("List the environments: those built in and those in ./environments"),
  Command.withExamples([{ command: "constellate env list", description: "A line for each" }])
)

const describe = (id: string) =>
  openEnvironment(id).pipe(
    Effect.map(({ demonstrate, presets, terse, title }): Listed => ({
      id,
      title,
      presets: Object.keys({ train: {}, ...presets }),
      styles: terse === undefined ? ["chat"] : ["chat", "terse"],
      demonstrations: demonstrate !== undefined
    })),
    Effect.catch(({ message }) =>
      Effect.succeed<Listed>({ id, title: "", presets: [], styles: [], demonstrations: false, problem: message })
    )
  )

/** Folders with a module in `./environments`. */
const localIds = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const names = yield* files.readDirectory("environments").pipe(Effect.orElseSucceed((): Array<string> => []))
  const isEnvironment = (name: string) =>
    Effect.map(
      Effect.forEach(moduleFiles, (file) =>
        files.exists(join("environments", name, file)).pipe(Effect.orElseSucceed(() => false))
      ),
      (found) => found.includes(true)
    )
  return yield* Effect.filter(names.toSorted(), isEnvironment)
})
