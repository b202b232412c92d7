import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Schema } from "effect"
import { distancesTo, drawMap, flaw, lakeOf } from "../../environments/frozen-lake/lake.ts"
import frozenLake from "../../environments/frozen-lake/index.ts"
import { answerBlock } from "../../src/environment.ts"
import { stream } from "../../src/kernels/random.ts"
import { curve, optionsOf, startOn, walk } from "./frozen-lake-play.ts"

const { chat, feedback, options, presets, task, terse } = frozenLake

describe("maps", () => {
  const lengths = (preset: string) => {
    const at = { options: optionsOf(frozenLake, presets[preset]), knowledge: null, position: 0, packSize: 1 }
    const rng = stream("maps", preset)
    const counts = Array.from({ length: 10 }, () => 0)
    for (let i = 0; i < 4_000; i++) {
      const { map, size, p } = task.sample(rng, at)
      const { tiles, start, goal } = lakeOf(map)
      expect(flaw(map)).toBeUndefined()
      expect(map.length).toBe(size)
      expect(p).toBeGreaterThanOrEqual(0.6)
      expect(p).toBeLessThan(0.7)
      counts[distancesTo(size, (cell) => tiles[cell] === "H", goal)[start]!]! += 1 / 4_000
    }
    return counts
  }

  it("have shortest paths of the published training distribution", () => {
    const measured = lengths("train")
    const published = [0, 0.22, 0.25, 0.21, 0.15, 0.1, 0.04, 0.02, 0, 0]
    published.forEach((share, length) => expect(Math.abs(measured[length]! - share)).toBeLessThan(0.03))
    expect(measured[8]! + measured[9]!).toBe(0)
  })

  it("are larger and further across in the hard preset", () => {
    const measured = lengths("hard")
    expect(measured.reduce((mean, share, length) => mean + share * length)).toBeCloseTo(4.2, 0)
    expect(measured[9]).toBeGreaterThan(0)
  })

  it("accept one move more than the bound, and no further", () => {
    const rng = stream("bound")
    const longest = Array.from({ length: 300 }, () => {
      const { size, tiles, start, goal } = lakeOf(drawMap(rng, { size: 5, p: 0.8, pathBound: 1 }))
      return distancesTo(size, (cell) => tiles[cell] === "H", goal)[start]!
    })
    expect(Math.max(...longest)).toBe(2)
  })

  it("are frozen as probable as asked", () => {
    const rng = stream("frozen")
    let frozen = 0
    for (let i = 0; i < 300; i++)
      frozen += drawMap(rng, { size: 20, p: 0.65, pathBound: 1 }).join("").split("F").length - 1
    expect(frozen / (300 * 398)).toBeCloseTo(0.65, 2)
  })

  it.each([
    [["SF", "HX"], "letters"],
    [["SF", "H"], "square"],
    [["S"], "square"],
    [["SF", "HF"], "one S and one G"],
    [["SG", "GF"], "one S and one G"]
  ])("%j is refused: %s", (map, why) => {
    expect(() => Schema.decodeSync(task.schema!)({ map })).toThrow(why)
  })
})

describe("options", () => {
  it("default to the published training set", () => {
    expect(optionsOf(frozenLake)).toEqual({
      size: [4, 5],
      p: [0.6, 0.7],
      pathBound: 6,
      stepCap: 8,
      slippery: false,
      map: null
    })
  })

  it.each([{ size: [5, 4] }, { size: [1, 4] }, { p: [0, 2] }, { stepCap: 0 }, { stepCap: 2.5 }, { map: ["SF"] }])(
    "%j is refused",
    (given) => {
      expect(() => Schema.decodeSync(options)(given)).toThrow()
    }
  )

  it("can fix the map of every task", () => {
    const at = { options: optionsOf(frozenLake, { map: ["SF", "HG"] }), knowledge: null, position: 0, packSize: 1 }
    expect(task.sample(stream("fixed"), at).map).toEqual(["SF", "HG"])
  })

  it("make the ice slippery: a third as meant, a third to either side", () => {
    const ends = { "(0, 1)": 0, "(1, 0)": 0, "(1, 2)": 0 }
    const start = startOn(["FFF", "FSF", "FFG"], { options: { slippery: true } })
    for (let i = 0; i < 600; i++) {
      // `walk` names its stream after the reply.
      const [, after] = walk(frozenLake, start, [answerBlock.write("Up") + i])
      ends[/to (\(\d, \d\))/.exec(feedback.step(after))![1] as keyof typeof ends]++
    }
    for (const count of Object.values(ends)) expect(Math.abs(count - 200)).toBeLessThan(45)
  })
})

