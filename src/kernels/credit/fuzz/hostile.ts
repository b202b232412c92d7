/**
 * Hostile numbers: NaN, infinities and rewards too large to add. An estimator must refuse them, and say which experience
 * they came with.
 */
import { stream } from "../../random.ts"
import type { Experience, RunExperience } from "../estimator.ts"
import { generate, type FuzzCase } from "./generator.ts"
import { violate, type Plugin } from "./subject.ts"

/** A case with one poisoned number, and the experiences that carry it: naming any of them is right. */
export interface HostileCase {
  readonly given: FuzzCase
  readonly culprits: ReadonlyArray<string>
  /** Whether finite numbers, too, are an answer: huge rewards may or may not overflow. */
  readonly survivable: boolean
}

const poisons = [NaN, Infinity, -Infinity, 1.7e308, -1.7e308]

/** Case number `number` of a seed, poisoned; undefined where nothing can be. */
export const poison = (mode: FuzzCase["mode"], seed: number, number: number): HostileCase | undefined => {
  const rng = stream(seed, "credit fuzz hostile", mode, number)
  const given = generate(mode, seed, number)
  const value = rng.pick(poisons)
  const survivable = Number.isFinite(value)
  const kept = (given.experiences as ReadonlyArray<RunExperience>).filter(({ flag }) => flag === undefined)
  if (kept.length === 0) return undefined
  const target = rng.pick(kept)
  if (given.mode === "grpo") {
    const last = kept.findLast(({ pack, run }) => pack === target.pack && run === target.run)!
    const field = given.options.rewardField
    const experiences = given.experiences.map((each) => (each.id === last.id ? { ...each, [field]: value } : each))
    return { given: { ...given, experiences }, culprits: [last.id], survivable }
  }
  const { kind, pack, run, index } = target as Experience
  if (kind === "update" && rng.uniform() < 0.5) {
    const experiences = given.experiences.map((each) => (each.id === target.id ? { ...each, reward: value } : each))
    return { given: { ...given, experiences }, culprits: [target.id], survivable }
  }
  // A task reward stands in every experience of its run.
  const at = kind === "solve" ? index : index + 1
  const experiences = given.experiences.map((each) =>
    each.pack !== pack || each.run !== run
      ? each
      : {
          ...each,
          taskRewards: each.taskRewards.map((reward, i) => (i === at ? value : reward)),
          reward: each.kind === "solve" && each.index === at ? value : each.reward
        }
  )
  const culprits = experiences.filter((each) => each.pack === pack && each.run === run).map(({ id }) => id)
  return { given: { ...given, experiences }, culprits, survivable }
}

/** Throws a `Violation` unless the estimator refuses the case by name. */
export const checkHostile = ({ given, culprits, survivable }: HostileCase, plugin: Plugin): void => {
  let credit: any
  try {
    credit = plugin(
      given.experiences.map((each) => ({ ...each })),
      { ...given.options }
    )
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const words = new Set(message.match(/[A-Za-z0-9]+/g))
    // With a number that is finite, whatever it overflows may be named: a score of another run of the pack.
    const named = survivable ? given.experiences.map(({ id }) => id) : culprits
    if (!named.some((id) => words.has(id))) violate(`refused without naming ${culprits.join(" or ")}: ${message}`)
    return
  }
  const rows = Array.isArray(credit?.experiences) ? credit.experiences : []
  if (!survivable) violate(`answered although ${culprits.join(" or ")} carries a number that is not finite`)
  const wrong = rows.find((row: any) => !Number.isFinite(row?.advantage))
  if (wrong !== undefined)
    violate(`the advantage of ${wrong.id} is ${wrong.advantage}, expected a finite number or an error that names it`)
}
