/** `--device`: what can't be used is refused with what is missing and what to do, and nothing falls back silently. */
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { longer } from "../fixtures/language-model.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

const root = mkdtempSync(join(tmpdir(), "constellate-device-"))
afterAll(() => rmSync(root, { recursive: true }))
const model = longer(root, "qwen3-tied")

// On a machine with an NVIDIA driver the messages are others.
const cudaLibraries = existsSync("/proc/driver/nvidia")

const evaluation = ["eval", model, "--env", "frozen-lake", "--packs", "1", "--pack-size", "1", "--json"]
const short = ["--set", "lifecycle.maxTokens=4"]

describe("a device", () => {
  it.each([
    [["eval", "scripted:random", "--env", "frozen-lake", "--device", "cpu"], '"device" is "cpu", expected nothing'],
    [[...evaluation, "--device", "gpu"], '"device" is "gpu", expected cpu, cuda, cuda:N, several as in cuda:0,1'],
    [["eval", "scripted:random", "--env", "frozen-lake", "--dtype", "int8"], '"dtype" is "int8", expected nothing'],
    [["serve", model, "--dtype", "int8"], '"dtype" is "int8", expected "float32" for this model: int8 needs rows'],
    [["serve", model, "--dtype", "float16"], '"dtype" is "float16", expected "float32" or "int8"'],
    [["serve", model, "--device", "cuda:0,0"], '"device" is "cuda:0,0", expected cpu'],
    [["train", "--device", "tpu", "--dry-run"], '"device" is "tpu", expected cpu'],
    [
      ["simulate", "--policy", "openai:m@http://127.0.0.1:1/v1", "--env", "frozen-lake", "--device", "auto"],
      '"device" is "auto", expected nothing: no model runs here'
    ]
  ])("%j is refused", async (args, message) => {
    const { code, stderr } = await runCommandLine(...args)
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })

  it.skipIf(cudaLibraries)("that does not start names the missing library, and nothing is written", async () => {
    const run = join(root, "run")
    const { code, stderr } = await runCommandLine("train", "--device", "cuda:1", "--run", run)
    expect(stderr).toMatch(/"device" is "cuda:1", which does not start here: lib\S+\.so\S* is missing; run npm run/)
    expect(stderr.trim().split("\n")).toHaveLength(1)
    expect(code).toBe(2)
    expect(existsSync(run)).toBe(false)
  })

  it.skipIf(cudaLibraries)("that is found by auto is named, with what became of the others", async () => {
    const { code, stderr, stdout } = await runCommandLine(...evaluation, ...short, "--device", "auto")
    expect({
      code,
      lines: stderr.match(/^device auto: cpu \(cuda:0 does not start: lib\S+ is missing; webgpu /)
    }).toEqual({
      code: 0,
      lines: expect.anything()
    })
    const plain = await runCommandLine(...evaluation, ...short)
    expect(JSON.parse(stdout)).toEqual(JSON.parse(plain.stdout))
    expect(plain.stderr).toBe("")
  })
})

it("weights that were mapped are taken away again", async () => {
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith("constellate-weights-"))
  expect((await runCommandLine(...evaluation, ...short)).code).toBe(0)
  const after = readdirSync(tmpdir()).filter((name) => name.startsWith("constellate-weights-"))
  expect(after.filter((name) => !before.includes(name))).toEqual([])
})

it("a device is tried in a process of its own", () => {
  const said = execFileSync(process.execPath, [join(import.meta.dirname, "../../src/cli/provider.ts"), "cpu"])
  expect(JSON.parse(said.toString())).toEqual({ works: true, reason: "", millis: expect.any(Number) })
})
