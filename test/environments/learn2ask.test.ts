import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { groupsOf, readSessions, roundsOf, type Session } from "../../environments/learn2ask/dialogues.ts"
import learn2ask from "../../environments/learn2ask/index.ts"
import { judge, rewardOf } from "../../environments/learn2ask/judge.ts"
import { dimensions, dimensionsIn, inquiries, sessions } from "../../environments/learn2ask/symptoms.ts"
import { stream } from "../../src/kernels/random.ts"
import { answering, curve, lifecycle, mean, optionsOf } from "./chat-play.ts"

const { chat, feedback, knowledge, task } = learn2ask

const patient = (content: string) => ({ role: "patient" as const, content })
const doctor = (content: string, ...attributes: ReadonlyArray<string>) => ({
  role: "doctor" as const,
  content,
  attributes
})

const session: Session = {
  diagnosis: "migraine",
  messages: [
    patient("My head hurts."),
    doctor("How bad is it?", "severity of the headache"),
    patient("Very."),
    patient("Really."),
    doctor("Where is it?", "location of the headache"),
    patient("On the left."),
    doctor("This looks like migraine.")
  ]
}
const inquiry = {
  knowledge: { diagnosis: null, attributes: [] },
  task: {
    messages: session.messages.slice(0, 4).map(({ content, role }) => ({ role, content })),
    decision: "continue",
    open: ["location of the headache"]
  }
}
const end = (response: string, options: object = {}, task: object = inquiry.task) =>
  answering(learn2ask, { ...inquiry, task, options }, [response]).at(-1)

describe("the worked example: the truth is to continue, one question, half relevant", () => {
  const response = "Is the headache a mild or a severe one?"
  it.each([
    [{}, 3, 4],
    [{ fusionMode: "sum" }, 2.5, 3],
    [{ trainMode: "Ra" }, 2, 3],
    [{ trainMode: "Rs" }, 4, 4]
  ])("%j: %d of %d", (options, reward, most) => {
    const ended = end(response, options)
    expect(ended.value).toBe("askedOn")
    expect(ended.output).toMatchObject({ success: true, outcome: "success", reward })
    expect(feedback.end(ended)).toBe(
      `Score ${reward} of at most ${most}: decision 1, content 0.5, format 1. The question is close to what is still open, but does not ask it.`
    )
  })
})

describe("scores", () => {
  const open = { decision: "continue", open: ["location of the headache"] } as const
  it.each([
    ["Where is it: left or right?", 1, 1],
    ["Where is it? Left?", 1, 0.5],
    ["Where? Left? Right?", 1, 0],
    ["Tell me where it is.", 1, 0],
    ["Do you smoke?", 0, 1],
    ["Is it a headache, or something of the eyes?", 0.5, 1],
    ["", 0, 0]
  ])("%j: content %d, format %d", (response, content, format) => {
    expect(judge(response, open)).toMatchObject({ decision: "continue", action: 1, content, format })
  })

  it("a right stop has format only when nothing else is said", () => {
    const stop = { decision: "stop", open: [] } as const
    expect(judge(" <stop />\n", stop)).toMatchObject({ action: 1, content: 1, format: 1 })
    expect(judge("Thank you. <stop />", stop)).toMatchObject({ action: 1, content: 1, format: 0 })
    expect(judge("<stop/>", stop)).toMatchObject({ decision: "continue", action: 0 })
  })

  it("a wrong decision is worth nothing in any mode", () => {
    for (const verdict of [judge("<stop />", open), judge("Where is it?", { decision: "stop", open: [] })]) {
      expect(verdict).toMatchObject({ action: 0, format: 0, content: 0 })
      for (const mode of ["Ra+Rs", "Ra", "Rs"] as const) expect(rewardOf(verdict, mode, "default")).toBe(0)
    }
    expect(end("<stop />").value).toBe("stoppedEarly")
    expect(end("Where?", {}, { ...inquiry.task, decision: "stop", open: [] }).value).toBe("askedTooMuch")
    expect(end("<stop />", {}, { ...inquiry.task, decision: "stop", open: [] }).output.reward).toBe(4)
  })

  it("attributes in words of their own are asked for by all of their words", () => {
    const own = { decision: "continue", open: ["family allergies"] } as const
    expect(judge("Are there allergies in your family?", own).content).toBe(1)
    expect(judge("Do you have allergies?", own).content).toBe(0.5)
    expect(judge("Do you sleep well?", own).content).toBe(0)
  })

  it("feedback never tells what is open", () => {
    for (const response of ["<stop />", "Where is it?", "Do you smoke?"]) {
      expect(feedback.end(end(response))).not.toMatch(/location|headache/)
    }
  })

  it("a megabyte of anything is judged at once", () => {
    const started = performance.now()
    for (const text of ["?", "location ", "\u0000", "<stop /", "a"]) end(text.repeat(1_000_000 / text.length))
    expect(performance.now() - started).toBeLessThan(3000)
  })
})

