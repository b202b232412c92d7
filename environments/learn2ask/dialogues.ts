/**
 * Dialogues between patients and doctors, and the tasks that are cut out of them (specification of environments, section 5).
 *
 * A dialogue file has one session a line, as JSON:
 *
 *     {"diagnosis": "migraine", "messages": [
 *       {"role": "patient", "content": "My head hurts."},
 *       {"role": "doctor", "content": "How bad is it?", "attributes": ["severity of the headache"]},
 *       {"role": "patient", "content": "Very bad."},
 *       {"role": "doctor", "content": "This looks like migraine."}]}
 *
 * `attributes` are what a doctor's message asks about; without them it asks about nothing. Every patient's turn with
 * something after it makes a task: the messages so far, whether the doctor asked on, and what was still asked about.
 */
import { hash } from "node:crypto"
import { readFileSync } from "node:fs"
import { sessions as synthetic } from "./symptoms.ts"

export interface Turn {
  readonly role: "patient" | "doctor"
  readonly content: string
  /** What a doctor's message asks about. */
  readonly attributes?: ReadonlyArray<string>
}

export interface Session {
  readonly diagnosis: string
  readonly messages: ReadonlyArray<Turn>
}

export interface Round {
  readonly diagnosis: string
  readonly messages: ReadonlyArray<{ readonly role: Turn["role"]; readonly content: string }>
  readonly decision: "continue" | "stop"
  /** What the rest of the dialogue asks about; empty where it is time to stop. */
  readonly open: ReadonlyArray<string>
}

export type Split = "all" | "train" | "test"

/** What the tasks of one diagnosis have in common: all that its doctors asked about, and its rounds. */
export interface Group {
  readonly diagnosis: string
  readonly attributes: ReadonlyArray<string>
  readonly rounds: ReadonlyArray<Round>
}

/** The rounds of a session. A session that ends with the patient has none, nor does a round without a rest or an aim. */
export const roundsOf = ({ diagnosis, messages }: Session): Array<Round> => {
  if (messages.at(-1)?.role !== "doctor") return []
  return messages.flatMap((turn, i): ReadonlyArray<Round> => {
    // Of several turns in a row the last is the end of a round.
    if (turn.role !== "patient" || messages[i + 1]!.role === "patient") return []
    const rest = messages.slice(i + 1)
    const decision = rest.some(({ role }) => role === "patient") ? "continue" : "stop"
    const open = decision === "stop" ? [] : [...new Set(rest.flatMap(({ attributes = [] }) => attributes))]
    if (decision === "continue" && open.length === 0) return []
    return [
      { diagnosis, messages: messages.slice(0, i + 1).map(({ content, role }) => ({ role, content })), decision, open }
    ]
  })
}

/** Turns of one role in a row as one. */
export const merged = (turns: Round["messages"]): Round["messages"] => {
  const messages: Array<{ readonly role: Turn["role"]; readonly content: string }> = []
  for (const { content, role } of turns) {
    const last = messages.at(-1)
    if (last?.role === role) messages[messages.length - 1] = { role, content: `${last.content}\n${content}` }
    else messages.push({ role, content })
  }
  return messages
}

/** Share of the rounds that are kept for the test, as whole diagnoses. */
const testShare = 0.2

/** Groups of a part of the sessions. Diagnoses go to the test in the order of a hash, until it has a fifth of the rounds. */
export const groupsOf = (sessions: ReadonlyArray<Session>, split: Split): Array<Group> => {
  const groups = [...Map.groupBy(sessions, ({ diagnosis }) => diagnosis)].flatMap(([diagnosis, own]) => {
    const rounds = own.flatMap(roundsOf)
    const attributes = [
      ...new Set(own.flatMap(({ messages }) => messages.flatMap(({ attributes = [] }) => attributes)))
    ]
    return rounds.length === 0 ? [] : [{ diagnosis, attributes, rounds }]
  })
  if (split === "all") return groups
  const total = groups.reduce((sum, { rounds }) => sum + rounds.length, 0)
  const order = new Map(groups.map(({ diagnosis }) => [diagnosis, hash("sha256", `42 ${diagnosis}`)]))
  const test = new Set<string>()
  let tested = 0
  for (const { diagnosis, rounds } of groups.toSorted((a, b) =>
    order.get(a.diagnosis)! < order.get(b.diagnosis)! ? -1 : 1
  )) {
    if (tested >= testShare * total) break
    test.add(diagnosis)
    tested += rounds.length
  }
  return groups.filter(({ diagnosis }) => test.has(diagnosis) === (split === "test"))
}

/** Read once for each file and split, and never again: a file must not change while it is in use. */
const read = new Map<string, ReadonlyArray<Group>>()

/** The groups of a file, or of the synthetic sessions. Throws an Error that names file, line and field. */
export const groups = (file: string | null, split: Split): ReadonlyArray<Group> => {
  const key = JSON.stringify([file, split])
  let found = read.get(key)
  if (found === undefined) {
    found = groupsOf(file === null ? synthetic() : readSessions(textOf(file), file), split)
    if (found.length === 0) throw new Error(`${file ?? "synthetic dialogues"}: no rounds in the split ${split}`)
    read.set(key, found)
  }
  return found
}

const textOf = (file: string): string => {
  try {
    return readFileSync(file, "utf8")
  } catch (cause) {
    throw new Error(`a file of dialogues that can be read (${(cause as NodeJS.ErrnoException).code})`, { cause })
  }
}

/** The sessions of a text. Throws an Error that names the first thing that is wrong. */
export const readSessions = (text: string, file: string): Array<Session> =>
  text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return []
    const where = `${file}:${i + 1}`
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      throw new Error(`${where}: the line is no JSON, expected an object with diagnosis and messages`)
    }
    const wrong = flaw(value)
    if (wrong !== undefined) throw new Error(`${where}: ${wrong}`)
    return [value as Session]
  })

const is = (field: string, value: unknown, expected: string): string =>
  `"${field}" is ${(JSON.stringify(value) ?? "missing").slice(0, 60)}, expected ${expected}`

const flaw = (value: unknown): string | undefined => {
  if (typeof value !== "object" || value === null) return is("line", value, "an object with diagnosis and messages")
  const { diagnosis, messages } = value as Record<string, unknown>
  if (typeof diagnosis !== "string" || diagnosis === "") return is("diagnosis", diagnosis, "a text")
  if (!Array.isArray(messages) || messages.length === 0) return is("messages", messages, "a list of messages")
  for (const [i, message] of messages.entries()) {
    const { attributes, content, role } = (message ?? {}) as Record<string, unknown>
    if (role !== "patient" && role !== "doctor") return is(`messages[${i}].role`, role, "patient or doctor")
    if (typeof content !== "string") return is(`messages[${i}].content`, content, "a text")
    if (attributes === undefined) continue
    if (role !== "doctor") return is(`messages[${i}].attributes`, attributes, "none with a patient")
    if (
      !Array.isArray(attributes) ||
      attributes.some((attribute) => typeof attribute !== "string" || attribute === "")
    ) {
      return is(`messages[${i}].attributes`, attributes, "a list of texts")
    }
  }
  return undefined
}