describe("a walk", () => {
  const map = ["SF", "HG"]
  const answers = (...moves: ReadonlyArray<string>) => moves.map(answerBlock.write)
  const endings = (...replies: ReadonlyArray<string>) => walk(frozenLake, startOn(map), replies).at(-1).output

  it("ends on the goal with reward 1", () => {
    expect(endings(...answers("Right", "down"))).toEqual({ success: true, reward: 1, outcome: "success" })
  })

  it("ends in a hole with reward 0", () => {
    expect(endings(...answers("Down"))).toEqual({ success: false, reward: 0, outcome: "failure" })
  })

  it("is truncated, not failed, when the steps run out", () => {
    expect(endings(...answers(...Array.from({ length: 8 }, () => "up")))).toEqual({
      success: false,
      reward: 0,
      outcome: "truncated"
    })
  })

  it("succeeds on the very last step", () => {
    expect(endings(...answers(...Array.from({ length: 6 }, () => "up"), "right", "down")).outcome).toBe("success")
  })

  it("spends a step on an answer that can't be read", () => {
    const snapshots = walk(frozenLake, startOn(map), ["I don't know", "<answer>Jump</answer>", ...answers(" RIGHT ")])
    expect(snapshots.map((snapshot) => snapshot.value)).toEqual(["walking", "walking", "walking", "walking"])
    expect(feedback.step(snapshots[1])).toContain("invalid")
    expect(feedback.step(snapshots[3])).toBe("Right moved you from (0, 0) to (0, 1).")
    expect(chat.user(snapshots[3])).toMatch(/^Step 4\/8\n/)
    expect(terse!.user(snapshots[2])).toBe("bad v+1 h+1 # O # .")
  })

  it("is shown row by row", () => {
    const [before, moved, fallen] = walk(frozenLake, startOn(["SFH", "FFH", "HGF"]), answers("Right", "Right"))
    expect(chat.user(before)).toBe(
      "Step 1/8\nMap:\n P \t _ \t O \t\n _ \t _ \t O \t\n O \t G \t _ \t\nThe goal is at row 2, column 1."
    )
    expect(chat.user(moved)).toBe(
      "Step 2/8\nRight moved you from (0, 0) to (0, 1).\nMap:\n _ \t P \t O \t\n _ \t _ \t O \t\n O \t G \t _ \t\nThe goal is at row 2, column 1."
    )
    expect(chat.user(fallen)).toContain(" X \t")
    expect(feedback.end(fallen)).toBe("Right moved you from (0, 1) to (0, 2). You fell into a hole.")
    expect(feedback.step(before)).toBe("")
  })

  it("is told in few words", () => {
    const replies = ["U U", "D D", "R R"]
    const snapshots = walk(frozenLake, startOn(["SFH", "FFH", "HGF"]), replies, "terse")
    expect(terse!.system(snapshots[0])).toBe(". . O / . . O / O G . / P")
    expect(snapshots.slice(0, 3).map(terse!.user)).toEqual([
      "v+2 h+1 # . # .",
      "# v+2 h+1 # . # .",
      "D v+1 h+1 . O # ."
    ])
    expect(terse!.trajectory!(snapshots[3])).toBe("U # D D R R")
  })

  it("ends within the step cap, stays JSON and continues from it, whatever is answered", () => {
    const reply = fc.oneof(fc.constantFrom("Up", "Down", "Left", "Right").map(answerBlock.write), fc.string())
    fc.assert(
      fc.property(
        fc.array(reply, { minLength: 10, maxLength: 10 }),
        fc.integer({ min: 0, max: 500 }),
        (replies, seed) => {
          const at = { options: optionsOf(frozenLake), knowledge: null, position: 0, packSize: 1 }
          const { map } = task.sample(stream("any", seed), at)
          const snapshots = walk(frozenLake, startOn(map), replies)
          expect(snapshots.at(-1).status).toBe("done")
          expect(snapshots[8].status).toBe("done")
          for (const snapshot of snapshots) {
            const saved = frozenLake.machine.getPersistedSnapshot(snapshot)
            expect(JSON.parse(JSON.stringify(saved))).toEqual(saved)
          }
        }
      ),
      { seed: 4, numRuns: 60 }
    )
  })
})

describe("parsers", () => {
  it("never throw, and give an action or a reason", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: "binary" }), (text) => {
        for (const reply of [text, answerBlock.write(text), `${text} ${text}`]) {
          for (const parsed of [chat.parse(reply), terse!.parse(reply)]) {
            expect("action" in parsed ? [1, 2, 3, 4].includes(parsed.action) : parsed.why.length > 0).toBe(true)
          }
        }
      }),
      { seed: 5, numRuns: 300 }
    )
  })

  it.each(["<answer>Up</answer><answer>Up</answer>", "Up", "<answer>Upwards</answer>", "</answer>Up<answer>", ""])(
    "refuse %j",
    (reply) => {
      expect(chat.parse(reply)).toHaveProperty("why")
    }
  )
})

it("agents: random fails mostly, whoever sees the map succeeds, at every position alike", () => {
  const packs = { packs: 60, packSize: 3 }
  for (const solved of curve(frozenLake, "random", packs)) expect(solved).toBeLessThan(0.4)
  for (const agent of ["oracle", "careful", "amnesiac"] as const) {
    expect(curve(frozenLake, agent, packs).map((solved) => Math.round(solved * 1e6) / 1e6)).toEqual([1, 1, 1])
  }
})
