import fc from "fast-check"
import { Schema } from "effect"
import { describe, expect, it } from "vitest"
import { moves, steps } from "../../environments/frozen-lake/lake.ts"
import { type Belief, both, nothingKnown, readBelief, written } from "../../environments/frozen-lake-obscure/belief.ts"
import obscure from "../../environments/frozen-lake-obscure/index.ts"
import { mappingIn, mappings } from "../../environments/frozen-lake-obscure/mapping.ts"
import { bestKinds } from "../../environments/frozen-lake-obscure/plan.ts"
import { answerBlock } from "../../src/environment.ts"
import { stream } from "../../src/kernels/random.ts"
import { solveReward } from "../../src/machines/reward.ts"
import { transitions } from "../../src/machines/transition.ts"
import { curve, lifecycle, optionsOf, startOn, walk } from "./frozen-lake-play.ts"

const { chat, demonstrate, feedback, knowledge, presets, task, terse } = obscure

const directions = (...codes: ReadonlyArray<number | string>) =>
  codes.map((code) => answerBlock.write(`Direction ${code}`))

/** A drawn task on its map. */
const drawn = (seed: number, mapping: ReadonlyArray<string>, preset = "train") => {
  const options = optionsOf(obscure, presets[preset])
  const { map } = task.sample(stream("drawn", seed), { options, knowledge: null, position: 0, packSize: 1 })
  return startOn(map, { mapping, options: presets[preset]! })
}

describe("the worked example: 1 Left, 2 Up, 3 Down, 4 Right", () => {
  const start = startOn(["SF", "HG"], { mapping: ["Left", "Up", "Down", "Right"] })

  it("in chat style", () => {
    const snapshots = walk(obscure, start, directions(2, 4, 3))
    expect(snapshots.map(feedback.step)).toEqual([
      "",
      "Direction 2 left you at (0, 0), probably because of the edge.",
      "Direction 4 moved you from (0, 0) to (0, 1).",
      "Direction 3 moved you from (0, 1) to (1, 1)."
    ])
    const end = snapshots.at(-1)
    expect(end.value).toBe("onGoal")
    expect(end.output).toEqual({ success: true, reward: 1, outcome: "success" })
    expect(feedback.end(end)).toBe("Direction 3 moved you from (0, 1) to (1, 1). You reached the goal in 3 of 8 steps.")
    expect(solveReward(end.output.reward, [1, 1, 1], obscure.lengthPenalty!(optionsOf(obscure)))).toBe(0.9625)
  })

  it("in terse style", () => {
    const snapshots = walk(obscure, start, ["R 2", "R 4", "D 3"], "terse")
    expect(terse!.system(snapshots[0])).toBe(". . / O G / P")
    expect(snapshots.slice(0, 3).map(terse!.user)).toEqual([
      "v+1 h+1 # O # .",
      "# v+1 h+1 # O # .",
      "R v+1 h+0 # G . #"
    ])
    expect(terse!.trajectory!(snapshots[3])).toBe("2 # 4 R 3 D win")
  })

  it("leaves `careful` with the ideal hint", () => {
    const user = walk(obscure, start, directions(2, 4, 3)).map((snapshot) =>
      snapshot.status === "active" ? chat.user(snapshot) : feedback.end(snapshot)
    )
    const messages = user.map((content) => ({ role: "user" as const, content }))
    const reply = obscure.agents.careful({ kind: "update", messages }, "Hints: null", stream("hint"))
    expect(reply).toContain("- Direction 2 is Up or Left.\n- Direction 3 is Down.\n- Direction 4 is Right.")
  })
})

