/** In a process of its own: goes on with saved episodes of an environment. One JSON document in, one out. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect } from "effect"
import { text } from "node:stream/consumers"
import { type Resumption, resume } from "../actors/conformance-states.ts"
import { openEnvironment } from "./environments.ts"

const { name, resumptions } = JSON.parse(await text(process.stdin)) as {
  readonly name: string
  readonly resumptions: ReadonlyArray<Resumption>
}
const environment = await Effect.runPromise(Effect.provide(openEnvironment(name), NodeServices.layer))
process.stdout.write(JSON.stringify(resumptions.map((resumption) => resume(environment, resumption))))
