/** Whether a policy can be trained on this machine. */
import { Effect } from "effect"
import { memoryBytes } from "../actors/memory.ts"
import type { TrainingConfig } from "../actors/training-config.ts"
import { parameterCount } from "../kernels/transformer.ts"
import { WrongInput } from "./failure.ts"
import { describePolicyFolder } from "./policy.ts"

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toPrecision(3)} GB`

/** Weights in single precision; where they are all trained, also a gradient and two moments of that size. */
export const trainingBytes = (parameters: number, adapters: boolean): number => (adapters ? 4 : 16) * parameters

/** Refuses a policy that is too large to be trained here, before its weights are read. */
export const checkRoom = Effect.fnUntraced(function* (config: TrainingConfig, memory = memoryBytes()) {
  const { config: model } = yield* describePolicyFolder(config.policy)
  const parameters = parameterCount(model)
  const adapters = config.lora !== undefined
  const needed = trainingBytes(parameters, adapters)
  if (needed <= memory) return
  const fewer = adapters || trainingBytes(parameters, true) > memory ? "" : "; adapters (--lora.rank 16) would fit"
  const expected = `a policy that can be trained here: ${(parameters / 1e9).toPrecision(3)} billion parameters take at least ${gigabytes(needed)}, and this machine has ${gigabytes(memory)}${fewer}`
  return yield* new WrongInput({ field: "policy", value: config.policy, expected })
})
