/**
 * How long the two heavy steps of PDE Discovery take at the published grid of 257 x 2001: sampling, which simulates up to
 * the last time asked for, and a regression on the data of a whole pack of eight with supports of up to three terms.
 *
 *     npx node bench/regression.ts
 */
import { Schema } from "effect"
import { written } from "../environments/pde-discovery/actions.ts"
import pde from "../environments/pde-discovery/index.ts"
import { stream } from "../src/kernels/random.ts"
import { transitions } from "../src/machines/transition.ts"

const wantedMillis = 20
const packSize = 8

const { initial, transition } = transitions(pde.machine)
const options: unknown = Schema.decodeSync(pde.options)(pde.presets["hard"])
const knowledge = pde.knowledge.sample(stream("bench"), { options, packSize })
const start = { options, knowledge, packSize }

/** The snapshot after an action, and how long its reading, its work and its rendering took. */
const step = (snapshot: any, reply: string): { readonly snapshot: any; readonly millis: number } => {
  const started = performance.now()
  const action = (pde.chat.parse(reply) as { readonly action: unknown }).action
  const [next] = transition(snapshot, { type: "answer", action, rng: stream("noise") } as never)
  pde.chat.user(next)
  return { snapshot: next, millis: performance.now() - started }
}

const begin = (position: number, memory: unknown): any =>
  initial({ ...start, memory, position, task: { trajectory: position } } as never)[0]

const early = written({ name: "sample_pde_data", point_grid: "0.5,0; 0.4,0; 0.3,0; 0.2,0.01; 0.6,0.01; 0.7,0.02" })
const late = written({ name: "sample_pde_data", point_grid: "0.5,1; 0.4,0.9; 0.3,0.5; 0.2,0.1; 0.6,0.3; 0.7,0.7" })
const regress = written({ name: "run_sparse_regression" })

let world = begin(0, undefined)
for (let position = 0; position < packSize; position++) {
  world = step(begin(position, world.context.notebook), early).snapshot
}
const [regressed, sampledEarly, sampledLate] = [
  () => step(world, regress),
  () => step(begin(0, undefined), early),
  () => step(begin(0, undefined), late)
].map((run) => Array.from({ length: 20 }, () => run().millis).toSorted((a, b) => a - b)[5]!) as [number, number, number]

console.log(
  `pde-discovery: regression on ${6 * packSize} points ${regressed.toFixed(1)} ms, ${(wantedMillis / regressed).toFixed(2)} of what is wanted;`,
  `sampling until t = 0.02 ${sampledEarly.toFixed(1)} ms, until t = 1 ${sampledLate.toFixed(1)} ms`
)
