/**
 * A model whose weights stay: how evaluation, simulation and serving have it. The weights stream into a file that the
 * runtime maps, so that no more than one copy of a large model is in memory.
 */
import { Effect } from "effect"
import { cpu, type Device } from "../kernels/device.ts"
import { largeModel } from "../kernels/model.ts"
import { parameterCount } from "../kernels/transformer.ts"
import type { Description } from "../policies/checkpoint.ts"
import { storeWeights } from "../policies/weights.ts"
import { makeModelWorkers } from "./model-workers.ts"

export interface FixedOptions {
  /** Model workers, or threads of one where the model is large and runs on the processor. */
  readonly shards: number
  /** Matrices are held in bytes. */
  readonly quantised?: boolean | undefined
  /** Dealt to the workers in turn; default the processor. */
  readonly devices?: ReadonlyArray<Device> | undefined
}

/** Workers of one policy, as its own version. The surrounding scope ends them and takes the file away. */
export const openFixedModel = Effect.fnUntraced(function* (
  { adapter, config, declares, folder }: Description,
  { devices = [cpu], quantised = false, shards }: FixedOptions
) {
  const stored = yield* storeWeights(folder, config, { quantised })
  const none = new Float32Array(0)
  const frozen = adapter && { lora: adapter.lora, base: none }
  const onProcessor = devices.every(({ provider }) => provider === "cpu")
  const alone = onProcessor && parameterCount(config) >= largeModel
  const model = { config, frozen, stored, devices, threads: alone ? shards : 1 }
  const workers = yield* makeModelWorkers(model, alone ? 1 : shards)
  yield* workers.publish(declares.policyVersion, adapter?.weights ?? none)
  return workers
})
