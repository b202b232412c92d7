import { Schema } from "effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import terminal from "../../environments/terminal/index.ts"
import { types } from "../../environments/terminal/scenes.ts"
import { answerBlock } from "../../src/environment.ts"
import { stream } from "../../src/kernels/random.ts"
import { transitions } from "../../src/machines/transition.ts"
import { curve, optionsOf, walk as walkThrough } from "./frozen-lake-play.ts"

const { chat, feedback, presets, task } = terminal

/** Plays a task by command lines and returns every snapshot. */
const walk = (given: object, lines: ReadonlyArray<string>, options: object = {}): Array<any> =>
  walkThrough(
    terminal,
    { environmentOptions: options, knowledge: null, task: given } as any,
    lines.map((line) => (line.includes("<answer>") ? line : answerBlock.write(line)))
  )

const logs = {
  os: "linux",
  remoteHost: "192.168.1.20",
  remoteUser: "deploy",
  instruction: "Pack the directory '/home/user/data/logs' into the archive 'logs.zip' next to it.",
  files: [
    { on: "local", path: "/home/user/data/logs/a.log", content: "first" },
    { on: "local", path: "/home/user/data/logs/old/b.log", content: "second" }
  ],
  goal: [
    {
      check: "archive",
      on: "local",
      path: "/home/user/data/logs.zip",
      entries: { "logs/a.log": "first", "logs/old/b.log": "second" }
    }
  ]
}

const drawn = (seed: number, options: object = {}) =>
  task.sample(stream("terminal", seed), {
    options: optionsOf(terminal, options),
    knowledge: null,
    position: 0,
    packSize: 1
  })

describe("the worked example: pack a directory into a zip next to it", () => {
  it("in its parent directory", () => {
    const [before, end] = walk(logs, ["cd data && zip -r logs.zip logs"])
    expect(chat.user(before)).toBe("Step 1/15\nuser@localhost:~$")
    expect(end.value).toBe("goalReached")
    expect(end.output).toEqual({ success: true, reward: 1, outcome: "success" })
    expect(feedback.end(end)).toBe("You completed the task in 1 of 15 steps.")
    expect(terminal.lengthPenalty).toBeUndefined()
  })

  it("not from home, where the archive would be", () => {
    const [, snapshot] = walk(logs, ["zip -r logs.zip data/logs"])
    expect(snapshot.value).toBe("atLocalShell")
    expect(snapshot.context.local.files).toHaveProperty(["/home/user/logs.zip"])
  })

  it("archives of any type count, by their entries", () => {
    expect(walk(logs, ["cd data", "tar cf logs.zip logs"]).at(-1).value).toBe("goalReached")
    expect(walk(logs, ["cd data/logs", "zip -r ../logs.zip ."]).at(-1).value).toBe("goalReached")
    expect(walk(logs, ["cd data", "zip logs.zip logs"]).at(-1).value).toBe("atLocalShell")
    expect(walk(logs, ["cd data", "touch logs.zip"]).at(-1).value).toBe("atLocalShell")
  })
})

