/**
 * Devices by name, and the WebGPU provider against the CPU where there is a Vulkan device.
 *
 * A software one is enough: SwiftShader of Debian's package `chromium-common` (see docs/devices.md), named by
 * `VK_ICD_FILENAMES`. Without that variable the comparison is skipped, and its name says so.
 */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"
import { readDevices, sessionOptions, showDevice } from "../../src/kernels/device.ts"

describe("devices by name", () => {
  it.each([
    ["cpu", ["cpu"]],
    ["webgpu", ["webgpu"]],
    ["cuda", ["cuda:0"]],
    ["cuda:3", ["cuda:3"]],
    ["cuda:1,0,2", ["cuda:1", "cuda:0", "cuda:2"]],
    ["auto", undefined],
    ["gpu", undefined],
    ["cuda:", undefined],
    ["cuda:0,", undefined],
    ["cuda:0,0", undefined],
    ["cuda:-1", undefined],
    ["webgpu:1", undefined],
    ["", undefined]
  ])("%s", (text, names) => {
    expect(readDevices(text)?.map(showDevice)).toEqual(names)
  })

  it("a session has one provider, and the GPU that was asked for", () => {
    expect(sessionOptions({ provider: "cuda", index: 2 }, 1).executionProviders).toEqual([
      { name: "cuda", deviceId: 2 }
    ])
    expect(sessionOptions({ provider: "webgpu", index: 0 }, 1).executionProviders).toEqual(["webgpu"])
    expect(sessionOptions({ provider: "cpu", index: 0 }, 3)).toMatchObject({
      executionProviders: ["cpu"],
      intraOpNumThreads: 3
    })
  })
})

const vulkan = process.env["VK_ICD_FILENAMES"]

type Numbers = Readonly<Record<string, Readonly<Record<string, ReadonlyArray<number>>>>>

const numbersOn = async (device: string): Promise<Numbers> => {
  const script = `${import.meta.dirname}/../fixtures/on-device.ts`
  const run = promisify(execFile)(process.execPath, [script, device], { maxBuffer: 2 ** 28 })
  return JSON.parse((await run).stdout) as Numbers
}

describe.skipIf(vulkan === undefined)(
  `WebGPU against the CPU${vulkan === undefined ? ", skipped: VK_ICD_FILENAMES names no Vulkan device" : ""}`,
  () => {
    it("generation, scores and gradients agree, adapters included", { timeout: 300_000 }, async () => {
      const [here, there] = [await numbersOn("cpu"), await numbersOn("webgpu")]
      expect(Object.keys(there)).toEqual(["qwen3", "qwen2", "llama"])
      for (const [family, numbers] of Object.entries(here)) {
        expect(Object.keys(there[family]!)).toEqual(Object.keys(numbers))
        for (const [name, own] of Object.entries(numbers)) {
          const other = there[family]![name]!
          if (name.endsWith("tokens")) expect(other, `${family} ${name}`).toEqual(own)
          const largest = own.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
          const gap = own.reduce((most, x, i) => Math.max(most, Math.abs(x - other[i]!)), 0)
          expect(other, `${family} ${name}`).toHaveLength(own.length)
          expect(gap / largest, `${family} ${name}`).toBeLessThan(2e-5)
        }
      }
    })
  }
)
