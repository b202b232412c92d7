/**
 * Worker threads that run one model each.
 *
 * A run blocks its thread and can neither be cancelled nor killed (ending a thread in the middle of one aborts the
 * process), so a worker is asked to stop and is waited for. Weights are shared memory: publishing a policy version hands
 * over a reference, and a call names the version that it wants.
 */
import { Worker } from "node:worker_threads"
import { Effect, Runtime, Schema } from "effect"
import { cpu, type Device } from "../kernels/device.ts"
import { type Frozen, versionSize } from "../kernels/lora.ts"
import { type Generated, type GenerateRow, type GradientRow, largeModel, type ScoreRow } from "../kernels/model.ts"
import { parameterCount, type StoredWeights, type TransformerConfig } from "../kernels/transformer.ts"
import { type Checkpoint, trainedWeights } from "../policies/checkpoint.ts"
import { memoryBytes } from "./memory.ts"

interface Run<Row> {
  readonly version: number
  readonly rows: ReadonlyArray<Row>
  readonly temperature: number
}

/** What a worker is asked. */
export type ModelCall =
  | { readonly type: "publish"; readonly version: number; readonly weights: Float32Array; readonly keep: number }
  | ({ readonly type: "generate"; readonly end: number } & Run<GenerateRow>)
  | ({ readonly type: "score" } & Run<ScoreRow>)
  /** The sum over micro-batches, which come as lists of rows. */
  | ({ readonly type: "gradient" } & Run<ReadonlyArray<GradientRow>>)
  | { readonly type: "stop" }

export type ModelAnswer = { readonly id: number } & ({ readonly result: unknown } | { readonly failure: string })

/** A worker thread ended, did not answer in time, or its model refused a call. */
export class ModelFailure extends Schema.TaggedError<ModelFailure>()("ModelFailure", {
  reason: Schema.String,
  /** The thread will not answer any call any more. */
  ended: Schema.Boolean
}) {
  override get message() {
    return `model worker: ${this.reason}`
  }
  /** The call was too large for the memory; a smaller one may pass. */
  get outOfMemory() {
    return /allocat|out of memory|bad_alloc/i.test(this.reason)
  }
  override readonly [Runtime.errorExitCode] = 3
}

/** Far longer than any call should take: a thread that is silent for so long will not answer any more. */
const callMillis = 900_000

interface Results {
  readonly generate: ReadonlyArray<Generated>
  readonly score: ReadonlyArray<ReadonlyArray<number>>
  readonly gradient: {
    readonly gradient: Float32Array
    /** By micro-batch and row. */
    readonly logprobs: ReadonlyArray<ReadonlyArray<ReadonlyArray<number>>>
  }
}

type Asked = Extract<ModelCall, { readonly type: keyof Results }>

export interface ModelWorker {
  readonly call: <C extends Asked>(call: C) => Effect.Effect<Results[C["type"]], ModelFailure>
}

export interface ModelWorkers {
  readonly workers: ReadonlyArray<ModelWorker>
  /** Makes a policy version known to all workers; those just before it stay usable for calls on their way. */
  readonly publish: (version: number, weights: Float32Array) => Effect.Effect<void>
}

/** Versions that a worker holds: the newest, and what calls on their way may still name. */
export const keptVersions = 3

/**
 * What all workers together keep of prompts that others go on from, in bytes. A position of a large model takes hundreds of
 * KiB, and reading it anew far longer than copying it; a small one reads faster than it would look up and copy.
 */
const keptBytesOf = (config: TransformerConfig): number =>
  parameterCount(config) >= largeModel ? memoryBytes() / 8 : 0

/** A model as threads open it: what is large lies in memory that they share. */
export interface SharedModel {
  readonly config: TransformerConfig
  /** With it, versions are those of adapters on this base. */
  readonly frozen?: Frozen | undefined
  /** See `ModelOptions`. */
  readonly recompute?: boolean | undefined
  readonly stored?: StoredWeights | undefined
  /** What all workers together keep of prompts that others go on from; default an eighth of the memory for large models, else 0. */
  readonly keptBytes?: number | undefined
  /** Of the processor, for each worker; default 1. */
  readonly threads?: number | undefined
  /** Dealt to the workers in turn; default the processor. */
  readonly devices?: ReadonlyArray<Device> | undefined
}

