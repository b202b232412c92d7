/**
 * Demonstrations in the terse style, for the warm start of a small policy. They act there and nowhere else.
 *
 * `drill` plays and looks up almost without fault, so that a policy can learn the skill; `mediocre` plays about as badly
 * as the published untrained model. Both write contexts of the form `1 D 2 ? 3 L 4 ?`.
 */
import type { Demonstrations, Rng } from "../../src/environment.ts"
import { moves } from "../frozen-lake/lake.ts"
import { directions, plan, readSolve, readUpdate, type Reading } from "../frozen-lake/terse.ts"
import { codes, type Mapping } from "../frozen-lake/walk.ts"
import type { Knowledge } from "./mapping.ts"

/** Probabilities of doing the right thing, one after the other. */
interface Skill {
  /** Wants to move towards the goal, rather than anywhere. */
  readonly plan: number
  /** Takes a code that has shown its meaning in this episode. */
  readonly useEpisode: number
  /** Takes a code whose meaning the context tells. */
  readonly useContext: number
  /** Guesses among codes not known to mean something else, rather than among all. */
  readonly eliminate: number
  /** Writes down a known code. */
  readonly write: number
  /** Writes a random direction instead. */
  readonly wrong: number
  /** Writes a context without any content. */
  readonly useless: number
  /** How probable each entry of the first context is to be there; undefined for an empty context. */
  readonly firstContext: (rng: Rng) => number | undefined
}

const skills: Record<string, Skill> = {
  drill: {
    plan: 0.9,
    useEpisode: 0.95,
    useContext: 0.95,
    eliminate: 0.9,
    write: 0.9,
    wrong: 0,
    useless: 0,
    firstContext: (rng) => {
      // Empty ones are needed too: with a context always there, looking up inside the episode is never learnt.
      const filled = rng.uniform() < 0.3 ? 0 : 1.2 * rng.uniform()
      return filled < 0.2 ? undefined : filled
    }
  },
  mediocre: {
    plan: 0.7,
    useEpisode: 0.3,
    useContext: 0.8,
    eliminate: 0.2,
    write: 0.5,
    wrong: 0.05,
    useless: 0.2,
    firstContext: (rng) => (rng.uniform() < 0.7 ? undefined : 0.75)
  }
}

/** What is held to be the meaning of each code word. */
type Known = ReadonlyMap<string, string>

const isDirection = (word: string | undefined): word is string => directions.some((direction) => direction === word)

/** A code whose step went somewhere means that direction. The last word on a code counts. */
const learnt = (effects: Reading["effects"]): Known => new Map(effects.filter(([, effect]) => isDirection(effect)))

const told = (context: string): Known => {
  const words = context.split(" ")
  return new Map(words.slice(1).flatMap((word, i) => (isDirection(word) ? [[words[i]!, word] as const] : [])))
}

const written = (entry: (code: string) => string | undefined): string =>
  codes.map((code) => `${code} ${entry(`${code}`) ?? "?"}`).join(" ")

/** The context of one who knows the mapping, as far as `remembers` lets each code through. */
export const contextOf = (mapping: Mapping, remembers: () => boolean = () => true): string =>
  written((code) => (remembers() ? directions[moves.indexOf(mapping[Number(code) - 1]!)] : undefined))

const codeFor = (intent: string, seen: Known, context: string, skill: Skill, rng: Rng) => {
  const hinted = told(context)
  const meaning = (source: Known) => codes.find((code) => source.get(`${code}`) === intent)
  const fromEpisode = meaning(seen)
  if (fromEpisode !== undefined && rng.uniform() < skill.useEpisode) return { code: fromEpisode, recalled: true }
  const fromContext = meaning(hinted)
  if (fromContext !== undefined && rng.uniform() < skill.useContext) return { code: fromContext, recalled: true }
  const known: Known = new Map([...hinted, ...seen])
  const open = codes.filter((code) => (known.get(`${code}`) ?? intent) === intent)
  return { code: rng.pick(rng.uniform() < skill.eliminate && open.length > 0 ? open : codes), recalled: false }
}

const hints = (context: string, seen: Known, skill: Skill, rng: Rng): string => {
  const known: Known = new Map([...told(context), ...seen])
  if (rng.uniform() < skill.useless) return written(() => undefined)
  return written((code) => {
    const meaning = rng.uniform() < skill.write ? known.get(code) : undefined
    return rng.uniform() < skill.wrong ? rng.pick(directions) : meaning
  })
}

export const demonstrate: Demonstrations<Knowledge> = {
  stages: Object.keys(skills),
  context: (stage, { mapping }, rng) => {
    const filled = skills[stage]!.firstContext(rng)
    if (filled === undefined || mapping === null) return ""
    return contextOf(mapping, () => rng.uniform() < filled)
  },
  reply: (stage, prompt, context, rng) => {
    const skill = skills[stage]!
    if (prompt.kind === "update") {
      return { reply: hints(context, learnt(readUpdate(prompt)), skill, rng), recalled: false }
    }
    const reading = readSolve(prompt)
    const intent = directions[plan(reading, skill.plan, rng)]!
    const { code, recalled } = codeFor(intent, learnt(reading.effects), context, skill, rng)
    return { reply: `${intent} ${code}`, recalled }
  }
}
