import fc from "fast-check"
import { readFileSync } from "node:fs"
import peggy from "peggy"
import { describe, expect, it } from "vitest"
import { written as answer } from "../../environments/pde-discovery/actions.ts"
import { type TermName, termNames, terms } from "../../environments/pde-discovery/dictionary.ts"
import {
  compare,
  type Equation,
  printed,
  readDictionary,
  readEquation,
  supportKey,
  supportOf,
  valueAt
} from "../../environments/pde-discovery/equation.ts"
import { families } from "../../environments/pde-discovery/families.ts"
import pde from "../../environments/pde-discovery/index.ts"
import {
  conditionNumber,
  conditionPenalty,
  runnerUp,
  scoreSupports
} from "../../environments/pde-discovery/regression.ts"
import {
  amplitudeBound,
  findBound,
  initialProfile,
  isStable,
  measure
} from "../../environments/pde-discovery/simulation.ts"
import { freshPacks } from "../../src/actors/rollout.ts"
import { stream } from "../../src/kernels/random.ts"
import { answering, curve, lifecycle, mean, optionsOf, restored } from "./chat-play.ts"

const { chat, feedback, knowledge } = pde

const equationOf = (text: string): Equation => {
  const read = readEquation(text)
  if ("why" in read) throw new Error(read.why)
  return read.equation
}

const example = {
  knowledge: { equation: { u: 1, "u^3": -0.8 }, trajectories: [{ amplitude: 2, modes: [1] }] },
  task: { trajectory: 0 },
  packSize: 2,
  options: { maxSteps: 6, pointBudget: 6 }
}

const sample = (point_grid = "0.5,0; 0.3,0; 0.15,0; 0.7,0.01; 0.5,0.02; 0.5,0.1") =>
  answer({ name: "sample_pde_data", point_grid })
const regress = (given: object = {}) => answer({ name: "run_sparse_regression", ...given })
const commit = (preferred_equation: string, more: object = {}) =>
  answer({ name: "update_scientific_context", preferred_equation, ...more })

describe("the reward, against the truth u - 0.8u^3", () => {
  it.each([
    ["u - 0.8u^3", 0, 0, 1],
    ["0.95u - 0.7u^3", 0.0833, 0, 0.9231],
    ["u - 0.8u^3 + 0.1 tanh(u)", 0.0556, 1, 0.4865],
    ["u - 0.8u^3 + 0.1 tanh u", 0.0556, 1, 0.4865],
    ["0.6u", 0.6667, 0, 0.6],
    ["sin(u) - 0.8u^3", 1.1111, 0, 0.4737],
    ["sin u - 0.8u^3", 1.1111, 0, 0.4737]
  ])("%s", (submitted, d, extra, reward) => {
    const compared = compare(equationOf(submitted), equationOf("1*u - 0.8*u^3"))
    expect(compared.d).toBeCloseTo(d, 4)
    expect(compared.extra).toBe(extra)
    expect(compared.reward).toBeCloseTo(reward, 4)
    expect(compared.recovered).toBe(supportOf(equationOf(submitted)).join() === "u,u^3")
  })
})