describe("the hidden mapping", () => {
  const sample = (given: object, seed = 0) =>
    knowledge.sample(stream("mapping", seed), { options: optionsOf(obscure, given), packSize: 4 })

  it("is drawn uniformly from the 24 for each pack", () => {
    const counts = new Map<string, number>()
    for (let seed = 0; seed < 4_800; seed++) {
      const mapping = `${sample({}, seed).mapping}`
      counts.set(mapping, (counts.get(mapping) ?? 0) + 1)
    }
    expect(counts.size).toBe(24)
    for (const count of counts.values()) expect(Math.abs(count - 200)).toBeLessThan(60)
  })

  it("is told by the options in mode global: by itself, else by its index, else 1 Down, 2 Right, 3 Up, 4 Left", () => {
    const mappingMode = "global"
    const mapping = ["Left", "Up", "Down", "Right"]
    expect(sample({ mappingMode, mapping, mappingIndex: 5 }).mapping).toEqual(mapping)
    expect(sample({ mappingMode, mappingIndex: 23 }).mapping).toEqual(["Left", "Up", "Right", "Down"])
    expect(sample({ mappingMode }).mapping).toEqual(["Down", "Right", "Up", "Left"])
  })

  it("is told by the task in mode per_task: by itself, its index, its seed, the task's seed", () => {
    const nothing = sample({ mappingMode: "per_task" })
    const map = ["SF", "HG"]
    const mapping = mappings[7]!
    expect(nothing).toEqual({ mapping: null })
    expect(mappingIn(nothing, { map, seed: 1, mappingSeed: 2, mappingIndex: 3, mapping })).toBe(mapping)
    expect(mappingIn(nothing, { map, seed: 1, mappingSeed: 2, mappingIndex: 3 })).toBe(mappings[3])
    expect(mappingIn(nothing, { map, seed: 1, mappingSeed: 2 })).toBe(mappingIn(nothing, { map, seed: 2 }))
    const bySeed = new Set(Array.from({ length: 300 }, (_, seed) => `${mappingIn(nothing, { map, seed })}`))
    expect(bySeed.size).toBe(24)
  })

  it.each([
    ["Up", "Up", "Down", "Left"],
    ["Up", "Down", "Left"],
    ["up", "Down", "Left", "Right"]
  ])("%j,%j,%j,%j is refused", (...mapping) => {
    expect(() => Schema.decodeSync(knowledge.schema!)({ mapping })).toThrow()
  })

  const anyMapping = fc.constantFrom(...mappings)
  const anyCodes = fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 8, maxLength: 8 })

  it("shows only through what the directions did: rename them, and every text is the same but for the names", () => {
    fc.assert(
      fc.property(fc.nat(200), anyMapping, anyMapping, anyCodes, (seed, mapping, other, codes) => {
        const renamed = (code: number) => other.indexOf(mapping[code - 1]!) + 1
        for (const style of ["chat", "terse"] as const) {
          const replies = (codes: ReadonlyArray<number>) =>
            style === "chat" ? directions(...codes) : codes.map((code) => `U ${code}`)
          const texts = (snapshots: ReadonlyArray<any>) =>
            snapshots.flatMap((snapshot) => [
              obscure[style]!.system(snapshot),
              obscure[style]!.user(snapshot),
              feedback.step(snapshot),
              feedback.end(snapshot)
            ])
          const a = texts(walk(obscure, drawn(seed, mapping), replies(codes), style))
          const b = texts(walk(obscure, drawn(seed, other), replies(codes.map(renamed)), style))
          const names = (text: string) =>
            text.replace(/Direction ([1-4])(?= (moved|left) you)/g, (_, code) => `Direction ${renamed(Number(code))}`)
          expect(a.map(names)).toEqual(b)
        }
      }),
      { seed: 1, numRuns: 100 }
    )
  })
})

describe("an answer that can't be read", () => {
  const start = startOn(["SF", "HG"], { mapping: mappings[0]! })
  const end = (reply: string) => walk(obscure, start, [reply]).at(-1)

  it.each([
    ["", "exactly one <answer>"],
    ["Direction 1", "exactly one <answer>"],
    ["<answer>1</answer>", "Direction N"],
    ["<answer>DIRECTION 1</answer>", "Direction N"],
    ["<answer>Direction1</answer>", "Direction N"],
    ["<answer>Go Direction 1</answer>", "Direction N"],
    ["<answer>Direction 1</answer> or <answer>Direction 2</answer>", "exactly one <answer>"],
    ["<answer>Direction 0</answer>", "there is no Direction 0"],
    ["<answer>Direction 7</answer>", "there is no Direction 7"],
    [`<answer>Direction ${"9".repeat(1_000_000)}</answer>`, "there is no Direction 9999"]
  ])("%.60s ends the episode", (reply, why) => {
    const snapshot = end(reply)
    expect(snapshot.value).toBe("misread")
    expect(snapshot.output).toEqual({ success: false, reward: 0, outcome: "malformed" })
    expect(feedback.end(snapshot)).toContain(why)
    expect(feedback.end(snapshot).length).toBeLessThan(300)
    expect(terse!.trajectory!(snapshot)).toBe("bad")
  })

  it.each([
    "<answer>Direction 2</answer>",
    "<answer> direction   2 </answer>",
    "hm. <answer>Direction 2, to the goal</answer>",
    "<answer>\nDirection\n2</answer>"
  ])("%j can be read", (reply) => {
    expect(chat.parse(reply)).toEqual({ action: 2 })
  })

  it.each(["", "U", "2", " 2", "U 5", "U 2 3", "U  2", "U U", "2 U"])("nor can %j, in terse style", (reply) => {
    expect(terse!.parse(reply)).toHaveProperty("why")
  })

  it("in terse style any word is good before a code", () => {
    expect(["U 1", "? 2", "time 3", "4 4"].map(terse!.parse)).toEqual([1, 2, 3, 4].map((action) => ({ action })))
  })

  it("parsers never throw", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: "binary" }), (text) => {
        for (const reply of [text, answerBlock.write(text), answerBlock.write(`Direction ${text}`), `U ${text}`]) {
          for (const parsed of [chat.parse(reply), terse!.parse(reply)]) {
            expect("action" in parsed ? [1, 2, 3, 4].includes(parsed.action) : parsed.why.length > 0).toBe(true)
          }
          terse!.context!(reply)
        }
      }),
      { seed: 2, numRuns: 300 }
    )
  })
})

