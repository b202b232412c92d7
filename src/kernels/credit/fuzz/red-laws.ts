/** Laws of the weighting and the shift: they follow from the numbers of one answer, scores and temperatures included. */
import type { Experience } from "../estimator.ts"
import type { CausalCase } from "./generator.ts"
import { advantageSlack, type Law } from "./laws.ts"
import { roundingOf } from "./reference.ts"
import { toleranceOf, violate, type Answer } from "./subject.ts"

interface Member {
  readonly id: string
  readonly score: number
  readonly advantage: number
  readonly tokens: number
}

interface Group {
  readonly name: string
  readonly members: ReadonlyArray<Member>
  /** As reported; undefined where it is not. */
  readonly temperature: number | null | undefined
}

/** A law over each group of a causal case whose estimator reports scores. */
const redLaw = (
  name: string,
  statement: string,
  applies: (given: CausalCase) => boolean,
  check: (group: Group, given: CausalCase) => void
): Law => ({
  name,
  statement,
  applies: (given) => given.mode === "causal" && applies(given),
  check: (given, answer) => {
    if (given.mode === "causal") for (const group of groups(given, answer)) check(group, given)
  }
})

const groups = (given: CausalCase, { rows, temperatures }: Answer): ReadonlyArray<Group> => {
  const { redLevel } = given.options
  const nameOf = ({ pack, taskset }: Experience) =>
    redLevel === "batch" ? "batch" : redLevel === "task" ? pack : String(taskset)
  return Array.from(Map.groupBy(given.experiences, nameOf), ([name, experiences]) => ({
    name,
    members: experiences.flatMap(({ id, responseTokens }) => {
      const row = rows.get(id)
      return row?.score === undefined
        ? []
        : [{ id, score: row.score, advantage: row.advantage, tokens: responseTokens }]
    }),
    temperature: temperatures && (temperatures.get(name) ?? null)
  }))
}

/** Sum of s exp(s/T) n with the error that it may have come by; T null for no weight. */
const weightedSum = (group: Group, given: CausalCase, temperature: number | null) => {
  const rounding = roundingOf(given.experiences)
  let value = 0
  let absolute = 0
  let error = 0
  for (const { score, tokens } of group.members) {
    const exponent = temperature === null ? 0 : score / temperature
    const weight = Math.exp(Math.min(exponent, 700)) * tokens
    value += score * weight
    absolute += Math.abs(score) * weight
    error += rounding * weight * (1 + Math.abs(exponent))
  }
  return { value, absolute, error: error + 1e-12 * absolute + 1e-290 }
}

const sign = redLaw(
  "sign",
  "Weighting keeps the sign of a score.",
  ({ options }) => !options.advantageShift,
  ({ members }, given) => {
    const tolerance = toleranceOf(given)
    for (const { id, score, advantage } of members) {
      if (Math.abs(score) <= tolerance) continue
      // exp(score / T) may vanish.
      const vanished = advantage === 0 && score < 0
      if (!vanished && Math.sign(score) !== Math.sign(advantage)) {
        violate(`${id} has the score ${score} and the advantage ${advantage}`)
      }
    }
  }
)

const order = redLaw(
  "order",
  "Weighting keeps the order of scores, as far as they are above minus the temperature: s exp(s/T) falls below it.",
  () => true,
  ({ members, temperature }, given) => {
    const coldest = given.options.redAdaptive ? temperature : given.options.redTemperature || null
    if (coldest === undefined) return
    const tolerance = toleranceOf(given)
    const ordered = members
      .filter(({ score }) => coldest === null || score > -coldest)
      .toSorted((a, b) => a.score - b.score)
    for (let i = 1; i < ordered.length; i++) {
      const [low, high] = [ordered[i - 1]!, ordered[i]!]
      const slack = advantageSlack(given, high.score, high.advantage, tolerance)
      if (low.advantage > high.advantage + slack) {
        violate(
          `${low.id} has the lower score (${low.score} < ${high.score}) and the higher advantage (${low.advantage} > ${high.advantage}) than ${high.id}`
        )
      }
    }
  }
)

