/**
 * Curves as SVG, readable on light and dark pages: of evaluations by task of the pack, and of a training run, before and
 * after beside the references and at each position while training.
 */
import * as Plot from "@observablehq/plot"
import { parseHTML } from "linkedom"
import type { Evaluation } from "../actors/evaluate.ts"

/** A line of `metrics.jsonl`, as far as it is drawn. */
export interface Measured {
  readonly update?: number
  /** Share of successes by position, null where nothing was measured. */
  readonly success?: ReadonlyArray<number | null>
}

/** A number that others have published. Theirs are rewards, ours are successes: whoever shows both says so. */
export interface Published {
  /** 0-based. */
  readonly position: number
  readonly reward: number
}

export interface Drawing {
  readonly before: Evaluation
  readonly after: Evaluation
  readonly references: ReadonlyArray<Evaluation>
  readonly metrics: ReadonlyArray<Measured>
  readonly published: Readonly<Record<"before" | "after", ReadonlyArray<Published>>>
}

interface Look {
  readonly color: string
  readonly width: number
  readonly dash?: string
}

const looks = {
  before: { color: "#8d949b", width: 2.5 },
  after: { color: "#0b62a4", width: 3.5 },
  references: [
    { color: "#b07d2b", width: 1.5, dash: "2 3" },
    { color: "#3f8f4f", width: 1.5, dash: "7 4" },
    { color: "#8a5aa8", width: 1.5, dash: "7 3 2 3" }
  ],
  curves: [
    { color: "#0b62a4", width: 3 },
    { color: "#c2571a", width: 2.5 },
    { color: "#3f8f4f", width: 2, dash: "7 4" },
    { color: "#8a5aa8", width: 2, dash: "2 3" },
    { color: "#8d949b", width: 2 },
    { color: "#b07d2b", width: 2, dash: "7 3 2 3" }
  ]
} satisfies Record<string, Look | ReadonlyArray<Look>>

const panel = { width: 470, height: 346, top: 76, marginLeft: 46, marginRight: 16, marginTop: 16, marginBottom: 44 }

export const chart = (drawing: Drawing): string => {
  const curves = drawing.metrics.filter(({ success }) => success !== undefined)
  return frame(`Success by task of the pack on ${drawing.after.environment}`, [
    byPosition(drawing),
    ...(curves.length < 2 ? [] : [whileTraining(curves)])
  ])
}

/** A curve by task of the pack. */
export interface Curve {
  readonly name: string
  readonly positions: Evaluation["positions"]
}

/** Success and reward of several curves side by side. */
export const curvesChart = (title: string, curves: ReadonlyArray<Curve>): string => {
  const series = curves.map(({ name, positions }, i) => ({ name, positions, look: looks.curves[i % 6]! }))
  return frame(
    title,
    (["success", "reward"] as const).map((measure) => {
      const ends = series.flatMap(({ positions }) =>
        positions.flatMap((position) => [position[measure].low ?? 0, position[measure].high ?? 0])
      )
      return {
        title: `${title}: ${measure}`,
        legend: series.map(({ look, name }) => ({ text: name, look })),
        plot: plot(
          places(curves[0]?.positions ?? []),
          series.flatMap((curve) => curveMarks(curve, measure)),
          [Math.min(0, ...ends), Math.max(1, ...ends)]
        )
      }
    })
  )
}

const frame = (title: string, panels: ReadonlyArray<Panel>): string => {
  const width = panels.length * panel.width
  const height = panel.top + panel.height
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#222">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    ...panels.map(({ legend, plot, title }, i) =>
      [
        `<g transform="translate(${i * panel.width},0)">`,
        `<text x="${panel.marginLeft}" y="22" font-size="15" font-weight="600">${escape(title)}</text>`,
        legendMarks(legend),
        `<g transform="translate(0,${panel.top})">`,
        plot,
        "</g>",
        "</g>"
      ].join("\n")
    ),
    "</svg>",
    ""
  ].join("\n")
}

interface Panel {
  readonly title: string
  readonly legend: ReadonlyArray<Entry>
  readonly plot: string
}

interface Entry {
  readonly text: string
  readonly look: Look
  /** A diamond instead of a line. */
  readonly point?: boolean
}

/** An interval, a line and a dot at each position. */
const curveMarks = (
  { look, positions }: Pick<Curve, "positions"> & { readonly look: Look },
  measure: "success" | "reward"
): ReadonlyArray<Plot.Markish> => {
  const rows = positions.map((position) => ({ place: ordinal(position.position), ...position[measure] }))
  const stroke = { stroke: look.color, strokeWidth: look.width, ...(look.dash && { strokeDasharray: look.dash }) }
  return [
    Plot.ruleX(rows, { x: "place", y1: "low", y2: "high", stroke: look.color, strokeWidth: 1.5 }),
    Plot.lineY(rows, { x: "place", y: "mean", ...stroke }),
    Plot.dot(rows, { x: "place", y: "mean", r: look.width, fill: look.color })
  ]
}