it("an episode ends within its cap, and goes on from a snapshot saved as JSON as if nothing had happened", () => {
  const { transition } = transitions(obscure.machine)
  const anyReply = fc.oneof(
    { arbitrary: fc.integer({ min: 1, max: 4 }), weight: 20 },
    { arbitrary: fc.constant(5), weight: 1 }
  )
  fc.assert(
    fc.property(fc.nat(500), fc.array(anyReply, { minLength: 8, maxLength: 8 }), (seed, codes) => {
      const snapshots = walk(obscure, drawn(seed, mappings[seed % 24]!), directions(...codes))
      const end = snapshots.at(-1)
      expect(end.status).toBe("done")
      expect([0, 1]).toContain(end.output.reward)
      snapshots.forEach((snapshot, i) => {
        const { value, context } = JSON.parse(JSON.stringify(obscure.machine.getPersistedSnapshot(snapshot))) as any
        let restored: any = obscure.machine.resolveState({ value, context })
        for (const code of codes.slice(i)) {
          const event = code === 5 ? { type: "malformed", why: "-" } : { type: "answer", action: code, rng: stream("") }
          if (restored.status === "active") [restored] = transition(restored, event as never)
        }
        expect(restored.value).toEqual(end.value)
        expect(restored.context.at).toBe(end.context.at)
      })
    }),
    { seed: 3, numRuns: 100 }
  )
})

describe("contexts in terse style", () => {
  it("can tell the truth", () => {
    expect(terse!.describe!({ mapping: ["Left", "Up", "Down", "Right"] })).toBe("1 L 2 U 3 D 4 R")
  })
  it.each(["", "1 U 2 ? 3 L 4 #", "D"])("%j is one", (context) => {
    expect(terse!.context!(context)).toEqual({ context })
  })
  it.each(["1 U win", "hello", "1U"])("%j is none", (context) => {
    expect(terse!.context!(context)).toHaveProperty("why")
  })
})