/** Flat weights in memory that threads share. */
const shared = (size: number): Float32Array => new Float32Array(new SharedArrayBuffer(4 * size))

const share = (weights: Float32Array): Float32Array => {
  if (weights.buffer instanceof SharedArrayBuffer) return weights
  const copy = shared(weights.length)
  copy.set(weights)
  return copy
}

/** A policy as its model and the version that it is. */
export const shareModel = (checkpoint: Checkpoint): { readonly model: SharedModel; readonly version: Float32Array } => {
  const { adapter, config, weights } = checkpoint
  const frozen = adapter && { lora: adapter.lora, base: share(weights) }
  return { model: { config, frozen }, version: share(trainedWeights(checkpoint)) }
}

/**
 * Buffers for new versions, taken in turn: one more than the versions that workers hold. Fresh ones for each version would
 * pile up, since no thread feels the weight of memory that it shares.
 */
export const weightBuffers = ({ config, frozen }: SharedModel, kept = keptVersions): (() => Float32Array) => {
  const ring = Array.from({ length: kept + 1 }, () => shared(versionSize(config, frozen?.lora)))
  let turn = 0
  return () => ring[turn++ % ring.length]!
}

const entry = new URL(import.meta.url.endsWith(".ts") ? "./model-worker.ts" : "./model-worker.js", import.meta.url)

const openWorker = ({ devices = [cpu], ...model }: SharedModel, place: number) => {
  const worker = new Worker(entry, { workerData: { ...model, device: devices[place % devices.length]! } })
  const waiting = new Map<number, (answer: Effect.Effect<any, ModelFailure>) => void>()
  let calls = 0
  let ended: ModelFailure | undefined
  const end = (reason: string): void => {
    ended ??= new ModelFailure({ reason, ended: true })
    for (const answer of waiting.values()) answer(Effect.fail(ended))
    waiting.clear()
  }
  worker.on("message", (answer: ModelAnswer) => {
    const reply = waiting.get(answer.id)
    waiting.delete(answer.id)
    reply?.(
      "failure" in answer
        ? Effect.fail(new ModelFailure({ reason: answer.failure, ended: false }))
        : Effect.succeed(answer.result)
    )
  })
  worker.on("error", (error: Error) => end(error.message))
  worker.on("exit", (code) => end(`the thread has ended with code ${code}`))

  const post = (call: ModelCall): number => {
    const id = calls++
    worker.postMessage({ id, call })
    return id
  }
  const call = (asked: ModelCall): Effect.Effect<any, ModelFailure> =>
    Effect.callback<any, ModelFailure>((resume) => {
      if (ended !== undefined) return resume(Effect.fail(ended))
      const id = post(asked)
      waiting.set(id, resume)
      return Effect.sync(() => waiting.delete(id))
    }).pipe(
      Effect.timeoutOrElse({
        duration: callMillis,
        orElse: () =>
          Effect.fail(
            new ModelFailure({ reason: `${asked.type} was not answered in ${callMillis / 1000} s`, ended: true })
          )
      })
    )
  return { worker: { call } satisfies ModelWorker, publish: post, stop: Effect.ignore(call({ type: "stop" })) }
}

/** Starts `count` workers, which hold `kept` versions; closing the scope lets their last run end and stops them. */
export const makeModelWorkers = (model: SharedModel, count: number, kept = keptVersions) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const own = { ...model, keptBytes: (model.keptBytes ?? keptBytesOf(model.config)) / count }
      return Array.from({ length: count }, (_, place) => openWorker(own, place))
    }),
    (opened) => Effect.forEach(opened, ({ stop }) => stop, { concurrency: "unbounded", discard: true })
  ).pipe(
    Effect.map((opened): ModelWorkers => ({
      workers: opened.map(({ worker }) => worker),
      publish: (version, weights) =>
        Effect.sync(() => {
          for (const { publish } of opened) publish({ type: "publish", version, weights, keep: kept })
        })
    }))
  )