const places = (positions: Evaluation["positions"]): Plot.ScaleOptions => ({
  type: "point",
  domain: positions.map(({ position }) => ordinal(position)),
  label: "task of the pack"
})

const byPosition = ({ after, before, published, references }: Drawing): Panel => {
  const series: ReadonlyArray<Curve & { readonly look: Look }> = [
    ...references.map((reference, i) => ({ ...reference, name: reference.policy, look: looks.references[i % 3]! })),
    { ...before, name: "before", look: looks.before },
    { ...after, name: "after", look: looks.after }
  ]
  const points = [
    ...published.before.map((point) => ({ ...point, color: looks.before.color })),
    ...published.after.map((point) => ({ ...point, color: looks.after.color }))
  ]
  return {
    title: "Success by task of the pack, 95 % intervals",
    legend: [
      ...series.toReversed().map(({ look, name }) => ({ text: name, look })),
      ...(points.length === 0 ? [] : [{ text: "published (rewards)", look: looks.after, point: true }])
    ],
    plot: plot(places(after.positions), [
      ...series.flatMap((curve) => curveMarks(curve, "success")),
      Plot.dot(points, {
        x: ({ position }: Published) => ordinal(position),
        y: "reward",
        symbol: "diamond",
        r: 6,
        stroke: "color",
        strokeWidth: 2,
        fill: "white"
      })
    ])
  }
}

const whileTraining = (curves: ReadonlyArray<Measured>): Panel => {
  const positions = Math.max(...curves.map(({ success }) => success!.length))
  const rows = curves.flatMap(({ success, update }, i) =>
    success!.map((share, position) => ({ update: update ?? i, share, position }))
  )
  const shades = Array.from({ length: positions }, (_, position) => blue((position + 1) / positions))
  const color = ({ position }: { readonly position: number }) => shades[position]!
  // Single updates are noisy: drawn faintly, under their running mean.
  const window = Math.max(1, Math.round(curves.length / 12))
  return {
    title: "Success while training",
    legend: shades.map((color, position) => ({ text: ordinal(position), look: { color, width: 2.5 } })),
    plot: plot({ label: "policy update" }, [
      Plot.lineY(rows, { x: "update", y: "share", z: "position", stroke: color, strokeWidth: 1, strokeOpacity: 0.25 }),
      Plot.lineY(
        rows,
        Plot.windowY(
          { k: window, anchor: "middle" },
          { x: "update", y: "share", z: "position", stroke: color, strokeWidth: 2.5 }
        )
      )
    ])
  }
}

/** From a pale to a deep blue. */
const blue = (depth: number): string => `hsl(205, ${Math.round(45 + 45 * depth)}%, ${Math.round(78 - 48 * depth)}%)`

const plot = (
  x: Plot.ScaleOptions,
  marks: ReadonlyArray<Plot.Markish>,
  domain: readonly [number, number] = [0, 1]
): string => {
  const drawn = Plot.plot({
    ...panel,
    document: parseHTML("<html><body></body></html>").document,
    className: "plot",
    style: { fontSize: "12px" },
    x: { labelAnchor: "center", labelArrow: "none", ...x },
    y: { domain, percent: false, grid: true, tickFormat: ".1f", label: null },
    color: { type: "identity" },
    marks: [Plot.ruleY([0], { stroke: "#999" }), ...marks]
  })
  // Its style sheet is for web pages; fonts and colours are said by the drawing around it.
  drawn.querySelector("style")?.remove()
  return drawn.outerHTML
}

/** Swatches with their texts under the title, in as many rows as they need. */
const legendMarks = (entries: ReadonlyArray<Entry>): string => {
  const swatch = 22
  let x = panel.marginLeft
  let y = 44
  return entries
    .map(({ look, point, text }) => {
      const width = swatch + 8 + text.length * 6.6 + 14
      if (x + width > panel.width) {
        x = panel.marginLeft
        y += 20
      }
      const at = x
      x += width
      const mark = point
        ? `<path d="M${at + swatch / 2},${y - 10}l6,6l-6,6l-6,-6z" fill="white" stroke="${look.color}" stroke-width="2"/>`
        : `<line x1="${at}" x2="${at + swatch}" y1="${y - 4}" y2="${y - 4}" stroke="${look.color}" stroke-width="${look.width}"${look.dash === undefined ? "" : ` stroke-dasharray="${look.dash}"`}/>`
      return `${mark}<text x="${at + swatch + 6}" y="${y}">${escape(text)}</text>`
    })
    .join("\n")
}

/** Text as it may stand in XML and HTML. */
export const escape = (text: string): string => text.replaceAll(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`)

/** 0 is the 1st. */
export const ordinal = (position: number): string => {
  const place = position + 1
  const teen = place % 100 >= 11 && place % 100 <= 13
  return `${place}${teen ? "th" : (["th", "st", "nd", "rd"][place % 10] ?? "th")}`
}
