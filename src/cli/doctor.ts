/** `constellate doctor`: what this machine can do, and what to do about what is missing. */
import { Effect, FileSystem, Stream } from "effect"
import { Command } from "effect/cli"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { createRequire } from "node:module"
import * as os from "node:os"
import { dirname, join } from "node:path"
import type { Provider as ProviderName } from "../kernels/device.ts"
import { tryDevice } from "./device.ts"
import { CheckFailed } from "./failure.ts"
import { answer, json, table } from "./output.ts"
import type { Trial } from "./provider.ts"

const providerNames = ["cpu", "webgpu", "cuda"] as const satisfies ReadonlyArray<ProviderName>

interface Provider extends Trial {
  readonly name: ProviderName
  /** Its libraries come with the package. */
  readonly bundled: boolean
}

/** A shared library that a provider needs besides its own. */
interface Library {
  readonly name: string
  readonly for: ProviderName
  readonly what: string
  readonly found: boolean
}

interface Findings {
  readonly node: { readonly version: string; readonly supported: boolean }
  readonly cpu: { readonly model: string; readonly cores: number; readonly architecture: string }
  readonly memory: { readonly totalBytes: number; readonly freeBytes: number }
  readonly onnxruntime: { readonly version: string }
  readonly providers: ReadonlyArray<Provider>
  readonly libraries: ReadonlyArray<Library>
  /** What to do, in order; empty where everything works that this machine has. */
  readonly advice: ReadonlyArray<string>
}

const examine = Effect.gen(function* () {
  const { bundled, version } = yield* Effect.promise(async () => {
    const { env, listSupportedBackends } = await import("onnxruntime-node")
    const names = listSupportedBackends().flatMap((backend) => (backend.bundled ? [backend.name as string] : []))
    return { bundled: names, version: env.versions.node ?? env.versions.common }
  })
  const trials = yield* Effect.forEach(providerNames, (provider) => tryDevice({ provider, index: 0 }), {
    concurrency: 2
  })
  const providers = providerNames.map((name, i): Provider => ({ name, bundled: bundled.includes(name), ...trials[i]! }))
  const libraries = yield* findLibraries
  const findings: Omit<Findings, "advice"> = {
    node: { version: process.versions.node, supported: Number(process.versions.node.split(".")[0]) >= 24 },
    cpu: { model: os.cpus()[0]?.model.trim() ?? "unknown", cores: os.availableParallelism(), architecture: os.arch() },
    memory: { totalBytes: os.totalmem(), freeBytes: process.availableMemory() },
    onnxruntime: { version },
    providers,
    libraries
  }
  return { ...findings, advice: advise(findings) } satisfies Findings
})

/** What the providers load at run time, by the names of CUDA 12. */
const wanted: ReadonlyArray<Omit<Library, "found">> = [
  { name: "libcuda.so.1", for: "cuda", what: "NVIDIA driver" },
  { name: "libonnxruntime_providers_shared.so", for: "cuda", what: "onnxruntime's frame for providers" },
  { name: "libonnxruntime_providers_cuda.so", for: "cuda", what: "onnxruntime's CUDA provider" },
  { name: "libcudart.so.12", for: "cuda", what: "CUDA 12 runtime" },
  { name: "libcublasLt.so.12", for: "cuda", what: "CUDA 12 cuBLAS" },
  { name: "libcurand.so.10", for: "cuda", what: "CUDA 12 cuRAND" },
  { name: "libcufft.so.11", for: "cuda", what: "CUDA 12 cuFFT" },
  { name: "libcudnn.so.9", for: "cuda", what: "cuDNN 9" },
  { name: "libvulkan.so.1", for: "webgpu", what: "Vulkan loader" }
]

