/** `constellate env tasks`: packs of tasks as a file, a task a line, each of which `env trace --task` can play. */
import { Console, Effect, FileSystem, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { encodeTask, sampleTasks } from "./env-task-file.ts"
import { environmentOptions, environmentSettings, openTaskSet } from "./environments.ts"

const positive = Schema.Int.check(Schema.isGreaterThan(0))

export const tasks = Command.make(
  "tasks",
  {
    env: Argument.String("env").pipe(Argument.withDescription("ID[:PRESET], or the path of a folder or module")),
    packs: Flag.Int("packs").pipe(Flag.withSchema(positive), Flag.withDefault(1), Flag.withDescription("Default 1")),
    packSize: Flag.Int("pack-size").pipe(
      Flag.withSchema(positive),
      Flag.withDefault(4),
      Flag.withDescription("Tasks of a pack; default 4")
    ),
    seed: Flag.Int("seed").pipe(
      Flag.withDefault(1),
      Flag.withDescription("Pack i is the one that lifecycle i of simulate lives with this seed; default 1")
    ),
    out: Flag.String("out").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Where to write them; must not exist. Default: stdout"),
      Flag.optional
    ),
    ...environmentOptions
  },
  Effect.fnUntraced(function* ({ env, out, packs, packSize, seed, ...given }) {
    const sampled = sampleTasks(yield* openTaskSet(env, 0, yield* environmentSettings(given)), {
      packs,
      packSize,
      seed
    })
    const lines = sampled.map((task) => JSON.stringify(encodeTask(task))).join("\n")
    if (Option.isNone(out)) return yield* Console.log(lines)
    yield* (yield* FileSystem.FileSystem).writeFileString(out.value, `${lines}\n`, { flag: "wx" })
  })
).pipe(
  Command.withDescription("Write the tasks of packs, with their hidden knowledge, one line of JSON each"),
  Command.withExamples([
    { command: "constellate env tasks frozen-lake-obscure --packs 2 --seed 7", description: "Eight tasks" },
    { command: "constellate env tasks alchemy:hard --packs 100 --out tasks.jsonl", description: "Into a file" }
  ])
)
