/** What `env new` writes: a complete environment to change, with its test. Neither text holds a template string of its own. */

export interface Template {
  readonly id: string
  /** Where the environment API is imported from. */
  readonly api: string
  /** Where the test imports `it` from. */
  readonly tests: string
  /** File name of the environment's module. */
  readonly module: string
}

const titleOf = (id: string): string =>
  id
    .split("-")
    .map((word) => word[0]!.toUpperCase() + word.slice(1))
    .join(" ")

const summary = (id: string): string =>
  `/** ${titleOf(id)}: three levers move you to a goal; which does what is hidden, and the same for all tasks of a pack. */`

type Named = Pick<Template, "api" | "id">

export const environmentSource = ({ api, id }: Named): string => String.raw`${summary(id)}
import { Effect, Schema } from "effect"
import { assign, setup } from "xstate"
import type { Agent, Ending, EnvironmentEvent, Parsed, Prompt, Start, Told } from "${api}"
import { answerBlock, defineEnvironment, hintsBlock } from "${api}"

const levers = ["1", "2", "3"] as const
const moves = ["left", "right", "nothing"] as const
type Move = (typeof moves)[number]

// What there is to set (every option has a default), what is hidden, and what a task is: all of it JSON.
const OneToSix = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 6 }))
const count = (value: number) => OneToSix.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(value)))
const Options = Schema.Struct({ farthest: count(3), stepCap: count(4) })
const Knowledge = Schema.Array(Schema.Literals(moves)) // What levers 1 to 3 do.
const Task = Schema.Struct({ distance: Schema.Int }) // Tiles to the goal, negative to the left.

// The dynamics: pure functions, and a machine that calls them.
interface Walk {
  readonly knowledge: ReadonlyArray<Move>
  readonly stepCap: number
  readonly distance: number
  readonly taken: ReadonlyArray<readonly [lever: string, move: Move]>
}
const pull = (walk: Walk, lever: string): Walk => {
  const move = walk.knowledge[Number(lever) - 1]!
  const distance = walk.distance - { left: -1, right: 1, nothing: 0 }[move]
  return { ...walk, distance, taken: [...walk.taken, [lever, move]] }
}
const ending = (outcome: Ending["outcome"], success = outcome === "success") =>
  ({ type: "final", output: { success, reward: success ? 1 : 0, outcome } }) as const

const machine = setup({
  types: {} as {
    context: Walk
    events: EnvironmentEvent<string>
    input: Start<typeof Options.Type, typeof Knowledge.Type, typeof Task.Type>
    output: Ending
  },
  guards: {
    onGoal: ({ context }) => context.distance === 0,
    outOfSteps: ({ context }) => context.taken.length >= context.stepCap
  },
  actions: { pull: assign(({ context, event }) => (event.type === "answer" ? pull(context, event.action) : context)) }
}).createMachine({
  id: "${id}",
  context: ({ input: { knowledge, options, task } }) => ({ ...task, knowledge, stepCap: options.stepCap, taken: [] }),
  initial: "walking",
  states: {
    walking: {
      always: [
        { guard: "onGoal", target: "onGoal" },
        { guard: "outOfSteps", target: "outOfSteps" }
      ],
      on: { answer: { actions: "pull" }, malformed: { target: "misread" } }
    },
    onGoal: ending("success"),
    outOfSteps: ending("truncated"),
    misread: ending("malformed")
  },
  output: ({ event }) => event.output as Ending
})

// Words for language models; feedback and hints have one form, so that agents read both alike.
const line = ([lever, move]: readonly [string, string]) => "Lever " + lever + ": " + move + "."
const said = ({ taken }: Walk) => taken.slice(-1).map(line).join("")
const rules =
  "Reach the goal. Three levers move you left, right or not at all; find out which. Answer with one: <answer>1</answer>"
const user = ({ distance, stepCap, taken }: Walk) => {
  const goal = "The goal is " + Math.abs(distance) + " tiles to the " + (distance < 0 ? "left." : "right.")
  return ["Step " + (taken.length + 1) + "/" + stepCap + ".", ...taken.slice(-1).map(line), goal].join(" ")
}
const parse = (answer: string | undefined): Parsed<string> =>
  levers.some((lever) => lever === answer) ? { action: answer! } : { why: "expected one lever, 1, 2 or 3" }

// Agents read prompts and write replies as a language model would, and keep nothing between calls.
const found = (text: string, form: RegExp) =>
  new Map([...text.matchAll(form)].map(([, lever, move]) => [lever!, move!]))
const textOf = ({ messages }: Prompt) => messages.map(({ content }) => content).join("\n")
const wanted = (prompt: Prompt) => (textOf(prompt).endsWith("left.") ? "left" : "right")
/** Levers known to do what is wanted, or else those that nothing is known of, or else any. */
const choices = (known: ReadonlyMap<string, string>, wanted: string) => {
  const rank = (lever: string) => (known.get(lever) === wanted ? 2 : known.has(lever) ? 0 : 1)
  return levers.filter((lever) => rank(lever) === Math.max(...levers.map(rank)))
}
const nothingLearnt = hintsBlock.write("null")
const careful: Agent = (prompt, _, rng) => {
  const known = found(textOf(prompt), /Lever ([1-3]): (left|right|nothing)/g)
  if (prompt.kind === "solve") return answerBlock.write(rng.pick(choices(known, wanted(prompt))))
  return known.size === 0 ? nothingLearnt : hintsBlock.write([...known].map(line).join("\n"))
}

// The same in few words, to train small policies: "1 L" means that lever 1 moves left, "R2" a goal two tiles right.
const letter = { left: "L", right: "R", nothing: "." } as const
const words = ({ taken }: Walk, told: Told = []) =>
  taken.map(([lever, move], i) => told[i] ?? lever + " " + letter[move]).filter((word) => word !== "")
const offset = (distance: number) => (distance < 0 ? "L" : "R") + Math.abs(distance)

export default defineEnvironment({
  id: "${id}",
  title: "${titleOf(id)}",
  options: Options,
  presets: { train: {}, hard: { farthest: 5, stepCap: 6 } },
  knowledge: {
    schema: Knowledge,
    sample: (rng) => rng.shuffle(moves),
    describe: (knowledge) => knowledge.map((move, i) => line([levers[i]!, move])).join("\n")
  },
  task: { schema: Task, sample: (rng, at) => ({ distance: rng.pick([-1, 1]) * rng.int(1, at.options.farthest) }) },
  machine,
  chat: { system: () => rules, user: ({ context }) => user(context), parse: (reply) => parse(answerBlock.read(reply)) },
  terse: {
    vocabulary: [..."123LR.?", ...Array.from({ length: 25 }, (_, i) => offset(i - 12))],
    system: () => "",
    user: ({ context }) => [...words(context).slice(-1), offset(context.distance)].join(" "),
    parse: (reply) => parse(/^[LR] ([1-3])$/.exec(reply)?.[1]), // Where to go, and the lever thought to lead there.
    feedback: ({ context }) => words(context).slice(-1).join(""),
    trajectory: ({ context }, told) => words(context, told).join(" "),
    replyTokens: { solve: 2, update: 7 }
  },
  feedback: {
    step: ({ context }) => said(context),
    end: ({ context }) => said(context) + (context.distance === 0 ? " You reached the goal." : " You did not arrive.")
  },
  agents: {
    random: ({ kind }, _, rng) => (kind === "update" ? nothingLearnt : answerBlock.write(rng.pick(levers))),
    oracle: (prompt, _, __, knowledge) =>
      prompt.kind === "update" ? nothingLearnt : answerBlock.write(levers[knowledge!.indexOf(wanted(prompt))]!),
    careful,
    amnesiac: (prompt, context, rng) => (prompt.kind === "update" ? nothingLearnt : careful(prompt, context, rng))
  },
  // Noisy demonstrations for the warm start: a drill in looking things up, then what a mediocre beginner does.
  demonstrate: {
    stages: ["drill", "mediocre"],
    context: (stage, knowledge, rng) =>
      rng.uniform() < (stage === "drill" ? 0.4 : 0.8)
        ? ""
        : levers.map((lever, i) => lever + " " + (rng.uniform() < 0.7 ? letter[knowledge[i]!] : "?")).join(" "),
    reply: (stage, prompt, context, rng) => {
      const knows = () => rng.uniform() < (stage === "drill" ? 0.95 : 0.6)
      const known = found(context + " " + textOf(prompt), /([1-3]) ([LR.])/g)
      const kept = () => levers.map((lever) => lever + " " + ((knows() && known.get(lever)) || "?")).join(" ")
      if (prompt.kind === "update") return { reply: kept(), recalled: false }
      const wanted = /[LR](?=\d+$)/.exec(textOf(prompt))![0]
      const lever = rng.pick(knows() ? choices(known, wanted) : levers)
      return { reply: wanted + " " + lever, recalled: known.get(lever) === wanted }
    }
  }
})
`

