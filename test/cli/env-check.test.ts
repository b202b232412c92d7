import { Effect, Schema } from "effect"
import { globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { type Check, checkEnvironment } from "../../src/actors/conformance.ts"
import { resume } from "../../src/actors/conformance-states.ts"
import type { Environment } from "../../src/environment.ts"
import { environmentIds, openEnvironment } from "../../src/cli/environments.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

const folder = "test/fixtures/environments"
const place = mkdtempSync(join(tmpdir(), "constellate-check-"))
afterAll(() => rmSync(place, { recursive: true, force: true }))

const check = async (
  environment: Environment,
  preset: string,
  packs: number,
  packSize = 4
): Promise<ReadonlyArray<Check>> =>
  Effect.runPromise(
    checkEnvironment(
      environment,
      Schema.decodeSync(environment.options)(environment.presets[preset] ?? {}),
      { packs, packSize, seed: 1 },
      (resumptions) => Effect.sync(() => resumptions.map((one) => resume(environment, JSON.parse(JSON.stringify(one)))))
    )
  )
const open = (name: string) => Effect.runPromise(openEnvironment(name).pipe(Effect.provide(NodeServices.layer)))
const failed = (checks: ReadonlyArray<Check>) => checks.filter(({ passed }) => !passed).map(({ id }) => id)
const messages = (checks: ReadonlyArray<Check>, id: string) => checks.find((check) => check.id === id)!.message

/** What is broken, in the words of the check that says so. */
const flaws: Record<string, readonly [check: string, message: RegExp]> = {
  leaks: ["hidden", /^the first prompt tells the hidden knowledge: \w+ \w+ \w+/],
  describes: ["hidden", /^the first prompt .*the hidden knowledge/],
  dice: ["determinism", /^it calls Math\.random \(\d+ times\)/],
  clock: ["determinism", /^it calls Date\.now \(\d+ times\)/],
  generous: ["rewards", /^\w+ got a reward of 3, expected -1 to 1 \(position \d, step \d\)/],
  endless: ["termination", /an episode does not end within 1000 steps/],
  "shared-memory": ["isolation", /^what a run does in a pack shows in the next one/],
  unserialisable: ["serialisable", /^state\.tried is a Set, which JSON has not \(position 0, step 1\)/],
  mutating: ["ownership", /^it changes what it was handed, or a state that others may hold/],
  misjudged: ["outcomes", /^an episode of answers that can't be read ended as failure/],
  contradictory: ["outcomes", /success is (true|false) but outcome is failure/],
  fragile: ["answers", /^blank, as an answer: it throws|^empty, as an answer: it throws/],
  echoing: ["answers", /^a megabyte: a text of \d+ characters comes back/],
  remembering: ["memoryless", /^careful says something else when it is asked again/],
  hoarding: ["memoryless", /^amnesiac writes "Hints: Lever/],
  wordy: ["terse", /^the view says "go", which is not in the vocabulary/],
  untold: ["terse", /^the trajectory says what feedback was, whatever was told instead/],
  misleading: ["demonstrations", /malformed, expected one lever/],
  speechless: ["prompts", /^the system text does not show the form of an answer/],
  unsolvable: ["solvable", /^oracle never succeeds/]
}

describe("env check", () => {
  it("knows what is broken in every fixture", () => {
    const others = ["altered", "handle", "hanging", "incomplete", "sound", "unrelated"]
    const fixtures = globSync(`${folder}/*.ts`).map((file) => basename(file, ".ts"))
    expect(fixtures.toSorted()).toEqual([...Object.keys(flaws), ...others].toSorted())
  })

  it.each(Object.entries(flaws))("finds %s", async (name, [id, message]) => {
    const checks = await check(await open(`./${folder}/${name}.ts`), "train", 4)
    expect(failed(checks)).toContain(id)
    expect(messages(checks, id)).toMatch(message)
  })

  it("warns where nothing transfers, which is no failure", async () => {
    const checks = await check(await open(`./${folder}/unrelated.ts`), "train", 8)
    expect(checks.find(({ id }) => id === "transfer")).toMatchObject({ passed: true, warning: true })
  })

  it("passes the environment that env new writes, which is the sound fixture", async () => {
    const { code, stderr, stdout } = await runCommandLine("env", "check", `./${folder}/sound.ts`, "--json")
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    const { checks, environment, passed } = JSON.parse(stdout)
    expect({ environment, passed }).toEqual({ environment: "sound", passed: true })
    expect(checks).toHaveLength(23)
    for (const { id, message, passed, warning } of checks)
      expect([id, passed, warning, message.length > 10]).toEqual([id, true, false, true])
  })

  it("goes on in another process, where a table of this one is not", async () => {
    const { code, stderr, stdout } = await runCommandLine("env", "check", `./${folder}/handle.ts:train`, "--packs", "2")
    expect(code).toBe(1)
    expect(stderr).toMatch(/^constellate: sound fails \d of 23 checks: .*elsewhere/)
    expect(stdout).toMatch(/elsewhere +FAILED +in another process it went another way from position 0/)
  })

  it("ends when a call of the environment does not, and names it", async () => {
    const hanging = await runCommandLine("env", "check", `./${folder}/hanging.ts`, "--call-seconds", "0.3", "--json")
    expect(hanging.code).toBe(1)
    expect(JSON.parse(hanging.stdout).checks.at(-1)).toMatchObject({
      id: "ends-in-time",
      passed: false,
      message: "chat.user did not return within 0.3 s during isolation, preset train; the checks after it were not made"
    })
    const module = join(place, "loops.ts")
    writeFileSync(module, "for (;;);\nexport default {}")
    const loading = await runCommandLine("env", "check", module, "--call-seconds", "0.3")
    expect(loading.stdout).toContain("FAILED  the module itself did not return within 0.3 s")
  })

  it("checks an environment with operators around it, whatever thread or process it is in", async () => {
    const dynamics = "environment.dynamics=[{drift: {rate: 0.5}}, {budget: {steps: 12}}]"
    const { code, stdout } = await runCommandLine(
      "env",
      "check",
      "frozen-lake-obscure:train",
      "--set",
      dynamics,
      "--json"
    )
    expect([code, JSON.parse(stdout).passed]).toEqual([0, true])
    expect(await runCommandLine("env", "check", "frozen-lake", "--set", dynamics)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("expected an environment that hides something, which frozen-lake does not")
    })
  })

  it("names the parts that are missing and the presets that are wrong", async () => {
    const { code, stdout } = await runCommandLine("env", "check", `./${folder}/incomplete.ts`, "--json")
    const { checks, passed } = JSON.parse(stdout)
    expect({ code, passed }).toEqual({ code: 1, passed: false })
    expect(checks.map(({ id }: Check) => id)).toEqual(["definition", "ends-in-time"])
    expect(checks[0].evidence[0]).toBe("agents.careful is missing")
    expect(checks[0].evidence[1]).toMatch(/^preset hard is not an option: .*stepcap/)
  })
})

describe("a module that is no environment", () => {
  it.each([
    ["does not compile", "export default {"],
    ["throws", 'throw new Error("not today")'],
    ["lacks its dynamics", 'export default { id: "x", title: "X" }'],
    ["has no default export", "export const environment = {}"]
  ])("that %s is wrong input", async (name, source) => {
    const file = join(place, `${name.replaceAll(" ", "-")}.ts`)
    writeFileSync(file, source)
    const { code, stderr, stdout } = await runCommandLine("env", "check", file)
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toMatch(/^constellate: --env is ".*", expected a module .*\n$/)
  })
})

describe.each(environmentIds)("%s", (id) => {
  it("passes with every preset", async () => {
    const environment = await open(id)
    for (const preset of Object.keys({ train: {}, ...environment.presets })) {
      const checks = await check(environment, preset, 2, 2)
      const findings = checks.filter(({ passed }) => !passed).map(({ id, message }) => `${preset}, ${id}: ${message}`)
      expect(findings).toEqual([])
    }
  })
})
