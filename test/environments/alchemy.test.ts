import { Schema } from "effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  drawGraph,
  drawTargets,
  elementWords,
  type Graph,
  lookup,
  roundHalfEven
} from "../../environments/alchemy/graph.ts"
import alchemy from "../../environments/alchemy/index.ts"
import { copiesNeeded, planFor } from "../../environments/alchemy/plan.ts"
import { answerBlock } from "../../src/environment.ts"
import { stream } from "../../src/kernels/random.ts"
import { solveReward } from "../../src/machines/reward.ts"
import { transitions } from "../../src/machines/transition.ts"
import { curve, lifecycle, optionsOf, walk as walkThrough } from "./frozen-lake-play.ts"

const { chat, demonstrate, feedback, knowledge, presets, task, terse } = alchemy

const graph: Graph = {
  tiers: [["kol", "ami", "ret"], ["zun"], ["bex"]],
  recipes: [
    { inputs: ["kol", "ret"], product: "zun" },
    { inputs: ["zun", "zun"], product: "bex" }
  ],
  words: { kol: "ash", ami: "bog", ret: "clay", zun: "dew", bex: "elm" }
}

interface Given {
  readonly graph?: Graph
  readonly target?: string
  readonly inventory?: Record<string, number>
  readonly options?: object
}

/** Plays the graph above, or another, and returns every snapshot. */
const walk = (given: Given, replies: ReadonlyArray<string>, style: "chat" | "terse" = "chat"): Array<any> =>
  walkThrough(
    alchemy,
    {
      environmentOptions: { stepCap: 8, ...given.options },
      knowledge: { graph: given.graph ?? graph },
      task: { target: given.target ?? "bex", ...(given.inventory === undefined ? {} : { inventory: given.inventory }) }
    } as any,
    replies,
    style
  )

const pairs = (...combinations: ReadonlyArray<string>) => combinations.map(answerBlock.write)
const limited = { materialMode: "limited" }

/** A pack as it is drawn. */
const drawn = (seed: number, preset: string, packSize = 8) => {
  const options = optionsOf(alchemy, presets[preset])
  const hidden = knowledge.sample(stream("pack", seed), { options, packSize })
  const tasks = Array.from({ length: packSize }, (_, position) =>
    task.sample(stream("task", seed, position), { options, knowledge: hidden, position, packSize })
  )
  return { options, hidden, tasks }
}

describe("the worked example: zun = kol + ret, bex = zun + zun", () => {
  it("in chat style", () => {
    const snapshots = walk({}, pairs("kol + ami", "ret + KOL", "zun + bex", "zun + zun"))
    expect(snapshots.map(feedback.step)).toEqual([
      "",
      "kol + ami: nothing happened.",
      "ret + kol created zun.",
      "zun + bex is not possible: you have no bex.",
      "zun + zun created bex."
    ])
    expect(chat.user(snapshots[2])).toBe(
      "Round 3/8\nret + kol created zun.\nTarget: bex\nInventory: ami, kol, ret, zun"
    )
    const end = snapshots.at(-1)
    expect(end.value).toBe("targetMade")
    expect(end.output).toEqual({ success: true, reward: 1, outcome: "success" })
    expect(feedback.end(end)).toBe("zun + zun created bex. You created bex in 4 of 8 rounds.")
    const penalty = alchemy.lengthPenalty!(optionsOf(alchemy, { stepCap: 8 }))
    expect(solveReward(end.output.reward, [1, 1, 1, 1], penalty)).toBe(0.95)
  })

  it("in terse style", () => {
    const replies = ["elm ash bog", "dew clay ash", "elm dew elm", "elm dew dew"]
    const snapshots = walk({}, replies, "terse")
    expect(terse!.system(snapshots[0])).toBe("t0 ash bog clay t1 dew t2 elm")
    expect(snapshots.slice(0, 4).map(terse!.user)).toEqual([
      "have > elm",
      "none have > elm",
      "dew have dew > elm",
      "miss have dew > elm"
    ])
    expect(terse!.trajectory!(snapshots[4])).toBe("none ash bog dew clay ash miss dew elm elm dew dew win")
    expect(terse!.describe!({ graph })).toBe("dew ash clay elm dew dew")
  })
})

