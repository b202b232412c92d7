/**
 * A symptom model of our own, and the synthetic dialogues that it makes. They are no medicine: every diagnosis has a
 * complaint and a set of dimensions that its doctors ask about, one a question, in any order, before they stop.
 */
import { hash } from "node:crypto"
import type { Session, Turn } from "./dialogues.ts"

/** What a doctor can ask about. */
export const dimensions = [
  "symptom",
  "nature",
  "location",
  "severity",
  "trigger",
  "duration",
  "relief",
  "frequency"
] as const
export type Dimension = (typeof dimensions)[number]

interface Inquiry {
  /** Words by which a question about the dimension is known. */
  readonly words: RegExp
  readonly questions: ReadonlyArray<string>
  readonly answers: ReadonlyArray<string>
}

/** In `questions`, `it` stands for the complaint. */
export const inquiries: Readonly<Record<Dimension, Inquiry>> = {
  symptom: {
    words: /\b(other symptoms?|anything else|besides|along with|accompan|also (have|feel|notice))/i,
    questions: ["Do you have other symptoms with it: fever, nausea or none?"],
    answers: ["Some nausea.", "No, nothing else.", "A little fever."]
  },
  nature: {
    words: /\b(feels? like|what kind|describe|nature|sharp|dull|burning|throbbing)/i,
    questions: ["What kind of feeling is it: sharp, dull or burning?"],
    answers: ["Rather dull.", "Sharp.", "It burns."]
  },
  location: {
    words: /\b(where|which (side|part)|location|spreads?|radiat)/i,
    questions: ["Where exactly do you notice it: on the left, on the right or on both sides?"],
    answers: ["On the left.", "On the right.", "On both sides."]
  },
  severity: {
    words: /\b(how (bad|strong|severe)|severity|scale|mild|intens)/i,
    questions: ["How bad is it: mild, moderate or severe?"],
    answers: ["Moderate.", "Severe.", "Rather mild."]
  },
  trigger: {
    words: /\b(trigger|worse|brings? it on|sets? it off|caus|provok)/i,
    questions: ["Does anything bring it on or make it worse: effort, meals or nothing?"],
    answers: ["Effort does.", "It comes after meals.", "Nothing that I know of."]
  },
  duration: {
    words: /\b(how long|since when|when did|start|days|weeks)/i,
    questions: ["Since when have you had it: hours, days or weeks?"],
    answers: ["For some days.", "For weeks.", "Since this morning."]
  },
  relief: {
    words: /\b(better|reliev|relief|eases?|helps?)\b/i,
    questions: ["Does anything make it better: rest, warmth or medicine?"],
    answers: ["Rest, a little.", "Warmth.", "Nothing does."]
  },
  frequency: {
    words: /\b(how often|often|frequen|times a (day|week)|every (day|night))/i,
    questions: ["How often does it come: daily, weekly or rarely?"],
    answers: ["Daily.", "About once a week.", "Rarely."]
  }
}

/** The dimensions that a question is about. */
export const dimensionsIn = (text: string): Array<Dimension> =>
  dimensions.filter((dimension) => inquiries[dimension].words.test(text))

interface Illness {
  readonly diagnosis: string
  readonly complaint: string
  readonly asks: ReadonlyArray<Dimension>
}

const illnesses: ReadonlyArray<Illness> = [
  { diagnosis: "migraine", complaint: "headache", asks: ["nature", "location", "symptom", "frequency"] },
  { diagnosis: "tension headache", complaint: "headache", asks: ["severity", "duration", "relief"] },
  { diagnosis: "gastritis", complaint: "stomach pain", asks: ["nature", "trigger", "relief", "duration"] },
  {
    diagnosis: "gallstones",
    complaint: "stomach pain",
    asks: ["location", "trigger", "severity", "symptom", "frequency"]
  },
  { diagnosis: "bronchitis", complaint: "cough", asks: ["duration", "nature", "symptom"] },
  { diagnosis: "asthma", complaint: "cough", asks: ["trigger", "frequency", "severity", "relief"] },
  { diagnosis: "muscle strain", complaint: "back pain", asks: ["trigger", "location", "duration"] },
  { diagnosis: "slipped disc", complaint: "back pain", asks: ["location", "nature", "symptom", "severity", "relief"] },
  { diagnosis: "eczema", complaint: "itching", asks: ["location", "duration", "trigger", "frequency"] },
  { diagnosis: "allergy", complaint: "itching", asks: ["trigger", "symptom", "severity"] },
  { diagnosis: "angina", complaint: "chest tightness", asks: ["trigger", "nature", "relief", "duration", "severity"] },
  { diagnosis: "heartburn", complaint: "chest tightness", asks: ["nature", "frequency", "trigger", "relief"] }
]

const sessionsEach = 12

/** A number below `count` that depends on nothing but the name. */
const choose = (count: number, ...name: ReadonlyArray<string | number>): number =>
  hash("sha256", JSON.stringify(name), "buffer").readUInt32BE(0) % count

/** The synthetic sessions: always the same. */
export const sessions = (): Array<Session> =>
  illnesses.flatMap((illness) => Array.from({ length: sessionsEach }, (_, number) => session(illness, number)))

const session = ({ asks, complaint, diagnosis }: Illness, number: number): Session => {
  const name = [diagnosis, number] as const
  const order = asks.toSorted((a, b) => choose(1e9, ...name, a) - choose(1e9, ...name, b))
  const openings = [
    `I have a ${complaint}.`,
    `I came because of a ${complaint}.`,
    `For a while I have had a ${complaint}.`
  ]
  const asked = order.flatMap((dimension): ReadonlyArray<Turn> => {
    const { answers, questions } = inquiries[dimension]
    const pick = (texts: ReadonlyArray<string>) => texts[choose(texts.length, ...name, dimension, texts.length)]!
    const attributes = [`${dimension} of the ${complaint}`]
    return [
      { role: "doctor", content: pick(questions), attributes },
      { role: "patient", content: pick(answers) }
    ]
  })
  return {
    diagnosis,
    messages: [
      { role: "patient", content: openings[choose(openings.length, ...name)]!.replace("a itching", "itching") },
      ...asked,
      { role: "doctor", content: `Thank you. This looks like ${diagnosis}.` }
    ]
  }
}
