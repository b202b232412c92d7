/**
 * Task files as packs: what `env tasks` writes is read back and packed as the lifecycle specification says (section 2).
 *
 * A pack shares hidden knowledge, so tasks of different packs of the file, or with different knowledge, never share one,
 * nor do tasks of different environments or options. Within that, packing goes by the order of the lines.
 */
import { Effect, FileSystem, Schema } from "effect"
import type { PackSeeds } from "../actors/rollout.ts"
import { canonicalJson } from "../actors/episode-text.ts"
import type { Environment } from "../environment.ts"
import { runtimePackSeed, stablePackSeed } from "../kernels/seeds.ts"
import { givenPack, packRows, type Strategy } from "../machines/packs.ts"
import type { Setting } from "./config.ts"
import { type Chosen, openTaskSet } from "./environments.ts"
import { decodeTask, encodeTask, type FiledTask, parseJson } from "./env-task-file.ts"
import { WrongInput } from "./failure.ts"

/** The keys of a configuration that say how packs come about. */
export const packingFields = {
  pad: Schema.optionalKey(
    Schema.Boolean.annotate({
      description: "Fill the last pack of --tasks from the first ones (default); false drops what is left over"
    })
  ),
  packSeeds: Schema.optionalKey(
    Schema.Literals(["runtime", "stable"]).annotate({
      description: "Seeds of packs from seed and number (runtime, default) or from the identities of tasks (stable)"
    })
  )
}

export interface Packing {
  readonly strategy: Strategy
  readonly pad: boolean
  readonly packSeeds: PackSeeds
}

/** A task of a file. */
interface Row extends FiledTask {
  readonly preset: string
  /** 0-based place among the tasks of the file. */
  readonly index: number
  readonly line: number
  /** Same for tasks that may share a pack. */
  readonly group: string
  /** The knowledge as text. */
  readonly known: string
  /** Tasks with the same environment and options are a task set; 0 is the first of the file. */
  readonly taskSet: number
}

/** The tasks of one environment of a file. */
export interface TaskFile {
  readonly environment: Environment
  readonly preset: string
  readonly file: string
  readonly rows: ReadonlyArray<Row>
  /** As the file has it; undefined where it says nothing. */
  readonly packSize: number | undefined
}

/** Reads the tasks of a file, by environment. `env` names those that it may hold; none: whatever its lines name. */
export const readTaskFile = Effect.fnUntraced(function* (
  file: string,
  env: ReadonlyArray<string>,
  settings: ReadonlyArray<Setting>
) {
  const own = settings.find(({ path }) => path[0] === "environment")
  if (own !== undefined) {
    const expected = "nothing beside --tasks: a task file has options of its own"
    return yield* new WrongInput({ field: own.path.join("."), value: own.value, expected })
  }
  const chosen = yield* Effect.forEach(env, (text, id) => openTaskSet(text, id))
  const opened = new Map(chosen.map((one) => [one.environment.id, one]))
  const rows: Array<Row> = []
  const taskSets = new Map<string, number>()
  const firstOf = new Map<string, Row>()
  let packSize: number | undefined
  const files = yield* FileSystem.FileSystem
  for (const [i, text] of (yield* files.readFileString(file)).split("\n").entries()) {
    if (text.trim() === "") continue
    const where = `${file}:${i + 1}`
    const value = yield* parseJson(text, where)
    const own = yield* environmentOf(value, where, opened, env.length === 0)
    const task = yield* decodeTask(value, where, own)
    const raw = value as { readonly packSize?: number; readonly pack?: number; readonly memory?: unknown }
    if (raw.memory !== undefined) {
      const expected = "nothing: a lifecycle carries the environment's memory from task to task"
      return yield* new WrongInput({ file: where, field: "memory", value: raw.memory, expected })
    }
    packSize ??= raw.packSize
    const { environment, knowledge, options } = encodeTask(task)
    const known = canonicalJson(knowledge)
    const ofSet = canonicalJson([environment, options])
    if (!taskSets.has(ofSet)) taskSets.set(ofSet, taskSets.size)
    const taskSet = taskSets.get(ofSet)!
    const group = canonicalJson([taskSet, raw.pack === undefined ? known : raw.pack])
    const row: Row = { ...task, preset: own.preset, index: rows.length, line: i + 1, group, known, taskSet }
    const first = firstOf.get(group) ?? row
    firstOf.set(group, first)
    if (known !== first.known && task.environment.knowledge.at === undefined) {
      const expected = `that of line ${first.line}, since both are of pack ${raw.pack}`
      return yield* new WrongInput({ file: where, field: "knowledge", value: knowledge, expected })
    }
    rows.push(row)
  }
  if (rows.length === 0) {
    return yield* new WrongInput({ field: "--tasks", value: file, expected: "a file with tasks; it has none" })
  }
  return [...Map.groupBy(rows, ({ environment }) => environment.id).values()].map((own): TaskFile => ({
    environment: own[0]!.environment,
    preset: own[0]!.preset,
    file,
    rows: own,
    packSize
  }))
})

/** The environment of a line: the one that it names, or the only one that there is. */
const environmentOf = Effect.fnUntraced(function* (
  value: unknown,
  file: string,
  opened: Map<string, Chosen>,
  open: boolean
) {
  const named = typeof value === "object" && value !== null && "environment" in value ? value.environment : undefined
  const known = typeof named === "string" ? opened.get(named) : opened.size === 1 ? [...opened.values()][0] : undefined
  if (known !== undefined && (named !== undefined || !open)) return known
  if (open && Schema.is(Schema.String)(named)) {
    const own = yield* openTaskSet(named, 0)
    opened.set(named, own)
    return own
  }
  const expected = open ? "the id of an environment" : `one of --env: ${[...opened.keys()].join(", ")}`
  return yield* new WrongInput({ file, field: "environment", value: named, expected })
})

/** The packs that the tasks of one environment make, in the order of the file. Fails where there is not one. */
export const packTasks = Effect.fnUntraced(function* (
  { environment, file, rows }: TaskFile,
  { packSeeds, pad, strategy }: Packing,
  size: number,
  baseSeed: number
) {
  const packed = [...Map.groupBy(rows, ({ group }) => group).values()].flatMap((own) =>
    packRows(
      own.map(({ index, taskSet }) => ({ index, taskSet })),
      { strategy, size, pad }
    )
  )
  if (packed.length === 0) {
    const expected = `at most the tasks that share knowledge in ${file}`
    return yield* new WrongInput({ field: "packSize", value: size, expected })
  }
  const byIndex = new Map(rows.map((row) => [row.index, row]))
  return packed.map(({ environmentPositions, rows }, number) => {
    const tasks = rows.map(({ index }) => byIndex.get(index)!)
    const pack = {
      id: `eval-0000-${String(number).padStart(7, "0")}`,
      seed:
        packSeeds === "stable"
          ? stablePackSeed(rows.map(({ index, taskSet }) => [taskSet, index]))
          : runtimePackSeed({ baseSeed, phase: "eval", environment: environment.id, epoch: 0, number }),
      baseSeed,
      phase: "eval" as const,
      environment,
      options: tasks[0]!.options,
      environmentPositions
    }
    const changes = tasks.flatMap(({ knowledge, known }, from) =>
      known === tasks[from - 1]?.known ? [] : [{ from, knowledge }]
    )
    return givenPack(
      pack,
      changes,
      tasks.map(({ task }) => task)
    )
  })
})
