/** `constellate env check`: whether an environment keeps its promises, with every preset. */
import { Effect, Result, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { ChildProcess, ChildProcessSpawner } from "effect/process"
import { fileURLToPath } from "node:url"
import { type Check, checkEnvironment, type Elsewhere } from "../actors/conformance.ts"
import { type AgentName, agentNames } from "../actors/conformance-specimen.ts"
import type { Environment } from "../environment.ts"
import { openEnvironment } from "./environments.ts"
import { CheckFailed, UnknownName } from "./failure.ts"
import { answer, json, table } from "./output.ts"

const positive = Schema.Int.check(Schema.isGreaterThan(0))

export const check = Command.make(
  "check",
  {
    env: Argument.String("env").pipe(
      Argument.withDescription("ID[:PRESET], or the path of a folder or module; all presets unless one is named")
    ),
    packs: Flag.Int("packs").pipe(
      Flag.withSchema(positive),
      Flag.withDefault(16),
      Flag.withDescription("Packs that each scripted agent lives; default 16")
    ),
    packSize: Flag.Int("pack-size").pipe(
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThan(1))),
      Flag.withDefault(4),
      Flag.withDescription("Tasks of a pack, at least 2; default 4")
    ),
    seed: Flag.Int("seed").pipe(Flag.withDefault(1), Flag.withDescription("Of the packs; default 1")),
    json
  },
  Effect.fnUntraced(function* ({ env, json, ...at }) {
    const colon = env.lastIndexOf(":")
    const [name, wanted] = colon < 0 ? [env, undefined] : [env.slice(0, colon), env.slice(colon + 1)]
    const environment = yield* openEnvironment(name)
    const presets = Object.keys({ train: {}, ...environment.presets })
    if (wanted !== undefined && !presets.includes(wanted)) {
      return yield* new UnknownName({ kind: `preset of ${environment.id}`, name: wanted, valid: presets })
    }
    const definition = checkDefinition(environment)
    const byPreset: Array<readonly [string, ReadonlyArray<Check>]> = []
    if (definition.passed) {
      const elsewhere = inAnotherProcess(name, yield* ChildProcessSpawner.ChildProcessSpawner)
      for (const preset of wanted === undefined ? presets : [wanted]) {
        const options = decodePreset(environment, preset)
        if (Result.isSuccess(options)) {
          byPreset.push([preset, yield* checkEnvironment(environment, options.success, at, elsewhere)])
        }
      }
    }
    const checks = [definition, ...merge(byPreset)]
    const failed = checks.filter(({ passed }) => !passed)
    const document = { environment: environment.id, passed: failed.length === 0, checks }
    yield* answer(json, document, () => report(environment, checks))
    if (failed.length > 0) {
      return yield* new CheckFailed({
        reason: `${environment.id} fails ${failed.length} of ${checks.length} checks: ${failed.map(({ id }) => id).join(", ")}`
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

const decodePreset = (environment: Environment, preset: string) =>
  Result.try(() =>
    Schema.decodeSync(environment.options)(environment.presets[preset] ?? {}, { onExcessProperty: "error" })
  )

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
  const problems = [
    ...(/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id) ? [] : [`id is ${JSON.stringify(id)}, expected lower case with dashes`]),
    ...(typeof title === "string" && title !== "" ? [] : ["it has no title"]),
    ...functions.flatMap(([name, value]) => (typeof value === "function" ? [] : [`${name} is missing`])),
    ...Object.keys({ train: {}, ...presets }).flatMap((preset) => {
      const decoded = decodePreset(environment, preset)
      return Result.isSuccess(decoded)
        ? []
        : [`preset ${preset} is not an option: ${String(decoded.failure).split("\n").join(" ")}`]
    })
  ]
  return {
    id: "definition",
    passed: problems.length === 0,
    warning: false,
    message: problems[0] ?? `all parts are there, and presets ${Object.keys({ train: {}, ...presets }).join(", ")}`,
    evidence: problems.length === 0 ? null : problems
  }
}

/** One line a check: what is wrong with the first preset where something is. */
const merge = (byPreset: ReadonlyArray<readonly [string, ReadonlyArray<Check>]>): ReadonlyArray<Check> => {
  const [first] = byPreset
  if (first === undefined) return []
  return first[1].map(({ id }, i) => {
    const results = byPreset.map(([preset, checks]) => ({ preset, check: checks[i]! }))
    const worst =
      results.find(({ check }) => !check.passed) ?? results.find(({ check }) => check.warning) ?? results[0]!
    const { check, preset } = worst
    const named = byPreset.length > 1 && (!check.passed || check.warning) ? `preset ${preset}: ` : ""
    return {
      id,
      passed: check.passed,
      warning: check.warning,
      message: `${named}${check.message}`,
      evidence: Object.fromEntries(results.map(({ check, preset }) => [preset, check.evidence]))
    }
  })
}

const report = ({ id, title }: Environment, checks: ReadonlyArray<Check>): string =>
  [
    `${title} (${id})`,
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

const entry = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./env-check-process.ts" : "./env-check-process.js", import.meta.url)
)

const inAnotherProcess =
  (name: string, { string }: ChildProcessSpawner.ChildProcessSpawner["Service"]): Elsewhere =>
  (resumptions) =>
    string(
      ChildProcess.make(process.execPath, [entry], {
        stdin: Stream.make(new TextEncoder().encode(JSON.stringify({ name, resumptions })))
      })
    ).pipe(
      Effect.map((text) => JSON.parse(text) as ReadonlyArray<unknown>),
      Effect.timeout("60 seconds"),
      Effect.orDie
    )
