/**
 * Curves out of several suites in one picture, with a row of a Markdown table for each: how `docs/transfer.md` is made.
 *
 *     npx node bench/curves/suites.ts docs/transfer.svg frozen-lake-obscure:hard "A=results/a/suite.json" \
 *       "A, contexts taken away=results/a/suite.json#none"
 *
 * After `#` stands the context control, `own` where none is named.
 */
import { readFileSync, writeFileSync } from "node:fs"
import type { Evaluation } from "../../src/actors/evaluate.ts"
import { curvesChart } from "../../src/cli/chart.ts"
import type { Part } from "../../src/cli/suite-report.ts"
import type { Interval } from "../../src/kernels/statistics.ts"

const [out, part, ...specs] = process.argv.slice(2)
if (out === undefined || part === undefined || specs.length === 0 || !out.endsWith(".svg")) {
  console.error("suites: expected a file to write, *.svg, an environment with its preset, and NAME=FILE[#CONTEXT] ...")
  process.exit(2)
}

const read = (spec: string): { readonly name: string; readonly evaluation: Evaluation } => {
  const [name, source] = spec.split("=") as [string, string | undefined]
  const [file, context = "own"] = (source ?? "").split("#")
  const { parts } = JSON.parse(readFileSync(file!, "utf8")) as { readonly parts: ReadonlyArray<Part> }
  const evaluation = parts
    .find(({ environment, preset }) => `${environment}:${preset}` === part)
    ?.evaluations.find((evaluation) => evaluation.context === context)
  if (evaluation === undefined) throw new Error(`${file} has no ${part} with context ${context}`)
  return { name, evaluation }
}

const curves = specs.map(read)
writeFileSync(
  out,
  curvesChart(
    part,
    curves.map(({ evaluation: { positions }, name }) => ({ name, positions }))
  )
)

const share = (value: number | null): string => (value === null ? "–" : value.toFixed(2).replace(/^(-?)0\./, "$1."))
for (const { evaluation, name } of curves) {
  const { gain, mean, positions } = evaluation
  const over = ({ high, low, mean }: Interval) => `${share(mean)} (${share(low)} to ${share(high)})`
  const places = positions.map(({ success }) => share(success.mean)).join(" ")
  console.log(`| ${name} | ${places} | ${over(mean.success)} | ${over(gain.success)} |`)
}
