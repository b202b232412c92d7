/** `constellate runs merge`: a policy of adapters as one model, for those who take no adapters. */
import { Effect, FileSystem } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { basename, dirname, join, resolve } from "node:path"
import { mergeAdapter } from "../kernels/lora.ts"
import { writeCheckpoint } from "../policies/checkpoint.ts"
import { WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"
import { readPolicyFolder } from "./policy.ts"

export const merge = Command.make(
  "merge",
  {
    policy: Argument.String("policy").pipe(
      Argument.withDescription("A folder of adapters, or a run that trained them (its last checkpoint)")
    ),
    out: Flag.String("out").pipe(
      Flag.withMetavar("DIR"),
      Flag.withDescription("The folder to write; must not be there yet")
    ),
    json
  },
  Effect.fnUntraced(function* (options) {
    const files = yield* FileSystem.FileSystem
    const out = resolve(options.out)
    if (yield* files.exists(out)) {
      return yield* new WrongInput({ field: "--out", value: options.out, expected: "a folder that is not there yet" })
    }
    const { adapter, ...policy } = yield* readPolicyFolder(options.policy)
    if (adapter === undefined) {
      const expected = "a folder of adapters, or a run that trained them (lora.rank): this one is whole"
      return yield* new WrongInput({ field: "policy", value: options.policy, expected })
    }
    const weights = mergeAdapter(policy.config, { base: policy.weights, lora: adapter.lora }, adapter.weights)
    // Whole or not at all.
    const partial = join(dirname(out), `.${basename(out)}`)
    yield* files.remove(partial, { recursive: true, force: true })
    yield* files.makeDirectory(partial, { recursive: true })
    yield* writeCheckpoint(partial, { ...policy, weights })
    yield* files.rename(partial, out)
    const document = { policy: options.policy, base: adapter.base, out: options.out, ...adapter.lora }
    yield* answer(options.json, document, () => options.out)
  })
).pipe(
  Command.withDescription("Adds adapters to the weights of their base model: a policy folder like any other"),
  Command.withExamples([
    { command: "constellate runs merge runs/adapted --out merged", description: "The last checkpoint of a run" }
  ])
)