describe("an episode", () => {
  it("shows the output and the prompt, and where the shell is", () => {
    const snapshots = walk(logs, ["cd data", "ls -l", "ssh deploy@192.168.1.20", "cd /var", "exit"])
    expect(snapshots.map((snapshot) => snapshot.value)).toEqual([
      "atLocalShell",
      "atLocalShell",
      "atLocalShell",
      "atRemoteShell",
      "atRemoteShell",
      "atLocalShell"
    ])
    expect(chat.user(snapshots[1])).toBe("Step 2/15\nOutput of the last command:\n(none)\nuser@localhost:~/data$")
    expect(chat.user(snapshots[2])).toContain("drwxr-xr-x 1 user user   4096 Jan 15 10:30 logs/")
    expect(chat.user(snapshots[3])).toMatch(/deploy@192\.168\.1\.20:~\$$/)
    expect(chat.user(snapshots[4])).toContain("cd: /var: No such file or directory")
  })

  it("is truncated when the steps run out, and says nothing of what was missing", () => {
    const end = walk(
      logs,
      Array.from({ length: 12 }, () => "pwd"),
      presets["eval"]
    ).at(-1)
    expect(end.value).toBe("outOfSteps")
    expect(end.output).toEqual({ success: false, reward: 0, outcome: "truncated" })
    expect(feedback.end(end)).toBe("You did not reach the goal: 12 of 12 steps used.")
  })

  it("succeeds on the very last step", () => {
    expect(walk(logs, ["cd data", "pwd", "zip -r logs.zip logs"], { stepCap: 3 }).at(-1).value).toBe("goalReached")
  })

  it.each(["<answer></answer>", "<answer>  \n </answer>", "no <answer>", "<answer>ls</answer> <answer>ls</answer>"])(
    "ends at %j",
    (reply) => {
      const end = walk(logs, [reply]).at(-1)
      expect(end.value).toBe("misread")
      expect(end.output).toEqual({ success: false, reward: 0, outcome: "malformed" })
      expect(feedback.end(end)).toContain("could not be read")
    }
  )

  it("tells the computers, the commands, the task and the number of steps", () => {
    const system = chat.system(walk({ ...logs, os: "macos", files: [] }, [], presets["eval"])[0])
    for (const said of [
      "macOS",
      "192.168.1.20",
      "deploy",
      "rsync",
      "gunzip",
      "12 steps",
      logs.instruction,
      "&& or ;"
    ]) {
      expect(system).toContain(said)
    }
  })
})

describe("tasks", () => {
  it("are of all systems, users and types, half of them composite", () => {
    const counts = new Map<string, number>()
    const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
    for (let seed = 0; seed < 3_400; seed++) {
      const { os, remoteHost, remoteUser, type } = drawn(seed)
      const last = Number(/^192\.168\.1\.(\d\d)$/.exec(remoteHost)![1])
      expect(last).toBeGreaterThanOrEqual(10)
      for (const name of [os, remoteUser, type, types.indexOf(type) < 9 ? "single" : "composite"]) count(name)
    }
    for (const [name, share] of [
      ...["windows", "macos", "linux"].map((os) => [os, 1 / 3] as const),
      ...["admin", "deploy", "user", "webmaster", "devops", "ops", "ubuntu"].map((user) => [user, 1 / 7] as const),
      ...types.map((type, i) => [type, i < 9 ? 1 / 18 : 1 / 16] as const),
      ["composite", 1 / 2] as const
    ]) {
      expect(Math.abs(counts.get(name)! / 3_400 - share)).toBeLessThan(0.03)
    }
  })

  it("can be composite always or never, or of one type", () => {
    for (let seed = 0; seed < 40; seed++) {
      expect(types.indexOf(drawn(seed, { compositeRatio: 1 }).type)).toBeGreaterThanOrEqual(9)
      expect(types.indexOf(drawn(seed, { compositeRatio: 0 }).type)).toBeLessThan(9)
      expect(drawn(seed, { type: "chmod" }).type).toBe("chmod")
    }
  })

  it.each(types)("of type %s are read by their schema, not done at the start, and done by the expert", (type) => {
    for (let seed = 0; seed < 60; seed++) {
      const one = drawn(seed, { type })
      expect(Schema.decodeUnknownSync(task.schema!)(JSON.parse(JSON.stringify(one)))).toEqual(one)
      const { transition } = transitions(terminal.machine)
      let [world]: any = walk(one, [])
      expect(walk(one, ["pwd"]).at(-1).context.solved).toBe(false)
      const messages: Array<any> = [{ role: "system", content: chat.system(world) }]
      while (world.status === "active") {
        messages.push({ role: "user", content: chat.user(world) })
        const reply = terminal.agents.careful({ kind: "solve", messages }, "", stream(""))
        messages.push({ role: "assistant", content: reply })
        ;[world] = transition(world, { type: "answer", ...chat.parse(reply), rng: stream("") } as never)
      }
      expect([world.value, one.instruction]).toEqual(["goalReached", one.instruction])
    }
  })

  it("ask of Windows only what it can do", () => {
    for (let seed = 0; seed < 400; seed++) {
      const { goal, instruction, os } = drawn(seed)
      if (os !== "windows") continue
      const isLocal = !/remote server|@/.test(instruction)
      expect(isLocal && goal.some(({ check }: any) => check === "permissions")).toBe(false)
      if (isLocal) expect(instruction).not.toMatch(/\.tar/)
    }
  })

  it("are refused when a file is where a directory must be", () => {
    const clash = {
      ...logs,
      files: [
        { on: "local", path: "/opt/a" },
        { on: "local", path: "/opt/a/b" }
      ]
    }
    expect(String(walk(clash, [])[0].error)).toContain("local /opt/a/b: File exists")
  })
})

