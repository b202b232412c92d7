/** The laws for estimators that claim to be a specified one (`--as`): agreement with the reference, number by number. */
import type { FuzzCase, CausalCase, GrpoCase } from "./generator.ts"
import { advantageSlack, type Law } from "./laws.ts"
import { advantageOf, causalReference, grpoReference, type Expected } from "./reference.ts"
import { toleranceOf, violate, type Answer } from "./subject.ts"

const close = (id: string, field: string, actual: number | undefined, expected: number, tolerance: number): void => {
  if (actual !== undefined && !(Math.abs(actual - expected) <= tolerance)) {
    violate(`the ${field} of ${id} is ${actual}, expected ${expected}`)
  }
}

/** Above this exponent a weight is only known to be guarded, not how. */
const guarded = 690

const causal = (given: CausalCase, answer: Answer): void => {
  const { groups, dropped } = causalReference(given)
  const tolerance = toleranceOf(given)
  if (answer.dropped.length !== dropped.length)
    violate(`dropped ${answer.dropped.length} experiences, expected ${dropped.length}`)
  metric(answer, "experience_count", given.experiences.length, 0)
  metric(answer, "judge_format_error_count", dropped.length, 0)
  for (const { members } of groups) {
    for (const member of members) {
      const row = answer.rows.get(member.id) ?? violate(`${member.id} is missing`)
      for (const field of ["return", "baseline", "score"] as const)
        close(member.id, field, row[field], member[field], tolerance)
    }
  }
  const active: Array<number> = []
  for (const { name, members, shift, temperatures } of groups) {
    if (temperatures === undefined) return // Rounding decides; so it does in the metrics.
    const reported = answer.temperatures && (answer.temperatures.get(name) ?? null)
    const near = (temperature: number | null) =>
      reported === undefined ||
      temperature === reported ||
      (temperature !== null && Math.abs(temperature - (reported ?? 0)) < 1e-9)
    const possible = temperatures.filter(near)
    if (possible.length === 0)
      violate(`the temperature of group ${name} is ${reported}, expected ${temperatures.join(" or ")}`)
    const fits = (temperature: number | null) =>
      members.every((member) => fit(given, answer, member, temperature, shift, tolerance))
    const temperature = possible.find(fits)
    if (temperature === undefined) complain(given, answer, members, possible[0]!, shift, tolerance)
    else if (temperature !== null) active.push(temperature)
  }
  if (groups.length === 0 && !given.options.redAdaptive) return // A fixed temperature of nobody may be told or not.
  for (const [name, temperature] of answer.temperatures ?? []) {
    if (temperature !== null && !groups.some((group) => group.name === name)) {
      violate(`a group ${JSON.stringify(name)} has the temperature ${temperature}, but no such group has experiences`)
    }
  }
  const meanTemperature = active.length === 0 ? 0 : active.reduce((a, b) => a + b) / active.length
  // Several temperatures of one group may fit when all of its scores are 0.
  if (groups.every(({ temperatures }) => temperatures?.length === 1)) {
    metric(answer, "active_weight_temp_mean", meanTemperature, 1e-9 * meanTemperature)
  }
}

const metric = ({ metrics }: Answer, name: string, expected: number, tolerance: number): void => {
  const actual = metrics[name]
  if (actual !== undefined && !(Math.abs(actual - expected) <= tolerance))
    violate(`the metric ${name} is ${actual}, expected ${expected}`)
}

const fit = (
  given: CausalCase,
  answer: Answer,
  member: Expected,
  temperature: number | null,
  shift: number,
  tolerance: number
): boolean => {
  const { advantage } = answer.rows.get(member.id)!
  if (temperature !== null && member.score / temperature > guarded) return advantage > 0
  const expected = advantageOf(member.score, temperature, shift)
  return Math.abs(advantage - expected) <= advantageSlack(given, member.score, expected, tolerance)
}

/** Names the first advantage that does not fit. */
const complain = (
  given: CausalCase,
  answer: Answer,
  members: ReadonlyArray<Expected>,
  temperature: number | null,
  shift: number,
  tolerance: number
): void => {
  const wrong = members.find((member) => !fit(given, answer, member, temperature, shift, tolerance))!
  const expected = advantageOf(wrong.score, temperature, shift)
  violate(`the advantage of ${wrong.id} is ${answer.rows.get(wrong.id)!.advantage}, expected ${expected}`)
}

const grpo = (given: GrpoCase, answer: Answer): void => {
  const packs = new Map(grpoReference(given).map((pack) => [pack.pack, pack]))
  let filtered = 0
  for (const { id, pack, run } of given.experiences) {
    const { skipped, scores } = packs.get(pack)!
    if (skipped === undefined) continue
    const row = answer.rows.get(id)
    if (skipped) {
      filtered++
      if (row !== undefined) violate(`${id} is scored, expected to be dropped with its pack`)
      continue
    }
    const { score, advantage, error } = scores.get(run)!
    if (row === undefined) return violate(`${id} is dropped, expected the advantage ${advantage}`)
    close(id, "score", row.score, score, error + 1e-12)
    close(id, "advantage", row.advantage, advantage, error + 1e-12)
  }
  const decisions = Array.from(packs.values(), ({ skipped }) => skipped)
  if (decisions.includes(undefined)) return
  metric(answer, "filtered_count", filtered, 0)
  metric(answer, "experience_count", given.experiences.length - filtered, 0)
  metric(answer, "skipped_group_ratio", packs.size === 0 ? 0 : decisions.filter(Boolean).length / packs.size, 1e-12)
}

/** Every number agrees with the specification followed line by line. */
export const reference: Law = {
  name: "reference",
  statement: "Every return, baseline, score, advantage, temperature and metric is the specification's.",
  applies: () => true,
  check: (given: FuzzCase, answer) => (given.mode === "causal" ? causal(given, answer) : grpo(given, answer))
}