describe("equations", () => {
  it.each([
    ["f(u) = 1*u - 0.8*u^3", { u: 1, "u^3": -0.8 }],
    ["-.5*(exp(u)-1)+2.*tanh(u)", { "exp(u)-1": -0.5, "tanh(u)": 2 }],
    ["0.5*(u/(1+u+u^2)) + 0.5*u/(1+u^2)", { "u/(1+u+u^2)": 0.5, "u/(1+u^2)": 0.5 }],
    ["1*sin(2*u) + 1e-1*sin(2u) - 3 * log ( 1 + u ^ 2 )", { "sin(2*u)": 1.1, "log(1+u^2)": -3 }],
    ["u^2 - u^2 + -2*u^7", { "u^7": -2 }],
    ["2 sin 2u - sin 2*u+(tanh u)", { "sin(2*u)": 1, "tanh(u)": 1 }],
    ["1*u^4/(1+u^4) + 1*(u^2/(1+u^2))", { "u^4/(1+u^4)": 1, "u^2/(1+u^2)": 1 }],
    ["u+u", { u: 2 }]
  ])("%s", (text, equation) => {
    const read = equationOf(text)
    expect(supportOf(read)).toEqual(termNames.filter((term) => term in equation))
    for (const [term, coefficient] of Object.entries(equation))
      expect(read[term as TermName]).toBeCloseTo(coefficient, 12)
  })

  it.each([
    ["", "at its end"],
    ["u -", "at its end"],
    ["0.5*exp(u)-1", "cannot be read"],
    ["u^6", "cannot be read"],
    ["u^33", "cannot be read"],
    ["2*x", "cannot be read"],
    ["u*u", "cannot be read"],
    ["u**2", "cannot be read"],
    ["0.5*(u+u^2)", "cannot be read"],
    ["1*u and no more", "cannot be read"],
    ["u = 1", "cannot be read"],
    ["1*u; 1*u^2", "cannot be read"],
    ["process.exit(1)", "cannot be read"],
    ["1e999*u", "not finite"],
    ["u - u", "no term"],
    ["(".repeat(900), "cannot be read"],
    ["1*u + ".repeat(200_000) + "1*u", "longer than"]
  ])("%.40j is none: %s", (text, why) => {
    expect(readEquation(text)).toHaveProperty("why", expect.stringContaining(why))
  })

  it("are printed so that they read back, every coefficient written", () => {
    const coefficient = fc
      .integer({ min: -3000, max: 3000 })
      .filter((c) => c !== 0)
      .map((c) => c / 1000)
    const anyEquation = fc.dictionary(fc.constantFrom(...termNames), coefficient, { minKeys: 1, maxKeys: 5 })
    fc.assert(
      fc.property(anyEquation, (equation) => {
        const read = readEquation(printed(equation))
        expect(read).toMatchObject({ explicit: true })
        expect("equation" in read && { ...read.equation }).toEqual({ ...equation })
      }),
      { seed: 1, numRuns: 200 }
    )
  })

  it("dictionaries list terms", () => {
    expect(readDictionary(" tanh(u), u^2; (exp(u)-1) , exp(u) - 1")).toEqual({
      dictionary: ["u^2", "exp(u)-1", "tanh(u)"]
    })
    expect(readDictionary("u, cosh(u)")).toHaveProperty("why")
    expect(readEquation("u - 1*u^2")).toMatchObject({ explicit: false })
  })

  it("the committed parser is what the grammar generates", () => {
    const folder = new URL("../../environments/pde-discovery/", import.meta.url)
    const allowedStartRules = ["Equation", "Dictionary"]
    const generated = peggy.generate(readFileSync(new URL("equation.peggy", folder), "utf8"), {
      output: "source",
      format: "es",
      allowedStartRules
    })
    expect(readFileSync(new URL("equation-parser.ts", folder), "utf8")).toBe(generated)
  })
})

describe("families", () => {
  const keys = (name: keyof typeof families) =>
    families[name].map(({ signs }) => supportKey(Object.keys(signs) as Array<TermName>))
  const sizes = (name: keyof typeof families) =>
    families[name].reduce<Record<number, number>>((counts, { signs }) => {
      const size = Object.keys(signs).length
      return { ...counts, [size]: (counts[size] ?? 0) + 1 }
    }, {})

  it("have the published shape", () => {
    expect(sizes("full_train")).toEqual({ 1: 5, 2: 35 })
    expect(sizes("full_eval_4000")).toEqual({ 2: 17, 3: 8 })
    expect(families.general.length).toBe(32)
  })

  it("share no support between training and evaluation, but all terms", () => {
    const [train, unseen] = [new Set(keys("full_train")), new Set(keys("full_eval_4000"))]
    expect(train.size).toBe(40)
    expect(unseen.size).toBe(25)
    expect([...unseen].filter((key) => train.has(key))).toEqual([])
    const used = (name: keyof typeof families) => new Set(families[name].flatMap(({ signs }) => Object.keys(signs)))
    expect([...used("full_eval_4000")].filter((term) => !used("full_train").has(term))).toEqual([])
    expect(used("full_train").size).toBe(termNames.length)
  })

  it("single terms are negative, others have a positive and a negative one", () => {
    for (const { signs } of [...families.full_train, ...families.full_eval_4000]) {
      const values = Object.values(signs)
      expect(values).toContain(-1)
      if (values.length > 1) expect(values).toContain(1)
    }
  })

  it("the amplitude bound that is known for the published limit is what bisection finds", () => {
    expect(findBound("full_eval_4000", 3)).toBe(amplitudeBound("full_eval_4000", 3))
  })
})