it("the chat views show no content of a file before it is looked at", () => {
  const { files, ...rest } = logs
  const texts = (files: ReadonlyArray<object>) =>
    walk({ ...rest, files }, ["ls data", "cp data/logs/a.log b", "ls -l nowhere", "zip -r x.zip data"]).flatMap(
      (snapshot) => [chat.system(snapshot), chat.user(snapshot), feedback.step(snapshot)]
    )
  expect(texts(files.map((file) => ({ ...file, content: "other" })))).toEqual(texts(files))
})

it("an episode ends within its cap, never throws, and goes on from a snapshot saved as JSON", () => {
  const { transition } = transitions(terminal.machine)
  const name = fc.constantFrom(
    "data",
    "/opt",
    "a",
    "b/c",
    "..",
    "~",
    ".",
    "C:\\Users",
    "x.zip",
    "*",
    "'q r'",
    '"',
    "\\",
    "__proto__",
    "constructor"
  )
  const word = fc.oneof(name, fc.string({ maxLength: 6, unit: "binary" }))
  const command = fc.constantFrom(
    ..."ls cd pwd cat echo mkdir touch cp mv rm chmod tar zip unzip gzip gunzip ssh exit scp rsync dir del ren nonsense".split(
      " "
    )
  )
  const flag = fc.constantFrom("", "-r", "-rf", "-p", "-czf", "-xf", "755", "-R 600", "-d", "deploy@192.168.1.20:")
  const one = fc.tuple(command, flag, word, word).map((words) => words.join(" "))
  const line = fc
    .array(one, { minLength: 1, maxLength: 4 })
    .chain((commands) => fc.constantFrom(" && ", "; ", ";").map((link) => commands.join(link)))
  const start = { "seed 0": logs, windows: drawn(1), other: drawn(2) }
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(start)),
      fc.array(line, { minLength: 15, maxLength: 15 }),
      (given, lines) => {
        const snapshots = walk(given, [])
        for (const line of lines) {
          if (snapshots.at(-1).status !== "active") break
          const parsed = chat.parse(answerBlock.write(line))
          const event =
            "why" in parsed ? { type: "malformed", ...parsed } : { type: "answer", ...parsed, rng: stream("") }
          snapshots.push(transition(snapshots.at(-1), event as never)[0])
        }
        const end = snapshots.at(-1)
        expect(end.status).toBe("done")
        const saved = terminal.machine.getPersistedSnapshot(snapshots.at(-2))
        const { value, context } = JSON.parse(JSON.stringify(saved)) as any
        expect(context).toEqual(snapshots.at(-2).context)
        const parsed: any = chat.parse(answerBlock.write(lines[snapshots.length - 2]!))
        const event =
          "why" in parsed ? { type: "malformed", ...parsed } : { type: "answer", ...parsed, rng: stream("") }
        const [restored]: any = transition(terminal.machine.resolveState({ value, context }) as never, event as never)
        expect(restored.context).toEqual(end.context)
      }
    ),
    { seed: 1, numRuns: 40 }
  )
})

describe("scripted agents, in 40 packs of 4", () => {
  const packs = { packs: 40, packSize: 4 }
  it.each(["oracle", "careful", "amnesiac"] as const)("%s knows the shells, at every position alike", (agent) => {
    for (const share of curve(terminal, agent, packs)) expect(share).toBeCloseTo(1, 9)
  })
  it("random gets nowhere", () => {
    for (const share of curve(terminal, "random", packs)) expect(share).toBeLessThan(0.2)
  })
})
