/** The options and tasks of both FrozenLake environments, as schemas. */
import { Schema } from "effect"
import type { Rng } from "../../src/environment.ts"
import { int, intRange, option, range } from "../option.ts"
import { drawMap, flaw } from "./lake.ts"

const LakeMap = Schema.Array(Schema.String)
  .annotate({
    description: 'A square map, row by row in letters S (start), F (frozen), H (hole) and G (goal): ["SF", "HG"]'
  })
  .check(
    Schema.makeFilter((rows) => {
      const expected = flaw(rows)
      return expected === undefined ? undefined : `Expected ${expected}, got ${JSON.stringify(rows)}`
    })
  )

const count = int(1, 1000)

/** Fields of the options, so that an environment can add its own. The defaults are the published training set. */
export const lakeOptionFields = {
  size: option(intRange(2, 20), [4, 5], "Lowest and highest edge length of the map, drawn per task"),
  p: option(range(0, 1), [0.6, 0.7], "Lowest and highest probability that a tile is frozen, drawn per task"),
  pathBound: option(count, 6, "Maps are accepted up to a shortest path of this many moves plus one"),
  stepCap: option(count, 8, "Steps after which a task is over"),
  slippery: option(Schema.Boolean, false, "Two moves in three slip to one side"),
  map: option(Schema.NullOr(LakeMap), null, "The map of every task, instead of drawn ones")
}
const Options = Schema.Struct(lakeOptionFields)
export type LakeOptions = typeof Options.Type
export const LakeOptions: Schema.Codec<LakeOptions, typeof Options.Encoded> = Options

/** The published evaluation on larger maps. */
export const hard = { size: [6, 7], pathBound: 8, stepCap: 10 } as const

/** Fields of a task. Only `map` is needed; the others tell where a drawn one came from. */
export const lakeTaskFields = {
  map: LakeMap,
  seed: Schema.optionalKey(Schema.Int),
  size: Schema.optionalKey(Schema.Int),
  p: Schema.optionalKey(Schema.Finite)
}
const Task = Schema.Struct(lakeTaskFields)
export type LakeTask = typeof Task.Type
export const LakeTask: Schema.Codec<LakeTask, typeof Task.Encoded> = Task

export const sampleTask = (rng: Rng, options: LakeOptions): LakeTask => {
  const seed = rng.int(0, 99_999)
  if (options.map !== null) return { seed, map: options.map }
  const size = rng.int(...options.size)
  const p = options.p[0] + (options.p[1] - options.p[0]) * rng.uniform()
  return { seed, size, p, map: drawMap(rng, { size, p, pathBound: options.pathBound }) }
}

/** Only successes are penalised, by their share of the steps: replies never get near a million tokens. */
export const lengthPenalty = (options: LakeOptions) => ({
  coefficient: 0.1,
  maxSteps: options.stepCap,
  zeroTokens: 1_000_000,
  fullTokens: 2_000_000
})