describe("tasks out of sessions", () => {
  it("every patient's turn with a rest makes one: messages so far, decision, what is still asked about", () => {
    expect(roundsOf(session).map(({ decision, messages, open }) => [messages.length, decision, open])).toEqual([
      [1, "continue", ["severity of the headache", "location of the headache"]],
      [4, "continue", ["location of the headache"]],
      [6, "stop", []]
    ])
  })

  it("sessions that end with the patient, and rounds that aim at nothing, are dropped", () => {
    expect(roundsOf({ ...session, messages: session.messages.slice(0, -1) })).toEqual([])
    const aimless = [patient("It hurts."), doctor("Hm."), patient("Help."), doctor("Rest.")]
    expect(roundsOf({ diagnosis: "x", messages: aimless }).map(({ decision }) => decision)).toEqual(["stop"])
  })

  it("turns of one role in a row are shown as one", () => {
    expect(chat.user(answering(learn2ask, inquiry, [])[0])).toBe(
      "Patient: My head hurts.\nDoctor: How bad is it?\nPatient: Very. Really."
    )
  })

  it("mode Ra is not told how to stop", () => {
    const systemOf = (options: object) => chat.system(answering(learn2ask, { ...inquiry, options }, [])[0])
    expect(systemOf({})).toContain("<stop />")
    expect(systemOf({ trainMode: "Ra" })).not.toContain("<stop />")
  })

  it("the test is made of whole diagnoses, a fifth of the rounds, the same every time", () => {
    const [train, test] = [groupsOf(sessions(), "train"), groupsOf(sessions(), "test")]
    const rounds = (groups: ReadonlyArray<{ readonly rounds: ReadonlyArray<unknown> }>) =>
      groups.reduce((sum, group) => sum + group.rounds.length, 0)
    const both = train
      .map(({ diagnosis }) => diagnosis)
      .filter((name) => test.some(({ diagnosis }) => diagnosis === name))
    expect(both).toEqual([])
    expect(rounds(test) / (rounds(train) + rounds(test))).toBeGreaterThanOrEqual(0.2)
    expect(rounds(test) / (rounds(train) + rounds(test))).toBeLessThan(0.35)
    expect(groupsOf(sessions(), "test")).toEqual(test)
  })

  it("the tasks of a pack are of one diagnosis, unless packs are of nothing in common", () => {
    const names = (options: object) => {
      const own = { options: optionsOf(learn2ask, options), packSize: 8 }
      const drawn = knowledge.sample(stream("pack"), own)
      return new Set(
        [0, 1, 2, 3, 4, 5, 6, 7].map(
          (position) => task.sample(stream("task", position), { ...own, knowledge: drawn, position }).diagnosis
        )
      )
    }
    expect(names({}).size).toBe(1)
    expect(names({ packBy: "nothing" }).size).toBeGreaterThan(1)
  })
})

