import { describe, expect, it } from "vitest"
import { advise } from "../../src/cli/doctor.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

type Findings = Parameters<typeof advise>[0]

const library = (name: string, found: boolean) => ({ name, for: "cuda" as const, what: "library", found })
const provider = (name: "cpu" | "webgpu" | "cuda", works: boolean) => ({ name, works, bundled: true, reason: "" })

const machine = (changes: Partial<Findings>): Findings => ({
  node: { version: "24.21.0", supported: true },
  cpu: { model: "", cores: 2, architecture: "x64" },
  memory: { totalBytes: 0, freeBytes: 0 },
  onnxruntime: { version: "" },
  providers: [provider("cpu", true), provider("cuda", false)],
  libraries: [],
  ...changes
})

describe("doctor", () => {
  it("has nothing to say to a machine without a GPU", () => {
    expect(advise(machine({}))).toEqual([])
  })

  it("says how to get what a machine with an NVIDIA driver misses", () => {
    const libraries = [
      library("libcuda.so.1", true),
      library("libonnxruntime_providers_cuda.so", false),
      library("libcudnn.so.9", false)
    ]
    expect(advise(machine({ libraries }))).toEqual([
      "Fetch onnxruntime's CUDA provider: npm run install:cuda (without a clone: npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12)",
      "Install CUDA 12 and cuDNN 9, or add their folder to LD_LIBRARY_PATH; not found: libcudnn.so.9 (library)"
    ])
    expect(advise(machine({ libraries, providers: [provider("cpu", true), provider("cuda", true)] }))).toEqual([])
  })

  it("opens a session on every provider, in a process of its own", async () => {
    const { code, stderr, stdout } = await runCommandLine("doctor", "--json")
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    const { cpu, node, providers } = JSON.parse(stdout)
    expect(node).toEqual({ version: process.versions.node, supported: true })
    expect(cpu.cores).toBeGreaterThan(0)
    expect(providers.map(({ name }: { name: string }) => name)).toEqual(["cpu", "webgpu", "cuda"])
    expect(providers[0]).toEqual({ name: "cpu", works: true, bundled: true, reason: "", millis: expect.any(Number) })
    for (const { millis, reason, works } of providers) {
      expect(works ? millis > 0 : reason !== "" && millis === undefined).toBe(true)
    }
  })
})