/** Put together here, so that nobody takes it for an import of this file. */
const subject = ({ id, module }: Template): string => `import environment from "../../environments/${id}/${module}"`

export const testSource = (template: Template): string => String.raw`import assert from "node:assert/strict"
import { it } from "${template.tests}"
import { createActor } from "xstate"
${subject(template)}

/** Lever 1 moves right, lever 2 left; the goal is two tiles to the right. */
const input = {
  options: { farthest: 3, stepCap: 3 },
  knowledge: ["right", "left", "nothing"],
  task: { distance: 2 },
  memory: undefined,
  position: 0,
  packSize: 4
}

const play = (...answers: ReadonlyArray<string>) => {
  const actor = createActor(environment.machine, { input }).start()
  for (const answer of answers) {
    const parsed = environment.chat.parse("<answer>" + answer + "</answer>")
    actor.send("action" in parsed ? { type: "answer", ...parsed } : { type: "malformed", ...parsed })
  }
  return actor.getSnapshot()
}

it("${template.id}: the right lever, twice, reaches the goal", () => {
  const end = play("1", "1")
  assert.deepEqual(end.output, { success: true, reward: 1, outcome: "success" })
  assert.equal(environment.feedback.end(end), "Lever 1: right. You reached the goal.")
})

it("${template.id}: a lever shows what it does, and what is hidden is not told before", () => {
  assert.equal(environment.chat.user(play()), "Step 1/3. The goal is 2 tiles to the right.")
  assert.equal(environment.chat.user(play("2")), "Step 2/3. Lever 2: left. The goal is 3 tiles to the right.")
})

it("${template.id}: running out of steps and answers that cannot be read end differently", () => {
  assert.equal(play("3", "3", "3").output.outcome, "truncated")
  assert.equal(play("4").output.outcome, "malformed")
})
`