describe("the simulation", () => {
  it("lets a sine decay by diffusion alone as it does in mathematics", () => {
    const grid = [129, 2001] as const
    const places = [0.1, 0.5].flatMap((t) => [0.25, 0.5].map((x) => ({ x, t })))
    // sin^2 is not a sine, but a small reaction and a late time leave only the first mode.
    const measured = measure({ u: 1e-9 }, { amplitude: 1, modes: [1] }, grid, 3, places)
    expect(measured[2]!.u / measured[3]!.u).toBeCloseTo(Math.SQRT1_2, 4)
    const rate = Math.log(measured[1]!.u / measured[3]!.u) / 0.4
    expect(rate).toBeCloseTo(Math.PI ** 2, 0)
  })

  it("measures y = f(u) wherever nothing is clipped, also at the last time", () => {
    const grid = [65, 401] as const
    const equation = equationOf("1.2*sin(2*u) - 0.7*u^3")
    for (const t of [0, 0.0025, 0.25, 1]) {
      const [{ u, y }] = measure(equation, { amplitude: 2.5, modes: [0.3, -1] }, grid, 3, [{ x: 0.5, t }]) as [any]
      expect(y).toBeCloseTo(valueAt(equation, u), 8)
    }
  })

  it("interpolates between the points of the grid", () => {
    const grid = [65, 401] as const
    const at = (x: number, t: number) =>
      measure({ u: -1 }, { amplitude: 2, modes: [1] }, grid, 3, [{ x: x / 64, t: t / 400 }])[0]!
    expect(at(20.5, 7).u).toBeCloseTo((at(20, 7).u + at(21, 7).u) / 2, 12)
    expect(at(20, 7.25).u).toBeCloseTo(0.75 * at(20, 7).u + 0.25 * at(20, 8).u, 12)
    expect(at(20, 7.25).y).toBeCloseTo(0.75 * at(20, 7).y + 0.25 * at(20, 8).y, 12)
  })

  it("initial conditions vanish at the ends and reach their amplitude", () => {
    for (let seed = 0; seed < 50; seed++) {
      const rng = stream("profile", seed)
      const profile = initialProfile({ amplitude: 1.7, modes: [rng.normal(), rng.normal()] }, 257)
      expect([profile[0], profile[256]]).toEqual([0, 0])
      expect(Math.max(...profile)).toBeCloseTo(1.7, 9)
      expect(Math.min(...profile)).toBeGreaterThanOrEqual(0)
    }
  })

  it("refuses equations that blow up or touch the limit, and ends all the same", () => {
    const trajectories = [{ amplitude: 2, modes: [1] }]
    expect(isStable({ "u^3": -1 }, trajectories, [257, 2001], 3)).toBe(true)
    expect(isStable({ "u^3": 50 }, trajectories, [257, 2001], 3)).toBe(false)
    expect(isStable({ "u^3": -1 }, [{ amplitude: 3, modes: [1] }], [257, 2001], 3)).toBe(false)
    const [{ u }] = measure({ "u^7": 1000 }, trajectories[0]!, [65, 401], 3, [{ x: 0.5, t: 0.5 }]) as [any]
    expect(u).toBeLessThanOrEqual(3)
  })
})

