import { describe, expect, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Xml } from "effect/encoding"
import type { Evaluation } from "../../src/actors/evaluate.ts"
import { ordinal } from "../../src/cli/chart.ts"
import { curve, publishedFor, reportPage, type Run, successTable } from "../../src/cli/report.ts"

const nothing = { mean: null, low: null, high: null }

const evaluation = (policy: string, ...means: ReadonlyArray<number | null>): Evaluation => ({
  environment: "frozen-lake-obscure",
  policy,
  packs: 500,
  packSize: means.length,
  strategy: "cod",
  context: "own",
  seed: 1,
  seeds: 1,
  positions: means.map((mean, position) => {
    const interval =
      mean === null
        ? { mean, low: null, high: null }
        : { mean, low: Math.max(0, mean - 0.04), high: Math.min(1, mean + 0.04) }
    const outcomes = { success: 0, failure: 0, truncated: 0, malformed: 0, timeout: 0, error: 0 }
    return { position, episodes: 500, success: interval, reward: interval, outcomes }
  }),
  mean: { success: nothing, reward: nothing },
  gain: { success: nothing, reward: nothing },
  updates: { episodes: 1500, parsed: 1500, meanTokens: 9, meanCharacters: 40 },
  flagged: 0
})

const run: Run = {
  path: "runs/20260102T030405Z-a1b2c3",
  command: "constellate train --preset spark --seed 1",
  config: "seed: 1\nname: <b>&\n",
  before: evaluation("spark", 0.18, 0.24, 0.3, null),
  after: evaluation("spark", 0.3, 0.65, 0.79, 0.82),
  references: [
    evaluation("scripted:random", 0.15, 0.16, 0.16, 0.15),
    evaluation("scripted:careful", 0.61, 0.93, 0.99, 1)
  ],
  metrics: [
    { update: 1, success: [0.2, 0.3, 0.3, 0.3] },
    { update: 2, success: [0.3, null, 0.5, 0.6] },
    { update: 3 },
    { update: 4, success: [0.3, 0.6, 0.7, 0.8] }
  ]
}

/** Names of all elements; fails where the text is not well-formed. */
const elements = (xml: string) =>
  Stream.make(xml).pipe(
    Stream.pipeThroughChannel(Xml.decodeString()),
    Stream.runCollect,
    Effect.map((events) => events.flatMap((event) => (event._tag === "StartElement" ? [event.name] : [])))
  )

describe("the table of a run", () => {
  it("stands before and after beside the references and the published end points", () => {
    expect(successTable(run.before, run.after, run.references)).toBe(
      `
success                    1st          2nd           3rd            4th
before             .18 .14-.22  .24 .20-.28   .30 .26-.34              -
after              .30 .26-.34  .65 .61-.69   .79 .75-.83    .82 .78-.86
scripted:random    .15 .11-.19  .16 .12-.20   .16 .12-.20    .15 .11-.19
scripted:careful   .61 .57-.65  .93 .89-.97  .99 .95-1.00  1.00 .96-1.00
published, before          .18                                       .28
published, after           .45                                       .76

500 packs of 4 of frozen-lake-obscure that training never saw; 95 % intervals over packs.
Published (CoD, arXiv 2606.20002): rewards of another model; a success there counts .90 to .99.
`.trim()
    )
  })

  it("has published numbers only where they were published", () => {
    expect(publishedFor(evaluation("spark", 0.5, 0.5)).after).toEqual([{ position: 0, reward: 0.45 }])
    expect(publishedFor({ ...run.after, environment: "alchemy" })).toEqual({ before: [], after: [] })
    expect(successTable(run.before, { ...run.after, environment: "alchemy" }, [])).not.toContain("ublished")
  })

  it("counts as people do", () => {
    expect([0, 1, 2, 3, 10, 11, 12, 20, 21, 110].map(ordinal).join(" ")).toBe(
      "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 111th"
    )
  })
})

describe("the picture of a run", () => {
  it.effect("is one SVG with two panels, the same every time", () =>
    Effect.gen(function* () {
      const svg = curve(run)
      const names = yield* elements(svg)
      expect(names[0]).toBe("svg")
      expect(names.filter((name) => name === "svg")).toHaveLength(3)
      expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/)
      expect(svg).not.toMatch(/NaN|undefined|http(?!:\/\/www\.w3\.org\/2000\/svg)/)
      for (const text of ["after", "before", "scripted:careful", "published (rewards)", "Success while training"]) {
        expect(svg).toContain(`>${text}<`)
      }
      expect(curve(run)).toBe(svg)
    })
  )

  it.effect("has no learning curve where nothing was learnt", () =>
    Effect.gen(function* () {
      const names = yield* elements(curve({ ...run, metrics: [] }))
      expect(names.filter((name) => name === "svg")).toHaveLength(2)
    })
  )

  it("draws a higher success higher", () => {
    // The heights of the dots of `after`, from the top; they are drawn last of the four series, before the diamonds.
    const dots = [...curve({ ...run, metrics: [] }).matchAll(/<circle r="3.5" cy="([\d.]+)"/g)].map(([, y]) =>
      Number(y)
    )
    expect(dots).toHaveLength(4)
    expect(dots.toSorted((a, b) => b - a)).toEqual(dots)
  })
})

describe("the page of a run", () => {
  it("holds all that it shows, and takes nothing from elsewhere", () => {
    const page = reportPage(run)
    expect(page).toContain("<svg")
    expect(page).not.toMatch(/(src|href)=/)
    expect(page).toContain("constellate train --preset spark --seed 1")
    expect(page).toContain(`constellate eval ${run.path} --env frozen-lake-obscure --packs 500 --pack-size 4 --seed 1`)
    expect(page).toContain("name: &#60;b&#62;&#38;")
  })
})
