/** `constellate credit compare`: estimators against planted credit, as functions of group size, pack length and noise. */
import * as Plot from "@observablehq/plot"
import { Effect, FileSystem, Option, Path } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { parseHTML } from "linkedom"
import { causal } from "../kernels/credit/causal.ts"
import type { Credit, Experience } from "../kernels/credit/estimator.ts"
import { grpo } from "../kernels/credit/grpo.ts"
import { families, measure, type Accuracy, type PlantedOptions } from "../kernels/credit/planted.ts"
import { loadPlugin } from "../kernels/credit/plugin.ts"
import { stream } from "../kernels/random.ts"
import { measureSiblings, reportSiblings, type SiblingMeasurement } from "./credit-siblings.ts"
import { measureWeightings, reportWeightings } from "./credit-weightings.ts"
import { WrongInput } from "./failure.ts"
import { answer, json, table } from "./output.ts"

type Estimate = (experiences: ReadonlyArray<Experience>) => Credit

/** What is compared by its scores: weighting keeps their sign and order, and is looked at apart. */
const estimators: Readonly<Record<string, Estimate>> = {
  "mean returns": (experiences) => causal(experiences),
  "window of 2": (experiences) => causal(experiences, { returns: "sliding_window_mean", window: 2 }),
  "discount 0.8": (experiences) => causal(experiences, { returns: "discounted", gamma: 0.8 }),
  "plain sum": (experiences) => causal(experiences, { returns: "discounted", gamma: 1 }),
  "whole lifecycle": (experiences) => grpo(experiences, { rewardField: "totalReward", stdLevel: "none" })
}

/** Where a factor is not varied it has this value. */
const usual = { groupSize: 8, packSize: 4, noise: 0.5 }
const factors = { groupSize: [2, 4, 8, 16], packSize: [2, 4, 8], noise: [0, 0.5, 1, 2] } as const
type Factor = keyof typeof factors

const names: Record<Factor, string> = {
  groupSize: "runs of a group",
  packSize: "tasks of a pack",
  noise: "noise of a reward"
}

export interface Measurement extends PlantedOptions, Accuracy {
  readonly factor: Factor
  readonly estimator: string
}

/** Every estimator on every family, one factor varied at a time. All of them see the same groups. */
const measureAll = (compared: Readonly<Record<string, Estimate>>, groups: number, seed: number) =>
  (Object.keys(factors) as ReadonlyArray<Factor>).flatMap((factor) =>
    factors[factor].flatMap((value) =>
      families.flatMap((family) =>
        Object.entries(compared).map(([estimator, estimate]): Measurement => {
          const options: PlantedOptions = { family, ...usual, [factor]: value }
          const streamOf = (group: number) => stream(seed, "planted", family, factor, value, group)
          return { factor, estimator, ...options, ...measure(options, groups, streamOf, estimate) }
        })
      )
    )
  )

export const compare = Command.make(
  "compare",
  {
    estimator: Flag.File("estimator").pipe(
      Flag.withDescription("ES module with an estimator of yours, to be compared too"),
      Flag.optional
    ),
    groups: Flag.Int("groups").pipe(Flag.withDescription("Groups at each point"), Flag.withDefault(400)),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Seed of the groups"), Flag.withDefault(1)),
    out: Flag.Directory("out").pipe(Flag.withDescription("Write charts and a page into this folder"), Flag.optional),
    json
  },
  Effect.fnUntraced(function* ({ estimator, groups, seed, out, json }) {
    if (groups < 1)
      return yield* new WrongInput({ field: "--groups", value: groups, expected: "an integer, at least 1" })
    const own = Option.isSome(estimator)
      ? {
          [estimator.value]: yield* Effect.tryPromise({
            try: () => loadPlugin(estimator.value),
            catch: (error) =>
              new WrongInput({
                field: "--estimator",
                value: estimator.value,
                expected: `an ES module that exports an estimator: ${String(error)}`
              })
          }).pipe(
            Effect.map(
              (plugin): Estimate =>
                (experiences) =>
                  plugin(experiences, {})
            )
          )
        }
      : {}
    const measured = measureAll({ ...estimators, ...own }, groups, seed)
    const siblings = measureSiblings(groups, seed)
    const weightings = measureWeightings(groups, seed)
    const reports = [report(measured), reportSiblings(siblings), reportWeightings(weightings)]
    if (Option.isSome(out)) yield* draw(out.value, measured, siblings, reports)
    yield* answer(json, [...measured, ...siblings, ...weightings], () => reports.join("\n\n"))
  })
).pipe(
  Command.withDescription("Measure estimators on synthetic lifecycles whose true credit is known"),
  Command.withExamples([
    { command: "constellate credit compare", description: "A table" },
    { command: "constellate credit compare --out credit-comparison", description: "Charts and a page" }
  ])
)

