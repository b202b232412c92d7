/** Judges and the other options of how lifecycles are lived, as a user sets them. */
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { runCommandLine } from "../fixtures/command-line.ts"

const root = mkdtempSync(join(tmpdir(), "constellate-judge-"))
let server: Server
let judge = ""
let asked = 0

// A server that judges everything alike: one question, half relevant.
beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume().on("end", () => {
      asked++
      const content = "[format]1[/format][content]0.5[/content][feedback]Go on.[/feedback]"
      const message = { role: "assistant", content }
      const body = { id: "1", object: "chat.completion", created: 0, model: "m", choices: [{ index: 0, message }] }
      response.setHeader("content-type", "application/json")
      response.end(JSON.stringify(body))
    })
  })
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready))
  judge = `openai:m@http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})
afterAll(() => {
  server.close()
  rmSync(root, { recursive: true, force: true })
})

/** Two sessions of one's own, in which it is never time to stop before the last turn. */
const dialogues = join(root, "dialogues.jsonl")
writeFileSync(
  dialogues,
  ["migraine", "cold"]
    .map((diagnosis) => ({
      diagnosis,
      messages: [
        { role: "patient", content: "I feel ill." },
        { role: "doctor", content: "How badly?", attributes: ["how much it hurts"] },
        { role: "patient", content: "Very." },
        { role: "doctor", content: "Rest." }
      ]
    }))
    .map((session) => JSON.stringify(session))
    .join("\n")
)
const own = ["--env", "learn2ask", "--environment.dialogues", dialogues, "--environment.split", "all"]
const json = async (...args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await runCommandLine(...args, "--json")
  expect({ code, stderr: stderr.replaceAll(/^warning.*\n/gm, "") }).toMatchObject({ code: 0 })
  return JSON.parse(stdout)
}

describe("a judge of the user's on a dialogue file of the user's", () => {
  it("scores the questions of an evaluation", async () => {
    const args = ["eval", "scripted:random", ...own, "--packs", "8", "--pack-size", "1"]
    const evaluation = await json(...args, "--lifecycle.judge", judge)
    expect(asked).toBeGreaterThan(0)
    expect(evaluation.flagged).toBe(0)
    // Scores of 1 for the decision, half for the content, 1 for the form: 3; rules find the words of no question.
    const [{ outcomes, reward }] = evaluation.positions
    expect(outcomes.success).toBeGreaterThan(asked - 1)
    expect(reward.mean * 8).toBeCloseTo(3 * asked + 4 * (outcomes.success - asked))
    expect((await json(...args)).positions[0].reward.mean).not.toBe(reward.mean)
  })

  it("is recorded in traces, from which a replay needs no judge", async () => {
    const trace = join(root, "traces.jsonl")
    const args = ["simulate", ...own, "--policy", "scripted:random", "--lifecycles", "6", "--pack-size", "2"]
    await json(...args, "--lifecycle.judge", judge, "--out", trace)
    const before = asked
    expect(readFileSync(trace, "utf8")).toContain('"judgement":"[format]1[/format]')
    const [first] = readFileSync(trace, "utf8").split("\n")
    expect(JSON.parse(first!).plan.settings.judge).toBe(judge)
    expect(await json("replay", trace)).toMatchObject({ lifecycles: 6, differences: [] })
    expect(asked).toBe(before)
  })

  it.each([
    ['"lifecycle.judge" is "scripted:oracle", expected a policy that can judge', "learn2ask", "scripted:oracle"],
    ['"lifecycle.judge" is "x", expected nothing: alchemy is scored by its rules alone', "alchemy", "x"],
    ['"POLICY" is "nowhere", expected scripted:NAME', "learn2ask", "nowhere"]
  ])("is refused: %s", async (message, env, name) => {
    const { code, stderr } = await runCommandLine("eval", "scripted:random", "--env", env, "--lifecycle.judge", name)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })
})

describe("options of how lifecycles are lived", () => {
  it("are the same words in training, with the same defaults", async () => {
    const { rollout } = await json("train", "--dry-run")
    expect(rollout).toMatchObject({
      maxTokens: 2000,
      tokenLimit: 0,
      maxSteps: 1000,
      compression: "keep_all",
      onParseFailure: "fallback",
      updatePenalty: 0.1,
      rewardDecay: 1,
      replySeconds: 300,
      environmentSeconds: 30
    })
    const set = ["--rollout.updateLength.zeroTokens", "300", "--rollout.updateLength.fullTokens", "900"]
    const given = await json("train", "--dry-run", ...set, "--rollout.rewardDecay", "0.5")
    expect(given.rollout).toMatchObject({ updateLength: { zeroTokens: 300, fullTokens: 900 }, rewardDecay: 0.5 })
  })

  it("reach the lifecycles", async () => {
    const trace = join(root, "options.jsonl")
    await json(
      ..."simulate --env frozen-lake --policy scripted:random --lifecycles 1".split(" "),
      ..."--lifecycle.compression remove_think --lifecycle.tokenLimit 700 --lifecycle.rewardDecay 0.5".split(" "),
      ..."--pack-size 2 --lifecycle.updateExample true".split(" "),
      "--set",
      "lifecycle.updateLength={zeroTokens: 3, fullTokens: 9, minTokens: 2}",
      "--out",
      trace
    )
    const lines = readFileSync(trace, "utf8").trimEnd().split("\n")
    const { plan, steps } = JSON.parse(lines[0]!)
    expect(JSON.parse(lines[1]!).steps[0].prompt).toMatch(/## Example\n[^]*\n- Switch 2[^]*within 700 tokens\./)
    expect(plan.settings).toMatchObject({
      compression: "remove_think",
      tokenLimit: 700,
      rewardDecay: 0.5,
      updatePenalty: { coefficient: 0.1, length: { zeroTokens: 3, fullTokens: 9, minTokens: 2 } }
    })
    expect(steps[0].prompt).toContain("within 700 tokens.")
    expect(await json("replay", trace)).toMatchObject({ differences: [] })
  })

  it.each([
    [
      '"rollout.compression" is "remove_think", expected nothing in terse style',
      ["--rollout.compression", "remove_think"]
    ],
    ['"rollout.updateExample" is true, expected nothing in terse style', ["--rollout.updateExample", "true"]],
    ['"rollout.tokenLimit" is 5, expected nothing in terse style', ["--rollout.tokenLimit", "5"]],
    ['"rollout.compression" is "half", expected "keep_all" or', ["--rollout.compression", "half"]],
    [
      '"rollout.updateLength" is {"zeroTokens":9,"fullTokens":3}, expected zeroTokens below fullTokens',
      ["--set", "rollout.updateLength={zeroTokens: 9, fullTokens: 3}"]
    ]
  ])("are refused where they mean nothing: %s", async (message, args) => {
    const { code, stderr } = await runCommandLine("train", "--dry-run", ...args)
    expect(code).toBe(2)
    expect(stderr).toContain(message)
  })
})