describe("regression", () => {
  const samplesOf = (equation: Equation, us: ReadonlyArray<number>) =>
    us.map((u, i) => ({ x: i, t: i, u, y: valueAt(equation, u) }))
  const question = { dictionary: termNames, supports: undefined, mostTerms: 2, alpha: 0.05, threshold: 0.05 }
  const us = [0.2, 0.6, 1, 1.5, 2, 2.5]

  it("finds every published template from six exact samples", () => {
    for (const { signs } of families.full_train) {
      const equation = Object.fromEntries(Object.entries(signs).map(([term, sign], i) => [term, sign * (1.25 - i / 2)]))
      const [best] = scoreSupports(samplesOf(equation, us), question)
      expect(best!.error).toBeLessThan(1e-6)
      expect({ ...best!.equation }).toEqual({ ...equation })
    }
  })

  it("scores with the equation as it is printed: three decimals, then three digits", () => {
    const exact = equationOf("1.23456*u")
    const [best] = scoreSupports(samplesOf(exact, us), { ...question, dictionary: ["u"] })
    expect(printed(best!.equation)).toBe("1.24*u")
    expect(best!.error).toBeCloseTo(0.00544 * 2.5, 10)
  })

  it("drops small terms and fits the others again", () => {
    const samples = samplesOf(equationOf("1*u + 0.001*u^2"), us)
    const [best] = scoreSupports(samples, { ...question, supports: [["u", "u^2"]] })
    expect(Object.keys(best!.equation)).toEqual(["u"])
  })

  it("names the closest equation with other terms and how far it is", () => {
    const scored = [
      { equation: { u: 1 }, error: 0.1 },
      { equation: { u: 1.1 }, error: 0.12 },
      { equation: { "u^2": 1 }, error: 0.15 }
    ]
    expect(runnerUp(scored)).toMatchObject({ equation: { "u^2": 1 }, margin: expect.closeTo(0.5, 9) })
    expect(runnerUp(scored.slice(0, 2))).toBeUndefined()
  })

  it("condition numbers: 1 alone, larger for terms alike, capped", () => {
    const samples = samplesOf({ u: 1 }, us)
    expect(conditionNumber(samples, ["u"])).toBeCloseTo(1, 9)
    expect(conditionNumber(samples, ["u", "u^2"])).toBeGreaterThan(1)
    expect(conditionNumber(samples, ["u^4", "u^5"])).toBeGreaterThan(conditionNumber(samples, ["u", "u^5"]))
    expect(conditionNumber(samples.slice(0, 1), ["u", "u^2"])).toBe(1e12)
    expect(conditionPenalty(1e4, 100)).toBe(2)
    expect(conditionPenalty(50, 100)).toBe(0)
  })

  it("survives samples that tell nothing", () => {
    expect(scoreSupports(samplesOf({ u: 1 }, [0, 0]), question)).toEqual([])
    expect(scoreSupports(samplesOf({ u: 1 }, [1]), question).length).toBeGreaterThan(0)
  })
})

