/** `constellate env check`: whether an environment keeps its promises, with every preset. */
import { Clock, Deferred, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Worker } from "node:worker_threads"
import type { Check } from "../actors/conformance.ts"
import type { CheckJob, CheckMessage } from "./env-check-worker.ts"
import { environmentOptions, environmentSettings } from "./environments.ts"
import { CheckFailed, UnknownName, WrongInput } from "./failure.ts"
import { answer, json, table } from "./output.ts"
import { progress } from "./progress.ts"

const positive = Schema.Int.check(Schema.isGreaterThan(0))

export const check = Command.make(
  "check",
  {
    env: Argument.String("env").pipe(
      Argument.withDescription("ID[:PRESET], or the path of a folder or module; all presets unless one is named")
    ),
    packs: Flag.Int("packs").pipe(
      Flag.withSchema(positive),
      Flag.withDescription("Packs that each scripted agent lives; default 16, at least 4 where they take long"),
      Flag.optional
    ),
    packSize: Flag.Int("pack-size").pipe(
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThan(1))),
      Flag.withDefault(4),
      Flag.withDescription("Tasks of a pack, at least 2; default 4")
    ),
    seed: Flag.Int("seed").pipe(Flag.withDefault(1), Flag.withDescription("Of the packs; default 1")),
    callSeconds: Flag.Finite("call-seconds").pipe(
      Flag.withSchema(Schema.Finite.check(Schema.isGreaterThan(0))),
      Flag.withDefault(30),
      Flag.withDescription("Longest that one call of the environment may take; default 30, as in simulations")
    ),
    ...environmentOptions,
    json
  },
  Effect.fnUntraced(function* ({ callSeconds, config, env, json, packs, packSize, seed, set }) {
    const settings = yield* environmentSettings({ config, set })
    const colon = env.lastIndexOf(":")
    const [name, preset] = colon < 0 ? [env, undefined] : [env.slice(0, colon), env.slice(colon + 1)]
    const calls = new SharedArrayBuffer(8)
    const found = yield* Effect.scoped(
      checkInThread(
        { name, preset, settings, at: { packs: Option.getOrUndefined(packs), packSize, seed }, calls },
        callSeconds
      )
    )
    const checks = [found.definition, ...merge(found.byPreset), ...found.endsInTime]
    const failed = checks.filter(({ passed }) => !passed)
    const document = { environment: found.id, passed: failed.length === 0, checks }
    yield* answer(json, document, () => report(`${found.title} (${found.id})`, checks))
    if (failed.length > 0) {
      return yield* new CheckFailed({
        reason: `${found.id} fails ${failed.length} of ${checks.length} checks: ${failed.map(({ id }) => id).join(", ")}`
      })
    }
  })
).pipe(
  Command.withDescription("Check that an environment keeps its promises, with every preset, and say what it costs"),
  Command.withExamples([
    { command: "constellate env check frozen-lake-obscure", description: "A line for each check" },
    { command: "constellate env check ./environments/my-lake --json", description: "One document, with evidence" }
  ])
)

const entry = new URL(
  import.meta.url.endsWith(".ts") ? "./env-check-worker.ts" : "./env-check-worker.js",
  import.meta.url
)

/** What is known of an environment so far. */
interface Findings {
  id: string
  title: string
  definition: Check
  readonly byPreset: Map<string, Array<Check>>
  endsInTime: ReadonlyArray<Check>
}

