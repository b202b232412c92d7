/** A finding of the fuzzer as a case file that `credit score` reads, and as a table that can be checked by hand. */
import { hash } from "node:crypto"
import { causal, causalDefaults } from "../kernels/credit/causal.ts"
import { CreditError, type Credit, type Experience } from "../kernels/credit/estimator.ts"
import { laws } from "../kernels/credit/fuzz/fuzz.ts"
import type { FuzzCase } from "../kernels/credit/fuzz/generator.ts"
import { grpo, grpoDefaults } from "../kernels/credit/grpo.ts"
import type { Found } from "./credit-search.ts"
import { table } from "./output.ts"

/** What the specification makes of a case, or the experience that it refuses. */
const expectation = (given: FuzzCase): Credit | { readonly refused: string } => {
  try {
    return given.mode === "causal" ? causal(given.experiences, given.options) : grpo(given.experiences, given.options)
  } catch (error) {
    if (error instanceof CreditError && error.experience !== undefined) return { refused: error.experience }
    throw error
  }
}

/** The document that is saved. JSON has no word for numbers that are not finite: they are spelled. */
export const saved = (
  { finding }: Found,
  about: { readonly seed: number; readonly replay: string; readonly estimator: string }
) => {
  const given = JSON.parse(
    JSON.stringify(finding.case, (_, value) =>
      typeof value === "number" && !Number.isFinite(value) ? String(value) : value
    )
  ) as FuzzCase
  const id = `${finding.law}-${hash("sha256", JSON.stringify(given)).slice(0, 8)}`
  const { law, message, number } = finding
  return {
    id,
    ...given,
    expected: expectation(finding.case),
    found: { law, message, ...about, ...(number === undefined ? {} : { number }) }
  }
}

/** Law, message, options that matter, and every experience with what is expected and what was answered. */
export const describe = ({ finding, answer }: Found, claimed: boolean): string => {
  const { law, message, case: given } = finding
  const statement = laws.find(({ name }) => name === law)?.statement
  const defaults = (given.mode === "causal" ? causalDefaults : grpoDefaults) as unknown as Record<string, unknown>
  const options = Object.entries(given.options).filter(([name, value]) => value !== defaults[name])
  const expected = expectation(given)
  const right = new Map("refused" in expected ? [] : expected.experiences.map((row) => [row.id, row]))
  const wrong = new Map(answer.map((row) => [row.id, row]))
  const causalRows = given.mode === "causal"
  const rows = (given.experiences as ReadonlyArray<Experience>).map((each) => [
    each.id,
    each.pack,
    String(each.run),
    ...(causalRows
      ? [String(each.taskset), each.kind, String(each.index), each.taskRewards.map(short).join(" ")]
      : [short(each.totalReward)]),
    short(each.reward),
    String(each.responseTokens),
    each.flag ?? "",
    short(wrong.get(each.id)?.score),
    short(wrong.get(each.id)?.advantage),
    ...(claimed ? [short(right.get(each.id)?.score), short(right.get(each.id)?.advantage)] : [])
  ])
  const heads = [
    "id",
    "pack",
    "run",
    ...(causalRows ? ["taskset", "kind", "index", "task rewards"] : ["total reward"]),
    "own",
    "tokens",
    "flag",
    "score",
    "advantage",
    ...(claimed ? ["right score", "right advantage"] : [])
  ]
  return [
    `law ${law}${statement === undefined ? "" : `: ${statement}`}`,
    `broken: ${message}`,
    `options: ${options.length === 0 ? "defaults" : options.map(([name, value]) => `${name} ${String(value)}`).join(", ")}`,
    "",
    table(heads, rows)
  ].join("\n")
}

const short = (value: number | undefined): string => (value === undefined ? "" : String(Number(value.toPrecision(6))))
