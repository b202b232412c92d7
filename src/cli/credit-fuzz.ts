/** `constellate credit fuzz`: looks for a group of lifecycles that an estimator gets wrong. */
import { Clock, Duration, Effect, FileSystem, Option, Path } from "effect"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { lawNames, refusal } from "../kernels/credit/fuzz/fuzz.ts"
import { readCases } from "./credit-case.ts"
import { describe, saved } from "./credit-finding.ts"
import { search } from "./credit-search.ts"
import { CheckFailed, UnknownName, WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"
import { count, duration, statusLine } from "./progress.ts"

const defaultCases = 20_000
const defaultFolder = "credit-findings"

const flags = {
  estimator: Flag.File("estimator").pipe(
    Flag.withDescription("ES module whose default export is the estimator; ours when absent"),
    Flag.optional
  ),
  as: Flag.Literals("as", ["causal", "grpo"]).pipe(
    Flag.withDescription("The specified estimator that it claims to be: holds it against the reference too"),
    Flag.optional
  ),
  law: Flag.String("law").pipe(Flag.withDescription("Check this law only (repeatable)"), Flag.atLeast(0)),
  cases: Flag.Int("cases").pipe(
    Flag.withDescription(`Groups of lifecycles to generate (default ${defaultCases}, without end under --time)`),
    Flag.optional
  ),
  time: Flag.String("time").pipe(
    Flag.withDescription("Bound on search and shrinking: 500ms, 60s, 5m, 1h"),
    Flag.withMetavar("duration"),
    Flag.optional
  ),
  seed: Flag.Int("seed").pipe(Flag.withDescription("Seed of the generator"), Flag.withDefault(1)),
  hostile: Flag.Boolean("hostile").pipe(
    Flag.withDescription("Add NaN, infinite and overflowing numbers, which must be refused by name"),
    Flag.withoutNegation,
    Flag.withDefault(false)
  ),
  all: Flag.Boolean("all").pipe(
    Flag.withDescription("Go on after a finding, to the first of every law"),
    Flag.withoutNegation,
    Flag.withDefault(false)
  ),
  corpus: Flag.Directory("corpus").pipe(
    Flag.withDescription(`Saved cases, replayed first; findings are saved there (default ${defaultFolder})`),
    Flag.optional
  ),
  json
}

export const fuzz = Command.make(
  "fuzz",
  flags,
  Effect.fnUntraced(function* ({ seed, hostile, all, json, law, ...given }) {
    for (const name of law) {
      if (!lawNames.includes(name)) return yield* new UnknownName({ kind: "law", name, valid: lawNames })
    }
    if (law.includes(refusal) && !hostile) {
      return yield* new WrongInput({ field: "--law", value: refusal, expected: "--hostile with it" })
    }
    const file = Option.getOrUndefined(given.estimator)
    const claim = Option.getOrElse(given.as, () => (file === undefined ? ("causal" as const) : undefined))
    const mode = claim ?? "causal"
    const timeMillis = Option.isSome(given.time) ? yield* millis(given.time.value) : Infinity
    const cases = Option.getOrElse(given.cases, () => (timeMillis === Infinity ? defaultCases : Infinity))
    if (cases < 0) return yield* new WrongInput({ field: "--cases", value: cases, expected: "an integer, at least 0" })
    const corpus = Option.getOrUndefined(given.corpus)
    const replayed = corpus === undefined ? [] : yield* savedCases(corpus, mode)

    const begin = yield* Clock.currentTimeMillis
    const laws = law.length > 0 ? law : lawNames
    const { cases: done, findings } = yield* search(
      {
        estimator: file === undefined ? { name: mode } : { file },
        options: { mode, claimed: claim !== undefined, hostile, seed, laws },
        cases,
        all,
        saved: replayed
      },
      timeMillis,
      reporter(begin, yield* Clock.Clock, { cases, timeMillis })
    ).pipe(
      Effect.scoped,
      Effect.ensuring(Effect.sync(statusLine.end)),
      Effect.catchTag("EstimatorUnusable", ({ reason }) =>
        Effect.fail(
          new WrongInput({
            field: "--estimator",
            value: file,
            expected: `an ES module that exports an estimator: ${reason}`
          })
        )
      )
    )
    const seconds = ((yield* Clock.currentTimeMillis) - begin) / 1000

    const folder = corpus ?? defaultFolder
    const words = [
      "constellate credit fuzz",
      ...(file === undefined ? [] : [`--estimator ${file}`]),
      ...(claim === undefined ? [] : [`--as ${claim}`]),
      ...(hostile ? ["--hostile"] : [])
    ]
    const documents = findings.map((found) => {
      const replay = `${words.join(" ")} --law ${found.finding.law} --corpus ${folder} --cases 0`
      return { found, replay, document: saved(found, { seed, replay, estimator: file ?? mode }) }
    })
    yield* Effect.forEach(documents, ({ document }) => save(folder, document))
    yield* answer(
      json,
      {
        estimator: file ?? mode,
        cases: done,
        seconds,
        seed,
        findings: documents.map(({ found: { finding }, replay, document }) => ({
          law: finding.law,
          message: finding.message,
          case: document,
          replay
        }))
      },
      () =>
        [
          ...documents.map(({ found, replay }) => `${describe(found, claim !== undefined)}\n\nreplay: ${replay}\n`),
          `${file ?? mode}: ${done} cases in ${duration(seconds)}, ${findings.length === 0 ? "nothing found" : `${findings.length} found`}`
        ].join("\n")
    )
    if (findings.length > 0) {
      return yield* new CheckFailed({ reason: `broken: ${findings.map(({ finding }) => finding.law).join(", ")}` })
    }
  })
).pipe(
  Command.withDescription("Look for groups of lifecycles that an estimator gets wrong, and shrink what is found"),
  Command.withExamples([
    { command: "constellate credit fuzz --time 60s", description: "Our causal estimator, for a minute" },
    {
      command: "constellate credit fuzz --estimator mine.ts --as causal",
      description: "One of yours that claims to be the specified one"
    },
    {
      command: "constellate credit fuzz --estimator mine.ts --law causality --all",
      description: "One law of any estimator"
    }
  ])
)

const units = { ms: "millis", s: "seconds", m: "minutes", h: "hours" } as const

const millis = (text: string) => {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? []
  return amount === undefined
    ? Effect.fail(new WrongInput({ field: "--time", value: text, expected: "a duration such as 500ms, 60s, 5m or 1h" }))
    : Effect.succeed(Duration.toMillis(Duration[units[(unit ?? "s") as keyof typeof units]](Number(amount))))
}

/** Every case of a folder that fits the shape searched. A folder that is not there yet holds none. */
const savedCases = Effect.fnUntraced(function* (folder: string, mode: "causal" | "grpo") {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  if (!(yield* files.exists(folder))) return []
  const names = (yield* files.readDirectory(folder)).filter((name) => name.endsWith(".json")).toSorted()
  const read = yield* Effect.forEach(names, (name) => readCases(path.join(folder, name)))
  return read.flatMap(({ cases }) =>
    cases.flatMap(({ case: given }) =>
      given.mode === mode ? [{ mode, options: given.options, experiences: given.experiences } as never] : []
    )
  )
})

const save = Effect.fnUntraced(function* (folder: string, document: { readonly id: string }) {
  const files = yield* FileSystem.FileSystem
  yield* files.makeDirectory(folder, { recursive: true })
  yield* files.writeFileString(
    (yield* Path.Path).join(folder, `${document.id}.json`),
    `${JSON.stringify(document, null, 2)}\n`
  )
})

/** Standing on stderr: redrawn on a terminal, otherwise a line now and then. */
const reporter = (
  begin: number,
  clock: Clock.Clock,
  bound: { readonly cases: number; readonly timeMillis: number }
) => {
  let last = statusLine.animated ? -Infinity : begin
  return (cases: number, findings: number): void => {
    const now = clock.currentTimeMillisUnsafe()
    if (now - last < (statusLine.animated ? 200 : 5_000)) return
    last = now
    const seconds = (now - begin) / 1000
    const left = [
      ...(bound.timeMillis < Infinity ? [bound.timeMillis / 1000 - seconds] : []),
      ...(bound.cases < Infinity && cases > 0 ? [(seconds / cases) * (bound.cases - cases)] : [])
    ]
    const text = [
      `fuzz: case ${count(cases)}`,
      `${count((cases / seconds) * 60)}/min`,
      `${findings} found`,
      ...(left.length > 0 ? [`${duration(Math.max(0, Math.min(...left)))} left`] : [])
    ].join(" · ")
    if (statusLine.animated) statusLine.draw(text)
    else statusLine.print(text)
  }
}
