/** `constellate env show`: all there is to know of an environment without reading its source. */
import { Effect, FileSystem, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { stringify } from "yaml"
import { operators } from "../dynamics/operators.ts"
import type { Environment, Style } from "../environment.ts"
import { given } from "../machines/given-task.ts"
import { allStates, drawChart } from "./env-chart.ts"
import { encodeTask, type FiledTask, sampleTasks } from "./env-task-file.ts"
import { environmentOptions, environmentSettings, openTaskSet } from "./environments.ts"
import { answer, json } from "./output.ts"

export const show = Command.make(
  "show",
  {
    env: Argument.String("env").pipe(Argument.withDescription("ID[:PRESET], or the path of a folder or module")),
    seed: Flag.Int("seed").pipe(Flag.withDefault(1), Flag.withDescription("Of the example task; default 1")),
    chart: Flag.String("chart").pipe(
      Flag.withMetavar("FILE.svg"),
      Flag.withDescription("Where to draw the state chart of the dynamics"),
      Flag.optional
    ),
    ...environmentOptions,
    json
  },
  Effect.fnUntraced(function* ({ chart, env, json, seed, ...given }) {
    const chosen = yield* openTaskSet(env, 0, yield* environmentSettings(given))
    const { environment, preset } = chosen
    const [task] = sampleTasks(chosen, { packs: 1, packSize: 4, seed })
    const svg = yield* Effect.promise(() => drawChart(environment.machine))
    if (Option.isSome(chart)) yield* (yield* FileSystem.FileSystem).writeFileString(chart.value, svg)
    const styles: ReadonlyArray<Style> = environment.terse === undefined ? ["chat"] : ["chat", "terse"]
    const example = encodeTask(task!)
    const document = {
      id: environment.id,
      title: environment.title,
      preset,
      ...(environment.dynamics === undefined ? {} : { dynamics: environment.dynamics }),
      options: example.options,
      presets: { train: {}, ...environment.presets },
      schemas: {
        options: jsonSchema(environment.options),
        knowledge: jsonSchema(environment.knowledge.schema),
        task: jsonSchema(environment.task.schema)
      },
      /** What may stand in `environment.dynamics`, whatever the environment. */
      operators: Object.fromEntries(
        Object.entries(operators).map(([name, { parameters }]) => [name, jsonSchema(parameters)])
      ),
      states: statesOf(environment),
      example,
      description: environment.knowledge.describe(task!.knowledge),
      prompts: Object.fromEntries(styles.map((style) => [style, promptsOf(task!, style)])),
      chart: svg
    }
    yield* answer(json, document, () =>
      [
        `${environment.title} (${environment.id}), preset ${preset} of ${Object.keys(document.presets).join(", ")}`,
        titled("Presets", stringify(document.presets, { lineWidth: 0 }).trim()),
        titled("Options", stringify(document.options, { lineWidth: 0 }).trim()),
        ...(document.dynamics === undefined
          ? []
          : [titled("Dynamics operators, the first one innermost", stringify(document.dynamics).trim())]),
        titled("Schemas", stringify(document.schemas, { lineWidth: 0 }).trim()),
        titled("States", document.states.map(({ final, name }) => `${name}${final ? " (final)" : ""}`).join(", ")),
        titled("An example task", JSON.stringify(document.example, null, 2)),
        titled("Its hidden knowledge in words", document.description),
        ...Object.entries(document.prompts).map(([style, { system, user }]) =>
          titled(`Its first prompt, ${style}`, `${system}\n---\n${user}`)
        )
      ].join("\n\n")
    )
  })
).pipe(
  Command.withDescription("Options, schemas, states, prompts of an example task, and the state chart as a picture"),
  Command.withExamples([
    { command: "constellate env show frozen-lake-obscure", description: "All of it as text" },
    { command: "constellate env show alchemy:hard --json", description: "With the JSON schemas of a task file" },
    { command: "constellate env show frozen-lake --chart lake.svg", description: "The dynamics as a picture" }
  ])
)

const titled = (title: string, text: string): string => `${title}\n${"-".repeat(title.length)}\n${text}`

/** Null where any JSON value is taken. */
const jsonSchema = (schema: Schema.Codec<any, any> | undefined): object | null => {
  if (schema === undefined) return null
  const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema)
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    ...root,
    ...(Object.keys(definitions).length === 0 ? {} : { $defs: definitions })
  }
}

const statesOf = ({ machine }: Environment) =>
  allStates(machine.root).map(({ path, type }) => ({ name: path.join("."), final: type === "final" }))

/** Without hints, and without the frame that `terse` prompts get. */
const promptsOf = (task: FiledTask, style: Style): { readonly system: string; readonly user: string } => {
  const { agent, system } = given(task, { style }).begin()
  return { system, user: agent.context.messages.at(-1)!.content }
}
