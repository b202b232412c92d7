/** Checks of what an environment shows and reads: prompts, hidden knowledge, hostile answers, the terse style. */
import { initialContext } from "../environment.ts"
import { outcomeOf } from "../machines/agent.ts"
import { given, type GivenTask, type Manner } from "../machines/given-task.ts"
import type { Solve } from "../machines/solve.ts"
import { cpuMillis, place, play, rngOf, speaker, type Specimen, type Verdict, verdict } from "./conformance-specimen.ts"

const prompts = ({ environment: { chat }, tasks }: Specimen): Verdict => {
  // Where every text is an answer, there is no form to be shown.
  const takesAnswerBlock = "why" in chat.parse("no answer")
  const warnings: Array<string> = []
  const problems = tasks().flatMap((task) => {
    const { environment } = task
    const { solves } = play(task, "prompts", speaker(task, "random", "prompts"))
    const first = solves[0]!
    const last = solves.at(-1)!
    const { system } = first
    const observations = last.agent.context.steps.map(({ observation }) => observation)
    for (const [step, { world }] of solves.slice(1, -1).entries()) {
      if (!observations[step + 1]!.includes(environment.feedback.step(world)))
        warnings.push(`an observation does not repeat the feedback on the step before it (${place(task, step + 1)})`)
    }
    const feedback = environment.feedback.end(last.world)
    return [
      ...(system.trim() === "" ? ["the system text is empty"] : []),
      ...(system.includes("<answer>") || !takesAnswerBlock
        ? []
        : ["the system text does not show the form of an answer, <answer>...</answer>"]),
      ...observations.flatMap((text, step) =>
        text.trim() === "" ? [`the observation is empty (${place(task, step)})`] : []
      ),
      ...(environment.feedback.step(first.world) === "" ? [] : ["there is feedback on a step before the first one"]),
      ...(feedback.trim() === "" ? ["there is no feedback on the episode"] : []),
      ...[system, ...observations, feedback].flatMap((text) => {
        const slip = /\[object \w+\]|\bundefined\b|\bNaN\b/.exec(text)
        return slip === null
          ? []
          : [`a text says ${JSON.stringify(text.slice(Math.max(0, slip.index - 20), slip.index + 30))}`]
      })
    ]
  })
  return verdict(
    [...new Set(problems)],
    "instructions with the form of an answer, observations at every step, feedback",
    null,
    warnings
  )
}

/** Words and numbers of a text, without what stands between them. */
const tokens = (text: string): string =>
  ` ${(text.toLowerCase().match(/[\p{L}\p{N}.-]*[\p{L}\p{N}]/gu) ?? []).join(" ")} `

const scalars = (value: unknown): Array<string> =>
  typeof value === "object" && value !== null
    ? Object.values(value).flatMap(scalars)
    : value === null
      ? []
      : [String(value)]

/** Texts of the first prompt in every style. */
const firstTexts = (task: GivenTask): string =>
  stylesOf(task)
    .map((style) => given(task, { style }).begin())
    .map(({ agent, system }) => `${system}\n${agent.context.messages.at(-1)!.content}`)
    .join("\n")

const stylesOf = ({ environment }: Pick<GivenTask, "environment">): ReadonlyArray<Manner["style"]> =>
  environment.terse === undefined ? ["chat"] : ["chat", "terse"]

/** Packs to tell what is true of a pack from what is true of many. */
const others = 40

/**
 * The hidden knowledge counts as told when the values that it is made of stand in a row in the first prompt, and the
 * prompt changes with it; or a sentence of its description does that other packs do not share.
 */
const hidden = ({ environment, packs, tasks }: Specimen): Verdict => {
  const first = tasks().filter(({ position }) => position === 0)
  const shown = first.map((task) => tokens(firstTexts(task)))
  const described = packs(others).map((pack) => ({
    key: JSON.stringify(pack.knowledge()),
    lines: environment.knowledge.describe(pack.knowledge()).split("\n").map(tokens)
  }))
  const problems = first.flatMap((task, i) => {
    const j = (i + 1) % first.length
    const other = first[j]!
    const values = scalars(task.knowledge)
    const spelled = (t: GivenTask) => tokens(scalars(t.knowledge).join(" "))
    if (values.length === 0 || spelled(task) === spelled(other)) return []
    const swapped = attempt(() => tokens(firstTexts({ ...task, knowledge: other.knowledge })))
    const told =
      shown[i]!.includes(spelled(task)) &&
      (swapped === undefined ? values.length > 2 : swapped !== shown[i] && swapped.includes(spelled(other)))
    const { key, lines } = described[i]!
    const isShared = (line: string) => described.some((pack) => pack.key !== key && pack.lines.includes(line))
    const sentences = lines.filter((line) => line.split(" ").length > 4 && shown[i]!.includes(line) && !isShared(line))
    return [
      ...(told ? [`the first prompt tells the hidden knowledge: ${spelled(task).trim().slice(0, 80)}`] : []),
      ...sentences.map(
        (line) => `the first prompt says what describes the hidden knowledge: ${line.trim().slice(0, 80)}`
      )
    ]
  })
  return verdict([...new Set(problems)], "no first prompt tells the hidden knowledge", { packs: first.length })
}

const attempt = <A>(call: () => A): A | undefined => {
  try {
    return call()
  } catch {
    return undefined
  }
}

const nested = (open: string, close: string) => `${open.repeat(1000)}1${close.repeat(1000)}`

