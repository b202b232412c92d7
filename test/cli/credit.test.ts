/** `constellate credit`, run as a command line. */
import { NodeServices } from "@effect/platform-node"
import { expect, it } from "@effect/vitest"
import { Console, Effect, Exit, FileSystem } from "effect"
import { describe } from "vitest"
import { constellate } from "../../src/cli/commands.ts"
import { Patience } from "../../src/cli/credit-search.ts"
import { outcome } from "../../src/cli/failure.ts"

/** Runs a command; what it printed, and what the shell would make of it. */
const run = Effect.fnUntraced(function* (...words: ReadonlyArray<string>) {
  const printed: Array<string> = []
  const quiet = () => {}
  const console = { ...globalThis.console, log: (text: string) => void printed.push(text), error: quiet }
  const exit = yield* constellate(["credit", ...words]).pipe(
    Effect.provideService(Console.Console, console),
    Effect.exit
  )
  const { code, lines } = Exit.isSuccess(exit) ? { code: 0, lines: [] } : outcome(exit.cause)
  return { code, error: lines.join("\n"), text: printed.join("\n"), document: () => JSON.parse(printed.join("\n")) }
})

const inFolder = <A, E, R>(body: (folder: string) => Effect.Effect<A, E, R>) =>
  FileSystem.FileSystem.use((files) => files.makeTempDirectoryScoped()).pipe(
    Effect.flatMap(body),
    Effect.scoped,
    Effect.provide(NodeServices.layer)
  )

const write = (file: string, text: string) => FileSystem.FileSystem.use((files) => files.writeFileString(file, text))

const given = {
  id: "mine",
  mode: "causal",
  options: {},
  experiences: [0, 1].map((run) => ({
    id: `e${run}`,
    pack: "p",
    taskset: 0,
    run,
    kind: "solve",
    index: 0,
    step: 0,
    reward: run,
    taskRewards: [run],
    responseTokens: 1
  }))
}

describe("credit score", () => {
  it.live.each([
    ["credit-assignment", 40],
    ["rec-loss", 4],
    ["counterfactual-credit", 2]
  ] as const)("matches every case of %s.json", ([name, cases]) =>
    inFolder(() =>
      Effect.gen(function* () {
        const { code, document } = yield* run("score", `test/vectors/${name}.json`, "--json")
        expect(document().filter(({ matches }: { matches: boolean }) => matches)).toHaveLength(cases)
        expect(code).toBe(0)
      })
    )
  )

  it.live("ends with 1 when a number differs from what is expected", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const expected = {
          experiences: [
            { id: "e0", score: -0.5 },
            { id: "e1", score: 0.6 }
          ]
        }
        yield* write(`${folder}/case.json`, JSON.stringify({ ...given, expected }))
        const { code, error, document } = yield* run("score", `${folder}/case.json`, "--json")
        expect(code).toBe(1)
        expect(error).toContain("1 of 1 cases differ from what they expect: mine")
        expect(document()).toMatchObject([
          { id: "mine", experiences: [{ score: -0.5 }, { score: 0.5 }], matches: false }
        ])
      })
    )
  )

  it.live("refuses what is malformed by file, line, field and value", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        const file = `${folder}/case.json`
        const wrong = [
          [{ ...given, options: { gamma: 2 } }, '"options.gamma" is 2, expected a number in [0, 1]'],
          [{ ...given, mode: "grop" }, '"mode" is "grop", expected'],
          [
            { cases: [{ ...given, experiences: [{ id: "e0" }] }] },
            '"cases[0].experiences[0].pack" is missing, expected a value'
          ],
          [
            { ...given, experiences: [{ ...given.experiences[0], index: 1 }] },
            '"experiences[0].index" is 1, expected an integer in [0, 1)'
          ],
          [
            { ...given, experiences: [{ ...given.experiences[0], reward: "x" }] },
            '"experiences[0].reward" is "x", expected a number'
          ]
        ] as const
        for (const [document, message] of wrong) {
          yield* write(file, JSON.stringify(document, null, 1))
          const { code, error, text } = yield* run("score", file)
          expect(error).toMatch(/case\.json:\d+: /)
          expect(error).toContain(message)
          expect([code, text]).toEqual([2, ""])
        }
        yield* write(file, `{\n "id": 1,,\n}`)
        expect((yield* run("score", file)).error).toContain("case.json:2: ")
        expect((yield* run("score", `${folder}/none.json`)).code).toBe(2)
      })
    )
  )
})

