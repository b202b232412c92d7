/** The search: cases from a seed, each held against the laws, and the first broken law with its smallest case. */
import { reference } from "./claims.ts"
import { generate, type FuzzCase } from "./generator.ts"
import { checkHostile, poison, type HostileCase } from "./hostile.ts"
import { creditLaws, type Law } from "./laws.ts"
import { redLaws } from "./red-laws.ts"
import { shrink } from "./shrink.ts"
import { ask, Violation, type Plugin } from "./subject.ts"

export interface FuzzOptions {
  /** Shape of the cases: lifecycles for causal credit, runs for GRPO. */
  readonly mode: FuzzCase["mode"]
  /** The estimator claims to be the specified one, so it is also held against the reference. */
  readonly claimed: boolean
  readonly hostile: boolean
  readonly seed: number
  /** Names of the laws to check; all by default. */
  readonly laws?: ReadonlyArray<string>
}

/** Names of the two checks that are no laws between scores: an answer of the right form, and a refusal of the wrong input. */
export const answers = "answer"
export const refusal = "refusal"

export const laws: ReadonlyArray<Law> = [...creditLaws, ...redLaws, reference]
export const lawNames: ReadonlyArray<string> = [answers, ...laws.map(({ name }) => name), refusal]

export interface Broken {
  readonly law: string
  readonly message: string
}

export interface Finding extends Broken {
  /** Number of the case in its seed; undefined for a saved case. */
  readonly number?: number
  readonly case: FuzzCase
}

const broken = (law: string, check: () => void): Broken | undefined => {
  try {
    check()
  } catch (error) {
    if (error instanceof Violation) return { law, message: error.message }
    throw error
  }
  return undefined
}

/** The first law that an estimator breaks on a case. */
export const examine = (
  given: FuzzCase,
  plugin: Plugin,
  options: Pick<FuzzOptions, "claimed" | "laws">
): Broken | undefined => {
  const wanted = (name: string) => options.laws === undefined || options.laws.includes(name)
  let answer: ReturnType<typeof ask> | undefined
  const unreadable = broken(answers, () => (answer = ask(plugin, given)))
  if (unreadable !== undefined || answer === undefined) return unreadable
  for (const law of laws) {
    if (!wanted(law.name) || !law.applies(given)) continue
    // Only those who claim the specification owe its judges and its numbers.
    if (!options.claimed && (law.name === "reference" || law.name === "judged")) continue
    const found = broken(law.name, () => law.check(given, answer!, plugin))
    if (found !== undefined) return found
  }
  return undefined
}

/** Examines case number `number` of a seed. */
export const fuzzOne = (number: number, plugin: Plugin, options: FuzzOptions): Finding | undefined => {
  if (options.hostile && options.laws?.includes(refusal) !== false) {
    const hostile = poison(options.mode, options.seed, number)
    const found = hostile && broken(refusal, () => checkHostile(hostile, plugin))
    if (hostile !== undefined && found !== undefined) return { ...found, number, case: hostile.given }
  }
  const given = generate(options.mode, options.seed, number)
  const found = examine(given, plugin, options)
  return found && { ...found, number, case: given }
}

/** The smallest case that breaks the same law. `stop` is asked before every candidate. */
export const shrunk = (
  finding: Finding,
  plugin: Plugin,
  options: FuzzOptions,
  stop: () => boolean = () => false
): Finding => {
  const breaks = (candidate: FuzzCase): Broken | undefined =>
    finding.law === refusal
      ? broken(refusal, () => checkHostile(asHostile(candidate), plugin))
      : examine(candidate, plugin, { ...options, laws: [finding.law] })
  let smallest = finding
  const search = shrink(finding.case)
  for (let next = search.next(); !next.done && !stop();) {
    const found = breaks(next.value)
    const same = found?.law === finding.law
    if (same) smallest = { ...finding, ...found, case: next.value }
    next = search.next(same)
  }
  return smallest
}

/** A saved or simplified hostile case: its culprits are found by looking. */
export const asHostile = (given: FuzzCase): HostileCase => {
  const numbers = (each: any): ReadonlyArray<number> => [
    each.reward,
    each.totalReward ?? 0,
    ...(each.taskRewards ?? [])
  ]
  const carriers = (holds: (value: number) => boolean) =>
    (given.experiences as ReadonlyArray<any>)
      .filter((each) => each.flag === undefined && numbers(each).some(holds))
      .map(({ id }) => id)
  const infinite = carriers((value) => !Number.isFinite(value))
  return infinite.length > 0
    ? { given, culprits: infinite, survivable: false }
    : { given, culprits: carriers((value) => Math.abs(value) > 1e300), survivable: true }
}
