import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { environmentIds } from "../../src/cli/environments.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

const folder = mkdtempSync(join(tmpdir(), "constellate-env-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string, content: unknown): string => {
  const path = join(folder, name)
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content))
  return path
}
const env = (...args: ReadonlyArray<string>) => runCommandLine("env", ...args)
const json = async (...args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await env(...args)
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  return JSON.parse(stdout)
}
const trace = (task: object, answers: ReadonlyArray<string>, ...args: ReadonlyArray<string>) => {
  const { environment } = task as { readonly environment: string }
  const files = ["--task", file("task.json", task), "--answers", file("answers.json", answers)]
  return json("trace", environment, ...files, ...args, "--json")
}
const answered = (...answers: ReadonlyArray<string>) => answers.map((answer) => `<answer>${answer}</answer>`)

const lake = {
  environment: "frozen-lake-obscure",
  options: { stepCap: 8 },
  knowledge: { mapping: ["Left", "Up", "Down", "Right"] },
  task: { map: ["SF", "HG"] },
  position: 0,
  packSize: 4
}

describe("env trace plays the worked examples of the specification", () => {
  it("FrozenLake-Obscure: three of eight steps make 0.9625", async () => {
    const traced = await trace(lake, answered("Direction 2", "Direction 4", "Direction 3", "Direction 1"))
    expect(traced).toMatchObject({ outcome: "success", success: true, reward: 0.9625, finalState: null, unused: 1 })
    expect(traced.steps.map(({ end, reward }: any) => [reward, end])).toEqual([
      [0, false],
      [0, false],
      [0.9625, true]
    ])
    expect(traced.steps[0].feedback).toBe("Direction 2 left you at (0, 0), probably because of the edge.")
    expect(traced.steps[1].observation).toContain(traced.steps[0].feedback)
    expect(Object.keys(traced.steps[0])).toEqual(["observation", "answer", "feedback", "reward", "end"])
  })

  it("Alchemy: bex in four of eight rounds makes 0.95", async () => {
    const recipes = [
      { inputs: ["kol", "ret"], product: "zun" },
      { inputs: ["zun", "zun"], product: "bex" }
    ]
    const task = {
      environment: "alchemy",
      options: { stepCap: 8, materialMode: "unlimited" },
      knowledge: { graph: { tiers: [["kol", "ami", "ret"], ["zun"], ["bex"]], recipes }, targets: ["bex"] },
      task: { target: "bex", inventory: { kol: 1, ami: 1, ret: 1 } },
      position: 0,
      packSize: 1
    }
    const traced = await trace(task, answered("kol + ami", "ret + KOL", "zun + bex", "zun + zun"))
    expect(traced.steps).toHaveLength(4)
    expect(traced).toMatchObject({ outcome: "success", reward: 0.95 })
  })

  it.each([
    [["0,2", "2,2"], 0.75],
    [["2,0", "2,2"], 0.86]
  ])("Grid Navigation: %j makes %f, and what was seen is handed on", async (moves, reward) => {
    const [example] = (await env("tasks", "grid-navigation")).stdout.split("\n")
    const { options } = JSON.parse(example!)
    const costs = [
      [5, 10, 20],
      [0, 50, 30],
      [7, 9, 40]
    ]
    const task = {
      environment: "grid-navigation",
      options: { ...options, size: [8, 12] },
      knowledge: { costs },
      task: { start: [0, 0], goal: [2, 2], rounds: 2 },
      position: 0,
      packSize: 1
    }
    const traced = await trace(task, answered(...moves))
    expect(traced.outcome).toBe("success")
    expect(traced.reward).toBeCloseTo(reward, 12)
    expect(traced.finalState).not.toBe(null)
    const again = await trace({ ...task, memory: traced.memory }, [])
    const afresh = await trace(task, [])
    expect(again.outcome).toBe(null)
    expect(JSON.stringify(again.memory).length).toBeGreaterThan(JSON.stringify(afresh.memory).length)
  })

  it("Optimal Control: loss 0.60727 makes 0.62217", async () => {
    const expression = "0.25*(x_target-x)+0.32*(v_target-v)"
    const task = {
      environment: "optimal-control",
      options: {},
      knowledge: { a: 0.9, b: 0.5 },
      task: { x0: 0, v0: 0, xTarget: 2, horizon: 4 },
      position: 0,
      packSize: 1
    }
    const traced = await trace(task, answered(`<action_expression>${expression}</action_expression>`))
    expect(traced.reward.toFixed(5)).toBe("0.62217")
    expect(traced).toMatchObject({ outcome: "failure", finalState: `Submitted expression: ${expression}` })
  })

  it("tells malformed, truncated, failed and unfinished episodes apart", async () => {
    expect(await trace(lake, ["Direction 4"])).toMatchObject({ outcome: "malformed", reward: 0, success: false })
    expect(await trace(lake, answered("Direction 3"))).toMatchObject({ outcome: "failure", reward: 0 })
    const walls = Array.from({ length: 9 }, () => "Direction 1")
    expect(await trace(lake, answered(...walls))).toMatchObject({ outcome: "truncated", unused: 1 })
    expect(await trace(lake, answered("Direction 1"))).toMatchObject({ outcome: null, reward: 0, unused: 0 })
  })

  it("reads the terse style where it is asked for", async () => {
    const traced = await trace(lake, ["R 4", "D 3"], "--style", "terse")
    expect(traced.steps.map(({ observation }: any) => observation)).toEqual(["v+1 h+1 # O # .", "R v+1 h+0 # G . #"])
    expect(traced.reward).toBe(0.975)
  })
})

