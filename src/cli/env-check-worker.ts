/**
 * A thread that checks an environment. It may hang in a call that never returns; whoever started it sees in shared memory
 * which call that is, and ends it.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Exit, Cause, Result, Schema, Stream } from "effect"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { fileURLToPath } from "node:url"
import { parentPort, workerData } from "node:worker_threads"
import { type Check, checkEnvironment, type Elsewhere } from "../actors/conformance.ts"
import { type AgentName, agentNames, type Sampling } from "../actors/conformance-specimen.ts"
import { watched } from "../actors/conformance-watch.ts"
import type { Environment } from "../environment.ts"
import { fromObject, resolveConfig, type Setting } from "./config.ts"
import { applyDynamics, isDynamics } from "./dynamics.ts"
import { openEnvironment } from "./environments.ts"
import { UnknownName, WrongInput } from "./failure.ts"

/** What is to be checked: plain data. */
export interface CheckJob {
  readonly name: string
  /** Undefined for all. */
  readonly preset: string | undefined
  readonly settings: ReadonlyArray<Setting>
  readonly at: Sampling
  /** Two integers: the number of the call that has not returned, 0 for none, and how many calls there have been. */
  readonly calls: SharedArrayBuffer
}

export type CheckMessage =
  /** The number of a call. */
  | { readonly type: "call"; readonly number: number; readonly name: string }
  | {
      readonly type: "opened"
      readonly id: string
      readonly title: string
      readonly presets: ReadonlyArray<string>
      readonly definition: Check
    }
  | { readonly type: "begins"; readonly preset: string; readonly id: string }
  | { readonly type: "ends"; readonly preset: string; readonly check: Check }
  | { readonly type: "done" }
  | { readonly type: "refused"; readonly tag: "WrongInput" | "UnknownName"; readonly fields: object }
  | { readonly type: "failed"; readonly reason: string }

const job = workerData as CheckJob
const post = (message: CheckMessage): void => parentPort!.postMessage(message)

const calls = new Int32Array(job.calls)
const numbers = new Map<string, number>()
const mark = (name: string | undefined): void => {
  let number = name === undefined ? 0 : numbers.get(name)
  if (number === undefined) {
    number = numbers.size + 1
    numbers.set(name!, number)
    post({ type: "call", number, name: name! })
  }
  calls[0] = number
  calls[1]!++
}

const checked = Effect.gen(function* () {
  const { at, name, settings } = job
  mark("the module itself")
  const bare = yield* openEnvironment(name)
  mark(undefined)
  const environment = yield* applyDynamics(watched(bare, mark), settings)
  const presets = Object.keys({ train: {}, ...bare.presets })
  if (job.preset !== undefined && !presets.includes(job.preset)) {
    return yield* new UnknownName({ kind: `preset of ${bare.id}`, name: job.preset, valid: presets })
  }
  const definition = checkDefinition(bare)
  post({ type: "opened", id: bare.id, title: bare.title, presets, definition })
  if (!definition.passed) return
  const { string } = yield* ChildProcessSpawner.ChildProcessSpawner
  const elsewhere = inAnotherProcess(string)
  for (const preset of job.preset === undefined ? presets : [job.preset]) {
    const own = settings.filter((setting) => !isDynamics(setting))
    const layers = [fromObject({ environment: bare.presets[preset] ?? {} }), own]
    const schema = Schema.Struct({
      environment: bare.options.pipe(Schema.withDecodingDefaultKey(Effect.succeed({})))
    })
    const { environment: options } = yield* resolveConfig(schema, ...layers)
    yield* checkEnvironment(environment, options, at, elsewhere, {
      begins: (id) => post({ type: "begins", preset, id }),
      ends: (check) => post({ type: "ends", preset, check })
    })
  }
})

/** The parts of an environment that types would ask for, where nobody asked the types. */
const checkDefinition = (environment: Environment): Check => {
  const { agents, chat, demonstrate, feedback, id, knowledge, presets, task, terse, title } = environment
  const functions: ReadonlyArray<readonly [string, unknown]> = [
    ["knowledge.sample", knowledge?.sample],
    ["knowledge.describe", knowledge?.describe],
    ["task.sample", task?.sample],
    ["chat.system", chat?.system],
    ["chat.user", chat?.user],
    ["chat.parse", chat?.parse],
    ["feedback.step", feedback?.step],
    ["feedback.end", feedback?.end],
    ...agentNames.map((name: AgentName) => [`agents.${name}`, agents?.[name]] as const),
    ...(terse === undefined
      ? []
      : [
          ["terse.system", terse.system] as const,
          ["terse.user", terse.user] as const,
          ["terse.parse", terse.parse] as const
        ]),
    ...(demonstrate === undefined
      ? []
      : [["demonstrate.context", demonstrate.context] as const, ["demonstrate.reply", demonstrate.reply] as const])
  ]
  const names = Object.keys({ train: {}, ...presets })
  const problems = [
    ...(/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id) ? [] : [`id is ${JSON.stringify(id)}, expected lower case with dashes`]),
    ...(typeof title === "string" && title !== "" ? [] : ["it has no title"]),
    ...functions.flatMap(([name, value]) => (typeof value === "function" ? [] : [`${name} is missing`])),
    ...names.flatMap((preset) => {
      const decoded = Result.try(() =>
        Schema.decodeSync(environment.options)(presets[preset] ?? {}, { onExcessProperty: "error" })
      )
      return Result.isSuccess(decoded)
        ? []
        : [`preset ${preset} is not an option: ${String(decoded.failure).split("\n").join(" ")}`]
    })
  ]
  return {
    id: "definition",
    passed: problems.length === 0,
    warning: false,
    message: problems[0] ?? `all parts are there, and presets ${names.join(", ")}`,
    evidence: problems.length === 0 ? null : problems
  }
}

const entry = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./env-check-process.ts" : "./env-check-process.js", import.meta.url)
)

const inAnotherProcess =
  (string: ChildProcessSpawner.ChildProcessSpawner["Service"]["string"]): Elsewhere =>
  (resumptions) => {
    const given = JSON.stringify({ name: job.name, settings: job.settings, resumptions })
    const stdin = Stream.make(new TextEncoder().encode(given))
    return string(ChildProcess.make(process.execPath, [entry], { stdin })).pipe(
      Effect.map((text) => JSON.parse(text) as ReadonlyArray<unknown>),
      Effect.timeout("60 seconds"),
      Effect.orDie
    )
  }

const exit = await Effect.runPromiseExit(Effect.provide(checked, NodeServices.layer))
if (Exit.isSuccess(exit)) post({ type: "done" })
else {
  const error = Cause.squash(exit.cause)
  if (error instanceof WrongInput || error instanceof UnknownName) {
    const { _tag: tag, ...fields } = JSON.parse(JSON.stringify(error)) as WrongInput | UnknownName
    post({ type: "refused", tag, fields })
  } else post({ type: "failed", reason: Cause.pretty(exit.cause) })
}