describe("limited material", () => {
  it("uses up one copy of each input, even when nothing results", () => {
    const snapshots = walk(
      { inventory: { kol: 3, ami: 1, ret: 2 }, options: limited },
      pairs("kol + ami", "ret+kol", "ret+kol")
    )
    expect(snapshots.map((snapshot) => snapshot.context.inventory)).toEqual([
      { kol: 3, ami: 1, ret: 2 },
      { kol: 2, ret: 2 },
      { kol: 1, ret: 1, zun: 1 },
      { zun: 2 }
    ])
    expect(feedback.step(snapshots[1])).toBe("kol + ami: nothing happened. Both inputs are used up.")
    expect(chat.user(snapshots[2])).toContain("Inventory: kol x1, ret x1, zun x1")
    expect(terse!.user(snapshots[2])).toBe("dew have ash x1 clay x1 dew x1 > elm")
  })

  it("needs two copies of an element combined with itself, and takes nothing when there is one", () => {
    const [, snapshot] = walk({ inventory: { kol: 1, ami: 1 }, options: limited }, pairs("kol + kol"))
    expect(feedback.step(snapshot)).toBe("kol + kol is not possible: you have only one kol.")
    expect(snapshot.context.inventory).toEqual({ kol: 1, ami: 1 })
  })

  it("ends when no two copies are left, which is a failure and not a truncation", () => {
    const end = walk({ inventory: { kol: 2, ami: 1 }, options: limited }, pairs("kol + ami")).at(-1)
    expect(end.value).toBe("outOfMaterials")
    expect(end.output).toEqual({ success: false, reward: 0, outcome: "failure" })
    expect(feedback.end(end)).toContain("You ran out of materials after 1 of 8 rounds")
    expect(terse!.trajectory!(end)).toBe("none ash bog out")
  })

  it("is sized from the full expansion: what is used twice is made twice", () => {
    const { recipesOf } = lookup(graph)
    expect(copiesNeeded("bex", graph.tiers[0]!, recipesOf)).toBe(2)
    expect(copiesNeeded("zun", graph.tiers[0]!, recipesOf)).toBe(1)
    expect(planFor("bex", { kol: 2, ret: 2 }, recipesOf, true)).toHaveLength(3)
    expect(planFor("bex", { kol: 1, ret: 2 }, recipesOf, true)).toBeUndefined()
    expect(planFor("bex", { kol: 1, ret: 1 }, recipesOf, false)).toHaveLength(2)
  })

  it("always suffices, and is between one and a half and two times the need", () => {
    for (let seed = 0; seed < 300; seed++) {
      const { hidden, options, tasks } = drawn(seed, "hard")
      const { recipesOf } = lookup(hidden.graph)
      for (const { inventory, target } of tasks) {
        const need = copiesNeeded(target, hidden.graph.tiers[0], recipesOf)
        const counts = new Set<number>(Object.values(inventory))
        expect(Object.keys(inventory)).toEqual(hidden.graph.tiers[0])
        expect(counts.size).toBe(1)
        expect(Math.min(...counts)).toBeGreaterThanOrEqual(Math.floor(need * 1.5 + 0.5))
        expect(Math.max(...counts)).toBeLessThanOrEqual(Math.floor(need * 2 + 0.5))
        const plan = planFor(target, inventory, recipesOf, true)
        expect(plan!.length).toBeLessThanOrEqual(options.stepCap)
      }
    }
  })
})