describe("careful", () => {
  const anySet = fc.integer({ min: 1, max: 15 })
  const anyBelief = fc.tuple(anySet, anySet, anySet, anySet).map((sets) => both(sets, nothingKnown) ?? nothingKnown)

  it("reads back exactly the belief it has written", () => {
    fc.assert(
      fc.property(anyBelief, (belief) => {
        expect(readBelief(`Hints: ${written(belief)}`)).toEqual(belief)
      }),
      { seed: 4 }
    )
  })

  /** The best chance of the goal, the slow way: over the mappings themselves, without memory or symmetry. */
  const chances = (
    map: string,
    size: number,
    at: number,
    left: number,
    open: ReadonlyArray<ReadonlyArray<number>>
  ): Array<number> =>
    [0, 1, 2, 3].map((direction) => {
      const worlds = new Map<number, Array<ReadonlyArray<number>>>()
      for (const mapping of open) {
        const next = steps(size)[4 * at + mapping[direction]!]!
        worlds.set(next, [...(worlds.get(next) ?? []), mapping])
      }
      let chance = 0
      for (const [next, still] of worlds) {
        const won =
          map[next] === "G"
            ? 1
            : map[next] === "H" || left === 1
              ? 0
              : Math.max(...chances(map, size, next, left - 1, still))
        chance += (won * still.length) / open.length
      }
      return chance
    })

  it("takes a direction of the best chance there is", () => {
    const maps = ["SFFFHFHFG", "SHFFFFFHG", "FSFHFHFGF", "FHFSFFHFG", "HSFFFFGFH"]
    fc.assert(
      fc.property(fc.constantFrom(...maps), anyBelief, fc.integer({ min: 1, max: 4 }), (map, belief: Belief, left) => {
        const at = map.indexOf("S")
        const open = mappings
          .map((mapping) => mapping.map((move) => moves.indexOf(move)))
          .filter((mapping) => mapping.every((move, direction) => (belief[direction]! >> move) & 1))
        const slow = chances(map, 3, at, left, open)
        const reading = {
          size: 3,
          at,
          goal: map.indexOf("G"),
          isHole: (cell: number) => map[cell] === "H",
          stepsLeft: left
        }
        const kinds = bestKinds(reading, belief)
        slow.forEach((chance, direction) => {
          if (kinds.includes(belief[direction]!)) expect(chance).toBeCloseTo(Math.max(...slow), 9)
        })
      }),
      { seed: 5, numRuns: 60 }
    )
  })

  it("tries out what it does not know when the goal is out of reach", () => {
    const reading = { size: 3, at: 4, goal: 0, isHole: () => false, stepsLeft: 1 }
    const leftIsKnown = both([4, 15, 15, 15], nothingKnown)!
    expect(bestKinds(reading, leftIsKnown)).toEqual([leftIsKnown[1]])
  })

  it("takes a shortest path when it knows everything", () => {
    const map = ["SFFF", "FFFF", "FFFF", "FFFG"]
    const context = `Hints: ${knowledge.describe({ mapping: mappings[9]! })}`
    const snapshots = walk(obscure, startOn(map, { mapping: mappings[9]! }), [])
    for (let step = 0; step < 6; step++) {
      const prompt = {
        kind: "solve" as const,
        messages: [{ role: "user" as const, content: chat.user(snapshots.at(-1)) }]
      }
      const parsed = chat.parse(obscure.agents.careful(prompt, context, stream("path", step)))
      const event = { type: "answer", ...parsed, rng: stream("") }
      snapshots.push(transitions(obscure.machine).transition(snapshots.at(-1), event as never)[0])
    }
    expect(snapshots.at(-1).value).toBe("onGoal")
  })

  it("never rules out the truth, and knows more from task to task", () => {
    for (let pack = 0; pack < 40; pack++) {
      const { contexts, knowledge } = lifecycle(obscure, "careful", { pack, packSize: 4 })
      let before: Belief = nothingKnown
      for (const context of contexts) {
        const belief = readBelief(context)
        expect(both(belief, before)).toEqual(belief)
        expect(
          both(
            belief,
            readBelief(knowledge.mapping.map((move: string, i: number) => `Direction ${i + 1} is ${move}.`).join())
          )
        ).toBeDefined()
        before = belief
      }
    }
  })

  it("believes what it sees when its hints say otherwise", () => {
    const [, snapshot] = walk(obscure, startOn(["FFF", "FSF", "FFG"], { mapping: mappings[0]! }), directions(1))
    const prompt = { kind: "update" as const, messages: [{ role: "user" as const, content: chat.user(snapshot) }] }
    expect(obscure.agents.careful(prompt, "Hints: - Direction 1 is Up.", stream("wrong"))).toContain(
      "Direction 1 is Down."
    )
  })
})

describe("scripted agents, in 250 packs of 4", () => {
  const packs = { packs: 250, packSize: 4 }
  const near = (solved: ReadonlyArray<number>, reference: ReadonlyArray<number>, within: number) =>
    solved.forEach((share, position) => expect(Math.abs(share - reference[position]!)).toBeLessThan(within))

  it("random stays where it begins", () => near(curve(obscure, "random", packs), [0.16, 0.16, 0.16, 0.16], 0.08))
  it("oracle solves everything", () => near(curve(obscure, "oracle", packs), [1, 1, 1, 1], 1e-6))
  it("careful rises", () => near(curve(obscure, "careful", packs), [0.61, 0.93, 0.99, 1], 0.09))
  it("amnesiac stays where it begins", () => near(curve(obscure, "amnesiac", packs), [0.61, 0.61, 0.61, 0.61], 0.09))
  it("careful has nothing to carry where every task has its own mapping", () => {
    near(curve(obscure, "careful", { ...packs, options: { mappingMode: "per_task" } }), [0.6, 0.6, 0.6, 0.6], 0.12)
  })
})

