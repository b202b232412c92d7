/** What a training run ends with: a table for the terminal and a page to keep, `report.html`, that needs nothing else. */
import type { Evaluation } from "../actors/evaluate.ts"
import { chart, escape, type Measured, ordinal, type Published } from "./chart.ts"
import { table } from "./output.ts"

/** CoD, arXiv 2606.20002, introduction and section 3.3: training rewards of Qwen3-8B in packs of 4. */
const published: Readonly<Record<string, Readonly<Record<"before" | "after", ReadonlyArray<Published>>>>> = {
  "frozen-lake-obscure": {
    before: [
      { position: 0, reward: 0.18 },
      { position: 3, reward: 0.28 }
    ],
    after: [
      { position: 0, reward: 0.45 },
      { position: 3, reward: 0.76 }
    ]
  }
}

/** The published end points for the environment of an evaluation, as far as its packs reach. */
export const publishedFor = ({
  environment,
  packSize
}: Evaluation): Record<"before" | "after", ReadonlyArray<Published>> => {
  const within = (points: ReadonlyArray<Published> = []) => points.filter(({ position }) => position < packSize)
  const points = published[environment]
  return { before: within(points?.before), after: within(points?.after) }
}

/** What is reported of a run. All evaluations are of the same packs. */
export interface Run {
  /** The run folder, as it was printed. */
  readonly path: string
  /** The command that made it. */
  readonly command: string
  /** The resolved configuration as YAML. */
  readonly config: string
  readonly before: Evaluation
  readonly after: Evaluation
  /** Scripted agents, for comparison. */
  readonly references: ReadonlyArray<Evaluation>
  /** The lines of `metrics.jsonl`. */
  readonly metrics: ReadonlyArray<Measured>
}

/** Success by position before and after training, beside the references, with 95 % intervals. */
export const successTable = (before: Evaluation, after: Evaluation, references: ReadonlyArray<Evaluation>): string => {
  const { heads, notes, rows } = successRows(before, after, references)
  return [table(heads, rows), "", ...notes].join("\n")
}

const successRows = (before: Evaluation, after: Evaluation, references: ReadonlyArray<Evaluation>) => {
  const row = (name: string, evaluation: Evaluation) => [
    name,
    ...evaluation.positions.map(({ success: { high, low, mean } }) =>
      mean === null ? "-" : `${share(mean)} ${share(low)}-${share(high)}`
    )
  ]
  const points = publishedFor(after)
  const publishedRow = (when: "before" | "after") => [
    `published, ${when}`,
    ...after.positions.map(({ position }) =>
      share(points[when].find((point) => point.position === position)?.reward ?? null)
    )
  ]
  const hasPublished = points.after.length > 0
  return {
    heads: ["success", ...after.positions.map(({ position }) => ordinal(position))],
    rows: [
      row("before", before),
      row("after", after),
      ...references.map((reference) => row(reference.policy, reference)),
      ...(hasPublished ? [publishedRow("before"), publishedRow("after")] : [])
    ],
    notes: [
      `${after.packs} packs of ${after.packSize} of ${after.environment} that training never saw; 95 % intervals over packs.`,
      ...(hasPublished
        ? ["Published (CoD, arXiv 2606.20002): rewards of another model; a success there counts .90 to .99."]
        : [])
    ]
  }
}

const share = (value: number | null): string => (value === null ? "" : value.toFixed(2).replace(/^0\./, "."))

/** The picture of a run, as SVG: success by position, and how it came about. */
export const curve = ({ after, before, metrics, references }: Run): string =>
  chart({ before, after, references, metrics, published: publishedFor(after) })

/** The page of a run: picture, table, configuration and the commands that make it again. */
export const reportPage = (run: Run): string => {
  const { heads, notes, rows } = successRows(run.before, run.after, run.references)
  const evaluate = `constellate eval ${run.path} --env ${run.after.environment} --packs ${run.after.packs} --pack-size ${run.after.packSize} --seed ${run.after.seed}`
  return htmlPage(
    run.path,
    `<h1>${escape(run.after.environment)}: ${escape(run.path)}</h1>
${curve(run)}
<h2>Success by task of the pack</h2>
${htmlTable(heads, rows)}
<p>${notes.map(escape).join("<br>")}</p>
<h2>To make it again</h2>
<pre>${escape(run.command)}
${escape(evaluate)}</pre>
<h2>Configuration</h2>
<pre>${escape(run.config.trimEnd())}</pre>`
  )
}

/** A page that needs nothing else. */
export const htmlPage = (title: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(title)}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.2rem 1.2rem 0.2rem 0; border-bottom: 1px solid #ddd; }
pre { background: #f6f6f6; padding: 0.8rem 1rem; overflow-x: auto; }
</style>
</head>
<body>
${body}
</body>
</html>
`

export const htmlTable = (heads: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const cells = (tag: "td" | "th", row: ReadonlyArray<string>) =>
    `<tr>${row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join("")}</tr>`
  return ["<table>", cells("th", heads), ...rows.map((row) => cells("td", row)), "</table>"].join("\n")
}