describe("a task", () => {
  it("goes from sampling over a regression to a committed equation", () => {
    const seen = answering(pde, example, [sample(), regress({ candidate_equations: "1*u + 1*u^3" })])
    expect(seen.map(({ value }) => value)).toEqual(["unsampled", "sampled", "fitted"])
    expect(feedback.step(seen[1])).toMatch(
      /^Stored task1_data1: 6 points, u from .* to .*, x from 0.15 to 0.7, t from 0 to 0.1. Budget left: 0 points/
    )
    const [, equation] = /^Best equation: (.*)$/m.exec(feedback.step(seen[2]))!
    expect(supportOf(equationOf(equation!))).toEqual(["u", "u^3"])
    expect(chat.user(seen[2])).toContain(
      "Possible now: run_sparse_regression, summarize_pack_evidence, update_scientific"
    )
    const note = { note: "as &lt;expected&gt;", uncertain_terms: "u" }
    const all = [sample(), regress({ candidate_equations: "1*u + 1*u^3" }), commit(equation!, note)]
    const end = answering(pde, example, all).at(-1)
    expect(end.value).toBe("recovered")
    expect(end.output.success).toBe(true)
    expect(end.output.reward).toBeGreaterThan(0.9)
    expect(end.output.memory.hypotheses).toMatchObject([
      { position: 0, points: 6, note: "as <expected>", uncertain: ["u"] }
    ])
    expect(feedback.end(end)).toContain(`Finalised equation: ${equation}`)
    expect(feedback.end(end)).toContain(`Latest regression candidate: ${equation}, sampled max error`)
    expect(feedback.end(end)).not.toMatch(/reward/i)
  })

  it("a wrong equation is no success, but has a reward", () => {
    const candidates = { candidate_equations: "1*tanh(u)" }
    const [, , fitted] = answering(pde, example, [sample(), regress(candidates)])
    const wrong = printed(fitted.context.fit.best.equation)
    const end = answering(pde, example, [sample(), regress(candidates), commit(wrong)]).at(-1)
    expect(end.value).toBe("mistaken")
    expect(end.output).toMatchObject({ success: false, outcome: "failure" })
    expect(end.output.reward).toBeGreaterThan(0.1)
  })

  it("without an update it is worth nothing", () => {
    const end = answering(
      pde,
      example,
      Array.from({ length: 6 }, () => regress())
    ).at(-1)
    expect(end.value).toBe("outOfSteps")
    expect(end.output).toMatchObject({ success: false, outcome: "truncated", reward: 0 })
    expect(feedback.end(end)).toContain("You ran out of steps")
  })

  it("the noise has the stated size", () => {
    const quiet = answering(pde, { ...example, options: { pointBudget: 200, noiseLevel: 0 } }, [
      sample("0.4,0.05 ".repeat(200))
    ])
    const noisy = answering(pde, { ...example, options: { pointBudget: 200 } }, [sample("0.4,0.05 ".repeat(200))])
    const [exact] = quiet[1].context.notebook.datasets[0].samples
    const spread = (key: "u" | "y") =>
      Math.sqrt(mean(noisy[1].context.notebook.datasets[0].samples.map((s: any) => (s[key] - exact[key]) ** 2)))
    expect(spread("u") / 0.002).toBeCloseTo(1, 0)
    expect(spread("y") / 0.0005).toBeCloseTo(1, 0)
  })

  it.each([
    [sample("0.5,0; 0.5"), "pairs of numbers"],
    [sample("x,t"), "pairs of numbers"],
    [sample("0,0.5"), "outside of 0 < x < 1"],
    [sample("0.5,1.5"), "outside of 0 < x < 1"],
    [sample("0.5,0 ".repeat(7)), "7 points were asked for, 6 are left"],
    [regress(), "there is no data yet"],
    [commit("1*u"), "sample data in this task first"]
  ])("%.70s costs a step", (reply, why) => {
    const [, next] = answering(pde, example, [reply])
    expect(next.status).toBe("active")
    expect(next.context.steps).toBe(1)
    expect(next.context.spent).toBe(0)
    expect(feedback.step(next)).toContain(why)
  })

  it.each([
    [regress({ dataset_id: "task9_data1" }), "there is no data task9_data1; there are task1_data1"],
    [regress({ dataset_id: "tasks 2-3" }), "there is no data tasks 2-3"],
    [regress({ dictionary: "u, v" }), "dictionary: it cannot be read"],
    [regress({ dictionary: "u", candidate_equations: "u" }), "not both"],
    [regress({ candidate_equations: "u;".repeat(9) }), "at most 8"],
    [regress({ candidate_equations: "u; v" }), "candidate_equations"],
    [regress({ alpha: "-1" }), "alpha must be a number"],
    [regress({ threshold: "1e5" }), "no term explains"],
    [commit("1*u"), "run a regression in this task first"],
    [answer({ name: "summarize_pack_evidence", reveal_equations: "yes" }), "true or false"]
  ])("so does %.90s", (reply, why) => {
    const next = answering(pde, example, [sample("0.5,0; 0.3,0.01"), reply]).at(-1)
    expect(next.status).toBe("active")
    expect(feedback.step(next)).toContain(why)
  })

  it.each([
    ["1*u - 0.5*u^2", "has scored no"],
    ["u - u^3", "needs its numeric coefficient"],
    ["1*u - ", "cannot be read"]
  ])("committing %s is refused: %s", (equation, why) => {
    const next = answering(pde, example, [sample(), regress(), commit(equation)]).at(-1)
    expect(next.status).toBe("active")
    expect(feedback.step(next)).toContain(why)
  })

  it.each([
    ["", "exactly one <answer>"],
    ["<answer>sample_pde_data</answer>", "an XML element"],
    ["<answer></answer>", "exactly one action"],
    ["<answer><think>u</think></answer>", "there is no action think"],
    ["<answer><constructor/></answer>", "there is no action constructor"],
    [`<answer>${"<summarize_pack_evidence/>".repeat(2)}</answer>`, "exactly one action"],
    ["<answer><sample_pde_data>0.5,0</sample_pde_data></answer>", "arguments as elements"],
    ["<answer><sample_pde_data/></answer>", "needs the argument point_grid"],
    ["<answer><sample_pde_data><points>1</points></sample_pde_data></answer>", "no argument points"],
    ["<answer><run_sparse_regression><alpha>1</alpha><alpha>1</alpha></run_sparse_regression></answer>", "twice"],
    ["<answer><run_sparse_regression><alpha><b>1</b></alpha></run_sparse_regression></answer>", "plain text"],
    ["<answer><run_sparse_regression>", "exactly one <answer>"],
    ["<answer><run_sparse_regression></answer>", "well-formed XML"],
    [sample("0.5,0 ".repeat(200_000)), "longer than"],
    [`<answer>${"<a>".repeat(5000)}${"</a>".repeat(5000)}</answer>`, "longer than"]
  ])("%.60s ends it: %s", (reply, why) => {
    const end = answering(pde, example, [reply]).at(-1)
    expect(end.value).toBe("misread")
    expect(end.output).toMatchObject({ success: false, reward: 0, outcome: "malformed" })
    expect(feedback.end(end)).toContain(why)
  })
})