/** The bisection halves [0.8, 100] eleven times. */
const cell = 99.2 / 2 ** 11

const temperature = redLaw(
  "temperature",
  "An adaptive temperature lies on the grid 0.8 + 99.2 (2k + 1) / 2^11, a fixed one is the option.",
  () => true,
  ({ name, temperature, members }, { options }) => {
    if (temperature === undefined || temperature === null) return
    if (!options.redAdaptive) {
      const expected = options.redTemperature || null
      if (temperature !== expected) violate(`group ${name} has the temperature ${temperature}, expected ${expected}`)
      return
    }
    const place = ((temperature - 0.8) / cell - 1) / 2
    if (members.length === 0 || Math.abs(place - Math.round(place)) > 1e-6 || place < -0.5 || place > 1023.5) {
      violate(`group ${name} has the temperature ${temperature}, which is not on the grid`)
    }
  }
)

const identity = redLaw(
  "identity",
  "Nothing is weighted where the token-weighted sum of scores is not negative, or where no weighting is asked for.",
  () => true,
  (group, given) => {
    const { redAdaptive, redTemperature } = given.options
    const { value, absolute, error } = weightedSum(group, given, null)
    // Sums that are 0 but for rounding count as not negative.
    const positive = value > error || value - error >= -0.8e-9 * absolute
    const idle = redAdaptive ? positive : !redTemperature
    if (!idle) return
    if (group.temperature !== undefined && group.temperature !== null) {
      violate(
        `group ${group.name} has the temperature ${group.temperature} though its token-weighted sum of scores is ${value}`
      )
    }
    // A positive sum is not shifted either.
    if (given.options.advantageShift && !(value > error)) return
    const tolerance = toleranceOf(given)
    for (const { id, score, advantage } of group.members) {
      if (!(Math.abs(score - advantage) <= tolerance))
        violate(`${id} has the score ${score} and the advantage ${advantage}, expected the same`)
    }
  }
)

const bracket = redLaw(
  "bracket",
  "A negative sum has an adaptive temperature, where the weighted sum changes from not negative to negative, or the search ends.",
  ({ options }) => options.redAdaptive,
  (group, given) => {
    if (group.temperature === undefined) return
    const { value, absolute, error } = weightedSum(group, given, null)
    if (group.temperature === null) {
      if (value < -1.3e-9 * absolute - error)
        violate(`group ${group.name} is not weighted though its token-weighted sum of scores is ${value}`)
      return
    }
    const [low, high] = [group.temperature - cell, group.temperature + cell]
    const [at, beyond] = [weightedSum(group, given, low), weightedSum(group, given, high)]
    if (low > 0.81 && at.value < -at.error) {
      violate(
        `group ${group.name} has the temperature ${group.temperature}, but at ${low} the weighted sum is already ${at.value}`
      )
    }
    if (high < 99.99 && beyond.value > beyond.error) {
      violate(
        `group ${group.name} has the temperature ${group.temperature}, but at ${high} the weighted sum is still ${beyond.value}`
      )
    }
  }
)

const lift = redLaw(
  "lift",
  "The shift lifts a negative token mean of unweighted scores to 0 and leaves any other as it is.",
  ({ options }) => options.advantageShift && !options.redAdaptive && !options.redTemperature,
  (group, given) => {
    const tokens = group.members.reduce((sum, member) => sum + member.tokens, 0)
    if (tokens === 0) return
    const { value, error } = weightedSum(group, given, null)
    const expected = Math.max(value, 0)
    const actual = group.members.reduce((sum, member) => sum + member.advantage * member.tokens, 0)
    if (!(Math.abs(actual - expected) <= 100 * error + 1e-12 * tokens)) {
      violate(`the token-weighted sum of advantages of group ${group.name} is ${actual}, expected ${expected}`)
    }
  }
)

export const redLaws: ReadonlyArray<Law> = [sign, order, temperature, identity, bracket, lift]
