/**
 * Tasks in files: `{environment, options, knowledge, task, position, packSize, memory?}`, with options, knowledge and
 * task in the environment's own schemas. One such object for `env trace`, one a line for whole packs.
 */
import { Effect, FileSystem, Result, Schema } from "effect"
import { isDeepStrictEqual } from "node:util"
import { freshPacks, type TaskSet } from "../actors/rollout.ts"
import type { Environment } from "../environment.ts"
import type { GivenTask } from "../machines/given-task.ts"
import { fromObject, resolveConfig } from "./config.ts"
import type { Chosen } from "./environments.ts"
import { WrongInput } from "./failure.ts"

/** A JSON file. */
export const readJson = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  return yield* parseJson(yield* files.readFileString(file), file)
})

export const parseJson = (text: string, file: string): Effect.Effect<unknown, WrongInput> =>
  Effect.fromResult(
    Result.try({
      try: () => JSON.parse(text) as unknown,
      catch: (error) =>
        new WrongInput({ file, field: "file", value: (error as Error).message, expected: "a readable JSON document" })
    })
  )

/** Packs are lists in memory: a size of a thousand million, taken at its word, would fill all of it. */
const mostTasks = 100_000

const fieldsOf = (environment: Environment) =>
  Schema.Struct({
    environment: Schema.optionalKey(Schema.String),
    options: environment.options.pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    knowledge: nullByDefault(environment.knowledge.schema ?? Schema.Unknown),
    task: environment.task.schema ?? Schema.Unknown,
    position: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: mostTasks - 1 })).pipe(
      Schema.withDecodingDefaultKey(Effect.succeed(0))
    ),
    packSize: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: mostTasks }))),
    memory: Schema.optionalKey(Schema.Unknown),
    dynamics: Schema.optionalKey(Schema.Unknown),
    /** Which pack of its file a task belongs to. */
    pack: Schema.optionalKey(Schema.Int)
  })

/** Where nothing is hidden, nothing needs to be written. */
const nullByDefault = (schema: Schema.Codec<any, any>): Schema.Codec<any, any> =>
  Schema.is(schema)(null) ? schema.pipe(Schema.withDecodingDefaultKey(Effect.succeed(null))) : schema

/** A task with its pack's number in the file. */
export interface FiledTask extends GivenTask {
  readonly pack: number
}

/** The task that a JSON value describes, over the options of the preset that was chosen. */
export const decodeTask = Effect.fnUntraced(function* (
  value: unknown,
  file: string,
  { environment, preset }: Pick<Chosen, "environment" | "preset">
) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return yield* new WrongInput({ file, field: "file", value, expected: "an object with a task" })
  }
  const named = "environment" in value ? value.environment : undefined
  if (named !== undefined && named !== environment.id) {
    return yield* new WrongInput({ file, field: "environment", value: named, expected: JSON.stringify(environment.id) })
  }
  const recorded = "dynamics" in value ? value.dynamics : undefined
  if (!isDeepStrictEqual(recorded, environment.dynamics)) {
    const operators = JSON.stringify(environment.dynamics)
    const expected = operators === undefined ? "none (see environment.dynamics)" : `${operators}, as it was opened`
    return yield* new WrongInput({ file, field: "dynamics", value: recorded, expected })
  }
  const base = fromObject({ options: environment.presets[preset] ?? {} })
  const decoded = yield* resolveConfig(fieldsOf(environment), base, fromObject(value, file)).pipe(
    // What is missing altogether stands in no file, but is missing in this one.
    Effect.catchTag("WrongInput", (wrong) => Effect.fail(new WrongInput({ ...wrong, file: wrong.file ?? file })))
  )
  const { knowledge, options, pack = 0, position, packSize = position + 1, task } = decoded
  if (position >= packSize) {
    const expected = `0 to ${packSize - 1}, since packSize is ${packSize}`
    return yield* new WrongInput({ file, field: "position", value: position, expected })
  }
  const raw = value as { readonly knowledge?: unknown; readonly task?: unknown; readonly memory?: unknown }
  if (raw.memory !== undefined && raw.memory !== null && environment.memory === undefined) {
    return yield* new WrongInput({ file, field: "memory", value: raw.memory, expected: "none, as it has no memory" })
  }
  return {
    environment,
    options,
    // Without a schema a value is taken as it stands.
    knowledge: environment.knowledge.schema === undefined ? raw.knowledge : knowledge,
    task: environment.task.schema === undefined ? raw.task : task,
    position,
    packSize,
    ...(raw.memory === undefined ? {} : { memory: raw.memory }),
    pack
  } satisfies FiledTask as FiledTask
})

/** A task as JSON that `decodeTask` reads. */
export const encodeTask = ({ environment, knowledge, memory, options, pack, packSize, position, task }: FiledTask) => ({
  environment: environment.id,
  options: Schema.encodeSync(environment.options)(options),
  knowledge: encoded(environment.knowledge.schema, knowledge),
  task: encoded(environment.task.schema, task),
  position,
  packSize,
  ...(memory === undefined ? {} : { memory }),
  ...(environment.dynamics === undefined ? {} : { dynamics: environment.dynamics }),
  pack
})

const encoded = (schema: Schema.Codec<any, any> | undefined, value: unknown): unknown =>
  schema === undefined ? value : Schema.encodeSync(schema)(value)

/** The packs that `simulate` would live with this seed, task by task. */
export const sampleTasks = (
  taskSet: TaskSet,
  { packs, packSize, seed }: { readonly packs: number; readonly packSize: number; readonly seed: number }
): Array<FiledTask> =>
  freshPacks(taskSet, { phase: "eval", baseSeed: seed, epoch: 0, count: packs, size: packSize }).flatMap(
    (pack, number) =>
      Array.from({ length: packSize }, (_, position) => ({
        environment: taskSet.environment,
        options: taskSet.options,
        knowledge: pack.knowledge(position),
        task: pack.task(position),
        position,
        packSize,
        pack: number
      }))
  )
