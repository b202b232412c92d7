/**
 * Devices that models run on, by the providers of onnxruntime, and the options of their sessions.
 *
 * A session runs on one device. What a provider has no kernel for runs on the CPU within the session, which concerns the
 * arithmetic of shapes only: all operators of our graphs have kernels on all three (the kernel table of CUDA is a test).
 */
import type { InferenceSession } from "onnxruntime-node"

export const providers = ["cpu", "cuda", "webgpu"] as const
export type Provider = (typeof providers)[number]

export interface Device {
  readonly provider: Provider
  /** Which of several GPUs; 0 except for CUDA. */
  readonly index: number
}

export const cpu: Device = { provider: "cpu", index: 0 }

/** As it is written on the command line. */
export const showDevice = ({ index, provider }: Device): string => (provider === "cuda" ? `cuda:${index}` : provider)

/** `cpu`, `webgpu`, `cuda` (its first GPU), or the GPUs named in `cuda:0` or `cuda:0,1`; undefined for anything else. */
export const readDevices = (text: string): readonly [Device, ...ReadonlyArray<Device>] | undefined => {
  if (text === "cpu" || text === "webgpu") return [{ provider: text, index: 0 }]
  const [, numbers] = /^cuda(?::(\d+(?:,\d+)*))?$/.exec(text) ?? []
  if (numbers === undefined && text !== "cuda") return undefined
  const [first, ...rest] = (numbers ?? "0")
    .split(",")
    .map((index): Device => ({ provider: "cuda", index: Number(index) }))
  return new Set([first, ...rest].map((device) => device!.index)).size === rest.length + 1
    ? [first!, ...rest]
    : undefined
}

/** @param threads of the CPU; a GPU's host side needs one */
export const sessionOptions = ({ index, provider }: Device, threads: number): InferenceSession.SessionOptions => ({
  executionProviders: [provider === "cuda" ? { name: provider, deviceId: index } : provider],
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  graphOptimizationLevel: "basic",
  enableMemPattern: false,
  logSeverityLevel: 4,
  extra: { session: { intra_op: { allow_spinning: "0" } } }
})