describe("env trace refuses", () => {
  const refusal = async (task: unknown, answers: unknown, id = "frozen-lake-obscure") => {
    const files = ["--task", file("t.json", task), "--answers", file("a.json", answers)]
    const { code, stderr, stdout } = await env("trace", id, ...files, "--json")
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" })
    return stderr.replaceAll(`${folder}/`, "")
  }

  it.each([
    ["{", [], 't.json: "file" is "Expected property name'],
    [[], [], 't.json: "file" is [], expected an object with a task'],
    [{ ...lake, environment: "alchemy" }, [], 't.json: "environment" is "alchemy", expected "frozen-lake-obscure"'],
    [{ ...lake, task: { map: ["SX", "HG"] } }, [], 't.json: "task.map" is ["SX","HG"], expected a map of the letters'],
    [{ ...lake, task: {} }, [], 't.json: "task.map" is missing, expected a value'],
    [{ ...lake, knowledge: { mapping: ["Up"] } }, [], 't.json: "knowledge.mapping.1" is missing'],
    [{ ...lake, options: { stepcap: 3 } }, [], 't.json: unknown key "options.stepcap", did you mean'],
    [{ ...lake, position: 4 }, [], 't.json: "position" is 4, expected 0 to 3, since packSize is 4'],
    [{ ...lake, knowledge: undefined }, [], 't.json: "knowledge" is missing'],
    [{ ...lake, task: undefined }, [], 't.json: "task" is missing'],
    [{ ...lake, packSize: 1e9 }, [], 't.json: "packSize" is 1000000000, expected a value between 1 and 100000'],
    [{ ...lake, memory: [[1]] }, [], 't.json: "memory" is [[1]], expected none'],
    [lake, "{", 'a.json: "file" is "Expected property name'],
    [lake, { answer: "x" }, 'a.json: "file" is {"answer":"x"}, expected a list of reply texts'],
    [lake, ["x", 3], 'a.json: "1" is 3, expected text']
  ])("%j with %j", async (task, answers, message) => {
    expect(await refusal(task, answers)).toContain(`constellate: ${message}`)
  })

  it.each([["x"], [[[1]]], [[[1, 2], 3]]])("%j as what is known of a map", async (memory) => {
    const knowledge = {
      costs: [
        [1, 2],
        [3, 4]
      ]
    }
    const grid = { knowledge, task: { start: [0, 0], goal: [1, 1], rounds: 2 }, memory }
    const message = `t.json: "memory" is ${JSON.stringify(memory)}, expected a memory that grid-navigation can begin with`
    expect(await refusal(grid, [], "grid-navigation")).toContain(`constellate: ${message}`)
  })
})

describe("env list and env show", () => {
  it("list every environment with its presets and styles", async () => {
    const listed = await json("list", "--json")
    expect(listed.map(({ id }: any) => id)).toEqual(environmentIds.toSorted())
    for (const { presets, problem, title } of listed) {
      expect(problem).toBe(undefined)
      expect(title).not.toBe("")
      expect(presets).toContain("train")
    }
  })

  it("show schemas, an example that can be played, prompts and the states", async () => {
    const chart = join(folder, "chart.svg")
    const shown = await json("show", "frozen-lake-obscure:hard", "--chart", chart, "--json")
    expect(shown).toMatchObject({ id: "frozen-lake-obscure", preset: "hard", options: { size: [6, 7], stepCap: 10 } })
    expect(JSON.stringify(shown.schemas.knowledge.properties.mapping)).toContain(`"enum":["Up","Down","Left","Right"]`)
    expect(shown.states).toContainEqual({ name: "onGoal", final: true })
    expect(shown.prompts.terse.user).toMatch(/^v[+-]\d h[+-]\d/)
    expect(shown.prompts.chat.system).toContain("You are on a frozen lake")
    expect(readFileSync(chart, "utf8")).toBe(shown.chart)
    for (const label of ["walking", "onGoal", "misread", "malformed / waste", "[inHole]"])
      expect(shown.chart).toContain(`>${label}<`)
    expect(await trace(shown.example, answered("Direction 1"))).toMatchObject({ unused: 0 })
  })

  it("show says what is wrong with a name", async () => {
    expect(await env("show", "alchmy")).toMatchObject({
      code: 2,
      stderr: 'constellate: unknown environment "alchmy", did you mean "alchemy"?\n'
    })
  })
})