describe("graphs", () => {
  it("rounds halves to even", () => {
    expect([0.5, 1.5, 2.5, 2.4, 2.6, 3.5].map(roundHalfEven)).toEqual([0, 2, 2, 2, 3, 4])
  })

  it.each(["train", "hard", "default"])("of %s have the specified shape", (preset) => {
    const options = optionsOf(alchemy, presets[preset] ?? {})
    for (let seed = 0; seed < 300; seed++) {
      const { tiers, recipes, noise = [] } = drawGraph(stream("graph", preset, seed), options)
      const elements = tiers.flat()
      const real = tiers.map((names) => names.filter((name) => !noise.includes(name)))
      expect(new Set(elements).size).toBe(elements.length)
      for (const name of elements) expect(name).toMatch(/^[a-z]{3,5}$/)
      expect(tiers.length).toBeGreaterThanOrEqual(options.tiers[0])
      expect(tiers.length).toBeLessThanOrEqual(options.tiers[1])
      expect(real[0]!.length).toBeGreaterThanOrEqual(options.baseElements[0])
      expect(real[0]!.length).toBeLessThanOrEqual(options.baseElements[1])
      for (let tier = 1; tier < real.length; tier++) {
        const below = real[tier - 1]!.length
        const [low, high] = options.shrink
        expect(real[tier]!.length).toBeGreaterThanOrEqual(Math.max(1, roundHalfEven(below * low)))
        expect(real[tier]!.length).toBeLessThanOrEqual(Math.max(1, roundHalfEven(below * high)))
      }
      const { tierOf, recipesOf, products } = lookup({ tiers, recipes })
      expect(products.size).toBe(recipes.length)
      for (const { inputs, product } of recipes) {
        const [first, second] = inputs.map((input) => tierOf.get(input)!)
        const tier = tierOf.get(product)!
        expect(first).toBe(tier - 1)
        expect(second).toBeLessThan(tier)
        expect(second).toBeGreaterThanOrEqual(tier - Math.max(1, options.maxTierGap))
        if (!noise.includes(product)) expect(inputs.filter((input) => noise.includes(input))).toEqual([])
      }
      for (const name of real.slice(1).flat()) {
        const count = recipesOf.get(name)?.length ?? 0
        expect(count).toBeGreaterThanOrEqual(1)
        expect(count).toBeLessThanOrEqual(options.recipesPerElement[1])
      }
      for (const name of noise) expect(recipesOf.get(name)).toHaveLength(1)
    }
  })

  it("have as many dead ends as the ratio says, half of them in each later round", () => {
    const options = optionsOf(alchemy, {
      ...presets["hard"],
      tiers: [3, 3],
      baseElements: [12, 12],
      shrink: [1, 1],
      noiseRatio: [0.25, 0.25],
      noiseDepth: 3
    })
    const { noise, tiers } = drawGraph(stream("noise"), options)
    // 12 elements a tier: 3 in the first round, then 1.5, to even 2, twice; in two tiers.
    expect(noise).toHaveLength(14)
    expect(tiers.map((names) => names.length)).toEqual([12, 19, 19])
  })

  it("cross tiers as often as asked, where there is a tier to cross", () => {
    const options = optionsOf(alchemy, { tiers: [3, 3], crossTierProbability: [0.3, 0.3], noiseRatio: [0, 0] })
    let crossing = 0
    let all = 0
    for (let seed = 0; seed < 300; seed++) {
      const { tiers, recipes } = drawGraph(stream("cross", seed), options)
      const { tierOf } = lookup({ tiers, recipes })
      for (const { inputs, product } of recipes) {
        if (tierOf.get(product) !== 2) continue
        all++
        if (tierOf.get(inputs[1]) === 0) crossing++
      }
    }
    expect(crossing / all).toBeGreaterThan(0.26)
    expect(crossing / all).toBeLessThan(0.42)
  })

  it("give packs the published statistics", () => {
    const packs = Array.from({ length: 1_500 }, (_, seed) => drawn(seed, "train", 4).hidden)
    const repeating = packs.filter(({ targets }) => targets.length < 4).length / packs.length
    expect(Math.abs(repeating - 0.62)).toBeLessThan(0.04)
    const hard = Array.from({ length: 1_500 }, (_, seed) => drawn(seed, "hard", 8).hidden)
    expect(hard.reduce((sum, { targets }) => sum + targets.length, 0) / hard.length).toBeCloseTo(5.4, 0)
    expect(Math.abs(hard.filter(({ targets }) => targets.length === 8).length / hard.length - 0.14)).toBeLessThan(0.04)
    const firstTier = packs.flatMap(({ graph, targets }) =>
      [0, 1, 2, 3].map((position) => graph.tiers[1].includes(targets[position % targets.length]))
    )
    expect(Math.abs(firstTier.filter(Boolean).length / firstTier.length - 0.54)).toBeLessThan(0.03)
  })

  it("are aimed at in higher tiers more often, and never twice before everything was", () => {
    const counts = { zun: 0, bex: 0 }
    for (let seed = 0; seed < 2_000; seed++) {
      const [first] = drawTargets(stream("target", seed), graph, 1)
      counts[first as "zun" | "bex"]++
    }
    expect(counts.bex / 2_000).toBeCloseTo(0.6, 1)
    expect(drawTargets(stream("all"), graph, 8).sort()).toEqual(["bex", "zun"])
    expect(drawTargets(stream("noise"), { ...graph, noise: ["bex"] }, 8)).toEqual(["zun"])
  })

  it.each([
    [{ tiers: [["kol", "Kol"]], recipes: [] }, "different names"],
    [{ tiers: [["kol"], ["zun"]], recipes: [{ inputs: ["kol", "ret"], product: "zun" }] }, "ret"],
    [{ tiers: [["kol"], ["zun"]], recipes: [{ inputs: ["kol", "zun"], product: "zun" }] }, "higher tier"],
    [{ tiers: [["kol + ret"]], recipes: [] }, "RegExp"],
    [{ tiers: [["kol", "ami"]], recipes: [], words: { kol: "ash" } }, "word for every element"]
  ])("%j is refused", (graph, why) => {
    expect(() => Schema.decodeUnknownSync(knowledge.schema!)({ graph })).toThrow(new RegExp(why))
  })
})

