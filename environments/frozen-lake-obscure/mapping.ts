/** The hidden knowledge of FrozenLake-Obscure: which move each numbered direction makes. */
import { Schema } from "effect"
import type { Rng } from "../../src/environment.ts"
import type { Move } from "../frozen-lake/lake.ts"
import { lakeOptionFields, lakeTaskFields } from "../frozen-lake/options.ts"
import { option } from "../option.ts"
import type { Mapping } from "../frozen-lake/walk.ts"

const permutations = (items: ReadonlyArray<Move>): Array<Array<Move>> =>
  items.length === 0
    ? [[]]
    : items.flatMap((first) => permutations(items.filter((item) => item !== first)).map((rest) => [first, ...rest]))

/** All 24 mappings, in lexicographic order of the letters Down, Right, Up, Left. */
export const mappings = permutations(["Down", "Right", "Up", "Left"]) as unknown as ReadonlyArray<Mapping>

const MoveName = Schema.Literals(["Up", "Down", "Left", "Right"])
const MappingFromJson = Schema.Tuple([MoveName, MoveName, MoveName, MoveName])
  .annotate({ description: "The moves of directions 1 to 4, each once" })
  .check(
    Schema.makeFilter((mapping) =>
      new Set(mapping).size === 4 ? undefined : `Expected each move once, got ${JSON.stringify(mapping)}`
    )
  )
const MappingIndex = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: mappings.length - 1 }))

export const Options = Schema.Struct({
  ...lakeOptionFields,
  mappingMode: option(
    Schema.Literals(["per_pack", "per_task", "global"]),
    "per_pack",
    "Whether the mapping is drawn for each pack, told by each task, or told by the two options below"
  ),
  mapping: option(Schema.NullOr(MappingFromJson), null, "The mapping in mode global; null for the one of the index"),
  mappingIndex: option(
    MappingIndex,
    0,
    "A place among the 24 mappings in lexicographic order of (Down, Right, Up, Left): 0 is Down, Right, Up, Left"
  )
})
export type Options = typeof Options.Type

/** `{ "mapping": ["Left", "Up", "Down", "Right"] }`; null where every task has its own. */
export const Knowledge = Schema.Struct({ mapping: Schema.NullOr(MappingFromJson) })
export type Knowledge = typeof Knowledge.Type

/** In mode `per_task` the first that is there tells the mapping: `mapping`, `mappingIndex`, `mappingSeed`, `seed`. */
export const Task = Schema.Struct({
  ...lakeTaskFields,
  mapping: Schema.optionalKey(MappingFromJson),
  mappingIndex: Schema.optionalKey(MappingIndex),
  mappingSeed: Schema.optionalKey(Schema.Int)
})
export type Task = typeof Task.Type

export const sampleKnowledge = (rng: Rng, { mappingMode, mapping, mappingIndex }: Options): Knowledge => {
  if (mappingMode === "per_pack") return { mapping: rng.pick(mappings) }
  return { mapping: mappingMode === "per_task" ? null : (mapping ?? mappings[mappingIndex]!) }
}

/** The mapping in force in a task. */
export const mappingIn = (knowledge: Knowledge, task: Task): Mapping =>
  knowledge.mapping ??
  task.mapping ??
  (task.mappingIndex === undefined ? mappingOfSeed(task.mappingSeed ?? task.seed ?? 0) : mappings[task.mappingIndex]!)

/** Seeds that differ give mappings as good as drawn: the bits are mixed as by MurmurHash3's finalizer. */
const mappingOfSeed = (seed: number): Mapping => {
  let bits = Math.imul(seed ^ (seed >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return mappings[((bits ^ (bits >>> 16)) >>> 0) % mappings.length]!
}