describe("what lasts", () => {
  const solved = [sample(), regress({ candidate_equations: "1*u + 1*u^3" })]
  const best = printed(answering(pde, example, solved).at(-1).context.fit.best.equation)
  const { memory } = answering(pde, example, [...solved, commit(best)]).at(-1).output
  const later = { ...example, memory, position: 1 }

  it("are data and hypotheses, shown and summarised in later tasks", () => {
    const [first] = answering(pde, later, [])
    expect(chat.user(first)).toContain("Data sets (points): task1_data1 (6)\n")
    expect(chat.user(first)).toMatch(/Latest committed task: task 1, 6 points, u from .*, max error .*, margin /)
    const summary = (reveal_equations: "true" | "false") =>
      feedback.step(answering(pde, later, [answer({ name: "summarize_pack_evidence", reveal_equations })]).at(-1))
    expect(summary("false")).toMatch(/^Task 1: 2 terms, 6 points/)
    expect(summary("true")).toContain(`Task 1: ${best}, 6 points`)
  })

  it("regressions take all data unless told otherwise", () => {
    const points = (given: object) =>
      /\((\d+) points\)/.exec(feedback.step(answering(pde, later, [sample("0.5,0; 0.3,0"), regress(given)]).at(-1)))![1]
    expect(points({})).toBe("8")
    expect(points({ dataset_id: "task2_data1" })).toBe("2")
    expect(points({ dataset_id: "tasks 1-2" })).toBe("8")
    expect(points({ dataset_id: "task 1" })).toBe("6")
  })

  it("an update needs sampling and a regression of its own task", () => {
    const refused = (replies: ReadonlyArray<string>) => feedback.step(answering(pde, later, replies).at(-1))
    expect(refused([regress(), commit(best)])).toContain("sample data in this task first")
    expect(refused([sample("0.5,0"), commit(best)])).toContain("run a regression in this task first")
  })

  it("a repeated position, as in Ralph packs, is one more task", () => {
    const again = answering(pde, { ...later, task: { trajectory: 0 } }, [sample("0.5,0")]).at(-1)
    expect(again.context.notebook.datasets.map(({ id }: any) => id)).toEqual(["task1_data1", "task2_data1"])
  })

  it("nothing lasts with memory off", () => {
    const [first] = answering(pde, { ...later, options: { memory: "off" } }, [])
    expect(chat.user(first)).toContain("Data sets (points): none")
  })
})