describe("credit fuzz", () => {
  /** Credits an update with the task it has just seen. */
  const faulty = `export default (experiences) => {
    const returns = experiences.map(({ taskRewards, index }) => taskRewards.slice(index).reduce((a, b) => a + b, 0))
    const keys = experiences.map(({ pack, kind, index }) => JSON.stringify([pack, kind, index]))
    const votes = {}
    experiences.forEach(({ run }, i) => { ((votes[keys[i]] ??= {})[run] ??= returns[i]) })
    const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length
    return {
      experiences: experiences.map(({ id }, i) => {
        const score = returns[i] - mean(Object.values(votes[keys[i]]))
        return { id, score, advantage: score }
      }),
      dropped: []
    }
  }`

  it.live("is silent on our own estimator", () =>
    inFolder(() =>
      Effect.gen(function* () {
        const { code, document } = yield* run("fuzz", "--cases", "30", "--hostile", "--json")
        expect(document()).toMatchObject({ estimator: "causal", cases: 30, seed: 1, findings: [] })
        expect(code).toBe(0)
      })
    )
  )

  it.live("finds, shrinks, saves and replays what another gets wrong", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        yield* write(`${folder}/faulty.mjs`, faulty)
        const corpus = ["--corpus", `${folder}/corpus`]
        const found = yield* run(
          "fuzz",
          "--estimator",
          `${folder}/faulty.mjs`,
          "--law",
          "causality",
          "--json",
          ...corpus
        )
        expect(found.code).toBe(1)
        const [finding] = found.document().findings
        expect(finding).toMatchObject({
          law: "causality",
          message: expect.stringContaining("rewards of tasks i up to")
        })
        expect(finding.case.experiences.length).toBeLessThanOrEqual(2)

        const saved = `${folder}/corpus/${finding.case.id}.json`
        expect((yield* run("score", saved, "--json")).document()).toMatchObject([{ matches: true }])
        const words: Array<string> = finding.replay.split(" ").slice(2)
        const replayed = yield* run(...words)
        expect(replayed.code).toBe(1)
        expect(replayed.text).toContain("law causality: A score never depends on earlier rewards")
        expect(replayed.text).toContain("task rewards")
      })
    )
  )

  it.live("reports an estimator that never answers, or ends its thread, as a finding", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        yield* write(
          `${folder}/endless.mjs`,
          "export default (experiences) => { while (experiences.length > 0); return { experiences: [] } }"
        )
        yield* write(`${folder}/ends.mjs`, "export default () => process.exit(7)")
        const endless = yield* run(
          "fuzz",
          "--estimator",
          `${folder}/endless.mjs`,
          "--json",
          "--time",
          "4s",
          "--corpus",
          `${folder}/c`
        )
        expect(endless.document().findings).toMatchObject([
          { law: "answer", message: "did not answer within 0.5 seconds" }
        ])
        const ends = yield* run("fuzz", "--estimator", `${folder}/ends.mjs`, "--json", "--corpus", `${folder}/c`)
        expect(ends.document().findings).toMatchObject([{ law: "answer", message: "ended its thread with code 7" }])
      })
    ).pipe(Effect.provideService(Patience, { callMillis: 500, candidateMillis: 100 }))
  )

  it.live("refuses what it cannot load and what it does not know", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        yield* write(`${folder}/no.mjs`, "export default 3")
        const refused = [
          [["--estimator", `${folder}/no.mjs`], "its default export is number, not a function"],
          [["--estimator", `${folder}/none.mjs`], "none.mjs"],
          [["--law", "causalty"], 'unknown law "causalty", did you mean "causality"?'],
          [["--time", "soon"], '--time is "soon", expected a duration'],
          [["--law", "refusal"], "expected --hostile with it"]
        ] as const
        for (const [words, message] of refused) {
          const { code, error } = yield* run("fuzz", ...words)
          expect(error).toContain(message)
          expect(code).toBe(2)
        }
      })
    )
  )
})

describe("credit compare", () => {
  it.live("measures every estimator on every family, and draws it", () =>
    inFolder((folder) =>
      Effect.gen(function* () {
        yield* write(
          `${folder}/zero.mjs`,
          "export default (experiences) => ({ experiences: experiences.map(({ id }) => ({ id, score: 0, advantage: 0 })) })"
        )
        const words = ["--groups", "5", "--estimator", `${folder}/zero.mjs`, "--out", `${folder}/out`, "--json"]
        const { code, document } = yield* run("compare", ...words)
        expect(code).toBe(0)
        // Eleven points on six families, five estimators of ours and one from the file; updates alone at four budgets;
        // five weightings.
        expect(document()).toHaveLength(11 * 6 * 6 + 4 * 6 * 5 + 6 * 5)
        const updates = document().filter(({ factor }: any) => factor === "tokens")
        for (const { budget, groupSize, tokens } of updates) {
          // A whole run more or less is all that budgets differ by.
          if (groupSize > 1) expect(Math.abs(tokens - budget)).toBeLessThanOrEqual(tokens / groupSize / 2)
        }
        expect(document().filter(({ estimator }: any) => estimator.endsWith("zero.mjs"))[0]).toMatchObject({
          signErrors: 0.5,
          correlation: 0
        })
        const weightings = document().filter(({ factor }: any) => factor === "weighting")
        for (const [, own] of Map.groupBy(weightings, ({ family }: any) => family)) {
          const by = Object.fromEntries(own.map((each: any) => [each.estimator, each]))
          expect(by["none"].tokenMean).toBeLessThan(0)
          expect(by["adaptive"].tokenMean).toBeGreaterThan(by["none"].tokenMean)
          expect(by["shift"].tokenMean).toBeGreaterThan(by["none"].tokenMean)
          // Signs are kept by weighting, not by a shift.
          for (const name of ["adaptive", "fixed 1", "fixed 3"]) expect(by[name].signErrors).toBe(by["none"].signErrors)
        }
        const files = yield* FileSystem.FileSystem
        expect(yield* files.readDirectory(`${folder}/out`)).toHaveLength(13 + 5)
        const svg = yield* files.readFileString(`${folder}/out/correlation-groupSize.svg`)
        expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/)
        expect(svg).toContain("mean returns")
        expect((yield* run("compare", "--groups", "0")).code).toBe(2)
      })
    )
  )
})
