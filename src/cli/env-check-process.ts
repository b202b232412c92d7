/** In a process of its own: goes on with saved episodes of an environment. One JSON document in, one out. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { text } from "node:stream/consumers"
import { type Resumption, resume } from "../actors/conformance-states.ts"
import type { Setting } from "./config.ts"
import { applyDynamics } from "./dynamics.ts"
import { openEnvironment } from "./environments.ts"

const { name, resumptions, settings } = JSON.parse(await text(process.stdin)) as {
  readonly name: string
  readonly settings: ReadonlyArray<Setting>
  readonly resumptions: ReadonlyArray<Resumption>
}
const environment = await openEnvironment(name).pipe(
  Effect.flatMap((bare) => applyDynamics(bare, settings)),
  Effect.provide(NodeServices.layer),
  Effect.runPromise
)
process.stdout.write(JSON.stringify(resumptions.map((resumption) => resume(environment, resumption))))
