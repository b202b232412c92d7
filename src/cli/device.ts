/**
 * `--device`: where models run. A device is tried before anything is begun, in a process of its own: what its libraries
 * complain of on stderr is heard, and one that ends the process harms nobody. Nothing falls back silently.
 */
import { Console, Effect, Option, Result, Schema } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { fileURLToPath } from "node:url"
import { DeviceText } from "../actors/training-config.ts"
import { cpu, type Device, readDevices, showDevice } from "../kernels/device.ts"
import { WrongInput } from "./failure.ts"
import type { Trial } from "./provider.ts"

/** The key `device` of a configuration. */
export const deviceText = DeviceText.annotate({
  description: "Where the model runs: cpu (default), cuda, cuda:N, cuda:N,M (workers take them in turn), webgpu or auto"
})

/** A device was asked for that this machine can't use. */
export class DeviceUnavailable extends Schema.TaggedError<DeviceUnavailable>()("DeviceUnavailable", {
  device: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `"device" is ${JSON.stringify(this.device)}, which does not start here: ${this.reason}`
  }
}

const trialFile = import.meta.url.endsWith(".ts") ? "./provider.ts" : "./provider.js"

/** How a device does with products of matrices. */
export const tryDevice = Effect.fnUntraced(function* (
  device: Device
): Effect.fn.Return<Trial, never, ChildProcessSpawner.ChildProcessSpawner> {
  const { string } = yield* ChildProcessSpawner.ChildProcessSpawner
  const script = fileURLToPath(new URL(trialFile, import.meta.url))
  const command = ChildProcess.make(process.execPath, [script, showDevice(device)])
  const output = yield* string(command, { includeStderr: true }).pipe(Effect.timeoutOption("60 seconds"), Effect.orDie)
  if (Option.isNone(output)) return { works: false, reason: "no answer within 60 seconds" }
  const lines = output.value.trim().split("\n")
  const last = Result.try(() => JSON.parse(lines.at(-1)!) as Trial)
  if (Result.isFailure(last)) return { works: false, reason: `ended without an answer: ${lines.at(-1)!.slice(0, 200)}` }
  if (last.success.works) return last.success
  return { works: false, reason: reasonOf(output.value, last.success.reason) }
})

/** What onnxruntime says and what only its libraries say on stderr: the file that the loader did not find. */
const reasonOf = (output: string, said: string): string => {
  const missing = /(lib[\w.-]+\.so[\w.]*): cannot open shared object file/.exec(output)?.[1]
  if (missing !== undefined) return `${missing} is missing`
  const reason = said.split("\n")[0]!
  // Without the library of the provider itself the binding has nothing to load and says no more than that.
  return /Failed to load shared library/.test(reason) ? `${reason.trim()} (libonnxruntime_providers_cuda.so)` : reason
}

/** What to do about it, in a clause. */
const remedies = {
  cpu: "reinstall with npm ci, with install scripts allowed",
  cuda: "run npm run install:cuda, install CUDA 12 and cuDNN 9 where the loader finds them",
  webgpu: "install a Vulkan driver and the Vulkan loader (libvulkan1)"
}

const unavailable = (device: Device, { reason }: Trial) =>
  new DeviceUnavailable({
    device: showDevice(device),
    reason: `${reason}; ${remedies[device.provider]}, and see constellate doctor. With "device" cpu it runs without`
  })

/** What texts were found to name: a device is tried once in a process. */
const known = new Map<string, ReadonlyArray<Device>>()

/**
 * The devices that a text names, each tried. `auto` takes what multiplies matrices fastest and says on stderr what it took
 * and why.
 */
export const openDevices = Effect.fnUntraced(function* (text: string) {
  const devices = known.get(text) ?? (yield* find(text))
  known.set(text, devices)
  return devices
})

const find = Effect.fnUntraced(function* (text: string) {
  if (text === "auto") return [yield* fastest]
  const devices = readDevices(text)
  if (devices === undefined) {
    const expected = "cpu, cuda, cuda:N, several as in cuda:0,1, webgpu or auto"
    return yield* new WrongInput({ field: "device", value: text, expected })
  }
  for (const device of devices) {
    if (device.provider === "cpu") continue
    const trial = yield* tryDevice(device)
    if (!trial.works) return yield* unavailable(device, trial)
  }
  return devices
})

const candidates: ReadonlyArray<Device> = [cpu, { provider: "cuda", index: 0 }, { provider: "webgpu", index: 0 }]

const fastest = Effect.gen(function* () {
  // One after the other: they would take the processor from each other.
  const trials = yield* Effect.forEach(candidates, (device) =>
    Effect.map(tryDevice(device), (trial) => ({ device, ...trial }))
  )
  const working = trials.filter(({ works }) => works).toSorted((a, b) => a.millis! - b.millis!)
  const [first] = working
  if (first === undefined) return yield* unavailable(cpu, trials[0]!)
  const others = trials.filter(({ device }) => device !== first.device)
  const why = others.map(({ device, millis, reason, works }) =>
    works
      ? `${showDevice(device)} takes ${(millis! / first.millis!).toFixed(1)} times as long`
      : `${showDevice(device)} does not start: ${reason}`
  )
  yield* Console.error(`device auto: ${showDevice(first.device)} (${why.join("; ")})`)
  return first.device
})