describe("scope", () => {
  it("per_pack: tasks share the graph and take turns with the targets", () => {
    const { hidden, tasks } = drawn(3, "train")
    for (const [position, { graph, target }] of tasks.entries()) {
      expect(graph).toBeUndefined()
      expect(target).toBe(hidden.targets[position % hidden.targets.length])
    }
  })

  it("per_task: every task has a graph of its own, and a target of its highest tier", () => {
    const options = optionsOf(alchemy)
    const hidden = knowledge.sample(stream("none"), { options, packSize: 4 })
    expect(hidden).toEqual({ graph: null })
    const tasks = [0, 1].map((position) =>
      task.sample(stream("own", position), { options, knowledge: hidden, position, packSize: 4 })
    )
    expect(tasks[0].graph.tiers).not.toEqual(tasks[1].graph.tiers)
    for (const { graph, target } of tasks) {
      expect(graph.tiers.at(-1)).toContain(target)
      expect(graph.noise).not.toContain(target)
    }
  })

  it("what is drawn is what the schemas read", () => {
    for (const preset of ["train", "hard"]) {
      const { hidden, tasks } = drawn(5, preset)
      expect(Schema.decodeUnknownSync(knowledge.schema!)(JSON.parse(JSON.stringify(hidden)))).toEqual(hidden)
      for (const one of tasks) expect(Schema.decodeUnknownSync(task.schema!)(one)).toEqual(one)
    }
  })

  it("a task without a sound target is refused", () => {
    const error = (target: string) => String(walk({ target }, [])[0].error)
    expect(error("gold")).toContain("gold is not an element")
    expect(error("kol")).toContain("kol is there from the start")
  })
})

describe("what the prompt shows", () => {
  const prompt = (options: object) => chat.system(walk({ options }, [])[0])

  it("is the elements by tier, sorted, and the target's tier", () => {
    expect(prompt({})).toContain("- Tier 0: ami, kol, ret\n- Tier 1: zun\n- Tier 2: bex\nThe target bex is of tier 2.")
    expect(prompt({ showTiers: false })).not.toMatch(/zun|Tier/)
    expect(prompt({ showTiers: false, showElements: true })).toContain("ami, bex, kol, ret, zun")
  })

  it("is the recipes only when asked for", () => {
    expect(prompt({})).not.toContain("kol + ret")
    expect(prompt({ showRecipes: true })).toContain("- kol + ret = zun\n- zun + zun = bex")
    expect(terse!.system(walk({ options: { showRecipes: true } }, [])[0])).toContain("dew ash clay elm dew dew")
  })

  it("does not depend on the recipes before they have shown themselves", () => {
    const other: Graph = {
      ...graph,
      recipes: [
        { inputs: ["kol", "kol"], product: "zun" },
        { inputs: ["zun", "ami"], product: "bex" }
      ]
    }
    for (const style of ["chat", "terse"] as const) {
      const replies = style === "chat" ? pairs("ami + ret", "bex + zun") : ["elm bog clay", "elm elm dew"]
      const texts = (graph: Graph) =>
        walk({ graph }, replies, style).flatMap((snapshot) => [
          alchemy[style]!.system(snapshot),
          alchemy[style]!.user(snapshot),
          feedback.step(snapshot)
        ])
      expect(texts(other)).toEqual(texts(graph))
    }
  })

  it("does not tell dead ends from the others", () => {
    const noisy: Graph = { tiers: [["kol", "ami"], ["zun", "abe"], ["bex"]], recipes: graph.recipes, noise: ["abe"] }
    const texts = (graph: Graph) => {
      const [snapshot] = walk({ graph }, [])
      return [chat.system(snapshot), terse!.system(snapshot)]
    }
    const words = { kol: "ash", ami: "bog", ret: "clay", zun: "dew", bex: "elm", abe: "fog" }
    const tiers = [["kol", "ami", "ret"], ["zun", "abe"], ["bex"]]
    expect(texts({ ...noisy, tiers, words })).toEqual(
      texts({ ...graph, words, tiers: [["kol", "ami", "ret"], ["abe", "zun"], ["bex"]] })
    )
  })
})