/** Looks where the loader of Linux would look; other systems bring what they need. */
const findLibraries = Effect.gen(function* () {
  if (process.platform !== "linux") return []
  const files = yield* FileSystem.FileSystem
  const { streamString } = yield* ChildProcessSpawner.ChildProcessSpawner
  const cache = yield* streamString(ChildProcess.make("/sbin/ldconfig", ["-p"])).pipe(
    Stream.mkString,
    Effect.orElseSucceed(() => "")
  )
  const runtime = createRequire(import.meta.url).resolve("onnxruntime-node/package.json")
  const folders = [
    join(dirname(runtime), "bin", "napi-v6", "linux", process.arch),
    ...(process.env["LD_LIBRARY_PATH"] ?? "").split(":").filter((folder) => folder !== "")
  ]
  return yield* Effect.forEach(wanted, (library) =>
    Effect.map(
      Effect.forEach(folders, (folder) => Effect.orElseSucceed(files.exists(join(folder, library.name)), () => false)),
      (found): Library => ({ ...library, found: found.includes(true) || cache.includes(`${library.name} `) })
    )
  )
})

/** What to do about what is missing. A machine without a GPU misses nothing. */
export const advise = ({ libraries, node, providers }: Omit<Findings, "advice">): ReadonlyArray<string> => {
  const works = (name: ProviderName) => providers.some((provider) => provider.name === name && provider.works)
  const has = (name: string) => libraries.some((library) => library.name === name && library.found)
  const missing = libraries.filter((library) => library.for === "cuda" && !library.found)
  const advice: Array<string> = []
  if (!node.supported)
    advice.push(`Node ${node.version} is too old: use Node 24; in a clone, start everything through npm or npx`)
  if (!works("cpu")) advice.push("The CPU provider does not work: reinstall with npm ci, with install scripts allowed")
  if (!has("libcuda.so.1")) return advice
  if (!works("webgpu") && libraries.some(({ found, name }) => name === "libvulkan.so.1" && !found)) {
    advice.push("For WebGPU install the Vulkan loader, libvulkan.so.1 (Debian and Ubuntu: libvulkan1)")
  }
  if (works("cuda")) return advice
  if (missing.some(({ name }) => name.startsWith("libonnxruntime_"))) {
    advice.push(
      "Fetch onnxruntime's CUDA provider: npm run install:cuda (without a clone: npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12)"
    )
  }
  const rest = missing.filter(({ name }) => !name.startsWith("libonnxruntime_"))
  if (rest.length > 0) {
    const names = rest.map(({ name, what }) => `${name} (${what})`).join(", ")
    advice.push(`Install CUDA 12 and cuDNN 9, or add their folder to LD_LIBRARY_PATH; not found: ${names}`)
  }
  return advice
}

const gibibytes = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`

const report = ({ advice, cpu, libraries, memory, node, onnxruntime, providers }: Findings): string =>
  [
    `Node         ${node.version}`,
    `CPU          ${cpu.cores} cores, ${cpu.architecture}, ${cpu.model}`,
    `Memory       ${gibibytes(memory.totalBytes)}, ${gibibytes(memory.freeBytes)} free`,
    `onnxruntime  ${onnxruntime.version}`,
    "",
    table(
      ["provider", "works", ""],
      providers.map(({ millis, name, reason, works }) => [
        name,
        works ? "yes" : "no",
        millis === undefined ? reason : `${millis} ms for products of matrices`
      ])
    ),
    ...(libraries.length === 0
      ? []
      : [
          "",
          table(
            ["library", "found", ""],
            libraries.map(({ found, name, what, for: provider }) => [
              name,
              found ? "yes" : "no",
              `${what}, for ${provider}`
            ])
          )
        ]),
    "",
    ...(advice.length === 0 ? ["Nothing to do."] : advice.map((line) => `To do: ${line}`))
  ].join("\n")

export const doctor = Command.make(
  "doctor",
  { json },
  Effect.fnUntraced(function* (options) {
    const findings = yield* examine
    yield* answer(options.json, findings, () => report(findings))
    const usable = findings.node.supported && findings.providers.some(({ name, works }) => name === "cpu" && works)
    if (!usable) return yield* new CheckFailed({ reason: "constellate can't run on this machine as it is" })
  })
).pipe(
  Command.withExamples([
    { command: "constellate doctor", description: "Look at this machine" },
    { command: "constellate doctor --json", description: "The same for another program" }
  ])
)
