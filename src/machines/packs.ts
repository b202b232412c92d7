/**
 * Packs: ordered lists of tasks that share hidden knowledge (lifecycle specification, sections 2 and 3).
 *
 * Packing is arithmetic over rows (task set and data set index). A pack samples its knowledge and tasks when they are first
 * asked for, from streams named after its seed alone, so all runs of a group see the same tasks however they are scheduled.
 */
import type { Environment, Rng } from "../environment.ts"

/** `cod`: different tasks. `ralph-sample`: the first task of each pack, repeated. `ralph-full`: every task, repeated. */
export type Strategy = "cod" | "ralph-sample" | "ralph-full"

export const strategies: ReadonlyArray<Strategy> = ["cod", "ralph-sample", "ralph-full"]

/** One row of a task set: the identity of a task. */
export interface Row {
  readonly taskSet: number
  /** 0-based place in the data set. */
  readonly index: number
}

export interface PackedRows {
  readonly rows: ReadonlyArray<Row>
  /** The position an environment is told for its task, by loop position; a repeated task keeps one. */
  readonly environmentPositions: ReadonlyArray<number>
}

/**
 * Splits rows into packs that never mix task sets, in first-seen order. `pad` fills the last pack from the beginning of its
 * task set; otherwise a remainder is dropped. A task set smaller than the pack is dropped, except by `ralph-full`.
 * Throws a RangeError when the size is not a positive integer.
 */
export const packRows = (
  rows: ReadonlyArray<Row>,
  options: { readonly strategy: Strategy; readonly size: number; readonly pad: boolean }
): Array<PackedRows> => {
  const { pad, size, strategy } = options
  if (!Number.isInteger(size) || size < 1) throw new RangeError(`pack size is ${size}, expected a positive integer`)
  const positions = Array.from({ length: size }, (_, position) => position)
  const repeated = (row: Row, environmentPosition: number): PackedRows => ({
    rows: positions.map(() => row),
    environmentPositions: positions.map(() => environmentPosition)
  })
  return [...Map.groupBy(rows, (row) => row.taskSet).values()].flatMap((own) => {
    if (strategy === "ralph-full") return own.map((row, i) => repeated(row, i % size))
    const count = own.length < size ? 0 : pad ? Math.ceil(own.length / size) : Math.floor(own.length / size)
    return Array.from({ length: count }, (_, pack) =>
      strategy === "ralph-sample"
        ? repeated(own[pack * size]!, 0)
        : { rows: positions.map((k) => own[(pack * size + k) % own.length]!), environmentPositions: positions }
    )
  })
}

/** Which streams a pack draws from: evaluation never shares one with training, whatever the seeds. */
export type Phase = "train" | "eval"

export interface Pack {
  /** Unique in a run; sorts by number as text. */
  readonly id: string
  readonly seed: bigint
  /** Of the whole run. */
  readonly baseSeed: number
  readonly phase: Phase
  readonly environment: Environment
  /** The environment's options, resolved. */
  readonly options: unknown
  /** Number of positions. */
  readonly size: number
  /** The position the environment is told for its task, by loop position. */
  readonly environmentPositions: ReadonlyArray<number>
  /** Where knowledge and tasks were handed in, not drawn: what holds from which loop position on. Seeds do not lead there. */
  readonly given?: ReadonlyArray<{ readonly from: number; readonly knowledge: unknown }>
  /** Hidden, shared by all tasks of the pack: what of it holds at a loop position, default the first. Throws what the environment throws. */
  readonly knowledge: (position?: number) => unknown
  /** The task at a loop position. Throws what the environment throws. */
  readonly task: (position: number) => unknown
}

/** Its place among the packs of an evaluation, by which its id ends. Training reads its packs in no order. */
const numberOf = ({ id, phase }: Pick<Pack, "id" | "phase">): number | undefined => {
  const digits = phase === "eval" ? /-(\d{7,})$/.exec(id)?.[1] : undefined
  return digits === undefined ? undefined : Number(digits)
}

/** What a pack draws from: the stream of its seed for one purpose. */
export type PackStream = (purpose: "knowledge" | "task", environmentPosition: number) => Rng

/** A pack that samples what it is asked for once, and keeps it for the other runs of its group. */
export const makePack = (pack: Omit<Pack, "knowledge" | "task" | "size">, stream: PackStream): Pack => {
  const { environment, environmentPositions, options } = pack
  const size = environmentPositions.length
  const tasks = new Map<number, unknown>()
  let sampled: { readonly knowledge: unknown } | undefined
  const knowledge = (loopPosition = 0) => {
    const { at, sample } = environment.knowledge
    sampled ??= { knowledge: sample(stream("knowledge", 0), { options, packSize: size, number: numberOf(pack) }) }
    return at === undefined ? sampled.knowledge : at(sampled.knowledge, environmentPositions[loopPosition]!)
  }
  const task = (loopPosition: number) => {
    const position = environmentPositions[loopPosition]!
    if (!tasks.has(position)) {
      const at = { options, knowledge: knowledge(loopPosition), position, packSize: size }
      tasks.set(position, environment.task.sample(stream("task", position), at))
    }
    return tasks.get(position)
  }
  return { ...pack, size, knowledge, task }
}

/** A pack of tasks that are handed in, one for each loop position. */
export const givenPack = (
  pack: Omit<Pack, "knowledge" | "task" | "size" | "given">,
  given: NonNullable<Pack["given"]>,
  tasks: ReadonlyArray<unknown>
): Pack => ({
  ...pack,
  given,
  size: pack.environmentPositions.length,
  knowledge: (position = 0) => given.findLast(({ from }) => from <= position)!.knowledge,
  task: (position) => tasks[position]
})