describe("an answer that can't be read", () => {
  it.each([
    "",
    "kol + ami",
    "<answer>kol</answer>",
    "<answer>kol + </answer>",
    "<answer> + ami</answer>",
    "<answer>kol + ami + ret</answer>",
    "<answer>kol + ami</answer><answer>kol + ret</answer>",
    `<answer>${"+".repeat(1_000_000)}</answer>`
  ])("%.60s ends the episode", (reply) => {
    const end = walk({}, [reply]).at(-1)
    expect(end.value).toBe("misread")
    expect(end.output).toEqual({ success: false, reward: 0, outcome: "malformed" })
    expect(feedback.end(end)).toContain("ElementA + ElementB")
    expect(terse!.trajectory!(end)).toBe("bad")
  })

  it.each(["constructor + kol", "gold+gold", `${"x".repeat(1_000_000)} + kol`, "\u0000 + \u0007", "__proto__ + kol"])(
    "an element that is not held only costs a round: %.40s",
    (pair) => {
      const [, snapshot] = walk({}, pairs(pair))
      expect(snapshot.value).toBe("combining")
      expect(snapshot.context.inventory).toEqual({ kol: 1, ami: 1, ret: 1 })
      expect(feedback.step(snapshot)).toContain("is not possible: you have no ")
      expect(feedback.step(snapshot).length).toBeLessThan(200)
    }
  )

  it.each(["", "ash", "ash bog", " ash bog", "elm none bog", "elm ash bog dew", "elm ash t1", "elm  ash bog"])(
    "nor %j, in terse style",
    (reply) => {
      expect(terse!.parse(reply)).toHaveProperty("why")
    }
  )

  it("parsers never throw", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: "binary" }), (text) => {
        for (const reply of [text, answerBlock.write(text), answerBlock.write(`${text}+${text}`), `elm ash ${text}`]) {
          for (const style of ["chat", "terse"] as const) {
            const [, snapshot] = walk({}, [reply], style)
            expect(["combining", "misread", "targetMade"]).toContain(snapshot.value)
          }
          terse!.context!(reply)
        }
      }),
      { seed: 1, numRuns: 40 }
    )
  })
})

