/** The options, knowledge and tasks of Learn2Ask, as schemas and draws. */
import { Schema } from "effect"
import type { Rng } from "../../src/environment.ts"
import { option } from "../option.ts"
import { type Group, groups, type Split } from "./dialogues.ts"

const DialogueFile = Schema.NullOr(Schema.String).check(
  Schema.makeFilter((file) => {
    try {
      groups(file, "all")
      return undefined
    } catch (thrown) {
      return thrown instanceof Error ? thrown.message : String(thrown)
    }
  })
)

export const Options = Schema.Struct({
  dialogues: option(DialogueFile, null, "A file of dialogues, one session a line as JSON; null: the synthetic ones"),
  split: option(
    Schema.Literals(["all", "train", "test"]),
    "train",
    "Part of the dialogues: a fifth of the rounds, as whole diagnoses, is kept for the test"
  ),
  packBy: option(
    Schema.Literals(["diagnosis", "nothing"]),
    "diagnosis",
    "Whether the tasks of a pack are of one diagnosis, or anything"
  ),
  trainMode: option(Schema.Literals(["Ra+Rs", "Ra", "Rs"]), "Ra+Rs", "Which scores make the reward"),
  fusionMode: option(Schema.Literals(["default", "sum"]), "default", "How mode Ra+Rs combines its scores")
})
export type Options = typeof Options.Type

/** `hard` has diagnoses that training never sees. */
export const presets = { train: {}, hard: { split: "test" } } as const

const Attributes = Schema.Array(Schema.NonEmptyString)

/** `{ "diagnosis": "migraine", "attributes": ["nature of the headache"] }`; null where packs are of anything. */
export const Knowledge = Schema.Struct({
  diagnosis: Schema.NullOr(Schema.String),
  attributes: Attributes.annotate({ description: "All that is asked about before it is time to stop" })
})
export type Knowledge = typeof Knowledge.Type

/** `{ "messages": [{ "role": "patient", "content": "..." }], "decision": "continue", "open": ["..."] }`. */
export const Task = Schema.Struct({
  messages: Schema.Array(
    Schema.Struct({ role: Schema.Literals(["patient", "doctor"]), content: Schema.String })
  ).annotate({ description: "The dialogue so far" }),
  decision: Schema.Literals(["continue", "stop"]),
  open: Attributes.annotate({ description: "What is still to be asked about" }),
  diagnosis: Schema.optionalKey(Schema.String)
})
export type Task = typeof Task.Type

const groupsIn = ({ dialogues, split }: Options): ReadonlyArray<Group> => groups(dialogues, split as Split)

/** A diagnosis as often as it has rounds. */
export const drawKnowledge = (rng: Rng, options: Options): Knowledge => {
  if (options.packBy === "nothing") return { diagnosis: null, attributes: [] }
  const { attributes, diagnosis } = rng.pick(groupsIn(options).flatMap((group) => group.rounds.map(() => group)))
  return { diagnosis, attributes }
}

export const drawTask = (rng: Rng, options: Options, { diagnosis }: Knowledge): Task => {
  const own = groupsIn(options).filter((group) => diagnosis === null || group.diagnosis === diagnosis)
  return rng.pick(own.flatMap(({ rounds }) => rounds))
}
