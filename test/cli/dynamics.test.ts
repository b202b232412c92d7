/** Dynamics operators from a configuration: what they are given, what is refused, and what is recorded of them. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { runCommandLine } from "../fixtures/command-line.ts"

const folder = mkdtempSync(join(tmpdir(), "constellate-dynamics-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const config = join(folder, "harder.yaml")
writeFileSync(
  config,
  "environment:\n  stepCap: 6\n  dynamics:\n    - drift: { rate: 0.5 }\n    - budget:\n        steps: 12\n"
)
const dynamics = [{ drift: { rate: 0.5, at: [] } }, { budget: { steps: 12 } }]
const json = async (...args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await runCommandLine(...args, "--json")
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  return JSON.parse(stdout)
}
const lake = ["--env", "frozen-lake-obscure"]
const set = (value: string) => ["--set", `environment.dynamics=${value}`]

describe("environment.dynamics", () => {
  it("puts operators around the environment of an evaluation, from a file or the command line", async () => {
    const small = [...lake, "--packs", "20", "--pack-size", "3"]
    const bare = await json("eval", "scripted:careful", ...small, "--set", "environment.stepCap=6")
    const filed = await json("eval", "scripted:careful", ...small, "--config", config)
    const typed = await json(
      "eval",
      "scripted:careful",
      ...small,
      "--set",
      "environment.stepCap=6",
      ...set("[{drift: {rate: 0.5}}, {budget: {steps: 12}}]")
    )
    expect(filed.dynamics).toEqual(dynamics)
    expect(typed).toEqual(filed)
    expect(bare.dynamics).toBe(undefined)
    expect(filed.positions[2].success.mean).toBeLessThan(bare.positions[2].success.mean)
    const { stdout } = await runCommandLine("eval", "scripted:careful", ...small, "--config", config)
    expect(stdout).toContain("scripted:careful on frozen-lake-obscure with drift, budget: 20 packs of 3")
  })

  it("is known to the context control that tells the truth, position by position", async () => {
    const args = [
      "eval",
      "scripted:careful",
      ...lake,
      "--packs",
      "40",
      "--pack-size",
      "3",
      ...set("[{drift: {at: [2]}}]")
    ]
    const [own, oracle] = [await json(...args), await json(...args, "--context", "oracle")]
    expect(own.positions[2].success.mean).toBeLessThan(0.8)
    expect(oracle.positions.map(({ success }: any) => success.mean)).toEqual([1, 1, 1])
  })

  it("that has no effect is the environment as it is", async () => {
    const some = [...lake, "--policy", "scripted:careful", "--lifecycles", "10"]
    const { digest } = await json("simulate", ...some)
    expect(
      await json("simulate", ...some, ...set("[{drift: {}}, {noisyFeedback: {rate: 0}}, {faults: }]"))
    ).toMatchObject({
      digest
    })
    expect((await json("simulate", ...some, ...set("[{drift: {rate: 1}}]"))).digest).not.toBe(digest)
  })

  it.each([
    ["[{drfit: {rate: 0.2}}]", 'unknown operator of environment.dynamics.0 "drfit", did you mean "drift"?'],
    [
      "[{drift: {}}, {budget: {stps: 3}}]",
      'unknown key "environment.dynamics.1.budget.stps", did you mean "environment.dynamics.1.budget.steps"?'
    ],
    ["[{drift: {rate: 2}}]", '"environment.dynamics.0.drift.rate" is 2, expected a value between 0 and 1'],
    ["[{drift: {at: [0]}}]", '"environment.dynamics.0.drift.at.0" is 0, expected a value greater than or equal to 1'],
    ["[{faults: {throws: 0.7, hangs: 0.7}}]", "expected throws, hangs and garbles that add up to at most 1"],
    ["[{drift: 0.2}]", '"environment.dynamics.0.drift" is 0.2, expected keys and values'],
    ["[drift]", '"environment.dynamics.0" is "drift", expected one operator with its parameters'],
    ["[{drift: {}, budget: {}}]", '"environment.dynamics.0" is {"drift":{},"budget":{}}, expected one operator'],
    ["0.2", '"environment.dynamics" is 0.2, expected a list of operators, such as [{drift: {rate: 0.2}}]']
  ])("%s is refused", async (value, message) => {
    const { code, stderr, stdout } = await runCommandLine("eval", "scripted:random", ...lake, ...set(value))
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    expect(stderr).toContain(message)
  })

  it("is refused with its line in a file, and where nothing can drift", async () => {
    const wrong = join(folder, "wrong.yaml")
    writeFileSync(wrong, "environment:\n  stepCap: 6\n  dynamics:\n    - drift: { rate: often }\n")
    const { code, stderr } = await runCommandLine("simulate", ...lake, "--policy", "scripted:random", "--config", wrong)
    expect([code, stderr]).toEqual([
      2,
      `constellate: ${wrong}:3: "environment.dynamics.0.drift.rate" is "often", expected a number\n`
    ])
    const still = await runCommandLine(
      "eval",
      "scripted:random",
      "--env",
      "frozen-lake",
      ...set("[{drift: {rate: 1}}]")
    )
    expect(still.stderr).toContain("expected an environment that hides something, which frozen-lake does not")
    const near = await runCommandLine("eval", "scripted:random", ...lake, "--set", "environment.dynamic=[]")
    expect(near.stderr).toContain('unknown key "environment.dynamic", did you mean "environment.dynamics"?')
  })
})

describe("faults on purpose", () => {
  const few = [...lake, "--policy", "scripted:careful", "--lifecycles", "20", "--pack-size", "2"]

  it("are lost lifecycles, counted as errors, and repeatable", async () => {
    const faults = set("[{faults: {throws: 0.1}}]")
    const first = await json("simulate", ...few, ...faults)
    expect(first.outcomes.error).toBeGreaterThan(0)
    expect(first.lost).toBe(first.outcomes.error)
    expect(first.deterministic).toBe(true)
    expect((await json("simulate", ...few, ...faults)).digest).toBe(first.digest)
  })

  it("that hang longer than a call may take are timeouts, and not repeatable", async () => {
    const faults = set("[{faults: {hangs: 0.05, hangMillis: 200}}]")
    const { deterministic, outcomes } = await json(
      "simulate",
      ...few,
      ...faults,
      "--set",
      "lifecycle.environmentSeconds=0.15"
    )
    expect(outcomes.timeout).toBeGreaterThan(0)
    expect([outcomes.error, deterministic]).toEqual([0, false])
  })

  it("are tried again where it counts who survives", async () => {
    const args = [
      "eval",
      "scripted:careful",
      ...lake,
      "--packs",
      "40",
      "--pack-size",
      "2",
      ...set("[{faults: {throws: 0.05}}]")
    ]
    const { positions } = await json(...args)
    expect(positions[1].episodes).toBeGreaterThan(36)
  })
})

describe("what is recorded", () => {
  const out = join(folder, "traces.jsonl")
  const many = [...lake, "--policy", "scripted:careful", "--pack-size", "3", "--config", config, "--out", out]

  it("lets a trace be replayed and gone on with", async () => {
    const whole = await json("simulate", ...many, "--lifecycles", "12")
    expect(whole.dynamics).toEqual(dynamics)
    const lines = readFileSync(out, "utf8").split("\n")
    expect(JSON.parse(lines[0]!).plan.dynamics).toEqual(dynamics)
    expect(await json("replay", out)).toMatchObject({ lifecycles: 12, differences: [] })
    writeFileSync(out, lines.slice(0, 17).join("\n"))
    expect((await json("simulate", ...many, "--lifecycles", "12", "--resume")).digest).toBe(whole.digest)
    const other = many.map((word) => (word === config ? join(folder, "other.yaml") : word))
    writeFileSync(join(folder, "other.yaml"), "environment: { stepCap: 6, dynamics: [{ drift: { rate: 0.6 } }] }\n")
    expect((await runCommandLine("simulate", ...other, "--lifecycles", "12", "--resume")).code).toBe(2)
  })

  it("is the same in worker threads", async () => {
    const here = [...lake, "--policy", "scripted:careful", "--pack-size", "3", "--config", config, "--lifecycles", "12"]
    const { digest } = await json("simulate", ...here)
    expect((await json("simulate", ...here, "--shards", "2")).digest).toBe(digest)
  })

  it("goes with a task into its file, which is refused by an environment without", async () => {
    const tasks = (await runCommandLine("env", "tasks", "frozen-lake-obscure", "--config", config)).stdout
    const [task] = tasks.split("\n")
    expect(JSON.parse(task!).dynamics).toEqual(dynamics)
    const files = ["--task", join(folder, "task.json"), "--answers", join(folder, "answers.json")]
    writeFileSync(files[1]!, task!)
    writeFileSync(files[3]!, '["<answer>Direction 1</answer>"]')
    const traced = await json("env", "trace", "frozen-lake-obscure", "--config", config, ...files)
    expect(traced.steps[0].observation).toContain("Answers left for this and all later tasks: 12")
    const { code, stderr } = await runCommandLine("env", "trace", "frozen-lake-obscure", ...files)
    expect(code).toBe(2)
    expect(stderr).toContain('task.json: "dynamics" is [{"drift"')
  })

  it("env show has its prompts and its states", async () => {
    const shown = await json("env", "show", "frozen-lake-obscure", "--config", config)
    expect(shown.dynamics).toEqual(dynamics)
    expect(shown.operators.drift.properties.rate.description).toMatch(/^Probability, at each position.* Default: 0$/)
    expect(shown.prompts.chat.user).toContain("Answers left for this and all later tasks: 12")
    expect(shown.states).toContainEqual({ name: "outOfBudget", final: true })
    expect(shown.chart).toContain(">outOfBudget<")
    expect(shown.chart).toContain("[budgetSpent]")
  })

  it("is in the run folder, from which a run goes on with it", { timeout: 60_000 }, async () => {
    const run = join(folder, "run")
    const small = ["warmStart.minimum=1", "warmStart.maximum=2", "warmStart.settle=1", "warmStart.lifecycles=2"]
    const smaller = ["rollout.packs=1", "rollout.groupSize=2", "evaluation.packs=2"]
    const settings = [...small, ...smaller].flatMap((setting) => ["--set", setting])
    const begun = await runCommandLine(
      "train",
      ...lake,
      "--updates",
      "1",
      "--config",
      config,
      ...settings,
      "--run",
      run,
      "--json"
    )
    expect(JSON.parse(begun.stdout).after.dynamics).toEqual(dynamics)
    expect(readFileSync(join(run, "config.yaml"), "utf8")).toContain("budget:")
    const more = await runCommandLine("train", "--resume", "--run", run, "--updates", "2", "--json")
    expect(JSON.parse(more.stdout)).toMatchObject({ updates: 2, after: { dynamics } })
  })
})