it("an episode ends within its cap, and goes on from a snapshot saved as JSON as if nothing had happened", () => {
  const { initial, transition } = transitions(alchemy.machine)
  fc.assert(
    fc.property(
      fc.nat(500),
      fc.constantFrom("train", "hard"),
      fc.array(fc.nat(), { minLength: 30, maxLength: 30 }),
      (seed, preset, dice) => {
        const { hidden, options, tasks } = drawn(seed, preset)
        const input = { options, knowledge: hidden, task: tasks[0], memory: undefined, position: 0, packSize: 8 }
        const elements = hidden.graph.tiers.flat()
        const answer = (round: number) => ({
          type: "answer",
          action: {
            by: "name",
            inputs: [dice[2 * round]!, dice[2 * round + 1]!].map((die) => elements[die % elements.length])
          },
          rng: stream("")
        })
        const snapshots: Array<any> = [initial(input as never)[0]]
        while (snapshots.at(-1).status === "active") {
          snapshots.push(transition(snapshots.at(-1), answer(snapshots.length - 1) as never)[0])
        }
        const end = snapshots.at(-1)
        expect(snapshots.length - 1).toBeLessThanOrEqual(options.stepCap)
        expect(end.output.reward).toBe(end.value === "targetMade" ? 1 : 0)
        snapshots.forEach((snapshot, i) => {
          const saved = alchemy.machine.getPersistedSnapshot(snapshot)
          expect(JSON.parse(JSON.stringify(saved))).toEqual(saved)
          const { value, context } = JSON.parse(JSON.stringify(saved)) as any
          let restored: any = alchemy.machine.resolveState({ value, context })
          for (let round = i; restored.status === "active"; round++)
            [restored] = transition(restored, answer(round) as never)
          expect(restored.value).toEqual(end.value)
          expect(restored.context.inventory).toEqual(end.context.inventory)
        })
      }
    ),
    { seed: 2, numRuns: 60 }
  )
})

describe("careful", () => {
  it("knows more from task to task, and nothing that is not so", () => {
    for (let pack = 0; pack < 25; pack++) {
      const played = lifecycle(alchemy, "careful", { pack, packSize: 4, options: presets["hard"]! })
      const { products } = lookup(played.knowledge.graph)
      let before = 0
      for (const context of played.contexts) {
        const recipes = [...context.matchAll(/- (\w+) \+ (\w+) = (\w+)/g)]
        for (const [, a, b, product] of recipes) expect(products.get([a, b].sort().join("+"))).toBe(product)
        for (const [, a, b] of context.matchAll(/- (\w+) \+ (\w+): nothing/g)) {
          expect(products.has([a, b].sort().join("+"))).toBe(false)
        }
        const lines = context.split("\n").length
        expect(lines).toBeGreaterThanOrEqual(before)
        before = lines
      }
    }
  })

  it("never tries a pair again that its hints or the episode tell of, unless it needs what it makes", () => {
    const prompt = (content: string) => ({ kind: "solve" as const, messages: [{ role: "user" as const, content }] })
    const shown =
      "- Tier 0: ami, kol\n- Tier 1: zun\nRound 2/8\nkol + ami: nothing happened.\nTarget: zun\nInventory: ami, kol"
    const reply = alchemy.agents.careful(prompt(shown), "Hints: - ami + ami: nothing happened", stream("again"))
    expect(reply).toBe(answerBlock.write("kol + kol"))
    expect(alchemy.agents.careful(prompt(shown), "Hints: - kol + kol = zun", stream("known"))).toBe(reply)
  })

  it("is not led in circles by garbled hints", () => {
    const prompt = {
      kind: "solve" as const,
      messages: [{ role: "user" as const, content: "Round 1/8\nTarget: bex\nInventory: kol, ami" }]
    }
    const reply = alchemy.agents.careful(prompt, "Hints: - bex + kol = zun\n- zun + zun = bex", stream("circle"))
    expect(chat.parse(reply)).toHaveProperty("action")
  })
})

describe("scripted agents, in 60 packs of 8", () => {
  const packs = { packs: 60, packSize: 8 }
  const mean = (solved: ReadonlyArray<number>) => solved.reduce((sum, share) => sum + share, 0) / solved.length

  it("oracle solves everything", () => {
    for (const preset of ["train", "hard"]) {
      for (const solved of curve(alchemy, "oracle", { ...packs, options: presets[preset]! }))
        expect(solved).toBeCloseTo(1, 9)
    }
  })

  it.each([
    ["train", 0.83, 1, 0.83],
    ["hard", 0.42, 0.9, 0.4]
  ])("in %s careful rises from %d to %d, and amnesiac stays at %d", (preset, first, last, flat) => {
    const options = presets[preset]!
    const careful = curve(alchemy, "careful", { ...packs, options })
    const amnesiac = curve(alchemy, "amnesiac", { ...packs, options })
    expect(Math.abs(careful[0]! - first)).toBeLessThan(0.2)
    expect(Math.abs(mean(careful.slice(4)) - last)).toBeLessThan(0.08)
    for (const share of amnesiac) expect(Math.abs(share - flat)).toBeLessThan(0.2)
  })

  it("random is far below, and everyone where every task has its own recipes", () => {
    const options = { ...presets["train"], scope: "per_task" }
    expect(mean(curve(alchemy, "random", { ...packs, options: presets["train"]! }))).toBeLessThan(0.6)
    const careful = curve(alchemy, "careful", { ...packs, options })
    expect(Math.abs(mean(careful.slice(0, 4)) - mean(careful.slice(4)))).toBeLessThan(0.1)
  })
})