describe("draws", () => {
  it("one stable equation a pack, amplitudes in equal bands", () => {
    for (const preset of ["train", "hard"]) {
      const options = optionsOf(pde, pde.presets[preset])
      for (let pack = 0; pack < 10; pack++) {
        const drawn = knowledge.sample(stream(preset, pack), { options, packSize: 8 })
        const size = Object.keys(drawn.equation).length
        expect(size >= options.terms[0] && size <= options.terms[1]).toBe(true)
        for (const coefficient of Object.values(drawn.equation) as Array<number>) {
          expect(Math.abs(coefficient) >= 0.5 && Math.abs(coefficient) <= 2).toBe(true)
          expect(100 * coefficient).toBeCloseTo(Math.round(100 * coefficient), 9)
        }
        const bound = amplitudeBound(options.family, options.stateLimit)
        const bands = drawn.trajectories.map(({ amplitude }: any) => Math.floor((8 * amplitude) / bound))
        expect(bands.toSorted((a: number, b: number) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
      }
    }
  })

  it("the packs of an evaluation take the unseen templates in a fixed order, those of training draw them", () => {
    const options = optionsOf(pde, pde.presets["hard"])
    const packs = (phase: "eval" | "train", first: number, count: number) =>
      freshPacks({ id: 0, environment: pde, options }, { phase, baseSeed: 1, epoch: 0, count, size: 2, first })
    const templates = (of: ReturnType<typeof packs>) => of.map((pack) => (pack.knowledge() as any).template)
    const inOrder = families.full_eval_4000.map(({ name }) => name)
    expect(templates(packs("eval", 0, 50))).toEqual([...inOrder, ...inOrder])
    expect(templates(packs("eval", 77, 1))).toEqual([inOrder[2]])
    expect(templates(packs("train", 0, 25))).not.toEqual(inOrder)
    const equations = packs("eval", 0, 50).map((pack) => JSON.stringify((pack.knowledge() as any).equation))
    expect(new Set(equations).size).toBe(50)
  })

  it("a family without reactions of the allowed size is refused", () => {
    const options = optionsOf(pde, { family: "full_train", terms: [3, 3] })
    expect(() => knowledge.sample(stream("none"), { options, packSize: 4 })).toThrow("no reaction of 3 to 3 terms")
  })
})

it("a state restored from JSON goes on as if nothing had happened", () => {
  const [, sampled] = answering(pde, example, [sample("0.5,0; 0.3,0")])
  const step = (snapshot: any) => answering(pde, { ...example, memory: snapshot.context.notebook }, [regress()]).at(-1)
  expect(JSON.stringify(step(restored(pde, sampled)).context.fit)).toBe(JSON.stringify(step(sampled).context.fit))
})

describe("agents", () => {
  const options = { ...pde.presets.train, grid: [65, 401], memory: "off" }
  const at = { packs: 8, packSize: 4, options }

  it("without the environment's memory, `careful` rises by what it writes and `amnesiac` does not", () => {
    const careful = curve(pde, "careful", at).success
    const amnesiac = curve(pde, "amnesiac", at).success
    expect(careful[0]).toBe(amnesiac[0])
    expect(careful[3]).toBeGreaterThan(careful[0]!)
    expect(careful[3]).toBeGreaterThanOrEqual(0.75)
    expect(mean(careful)).toBeGreaterThan(mean(amnesiac))
  })

  it("`oracle` recovers the terms in every task; its prompts never tell them", () => {
    for (let pack = 0; pack < 4; pack++) {
      const { knowledge, observations, successes, systems } = lifecycle(pde, "oracle", { pack, packSize: 2, options })
      expect(successes).toEqual([true, true])
      const truth = printed(knowledge.equation)
      expect([...systems, observations[0]![0]!].join()).not.toContain(truth)
    }
  })

  it("`random` ends every task by committing something", () => {
    for (let pack = 0; pack < 4; pack++) {
      for (const outcome of lifecycle(pde, "random", { pack, packSize: 2, options }).outcomes) {
        expect(["success", "failure", "truncated"]).toContain(outcome)
      }
    }
  })
})

it("every term is what its name says", () => {
  const u = 1.3
  const values = [
    u,
    u ** 2,
    u ** 3,
    u ** 4,
    u ** 5,
    u ** 7,
    Math.sin(u),
    Math.sin(2 * u),
    Math.exp(u) - 1,
    Math.log(1 + u * u),
    Math.tanh(u),
    u / (1 + u ** 2),
    u ** 2 / (1 + u ** 2),
    u ** 4 / (1 + u ** 4),
    u / (1 + u + u ** 2)
  ]
  termNames.forEach((term, i) => expect(terms[term](u)).toBeCloseTo(values[i]!, 12))
})
