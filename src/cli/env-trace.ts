/** `constellate env trace`: one episode on a given task with given answers. */
import { Effect, Result, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { Style } from "../environment.ts"
import { stream } from "../kernels/random.ts"
import { given as attempt, type GivenTask, type TaskTrace, traceTask } from "../machines/given-task.ts"
import { environmentOptions, environmentSettings, openTaskSet } from "./environments.ts"
import { decodeTask, readJson } from "./env-task-file.ts"
import { WrongInput } from "./failure.ts"
import { answer, json } from "./output.ts"

export const trace = Command.make(
  "trace",
  {
    env: Argument.String("env").pipe(Argument.withDescription("ID[:PRESET], or the path of a folder or module")),
    task: Flag.File("task").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("{environment, options, knowledge, task, position, packSize, memory?}; see env show")
    ),
    answers: Flag.File("answers").pipe(Flag.withMetavar("FILE"), Flag.withDescription("A list of reply texts")),
    style: Flag.Literals("style", ["chat", "terse"]).pipe(
      Flag.withDefault("chat"),
      Flag.withDescription("Style of prompts and answers")
    ),
    seed: Flag.Int("seed").pipe(
      Flag.withDefault(1),
      Flag.withDescription("Of what the environment itself draws, such as slips; default 1")
    ),
    ...environmentOptions,
    json
  },
  Effect.fnUntraced(function* ({ answers, env, json, seed, style, task, ...settings }) {
    const chosen = yield* openTaskSet(env, 0, yield* environmentSettings(settings))
    if (style === "terse" && chosen.environment.terse === undefined) {
      return yield* new WrongInput({ field: "--style", value: style, expected: `"chat", the only one that it has` })
    }
    const given = yield* decodeTask(yield* readJson(task), task, chosen)
    const replies = yield* readAnswers(answers)
    const traced = yield* Effect.fromResult(
      Result.try({
        try: () => traceTask(given, { style }, replies, (step) => stream(seed, "trace", given.position, step)),
        catch: (thrown) => {
          const [field, value] = begins({ ...given, memory: undefined }, style)
            ? (["memory", given.memory] as const)
            : (["task", given.task] as const)
          const expected = `a ${field} that ${given.environment.id} can begin with: ${thrown instanceof Error ? thrown.message : String(thrown)}`
          return new WrongInput({ file: task, field, value, expected })
        }
      })
    )
    yield* answer(json, traced, () => report(traced))
  })
).pipe(
  Command.withDescription("Play a given task with given answers: observations, feedback, rewards and how it ended"),
  Command.withExamples([
    {
      command: "constellate env trace frozen-lake-obscure --task task.json --answers answers.json --json",
      description: 'With {"knowledge": ..., "task": ..., ...} and ["<answer>Direction 2</answer>", ...]'
    }
  ])
)

/** Whether there is a first step: then it was the memory that was wrong. */
const begins = (task: GivenTask, style: Style): boolean =>
  Result.isSuccess(Result.try(() => attempt(task, { style }).begin()))

const readAnswers = Effect.fnUntraced(function* (file: string) {
  const value = yield* readJson(file)
  if (!Array.isArray(value)) {
    return yield* new WrongInput({ file, field: "file", value, expected: "a list of reply texts" })
  }
  const stranger = value.findIndex((reply) => !Schema.is(Schema.String)(reply))
  if (stranger >= 0) {
    return yield* new WrongInput({ file, field: `${stranger}`, value: value[stranger], expected: "text" })
  }
  return value as ReadonlyArray<string>
})

const report = ({ feedback, finalState, outcome, reward, steps, unused, why }: TaskTrace): string =>
  [
    ...steps.map((step, i) => `[${i + 1}] ${step.observation}\n> ${step.answer}\n${step.feedback}`.trimEnd()),
    ...(finalState === null ? [] : [finalState]),
    `${outcome ?? "not over"}, reward ${reward}${why === undefined ? "" : `: ${why}`}`,
    feedback,
    ...(unused === 0 ? [] : [`${unused} answers were left over`])
  ]
    .filter((part) => part !== "")
    .join("\n\n")
