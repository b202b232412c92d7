/** The thread of one model: carries out calls one after the other. Nothing but a model lives here. */
import { parentPort, workerData } from "node:worker_threads"
import type { Device } from "../kernels/device.ts"
import { type GradientRow, openModel } from "../kernels/model.ts"
import type { ModelAnswer, ModelCall, SharedModel } from "./model-workers.ts"

const port = parentPort!
const { config, ...options } = workerData as Omit<SharedModel, "devices"> & { readonly device: Device }
const model = openModel(config, options)

/** The newest versions: a call may still ask for the one before. */
const versions = new Map<number, Float32Array>()
const weightsOf = (version: number): Float32Array => {
  const weights = versions.get(version)
  if (weights === undefined) throw new Error(`policy version ${version} is not published here`)
  return weights
}

/** Adds up where the gradients are made: one vector crosses to the other thread instead of one for each micro-batch. */
const sumOfGradients = async (
  weights: Float32Array,
  batches: ReadonlyArray<ReadonlyArray<GradientRow>>,
  temperature: number
) => {
  let sum: Float32Array | undefined
  const logprobs: Array<ReadonlyArray<ReadonlyArray<number>>> = []
  for (const batch of batches) {
    const { gradient, logprobs: own } = await model.gradient(weights, batch, { temperature })
    logprobs.push(own)
    if (sum === undefined) sum = gradient
    else for (let i = 0; i < gradient.length; i++) sum[i]! += gradient[i]!
  }
  return { gradient: sum, logprobs }
}

const carryOut = (call: ModelCall): Promise<unknown> | undefined => {
  switch (call.type) {
    case "publish":
      versions.set(call.version, call.weights)
      for (const old of versions.keys()) if (versions.size > call.keep) versions.delete(old)
      return undefined
    case "generate":
      return model.generate(weightsOf(call.version), call.rows, call)
    case "score":
      return model.score(weightsOf(call.version), call.rows, call)
    case "gradient":
      return sumOfGradients(weightsOf(call.version), call.rows, call.temperature)
    case "stop":
      return model.release()
  }
}

let last: Promise<void> = Promise.resolve()
port.on("message", ({ id, call }: { id: number; call: ModelCall }) => {
  last = last.then(async () => {
    let answer: ModelAnswer
    try {
      answer = { id, result: await carryOut(call) }
    } catch (error) {
      answer = { id, failure: error instanceof Error ? error.message : String(error) }
    }
    // The gradient is as large as the model: it is handed over, not copied.
    const gradient =
      "result" in answer && (answer.result as { gradient?: Float32Array<ArrayBuffer> } | undefined)?.gradient
    port.postMessage(answer, gradient instanceof Float32Array ? [gradient.buffer] : [])
    if (call.type === "stop") port.close()
  })
})