describe("demonstrations", () => {
  const { initial, transition } = transitions(obscure.machine)
  const options = optionsOf(obscure)

  const demonstrated = (stage: string, lifecycles: number, empty: boolean) => {
    const solved = [0, 0, 0, 0]
    const vocabulary = new Set([...terse!.vocabulary, "|", "<solve>", "<update>", "<ctx>"])
    const knownWords = (text: string) => text === "" || text.split(" ").every((word) => vocabulary.has(word))
    let recalls = 0
    let right = 0
    for (let pack = 0; pack < lifecycles; pack++) {
      const rng = stream("demonstration", stage, pack)
      const hidden = knowledge.sample(rng, { options, packSize: 4 })
      let context = empty ? "" : demonstrate!.context(stage, hidden, rng)
      for (let position = 0; position < 4; position++) {
        const at = { options, knowledge: hidden, position, packSize: 4 }
        let [world]: any = initial({ ...at, task: task.sample(rng, at), memory: undefined } as never)
        const messages = [
          { role: "system" as "system" | "user" | "assistant", content: `<solve> ${context} | ${terse!.system(world)}` }
        ]
        while (world.status === "active") {
          messages.push({ role: "user", content: terse!.user(world) })
          const { reply, recalled } = demonstrate!.reply(stage, { kind: "solve", messages }, context, rng)
          const [intent, code] = reply.split(" ")
          if (recalled) recalls++
          if (recalled && hidden.mapping[Number(code) - 1][0] === intent) right++
          messages.push({ role: "assistant", content: reply })
          const parsed = terse!.parse(reply)
          if ("why" in parsed) throw new Error(parsed.why)
          ;[world] = transition(world, { type: "answer", ...parsed, rng } as never)
        }
        solved[position]! += world.output.reward / lifecycles
        const user = { role: "user" as const, content: `${terse!.trajectory!(world)} <ctx>` }
        const system = { role: "system" as const, content: `<update> ${context} |`.replace("  ", " ") }
        const { reply } = demonstrate!.reply(stage, { kind: "update", messages: [system, user] }, context, rng)
        expect(terse!.context!(reply)).toEqual({ context: reply })
        expect(reply).toMatch(/^1 [UDLR?] 2 [UDLR?] 3 [UDLR?] 4 [UDLR?]$/)
        expect([...messages, system, user].every(({ content }) => knownWords(content.replace("  ", " ")))).toBe(true)
        context = reply
      }
    }
    return { solved, recalls, right }
  }

  it.each([
    ["drill", 0.3 + (0.7 * 0.2) / 1.2],
    ["mediocre", 0.7]
  ])("of stage %s begin with an empty context in a share of %d", (stage, share) => {
    const contexts = Array.from({ length: 2_000 }, (_, i) =>
      demonstrate!.context(stage, { mapping: ["Left", "Up", "Down", "Right"] }, stream("first", i))
    )
    expect(Math.abs(contexts.filter((context) => context === "").length / 2_000 - share)).toBeLessThan(0.04)
    for (const context of contexts) expect(context).toMatch(/^(1 [L?] 2 [U?] 3 [D?] 4 [R?])?$/)
  })

  it("mediocre ones are as bad as the untrained model", () => {
    const { solved } = demonstrated("mediocre", 1_000, true)
    ;[0.21, 0.29, 0.3, 0.29].forEach((share, position) =>
      expect(Math.abs(solved[position]! - share)).toBeLessThan(0.05)
    )
  })

  it("drilled ones plan and look up nearly always, and what they recall is right", () => {
    const { solved, recalls, right } = demonstrated("drill", 300, false)
    expect(recalls).toBeGreaterThan(1_000)
    expect(right).toBe(recalls)
    expect(solved[3]).toBeGreaterThan(0.8)
  })
})

it("the vocabulary covers maps from 4 x 4 to 7 x 7", () => {
  const vocabulary = new Set(terse!.vocabulary)
  expect(vocabulary.size).toBe(terse!.vocabulary.length)
  for (const [preset, map] of [
    ["train", undefined],
    ["hard", undefined],
    ["hard", ["SFFFFFF", ...Array.from({ length: 5 }, () => "FFFFFFF"), "FFFFFFG"]]
  ] as const) {
    for (let seed = 0; seed < 40; seed++) {
      const start =
        map === undefined
          ? drawn(seed, mappings[seed % 24]!, preset)
          : startOn(map, { mapping: mappings[seed % 24]!, options: presets[preset]! })
      const snapshots = walk(obscure, start, ["U 1", "U 2", "U 3", "U 4", "U 1"], "terse")
      for (const snapshot of snapshots) {
        const text = `${terse!.system(snapshot)} ${terse!.user(snapshot)} ${terse!.trajectory!(snapshot)}`
        expect(text.split(" ").filter((word) => word !== "" && !vocabulary.has(word))).toEqual([])
      }
    }
  }
})
