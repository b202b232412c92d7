/**
 * Learning curves of training runs against sampled tokens: success at each position, runs of the same settings together.
 *
 * Tokens are what a policy has sampled in rollouts, branches included; each run is averaged over equal stretches of them, a
 * line is the mean over runs (seeds), and its band reaches from the lowest to the highest. What the evaluations before and
 * after say is printed beside it.
 *
 *     npx node bench/counterfactual/draw.ts docs/counterfactual-curves.svg runs/published-* runs/counterfactual-*
 */
import * as Plot from "@observablehq/plot"
import { parseHTML } from "linkedom"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "yaml"
import type { Evaluation } from "../../src/actors/evaluate.ts"
import type { TrainingConfig } from "../../src/actors/training-config.ts"

const stretches = 24

interface Run {
  readonly arm: string
  readonly seed: number
  /** Tokens sampled so far and success by position, an entry for each policy update. */
  readonly updates: ReadonlyArray<{ readonly tokens: number; readonly success: ReadonlyArray<number> }>
  readonly evaluations: Readonly<Record<"before" | "after", Evaluation | undefined>>
}

const armOf = ({ credit, rollout }: TrainingConfig): string => {
  const { alternatives, horizon } = rollout.counterfactual
  const branches =
    alternatives === 1 ? "" : `, ${alternatives} siblings, ${horizon === 0 ? "to the end" : `${horizon} ahead`}`
  return `${credit.estimator} (${rollout.groupSize} runs${branches})`
}

const read = (folder: string): Run => {
  const config: TrainingConfig = parse(readFileSync(join(folder, "config.yaml"), "utf8"))
  let tokens = 0
  const updates = readFileSync(join(folder, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { readonly sampledTokens: number; readonly success: ReadonlyArray<number> })
    .map(({ sampledTokens, success }) => ({ tokens: (tokens += sampledTokens), success }))
  const evaluation = (name: string): Evaluation | undefined =>
    existsSync(join(folder, name)) ? JSON.parse(readFileSync(join(folder, name), "utf8"))[0] : undefined
  const evaluations = { before: evaluation("before.json"), after: evaluation("after.json") }
  return { arm: armOf(config), seed: config.seed, updates, evaluations }
}

const mean = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0) / numbers.length

const [out, ...folders] = process.argv.slice(2)
if (out === undefined || folders.length === 0 || !out.endsWith(".svg")) {
  console.error("draw: expected a file to write, *.svg, and run folders")
  process.exit(2)
}
const runs = folders.map(read)
const arms = [...Map.groupBy(runs, ({ arm }) => arm)]
// As far as every run has come: at equal numbers of tokens.
const most = Math.min(...runs.map(({ updates }) => updates.at(-1)!.tokens))
const packSize = runs[0]!.updates[0]!.success.length
const positions = Array.from({ length: packSize }, (_, position) => position)

const rows = arms.flatMap(([arm, members]) =>
  positions.flatMap((position) =>
    Array.from({ length: stretches }, (_, stretch) => {
      const [from, to] = [(most * stretch) / stretches, (most * (stretch + 1)) / stretches]
      const each = members.flatMap(({ updates }) => {
        const inside = updates.filter(({ tokens }) => tokens > from && tokens <= to)
        return inside.length === 0 ? [] : [mean(inside.map(({ success }) => success[position]!))]
      })
      const tokens = (from + to) / 2000
      return { arm, position, tokens, success: mean(each), low: Math.min(...each), high: Math.max(...each) }
    }).filter(({ success }) => Number.isFinite(success))
  )
)

const colors = ["#0b62a4", "#c2571a", "#3f8f4f", "#8a5aa8"]
const plot = Plot.plot({
  document: parseHTML("<html><body></body></html>").document,
  width: 60 + 250 * packSize,
  height: 320,
  marginLeft: 46,
  grid: true,
  x: { label: "thousand tokens sampled" },
  y: { label: "success", domain: [0, 1] },
  fx: { label: "task of the pack", tickFormat: (position: number) => `${position}` },
  color: { domain: arms.map(([arm]) => arm), range: colors },
  marks: [
    Plot.areaY(rows, { x: "tokens", y1: "low", y2: "high", fx: "position", fill: "arm", fillOpacity: 0.15 }),
    Plot.lineY(rows, { x: "tokens", y: "success", fx: "position", stroke: "arm", strokeWidth: 2 })
  ]
})
plot.setAttribute("xmlns", "http://www.w3.org/2000/svg")
const width = 60 + 250 * packSize
const legend = arms.map(
  ([arm, { length }], i) =>
    `<text x="${46 + 380 * i}" y="22" fill="${colors[i % colors.length]}" font-weight="600">${arm}, ${length} seeds</text>`
)
writeFileSync(
  out,
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="360" viewBox="0 0 ${width} 360" font-family="system-ui, sans-serif" font-size="12"><rect width="${width}" height="360" fill="white"/>${legend.join("")}<g transform="translate(0,36)">${plot.outerHTML}</g></svg>\n`
)

const shown = (values: ReadonlyArray<number>): string => values.map((value) => value.toFixed(3)).join("  ")
for (const [arm, members] of arms) {
  console.log(`${arm}: ${members.length} runs`)
  const own = rows.filter((row) => row.arm === arm)
  const over = (from: number) =>
    positions.map((position) =>
      mean(own.filter((row) => row.position === position && row.tokens * 1000 > from).map(({ success }) => success))
    )
  console.log(`  rollouts, all ${Math.round(most)} tokens:    ${shown(over(0))}`)
  console.log(`  rollouts, last quarter of them: ${shown(over(0.75 * most))}`)
  for (const when of ["before", "after"] as const) {
    for (const { evaluations, seed, updates } of members) {
      const evaluation = evaluations[when]
      if (evaluation === undefined) continue
      const tokens = when === "before" ? 0 : updates.at(-1)!.tokens
      const success = evaluation.positions.map((position) => position.success.mean ?? Number.NaN)
      console.log(`  evaluation ${when}, seed ${seed}, ${tokens} tokens: ${shown(success)}`)
    }
  }
}