describe("env tasks", () => {
  it("writes the packs that simulate lives, a task a line", async () => {
    const out = join(folder, "tasks.jsonl")
    await env("tasks", "frozen-lake-obscure", "--packs", "3", "--pack-size", "2", "--seed", "5", "--out", out)
    const tasks = readFileSync(out, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    expect(tasks.map(({ pack, position }) => [pack, position])).toEqual(
      [0, 1, 2].flatMap((p) => [
        [p, 0],
        [p, 1]
      ])
    )
    expect(tasks[0].knowledge).toEqual(tasks[1].knowledge)

    const traces = join(folder, "traces.jsonl")
    const simulate = ["--policy", "scripted:random", "--lifecycles", "3", "--pack-size", "2", "--seed", "5"]
    await runCommandLine("simulate", "--env", "frozen-lake-obscure", ...simulate, "--out", traces)
    const lines = readFileSync(traces, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    expect(lines.flatMap(({ kind, task }) => (kind === "solve" ? [task] : []))).toEqual(tasks.map(({ task }) => task))
  })

  it("does not write over what is there", async () => {
    const out = file("there.jsonl", "mine")
    expect((await env("tasks", "frozen-lake", "--out", out)).code).toBe(2)
    expect(readFileSync(out, "utf8")).toBe("mine")
  })
})

describe("env play", () => {
  it("wants a terminal", async () => {
    if (process.stdin.isTTY) return
    expect(await env("play", "frozen-lake")).toMatchObject({
      code: 2,
      stderr: 'constellate: "stdin" is "not a terminal", expected a terminal to play in\n'
    })
  })
})

describe("a stranger's path", () => {
  it("from env new to a trained policy", { timeout: 120_000 }, async () => {
    const home = process.cwd()
    const project = mkdtempSync(join(tmpdir(), "constellate-new-"))
    symlinkSync(join(home, "node_modules"), join(project, "node_modules"))
    writeFileSync(join(project, "package.json"), '{ "type": "module" }')
    try {
      process.chdir(project)
      const { files } = await json("new", "my-lake", "--json")
      expect(files).toEqual(["environments/my-lake/index.ts", "test/environments/my-lake.test.ts"])
      expect(files.every((path: string) => existsSync(path))).toBe(true)
      expect((await json("list", "--json")).at(-1)).toMatchObject({ id: "my-lake", demonstrations: true })
      expect((await json("check", "my-lake", "--json")).passed).toBe(true)
      const many = ["--env", "my-lake", "--policy", "scripted:random", "--lifecycles", "1000", "--json"]
      const simulated = await runCommandLine("simulate", ...many)
      expect(JSON.parse(simulated.stdout).outcomes).toMatchObject({ malformed: 0, timeout: 0, error: 0 })
      const small = ["warmStart.minimum=1", "warmStart.maximum=2", "warmStart.settle=1", "warmStart.lifecycles=2"]
      const smaller = ["rollout.packs=1", "rollout.groupSize=2", "evaluation.packs=2"]
      const settings = [...small, ...smaller].flatMap((setting) => ["--set", setting])
      const trained = await runCommandLine("train", "--env", "my-lake", "--updates", "2", ...settings, "--json")
      expect(JSON.parse(trained.stdout)).toMatchObject({ updates: 2, after: { environment: "my-lake" } })
      expect(await env("new", "my-lake")).toMatchObject({ code: 2 })
    } finally {
      process.chdir(home)
      rmSync(project, { recursive: true, force: true })
    }
  })

  it("where a package says nothing of modules, or the opposite, files are modules by their name", async () => {
    const home = process.cwd()
    const project = mkdtempSync(join(tmpdir(), "constellate-new-"))
    symlinkSync(join(home, "node_modules"), join(project, "node_modules"))
    writeFileSync(join(project, "package.json"), '{ "type": "commonjs" }')
    try {
      process.chdir(project)
      const { files } = await json("new", "my-lake", "--json")
      expect(files).toEqual(["environments/my-lake/index.mts", "test/environments/my-lake.test.mts"])
      expect(readFileSync(files[1], "utf8")).toContain('from "../../environments/my-lake/index.mts"')
      expect((await json("list", "--json")).at(-1)).toMatchObject({ id: "my-lake", demonstrations: true })
    } finally {
      process.chdir(home)
      rmSync(project, { recursive: true, force: true })
    }
  })

  it.each(["My Lake", "-lake", "../lake", "alchemy"])("refuses the name %s", async (name) => {
    const { code, stderr } = await env("new", "--", name)
    expect(code).toBe(2)
    expect(stderr).toContain(`${JSON.stringify(name)}, expected `)
  })
})