describe("demonstrations", () => {
  const { initial, transition } = transitions(alchemy.machine)
  const frame = new Set([...terse!.vocabulary, "|", "<solve>", "<update>", "<ctx>"])

  const demonstrated = (stage: string, preset: string, lifecycles: number) => {
    const solved = [0, 0, 0, 0]
    let recalls = 0
    let right = 0
    for (let pack = 0; pack < lifecycles; pack++) {
      const { hidden, options, tasks } = drawn(pack, preset, 4)
      const rng = stream("demonstration", stage, pack)
      const { byWord, products } = lookup(hidden.graph)
      let context = demonstrate!.context(stage, hidden, rng)
      for (let position = 0; position < 4; position++) {
        const at = { options, knowledge: hidden, task: tasks[position], memory: undefined, position, packSize: 4 }
        let [world]: any = initial(at as never)
        const messages: Array<{ role: "system" | "user" | "assistant"; content: string }> = [
          { role: "system", content: `<solve> ${context} | ${terse!.system(world)}`.replace("  ", " ") }
        ]
        while (world.status === "active") {
          messages.push({ role: "user", content: terse!.user(world) })
          const { recalled, reply } = demonstrate!.reply(stage, { kind: "solve", messages }, context, rng)
          const [product, ...inputs] = reply.split(" ").map((word) => byWord.get(word))
          if (recalled) recalls++
          if (recalled && products.get(inputs.sort().join("+")) === product) right++
          messages.push({ role: "assistant", content: reply })
          const parsed = terse!.parse(reply)
          if ("why" in parsed) throw new Error(`${reply}: ${parsed.why}`)
          ;[world] = transition(world, { type: "answer", ...parsed, rng } as never)
        }
        solved[position]! += world.output.reward / lifecycles
        const update = [
          { role: "system" as const, content: `<update> ${context} |`.replace("  ", " ") },
          { role: "user" as const, content: `${terse!.trajectory!(world)} <ctx>` }
        ]
        const { reply } = demonstrate!.reply(stage, { kind: "update", messages: update }, context, rng)
        expect(terse!.context!(reply)).toEqual({ context: reply })
        const words = [...messages, ...update].flatMap(({ content }) => content.split(" "))
        expect(words.filter((word) => !frame.has(word))).toEqual([])
        expect(reply.split(" ").length).toBeLessThan(terse!.replyTokens.update)
        context = reply
      }
    }
    return { solved, recalls, right }
  }

  it("drilled ones look up nearly always, what they recall is right, and they get better", () => {
    const { recalls, right, solved } = demonstrated("drill", "train", 250)
    expect(recalls).toBeGreaterThan(600)
    expect(right).toBe(recalls)
    expect(solved[3]).toBeGreaterThan(0.9)
  })

  it("mediocre ones are much worse", () => {
    const drill = demonstrated("drill", "train", 150).solved
    const { solved } = demonstrated("mediocre", "train", 150)
    for (const [position, share] of solved.entries()) expect(share).toBeLessThan(drill[position]! - 0.1)
  })

  it("work with limited material and dead ends too", () => {
    expect(demonstrated("drill", "hard", 100).right).toBeGreaterThan(100)
  })
})

it("the words of every published graph are in the vocabulary, and permuted", () => {
  expect(new Set(terse!.vocabulary).size).toBe(terse!.vocabulary.length)
  const first = new Set<string>()
  for (let seed = 0; seed < 200; seed++) {
    const { hidden } = drawn(seed, seed % 2 === 0 ? "train" : "hard")
    const words = Object.values<string>(hidden.graph.words)
    expect(words.filter((word) => !elementWords.includes(word))).toEqual([])
    first.add(words[0]!)
  }
  expect(first.size).toBe(elementWords.length)
})