/** Runs the checks in a thread of their own, and ends it when a call of the environment does not return. */
const checkInThread = Effect.fnUntraced(function* (job: CheckJob, callSeconds: number) {
  const { report } = yield* progress()
  const ended = yield* Deferred.make<void, WrongInput | UnknownName>()
  const names = new Map<number, string>()
  const where = { preset: "", id: "" }
  const missing: Check = { id: "definition", passed: false, warning: false, message: "never seen", evidence: null }
  const found: Findings = { id: job.name, title: job.name, definition: missing, byPreset: new Map(), endsInTime: [] }
  let presets = 1
  const done = () => [...found.byPreset.values()].reduce((sum, checks) => sum + checks.length, 0)
  const worker = yield* Effect.acquireRelease(
    Effect.sync(() => new Worker(entry, { workerData: job })),
    (worker) => Effect.promise(() => worker.terminate())
  )
  worker.on("error", (error) => Deferred.doneUnsafe(ended, Effect.die(error)))
  worker.on("exit", () => Deferred.doneUnsafe(ended, Effect.die(new Error("the thread of the checks has ended"))))
  worker.on("message", (message: CheckMessage) => {
    switch (message.type) {
      case "call":
        return void names.set(message.number, message.name)
      case "opened": {
        const { definition, id, title } = message
        presets = job.preset === undefined ? message.presets.length : 1
        return void Object.assign(found, { definition, id, title })
      }
      case "begins": {
        if (!found.byPreset.has(message.preset)) found.byPreset.set(message.preset, [])
        return void Object.assign(where, message)
      }
      case "ends":
        return void found.byPreset.get(message.preset)!.push(message.check)
      case "done":
        return void Deferred.doneUnsafe(ended, Effect.void)
      case "refused": {
        const Refusal = message.tag === "WrongInput" ? WrongInput : UnknownName
        return void Deferred.doneUnsafe(ended, Effect.fail(new Refusal(message.fields as never)))
      }
      case "failed":
        return void Deferred.doneUnsafe(ended, Effect.die(new Error(message.reason)))
    }
  })

  const calls = new Int32Array(job.calls)
  const watch = Effect.gen(function* () {
    const seen = { call: -1, since: 0 }
    const started = yield* Clock.currentTimeMillis
    for (;;) {
      yield* Effect.sleep("50 millis")
      const now = yield* Clock.currentTimeMillis
      if (now - started > 2000 && where.id !== "") {
        const details = [`${where.id}${presets > 1 ? ` (${where.preset})` : ""}`]
        yield* report({ stage: "checks", done: done(), total: presets * checksOfPreset, unit: "check", details })
      }
      const [call, count] = [calls[0]!, calls[1]!]
      if (call === 0 || count !== seen.call) Object.assign(seen, { call: count, since: now })
      else if (now - seen.since > 1000 * callSeconds) return names.get(call) ?? "a call"
    }
  })
  const hung = yield* Effect.raceFirst(Effect.as(Deferred.await(ended), undefined), watch)
  const during = where.id === "" ? "" : ` during ${where.id}, preset ${where.preset}`
  found.endsInTime = [
    {
      id: "ends-in-time",
      passed: hung === undefined,
      warning: false,
      message:
        hung === undefined
          ? `every call returned within ${callSeconds} s`
          : `${hung} did not return within ${callSeconds} s${during}; the checks after it were not made`,
      evidence: hung === undefined ? null : { call: hung, ...where, checks: done() }
    }
  ]
  if (hung !== undefined && found.definition === missing)
    found.definition = { ...missing, message: "its module does not load" }
  return found
})

/** How many checks there are for each preset: for the progress only. */
const checksOfPreset = 21

/** One line a check: what is wrong with the first preset where something is. */
const merge = (byPreset: ReadonlyMap<string, ReadonlyArray<Check>>): ReadonlyArray<Check> => {
  const [first = []] = byPreset.values()
  return first.map(({ id }) => {
    const results = [...byPreset].flatMap(([preset, checks]) =>
      checks.filter((check) => check.id === id).map((check) => ({ preset, check }))
    )
    const worst =
      results.find(({ check }) => !check.passed) ?? results.find(({ check }) => check.warning) ?? results[0]!
    const { check, preset } = worst
    const named = byPreset.size > 1 && (!check.passed || check.warning) ? `preset ${preset}: ` : ""
    return {
      id,
      passed: check.passed,
      warning: check.warning,
      message: `${named}${check.message}`,
      evidence: Object.fromEntries(results.map(({ check, preset }) => [preset, check.evidence]))
    }
  })
}

const report = (title: string, checks: ReadonlyArray<Check>): string =>
  [
    title,
    "",
    table(
      ["check", "", "what was found"],
      checks.map(({ id, message, passed, warning }) => [
        id,
        passed ? (warning ? "look" : "ok") : "FAILED",
        message.replaceAll("\n", "\\n").slice(0, 300)
      ])
    )
  ].join("\n")
