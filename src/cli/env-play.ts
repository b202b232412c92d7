/** `constellate env play`: a person plays tasks of a pack in the terminal. */
import { Console, Effect } from "effect"
import { Argument, Command, Flag, Prompt } from "effect/cli"
import { answerBlock } from "../environment.ts"
import { stream } from "../kernels/random.ts"
import { outcomeOf } from "../machines/agent.ts"
import { given } from "../machines/given-task.ts"
import { type FiledTask, sampleTasks } from "./env-task-file.ts"
import { environmentOptions, environmentSettings, openTaskSet } from "./environments.ts"
import { WrongInput } from "./failure.ts"

const help =
  "Answer as the instructions say, with or without <answer>...</answer>; ? shows what is hidden, Ctrl-C ends."

export const play = Command.make(
  "play",
  {
    env: Argument.String("env").pipe(Argument.withDescription("ID[:PRESET], or the path of a folder or module")),
    packSize: Flag.Int("pack-size").pipe(Flag.withDefault(4), Flag.withDescription("Tasks to play; default 4")),
    seed: Flag.Int("seed").pipe(Flag.withDefault(1), Flag.withDescription("Of the pack; default 1")),
    ...environmentOptions
  },
  Effect.fnUntraced(function* ({ env, packSize, seed, ...given }) {
    if (!process.stdin.isTTY) {
      return yield* new WrongInput({ field: "stdin", value: "not a terminal", expected: "a terminal to play in" })
    }
    const tasks = sampleTasks(yield* openTaskSet(env, 0, yield* environmentSettings(given)), {
      packs: 1,
      packSize,
      seed
    })
    yield* Console.log(help)
    let played: Played | undefined
    for (const task of tasks) {
      yield* Console.log(`\nTask ${task.position + 1} of ${packSize}`)
      played = yield* playTask(withMemory(task, played), seed, played)
    }
  })
).pipe(
  Command.withDescription(
    "Play a pack of tasks in the terminal: what an agent sees, and the hidden knowledge on request"
  ),
  Command.withExamples([{ command: "constellate env play frozen-lake-obscure --seed 3", description: "Four tasks" }])
)

/** A task that is over. */
interface Played {
  readonly system: string
  readonly knowledge: unknown
  /** The environment's, for the next task. */
  readonly memory: unknown
}

/** The environment's memory goes on, and begins anew when its knowledge has changed: as in a lifecycle. */
const withMemory = (task: FiledTask, before: Played | undefined): FiledTask => {
  if (before?.memory === undefined) return task
  if (before.knowledge === task.knowledge) return { ...task, memory: before.memory }
  const { environment, knowledge, options, packSize } = task
  return { ...task, memory: environment.memory?.({ options, knowledge, packSize, before: before.memory }) }
}

/** To the end of the task. Instructions are shown when they are not those of the task before. */
const playTask = Effect.fnUntraced(function* (task: FiledTask, seed: number, before: Played | undefined) {
  const { begin, take } = given(task, { style: "chat" })
  const { describe } = task.environment.knowledge
  let solve = begin()
  if (solve.system !== before?.system) yield* Console.log(`\n${solve.system}`)
  while (outcomeOf(solve.agent) === undefined) {
    const { messages, steps } = solve.agent.context
    yield* Console.log(`\n${messages.at(-1)!.content}`)
    const typed = yield* Prompt.run(Prompt.String({ message: "Your answer" })).pipe(
      Effect.catchTag("QuitError", () => Effect.interrupt)
    )
    if (typed.trim() === "?") yield* Console.log(describe(task.knowledge))
    else solve = take(solve, replyOf(task, typed), stream(seed, "play", task.position, steps.length))
  }
  const { environment } = task
  const end = [environment.finalState?.(solve.world) ?? "", environment.feedback.end(solve.world)]
  yield* Console.log(`\n${end.filter((part) => part !== "").join("\n")}`)
  yield* Console.log(`${outcomeOf(solve.agent)}, reward ${solve.agent.context.reward}`)
  return { system: solve.system, knowledge: task.knowledge, memory: solve.memory } satisfies Played as Played
})

/** People leave out the marks of an answer where it can't be read without them. */
const replyOf = ({ environment }: FiledTask, typed: string): string =>
  "why" in environment.chat.parse(typed) && !typed.includes("<answer>") ? answerBlock.write(typed) : typed