/** What goes between the marks of an answer, or instead of an answer. */
const hostile: Readonly<Record<string, string>> = {
  empty: "",
  blank: " \n\t ",
  "a megabyte": "a".repeat(2 ** 20),
  "control characters": "\u0000\u0001\u0007\u001b[2J\u007f\u009b",
  "half a character": "\ud800",
  "right to left": "\u202eUp",
  "a thousand brackets": nested("(", ")"),
  "a thousand lists": nested("[", "]"),
  "a thousand elements": nested("<a>", "</a>"),
  "a division by zero": "1/0",
  "a huge number": `1${"0".repeat(400)}`,
  "a negative index": "-1",
  "program text": "process.exit(7)",
  "a loop": "while (true) {}",
  "a prototype": "__proto__",
  "a constructor": "constructor.constructor('return process')()",
  "a template": "${process.exit(7)} {{7*7}}",
  "a path": "../../../../etc/passwd",
  "a slow pattern": `${"a".repeat(5_000)}${"!".repeat(5_000)}`
}

/** Replies of which none is the plain answer to anything. */
export const hostileReplies: Readonly<Record<string, string>> = {
  ...hostile,
  ...Object.fromEntries(
    Object.entries(hostile).map(([name, text]) => [`${name}, as an answer`, `<answer>${text}</answer>`])
  ),
  "two answers": "<answer>1</answer><answer>2</answer>",
  "an answer in an answer": "<answer><answer>1</answer></answer>",
  "an open answer": "<answer>1",
  "an answer backwards": "</answer>1<answer>"
}

/** Longer feedback would push everything else out of a context window. */
const longest = 50_000
const slowestMillis = 1_000

const answers = (specimen: Specimen): Verdict => {
  const problems: Array<string> = []
  const endings: Record<string, string> = {}
  const [task] = specimen.tasks()
  for (const style of stylesOf(specimen)) {
    for (const [name, reply] of Object.entries(hostileReplies)) {
      const { begin, take } = given(task!, { style, context: initialContext })
      const started = cpuMillis()
      try {
        const begun = begin()
        const solve = take(begun, reply, rngOf(`hostile ${name}`)(0))
        const { outcome, problem } = judge(specimen, task!, solve, style, reply)
        endings[`${style}: ${name}`] = outcome
        if (problem !== undefined) problems.push(`${name}: ${problem}`)
      } catch (thrown) {
        problems.push(`${name}: it throws ${String(thrown).slice(0, 120)}`)
      }
      const millis = cpuMillis() - started
      if (millis > slowestMillis) problems.push(`${name}: it takes ${Math.round(millis)} ms`)
    }
  }
  if (Object.keys(Object.prototype).length > 0) problems.push("an answer changed the prototype of all objects")
  return verdict(problems, `${Object.keys(endings).length} hostile answers ended well`, endings)
}

const judge = ({ environment }: Specimen, task: GivenTask, solve: Solve, style: Manner["style"], reply: string) => {
  const outcome = outcomeOf(solve.agent) ?? "goes on"
  const read = environment[style]!.parse(reply)
  const texts = [environment.feedback.step(solve.world), environment.feedback.end(solve.world)]
  if (solve.world.status === "active") texts.push(environment[style]!.user(solve.world))
  const length = Math.max(...texts.map((text) => text.length))
  const problem =
    "why" in read && (outcome === "success" || outcome === "failure")
      ? `an answer that cannot be read ended as ${outcome} (${place(task, 0)})`
      : length > longest
        ? `a text of ${length} characters comes back`
        : undefined
  return { outcome, problem }
}

const words = (text: string): ReadonlyArray<string> => (text === "" ? [] : text.split(" "))

const terse = ({ environment, tasks }: Specimen): Verdict => {
  const { terse } = environment
  if (terse === undefined) return verdict([], "no terse style: small policies can't be trained on it")
  const known = new Set(terse.vocabulary)
  const unusable = terse.vocabulary.filter((word) => word === "" || /\s/.test(word))
  const problems = [
    ...unusable.map((word) => `${JSON.stringify(word)} can't be a word`),
    ...(known.size === terse.vocabulary.length ? [] : ["a word stands twice in the vocabulary"]),
    ...(terse.replyTokens.solve >= 1 && terse.replyTokens.update >= 1 ? [] : ["a reply needs at least one token"])
  ]
  let seen = 0
  for (const [i, task] of tasks().entries()) {
    const { solves } = play(task, `terse ${i}`, speaker(task, "random", `terse ${i}`))
    problems.push(...feedbackProblems(terse, solves))
    for (const { world } of solves) {
      const ended = world.status !== "active"
      const texts = ended ? [terse.trajectory?.(world) ?? ""] : [terse.system(world), terse.user(world)]
      for (const word of texts.flatMap(words)) {
        seen++
        if (!known.has(word)) problems.push(`the view says ${JSON.stringify(word)}, which is not in the vocabulary`)
      }
    }
  }
  return verdict([...new Set(problems)], `${seen} words, all of them from a vocabulary of ${known.size}`, {
    vocabulary: known.size
  })
}

/** Where words are said to be feedback, they are, and can be told otherwise. */
const feedbackProblems = (
  { feedback, trajectory, user }: NonNullable<Specimen["environment"]["terse"]>,
  solves: ReadonlyArray<Solve>
): ReadonlyArray<string> => {
  if (feedback === undefined) return []
  const told = "~told"
  const words = solves.map(({ world }) => feedback(world))
  const misplaced = solves.some(({ world }, i) => world.status === "active" && !user(world).startsWith(words[i]!))
  const { world } = solves.at(-1)!
  const retold = trajectory?.(
    world,
    words.slice(1).map(() => told)
  )
  return [
    ...(words[0] === "" ? [] : ["it has feedback before the first step"]),
    ...(misplaced ? ["an observation does not begin with its feedback"] : []),
    ...(retold === undefined || words.every((word) => word === "") || retold.includes(told)
      ? []
      : ["the trajectory says what feedback was, whatever was told instead"])
  ]
}

export const viewChecks = { prompts, hidden, answers, terse }