/** The usual point of each family, and which estimator is nearest to the truth there. */
const report = (measured: ReadonlyArray<Measurement>): string => {
  const here = measured.filter(({ factor, groupSize }) => factor === "groupSize" && groupSize === usual.groupSize)
  const rows = here.map((each) => [
    each.family,
    each.estimator,
    ...[each.bias, each.variance, each.signErrors, each.correlation].map((value) => value.toFixed(3))
  ])
  const nearest = families.map((family) => {
    const best = here.filter((each) => each.family === family).toSorted((a, b) => b.correlation - a.correlation)[0]!
    return `${family}: nearest to the truth is ${best.estimator} (correlation ${best.correlation.toFixed(2)})`
  })
  return [
    `${usual.groupSize} runs, ${usual.packSize} tasks, noise ${usual.noise}`,
    table(["family", "estimator", "bias", "variance", "sign errors", "correlation"], rows),
    "",
    ...nearest
  ].join("\n")
}

const shown = {
  correlation: "correlation with the truth",
  signErrors: "share of wrong signs",
  bias: "bias",
  variance: "variance"
} as const
type Shown = keyof typeof shown

const colors = ["#0b62a4", "#b07d2b", "#3f8f4f", "#8a5aa8", "#b3423a", "#444"]

/** One chart: a measure against a factor, a panel a family. */
export const chart = (measured: ReadonlyArray<Measurement>, factor: Factor, shownAs: Shown): string =>
  panels(
    measured.filter((each) => each.factor === factor),
    { x: factor, xLabel: names[factor], y: shownAs, yLabel: shown[shownAs] }
  )

const siblingsShown = { ...shown, varianceAtBudget: "variance of the scores that a budget buys" } as const

/** One chart of updates alone: a measure against the tokens spent, a panel a family. */
export const siblingsChart = (
  measured: ReadonlyArray<SiblingMeasurement>,
  shownAs: keyof typeof siblingsShown
): string => panels(measured, { x: "budget", xLabel: "tokens for a pack", y: shownAs, yLabel: siblingsShown[shownAs] })

const panels = (
  rows: ReadonlyArray<{ readonly estimator: string }>,
  { x, xLabel, y, yLabel }: Record<"x" | "xLabel" | "y" | "yLabel", string>
): string => {
  const series = [...new Set(rows.map(({ estimator }) => estimator))]
  const width = 1100
  const plot = Plot.plot({
    document: parseHTML("<html><body></body></html>").document,
    width,
    height: 260,
    marginLeft: 50,
    grid: true,
    x: { type: "point", label: xLabel },
    y: { label: yLabel, ...(y.startsWith("variance") ? { type: "log" as const } : {}) },
    fx: { label: null, domain: [...families] },
    color: { domain: series, range: colors },
    marks: [
      Plot.lineY(rows, { x, y, fx: "family", stroke: "estimator", strokeWidth: 2 }),
      Plot.dot(rows, { x, y, fx: "family", fill: "estimator", r: 3 })
    ]
  })
  plot.setAttribute("xmlns", "http://www.w3.org/2000/svg")
  const legend = series
    .map(
      (name, i) =>
        `<text x="${60 + 170 * i}" y="-8" fill="${colors[i % colors.length]}" font-weight="600">${escape(name)}</text>`
    )
    .join("")
  const inner = plot.outerHTML
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="290" viewBox="0 -30 ${width} 290" font-family="system-ui, sans-serif" font-size="12"><rect y="-30" width="${width}" height="290" fill="white"/>${legend}${inner}</svg>\n`
}

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")

const draw = Effect.fnUntraced(function* (
  folder: string,
  measured: ReadonlyArray<Measurement>,
  siblings: ReadonlyArray<SiblingMeasurement>,
  [all, updates, weightings]: ReadonlyArray<string>
) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* files.makeDirectory(folder, { recursive: true })
  const chartsOfAll = (Object.keys(factors) as ReadonlyArray<Factor>).flatMap((factor) =>
    (Object.keys(shown) as ReadonlyArray<Shown>).map((measure) => ({
      name: `${measure}-${factor}.svg`,
      svg: chart(measured, factor, measure)
    }))
  )
  const chartsOfUpdates = (Object.keys(siblingsShown) as ReadonlyArray<keyof typeof siblingsShown>).map((measure) => ({
    name: `updates-${measure}.svg`,
    svg: siblingsChart(siblings, measure)
  }))
  const charts = [...chartsOfAll, ...chartsOfUpdates]
  yield* Effect.forEach(charts, ({ name, svg }) => files.writeFileString(path.join(folder, name), svg))
  const page = `<!doctype html><meta charset="utf-8"><title>Planted credit</title>
<body style="font-family:system-ui,sans-serif;max-width:1120px;margin:2em auto">
<h1>Planted credit</h1>
<p>Estimators against synthetic lifecycles whose true effects are known: a context that lasts (chain), one that pays off
later (delayed), an update that follows luck (decoy), a chain under a drifting difficulty (drift), attempts whose finds
last (discovery), and contexts that are paid for (costly).</p>
${chartsOfAll.map(({ svg }) => svg).join("")}<pre>${escape(all!)}</pre>
<h2>Updates alone</h2>
<p>Against runs of the pack, or against siblings from the same state, on equal numbers of generated tokens.</p>
${chartsOfUpdates.map(({ svg }) => svg).join("")}<pre>${escape(updates!)}</pre>
<h2>Weightings</h2>
<p>What becomes of scores where failed attempts are longer than others: the sum of advantages over tokens, and the price.</p>
<pre>${escape(weightings!)}</pre>
`
  yield* files.writeFileString(path.join(folder, "index.html"), page)
})
