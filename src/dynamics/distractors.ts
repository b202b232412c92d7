/** Observations that tell of things without any meaning for the task. */
import { Schema } from "effect"
import type { Environment, Start } from "../environment.ts"
import { beside, operator, ownOf, parameter, type World } from "./operator.ts"
import { remarked } from "./remark.ts"

/** Things to be seen and heard anywhere, each with its word. */
const sights: ReadonlyArray<readonly [word: string, sentence: string]> = [
  ["~gull", "A gull cries overhead."],
  ["~bell", "Somewhere a bell rings three times."],
  ["~wind", "The wind has turned to the west."],
  ["~dog", "A dog barks in the distance."],
  ["~lamp", "A lamp flickers and goes out."],
  ["~leaf", "A red leaf drifts past."],
  ["~rain", "It begins to drizzle."],
  ["~clock", "A clock strikes half past four."],
  ["~coin", "An old coin lies on the ground."],
  ["~song", "Someone is humming a song."],
  ["~smoke", "There is a smell of smoke."],
  ["~moth", "A moth circles around you."],
  ["~ship", "A ship's horn sounds twice."],
  ["~chalk", "Seven chalk marks are drawn on a stone."],
  ["~frost", "Your breath shows in the cold air."],
  ["~crow", "Two crows watch from a fence."]
]
const sentences = new Set(sights.map(([, sentence]) => sentence))

const Distractors = Schema.Struct({
  count: parameter(
    Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: sights.length })),
    0,
    `Sentences that are added to each observation, 0 to ${sights.length}`
  )
})

/** A task with the order in which its sights are seen. */
interface Distracted {
  readonly task: unknown
  readonly sights: ReadonlyArray<number>
}

interface Seen {
  readonly order: Distracted["sights"]
  readonly step: number
}

/**
 * Every observation ends with `count` of sixteen sentences that have nothing to do with the task, in `terse` style with as
 * many words. Their order is drawn with the task, so all runs of a group see the same; step by step come the next ones, around
 * and around. Scripted agents and demonstrations pass over them.
 */
export const withDistractors = operator(
  "distractors",
  Distractors,
  ({ count }) => count > 0,
  (environment, { count }, key): Environment => {
    const { schema, sample } = environment.task
    const Task = Schema.Struct({ task: schema ?? Schema.Unknown, sights: Schema.Array(Schema.Int) })
    const shown = (world: World) => {
      const { order, step } = ownOf<Seen>(world, key)!
      return Array.from({ length: count }, (_, i) => sights[order[(step * count + i) % order.length]!]!)
    }
    const distracted: Environment = {
      ...environment,
      task: {
        schema: Task as Schema.Codec<any, any>,
        sample: (rng, at): Distracted => {
          const task = sample(rng, at)
          return { task, sights: rng.shuffle(sights.map((_, i) => i)) }
        }
      },
      machine: beside<Seen>(environment.machine, key, {
        begin: ({ task }: Start<unknown, unknown, Distracted>) => ({ order: task.sights, step: 0 }),
        inside: (start) => ({ ...start, task: start.task.task }),
        after: ({ order, step }) => ({ order, step: step + 1 })
      })
    }
    return remarked(distracted, {
      chat: (world) =>
        shown(world)
          .map(([, sentence]) => sentence)
          .join("\n"),
      terse: (world) =>
        shown(world)
          .map(([word]) => word)
          .join(" "),
      isLine: (line) => sentences.has(line),
      vocabulary: sights.map(([word]) => word)
    })
  }
)
