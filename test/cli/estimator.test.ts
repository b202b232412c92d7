import { Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { openEstimator } from "../../src/cli/estimator.ts"
import type { Experience } from "../../src/kernels/credit/estimator.ts"

const folder = mkdtempSync(join(tmpdir(), "constellate-estimator-"))
afterAll(() => rmSync(folder, { recursive: true }))

const plugIn = (name: string, body: string): string => {
  const file = join(folder, `${name}.mjs`)
  writeFileSync(file, `export default (experiences, options) => { ${body} }`)
  return file
}

const experience = (id: string, reward: number): Experience => ({
  id,
  pack: "p",
  taskset: 0,
  run: Number(id.slice(1)),
  kind: "solve",
  index: 0,
  step: 0,
  reward,
  taskRewards: [reward],
  responseTokens: 2
})
const call = [experience("e0", 1), experience("e1", 0)]

const estimate = (estimator: string, options = {}) =>
  Effect.runPromise(Effect.result(Effect.flatMap(openEstimator({ estimator, options }), (estimate) => estimate(call))))

describe("estimators of training", () => {
  it("are built in by name", async () => {
    expect(await estimate("causal")).toMatchObject({
      _tag: "Success",
      success: {
        experiences: [
          { id: "e0", score: 0.5 },
          { id: "e1", score: -0.5 }
        ]
      }
    })
    expect(await estimate("grpo", { stdLevel: "none" })).toMatchObject({ _tag: "Success" })
  })

  it("may be plug-ins that answer no more than they must", async () => {
    const file = plugIn(
      "minimal",
      "return { experiences: experiences.map(({ id, reward }) => ({ id, advantage: reward * options.scale })) }"
    )
    expect(await estimate(file, { scale: 3 })).toMatchObject({
      success: {
        experiences: [
          { id: "e0", advantage: 3, score: 3 },
          { id: "e1", advantage: 0 }
        ],
        dropped: [],
        temperatures: []
      }
    })
  })

  it.each([
    ["a row too few", "return { experiences: [{ id: 'e0', advantage: 1 }] }", "e1 is neither answered nor dropped"],
    [
      "no number",
      "return { experiences: experiences.map(({ id }) => ({ id, advantage: NaN })) }",
      "the advantage of e0 is NaN"
    ],
    ["an unknown id", "return { experiences: [{ id: 'x', advantage: 1 }] }", `"x" is no experience of the call`],
    ["a throw", "if (experiences.length > 0) throw new Error('no idea')", "no idea"]
  ])("fail with a reason: %s", async (name, body, reason) => {
    const failed = await estimate(plugIn(name.replaceAll(" ", "-"), body))
    expect(failed._tag).toBe("Failure")
    expect(String((failed as { failure?: Error }).failure?.message)).toContain(reason)
  })

  it.each([
    ["causel", {}, `unknown estimator "causel", did you mean "causal"?`],
    ["causal", { returns: "sum" }, `"credit.options.returns" is "sum", expected mean`],
    ["grpo", { redAdaptive: true }, `"credit.options.redAdaptive"`],
    ["./nowhere.mjs", {}, `"credit.estimator" is "./nowhere.mjs", expected a module that can be loaded`]
  ])("are refused before anything runs: %s %o", async (name, options, message) => {
    const refused = await estimate(name, options)
    expect(String((refused as { failure?: Error }).failure?.message)).toContain(message)
  })
})
