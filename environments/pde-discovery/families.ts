/**
 * Families of reactions: which terms may stand together, and with which signs. They are our own, of the shape that the
 * specification gives (section 7.1): a destabilising positive term, of low order or saturating, against a negative one
 * of higher order. No support of the evaluation occurs in training, though each of its terms does.
 */
import { type TermName, termNames } from "./dictionary.ts"

export interface Template {
  /** The signs in a row, such as `+u -u^3`. */
  readonly name: string
  readonly signs: Readonly<Partial<Record<TermName, 1 | -1>>>
}

const template = (...signed: ReadonlyArray<`${"+" | "-"}${TermName}`>): Template => {
  const signs = Object.fromEntries(signed.map((term) => [term.slice(1), term[0] === "-" ? -1 : 1]))
  for (const term of Object.keys(signs)) if (!termNames.includes(term as TermName)) throw new Error(`no term ${term}`)
  return { name: signed.join(" "), signs }
}

/** Each positive term against each of the negative ones. */
const pairs = (positive: TermName, ...negatives: ReadonlyArray<TermName>): Array<Template> =>
  negatives.map((negative) => template(`+${positive}`, `-${negative}`))

const singles = (["u", "u^2", "u^3", "u^5", "exp(u)-1"] as const).map((term) => template(`-${term}`))

const commonPairs = [
  ...pairs("u", "u^3", "u^5", "u^7"),
  ...pairs("u^2", "u^3", "u^4", "u^7"),
  ...pairs("sin(u)", "u^3", "u^4", "exp(u)-1"),
  ...pairs("sin(2*u)", "u^3", "u^5", "exp(u)-1"),
  ...pairs("tanh(u)", "u^4", "u^5", "u^7"),
  ...pairs("log(1+u^2)", "u^3", "u^5", "exp(u)-1"),
  ...pairs("u/(1+u^2)", "u^3", "u^7", "exp(u)-1"),
  ...pairs("u^2/(1+u^2)", "u^4", "u^5", "u^7"),
  ...pairs("u^4/(1+u^4)", "u^3", "u^4", "exp(u)-1")
]

const trainingPairs = [
  ...commonPairs,
  ...pairs("u/(1+u+u^2)", "u^4", "u^5", "u^7"),
  ...pairs("u^3", "u^5", "u^7"),
  ...pairs("exp(u)-1", "u^3", "u^5"),
  ...pairs("u^4", "u^7")
]

const unseenPairs = [
  ...pairs("u", "u^4", "exp(u)-1"),
  ...pairs("u^2", "u^5", "exp(u)-1"),
  ...pairs("sin(u)", "u^5", "u^7"),
  ...pairs("sin(2*u)", "u^4", "u^7"),
  ...pairs("tanh(u)", "u^3", "exp(u)-1"),
  ...pairs("log(1+u^2)", "u^4"),
  ...pairs("u/(1+u^2)", "u^5"),
  ...pairs("u^2/(1+u^2)", "u^3", "exp(u)-1"),
  ...pairs("u^4/(1+u^4)", "u^5"),
  ...pairs("u/(1+u+u^2)", "u^3"),
  ...pairs("exp(u)-1", "u^7")
]

const unseenTriples = [
  template("+u", "+u^2", "-u^5"),
  template("+u", "-u^3", "-u^5"),
  template("+sin(u)", "+u^2", "-u^4"),
  template("+tanh(u)", "-u^3", "-u^7"),
  template("+sin(2*u)", "+log(1+u^2)", "-u^5"),
  template("+u/(1+u+u^2)", "-u^2", "-u^5"),
  template("+u", "+u^2/(1+u^2)", "-exp(u)-1"),
  template("+u^4/(1+u^4)", "-u^3", "-u^5")
]

/** `full_train` 40 and `full_eval_4000` 25 as published; `general` 32 of the training templates. */
export const families = {
  general: [...singles, ...commonPairs],
  full_train: [...singles, ...trainingPairs],
  full_eval_4000: [...unseenPairs, ...unseenTriples]
} as const satisfies Record<string, ReadonlyArray<Template>>

export type Family = keyof typeof families
