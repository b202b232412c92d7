/** What a suite, or any evaluation, ends with: a table for the terminal and a page with charts that needs nothing else. */
import type { Evaluation, Measures } from "../actors/evaluate.ts"
import type { Interval } from "../kernels/statistics.ts"
import { curvesChart, escape } from "./chart.ts"
import { table } from "./output.ts"
import { htmlPage, htmlTable } from "./report.ts"

/** An environment of an evaluation, under one control or several. */
export interface Part {
  readonly environment: string
  readonly preset: string
  /** Empty where the policy cannot be asked. */
  readonly evaluations: ReadonlyArray<Evaluation>
  /** Why the policy cannot be asked: there are no numbers then. */
  readonly notApplicable?: string
  /** What ended the first lifecycle that was lost to an error or a timeout. */
  readonly firstFault?: string
}

export interface Reported {
  readonly title: string
  readonly policy: string
  /** What was measured and how, a line each. */
  readonly notes: ReadonlyArray<string>
  readonly command: string
  readonly parts: ReadonlyArray<Part>
}

/** A report is a page by itself, or what a folder holds. */
export const isPage = (out: string): boolean => out.endsWith(".html")

const share = (value: number | null): string => (value === null ? "-" : value.toFixed(3))

const interval = ({ high, low, mean }: Interval): string =>
  mean === null ? "-" : `${share(mean)} (${share(low)} to ${share(high)})`

const nameOf = ({ environment, preset }: Part): string => `${environment}:${preset}`

const heads = ["context", "first", "last", "gain", "mean", "malformed", "lost"]

/** A line for each control: rewards, and what went wrong. */
const rowsOf = ({ evaluations }: Part): ReadonlyArray<ReadonlyArray<string>> =>
  evaluations.map(({ context, gain, mean, positions }) => {
    const sum = (count: (position: Evaluation["positions"][number]) => number) =>
      positions.reduce((total, position) => total + count(position), 0)
    const episodes = sum((position) => position.episodes)
    return [
      context,
      interval(positions[0]!.reward),
      interval(positions.at(-1)!.reward),
      interval(gain.reward),
      interval(mean.reward),
      episodes === 0 ? "-" : share(sum(({ outcomes }) => outcomes.malformed) / episodes),
      `${sum(({ outcomes }) => outcomes.timeout + outcomes.error)}`
    ]
  })

const faultNote = ({ firstFault }: Part): ReadonlyArray<string> =>
  firstFault === undefined ? [] : [`lifecycles were lost; the first: ${firstFault}`]

/** Rewards by control: of the first and the last task of a pack, what the last has over the first, and over all. */
export const reportText = ({ notes, parts, policy, title }: Reported): string =>
  [
    `${policy}: ${title}`,
    ...parts.map((part) =>
      part.notApplicable === undefined
        ? [nameOf(part), table(heads, rowsOf(part)), ...faultNote(part)].join("\n")
        : `${nameOf(part)}\nnot applicable: ${part.notApplicable}`
    ),
    notes.join("\n")
  ].join("\n\n")

const positionRows = (evaluations: ReadonlyArray<Evaluation>, measure: keyof Measures) =>
  evaluations.map((evaluation) => [
    `${measure}, ${evaluation.context}`,
    ...evaluation.positions.map((position) => interval(position[measure]))
  ])

const section = (part: Part): string => {
  const title = `<h2>${escape(nameOf(part))}</h2>`
  if (part.notApplicable !== undefined) return `${title}\n<p>Not applicable: ${escape(part.notApplicable)}</p>`
  const { evaluations } = part
  const [first] = evaluations
  return [
    title,
    curvesChart(
      nameOf(part),
      evaluations.map(({ context, positions }) => ({ name: context, positions }))
    ),
    `<p>Rewards, with 95 % intervals over packs:</p>`,
    htmlTable(heads, rowsOf(part)),
    ...faultNote(part).map((note) => `<p>${escape(note)}</p>`),
    "<details><summary>By task of the pack</summary>",
    htmlTable(
      ["", ...first!.positions.map(({ position }) => `${position}`)],
      (["success", "reward"] as const).flatMap((measure) => positionRows(evaluations, measure))
    ),
    "</details>",
    ...evaluations.flatMap(({ context, updates: { episodes, meanCharacters, parsed } }) =>
      context !== "own" || episodes === 0
        ? []
        : [
            `<p>Contexts: ${parsed} of ${episodes} update episodes could be read${meanCharacters === null ? "" : `, ${meanCharacters.toFixed(0)} characters on average`}.</p>`
          ]
    )
  ].join("\n")
}

export const evaluationPage = ({ command, notes, parts, policy, title }: Reported): string =>
  htmlPage(
    `${policy}: ${title}`,
    [
      `<h1>${escape(policy)}: ${escape(title)}</h1>`,
      `<p>${notes.map(escape).join("<br>")}</p>`,
      ...parts.map(section),
      "<h2>To make it again</h2>",
      `<pre>${escape(command)}</pre>`
    ].join("\n")
  )
