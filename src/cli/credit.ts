/** `constellate credit`: credit assignment on its own. */
import { Effect } from "effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import { compare } from "./credit-compare.ts"
import { fuzz } from "./credit-fuzz.ts"
import { readCases, scoreCase, type Result } from "./credit-case.ts"
import { CheckFailed } from "./failure.ts"
import { answer, json, table } from "./output.ts"

const score = Command.make(
  "score",
  { file: Argument.File("file").pipe(Argument.withDescription("Case file, JSON")), json },
  Effect.fnUntraced(function* ({ file, json }) {
    const { cases, refuse } = yield* readCases(file)
    const results = yield* Effect.forEach(cases, (entry) => scoreCase(entry, refuse))
    yield* answer(json, results, () => report(results))
    const wrong = results.filter(({ matches }) => matches === false)
    if (wrong.length > 0) {
      return yield* new CheckFailed({
        reason: `${wrong.length} of ${results.length} cases differ from what they expect: ${wrong.map(({ id }) => id).join(", ")}`
      })
    }
  })
).pipe(
  Command.withDescription("Compute the credit or the loss of the cases of a file, and compare with what they expect"),
  Command.withExamples([
    { command: "constellate credit score test/vectors/credit-assignment.json", description: "All given cases" },
    { command: "constellate credit score case.json --json", description: "One document, for another program" }
  ])
)

/** One line a case; all numbers of it where there is only one. */
const report = (results: ReadonlyArray<Result>): string => {
  const verdict = ({ matches }: Result) => (matches === undefined ? "-" : matches ? "yes" : "NO")
  const summary = table(
    ["case", "experiences", "dropped", "temperatures", "matches"],
    results.map((result) => {
      if ("refused" in result) return [result.id, "", "", "refused", verdict(result)]
      if ("loss" in result) return [result.id, String(result.gradient.length), "0", "", verdict(result)]
      const temperatures = result.temperatures.map(({ group, temperature }) => `${group} ${temperature ?? "none"}`)
      const { experiences, dropped } = result
      return [result.id, String(experiences.length), String(dropped.length), temperatures.join(", "), verdict(result)]
    })
  )
  return results.length === 1 ? `${details(results[0]!)}\n\n${summary}` : summary
}

const details = (result: Result): string => {
  if ("refused" in result) return result.refused
  if ("loss" in result) {
    const rows = result.gradient.map((row) => row.map(short).join(" "))
    return `loss ${result.loss}, clipped ${result.clipFraction}\n${rows.join("\n")}`
  }
  return table(
    ["experience", "return", "baseline", "score", "advantage"],
    result.experiences.map(({ id, baseline, score, advantage, return: value }) => [
      id,
      ...[value, baseline, score, advantage].map(short)
    ])
  )
}

const short = (value: number): string => String(Number(value.toPrecision(6)))

export const credit = Command.make("credit").pipe(
  Command.withDescription("Credit assignment on its own: score case files, fuzz estimators, compare them"),
  Command.withSubcommands([score, fuzz, compare])
)
