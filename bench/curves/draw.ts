/**
 * The curves of the scripted agents in every environment, 500 packs of 8: pictures and numbers for `docs/curves.md`.
 *
 * What the page's folder holds already is not measured again, so this can be interrupted, and a part be made anew by
 * deleting its file. The page's table is written anew each time.
 *
 *     npx node bench/curves/draw.ts                      # all of them
 *     npx node bench/curves/draw.ts terminal alchemy     # some of them, by the beginnings of their names
 */
import { Effect, Schema } from "effect"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { evaluate, type Evaluation } from "../../src/actors/evaluate.ts"
import { curvesChart } from "../../src/cli/chart.ts"
import type { Agents, Environment } from "../../src/environment.ts"
import type { Interval } from "../../src/kernels/statistics.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { layerScripted } from "../../src/policies/scripted.ts"

const root = join(import.meta.dirname, "../..")
const folder = join(root, "docs/curves")
const agents: ReadonlyArray<keyof Agents<unknown>> = ["careful", "amnesiac", "random", "oracle"]
const [packs, packSize] = [500, 8]

/** Environments whose own memory makes a slope by itself are shown with and without it. */
const drawings: ReadonlyArray<{ readonly name: string; readonly id: string; readonly options: object }> = [
  ...["frozen-lake", "frozen-lake-obscure", "alchemy", "terminal", "learn2ask"].map((id) => ({
    name: id,
    id,
    options: {}
  })),
  ...["optimal-control", "grid-navigation", "pde-discovery"].flatMap((id) => [
    { name: id, id, options: {} },
    { name: `${id}-memory-off`, id, options: { memory: "off" } }
  ])
]

type Curve = Pick<Evaluation, "policy" | "positions" | "mean" | "gain">

const rounded = ({ high, low, mean }: Interval): Interval => {
  const short = (value: number | null) => (value === null ? null : Math.round(1e4 * value) / 1e4)
  return { mean: short(mean), low: short(low), high: short(high) }
}
const measures = ({ reward, success }: { readonly success: Interval; readonly reward: Interval }) => ({
  success: rounded(success),
  reward: rounded(reward)
})

const measure = async (environment: Environment, options: object, agent: keyof Agents<unknown>): Promise<Curve> => {
  const taskSet = {
    id: 0,
    environment,
    options: Schema.decodeSync(environment.options)({ ...environment.presets["train"], ...options })
  }
  const { gain, mean, policy, positions } = await Effect.runPromise(
    evaluate(taskSet, {
      packs,
      packSize,
      strategy: "cod",
      context: "own",
      seed: 1,
      seeds: 1,
      settings: defaultSettings,
      concurrency: 64
    }).pipe(Effect.provide(layerScripted(environment, agent)))
  )
  return {
    policy,
    positions: positions.map((position) => ({ ...position, ...measures(position) })),
    mean: measures(mean),
    gain: measures(gain)
  }
}

/** A row a curve: first, last, and what the last has over the first. */
const row = (name: string, { gain, policy, positions }: Curve): string => {
  const share = (value: number | null) => value!.toFixed(3)
  const over = ({ high, low, mean }: Interval) => `${share(mean)} (${share(low)} to ${share(high)})`
  const ends = (measure: "success" | "reward") =>
    `${share(positions[0]![measure].mean)}, ${share(positions.at(-1)![measure].mean)}`
  const agent = policy.slice("scripted:".length)
  return `| ${name} | ${agent} | ${ends("success")} | ${over(gain.success)} | ${ends("reward")} | ${over(gain.reward)} |`
}

const named = process.argv.slice(2)
const rows: Array<string> = []
mkdirSync(folder, { recursive: true })
for (const { id, name, options } of drawings) {
  const file = join(folder, `${name}.json`)
  const { default: environment } = (await import(`../../environments/${id}/index.ts`)) as { default: Environment }
  const curves: Array<Curve> = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).curves : []
  const wanted = named.length === 0 || named.some((start) => name.startsWith(start))
  for (const agent of wanted ? agents : []) {
    if (curves.some(({ policy }) => policy === `scripted:${agent}`)) continue
    const started = Date.now()
    curves.push(await measure(environment, options, agent))
    console.error(`${name}, ${agent}: ${((Date.now() - started) / 1000).toFixed(1)} s`)
    writeFileSync(file, `${JSON.stringify({ environment: id, options, packs, packSize, seed: 1, curves })}\n`)
  }
  if (curves.length === 0) continue
  rows.push(...curves.map((curve) => row(name.replace("-memory-off", ", memory off"), curve)))
  const title = name.endsWith("-memory-off") ? `${id}, memory off` : id
  writeFileSync(
    join(folder, `${name}.svg`),
    curvesChart(
      title,
      curves.map(({ policy, positions }) => ({ name: policy.slice("scripted:".length), positions }))
    )
  )
}

const page = join(root, "docs/curves.md")
const table = [
  "| | agent | success: first, last | gain | reward: first, last | gain |",
  "| --- | --- | --- | --- | --- | --- |",
  ...rows
].join("\n")
writeFileSync(
  page,
  readFileSync(page, "utf8").replace(
    /<!-- numbers -->[\s\S]*<!-- end -->/,
    `<!-- numbers -->\n\n${table}\n\n<!-- end -->`
  )
)