describe("the synthetic dialogues", () => {
  it("are the same every time, and their questions are known for what they ask", () => {
    expect(sessions()).toEqual(sessions())
    for (const dimension of dimensions) {
      for (const question of inquiries[dimension].questions) expect(dimensionsIn(question)).toEqual([dimension])
    }
  })

  it("their doctors ask about all that belongs to the diagnosis before they stop", () => {
    for (const { attributes, rounds } of groupsOf(sessions(), "all")) {
      for (const { decision, messages, open } of rounds) {
        const asked = (messages.length - 1) / 2
        expect(open.length).toBe(attributes.length - asked)
        expect(decision).toBe(open.length === 0 ? "stop" : "continue")
      }
    }
  })
})

describe("a file of one's own", () => {
  const folder = mkdtempSync(join(tmpdir(), "dialogues-"))
  afterAll(() => rmSync(folder, { recursive: true }))
  const file = (name: string, ...lines: ReadonlyArray<unknown>) => {
    const path = join(folder, name)
    writeFileSync(path, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"))
    return path
  }

  it("is played", () => {
    const dialogues = file("good.jsonl", session, "", { ...session, diagnosis: "stroke" })
    const options = { dialogues, split: "all" }
    const { outcomes, observations } = lifecycle(learn2ask, "careful", { pack: 1, packSize: 4, options })
    expect(outcomes.length).toBe(4)
    expect(observations[0]![0]).toMatch(/^Patient: My head hurts\./)
  })

  it.each([
    ["{", "the line is no JSON"],
    ["7", '"line" is 7, expected an object'],
    [{ messages: [] }, '"diagnosis" is missing, expected a text'],
    [{ diagnosis: "x" }, '"messages" is missing, expected a list of messages'],
    [
      { diagnosis: "x", messages: [{ role: "nurse", content: "" }] },
      '"messages[0].role" is "nurse", expected patient or doctor'
    ],
    [{ diagnosis: "x", messages: [{ role: "doctor", content: 7 }] }, '"messages[0].content" is 7, expected a text'],
    [{ diagnosis: "x", messages: [null] }, '"messages[0].role" is missing'],
    [{ diagnosis: "x", messages: [doctor("?"), { ...patient("!"), attributes: ["a"] }] }, '"messages[1].attributes"'],
    [
      { diagnosis: "x", messages: [{ ...doctor("?"), attributes: "a" }] },
      '"messages[0].attributes" is "a", expected a list'
    ]
  ])("is refused with line and field: %j", (line, why) => {
    const text = `${JSON.stringify(session)}\n${typeof line === "string" ? line : JSON.stringify(line)}\n`
    expect(() => readSessions(text, "my.jsonl")).toThrow(`my.jsonl:2: ${why}`)
    const dialogues = file("bad.jsonl", session, line)
    expect(() => optionsOf(learn2ask, { dialogues })).toThrow("bad.jsonl:2: ")
  })

  it("is refused when it is not there or holds no round", () => {
    expect(() => optionsOf(learn2ask, { dialogues: join(folder, "none.jsonl") })).toThrow(
      "a file of dialogues that can be read (ENOENT)"
    )
    const dialogues = file("empty.jsonl", { diagnosis: "x", messages: [patient("It hurts.")] })
    expect(() => optionsOf(learn2ask, { dialogues })).toThrow("no rounds")
  })
})

describe("agents", () => {
  const at = { packs: 60, packSize: 4 }
  const careful = curve(learn2ask, "careful", at)
  const amnesiac = curve(learn2ask, "amnesiac", at)

  it("`careful` rises by what it writes, `amnesiac` does not", () => {
    expect(careful.reward[0]).toBe(amnesiac.reward[0])
    expect(mean(careful.reward.slice(1)) - careful.reward[0]!).toBeGreaterThan(0.5)
    expect(Math.abs(mean(amnesiac.reward.slice(1)) - amnesiac.reward[0]!)).toBeLessThan(0.4)
  })

  it("`oracle` has every point there is", () => {
    expect(mean(curve(learn2ask, "oracle", { packs: 20, packSize: 4 }).reward)).toBeCloseTo(4, 9)
  })
})
