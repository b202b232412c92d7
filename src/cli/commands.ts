/**
 * The command line: which commands there are, and how one is run.
 *
 * A command's module is imported only when it is the one that was asked for, so that `--help` stays quick whatever the
 * others need. Its one-line description stands here, its options, examples and handler in its module.
 */
import { Console, Effect, FileSystem } from "effect"
import { findPackageJSON } from "node:module"
import type { NodeServices } from "@effect/platform-node/NodeServices"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import { shortenLongForms } from "./config.ts"

/** Any command whose handler needs nothing but what the process provides. */
type AnyCommand = Command.Command<any, any, any, unknown, NodeServices>

/** Name, what it does in one line, and where it is. */
const commands: Record<string, readonly [description: string, load: () => Promise<AnyCommand>]> = {
  train: [
    "From task sets to a better policy, in a run folder that can be resumed",
    () => import("./train.ts").then(({ train }) => train)
  ],
  eval: ["Success and reward by position", () => import("./eval.ts").then(({ evaluate }) => evaluate)],
  simulate: ["Many lifecycles without learning", () => import("./simulate.ts").then(({ simulate }) => simulate)],
  replay: [
    "Recorded lifecycles lived again, and what differs",
    () => import("./replay.ts").then(({ replay }) => replay)
  ],
  env: [
    "The environment workbench: list, show, new, check, play, trace, tasks",
    () => import("./env.ts").then(({ env }) => env)
  ],
  credit: ["Credit assignment on its own, over files", () => import("./credit.ts").then(({ credit }) => credit)],
  serve: ["An OpenAI-compatible endpoint for a policy", () => import("./serve.ts").then(({ serve }) => serve)],
  runs: ["Run folders: list them, show one", () => import("./runs.ts").then(({ runs }) => runs)],
  doctor: [
    "What this machine can do, and what to do about what is missing",
    () => import("./doctor.ts").then(({ doctor }) => doctor)
  ]
}

export const commandNames: ReadonlyArray<string> = Object.keys(commands)

/** One of them, with all its options. */
export const loadCommand = (name: string): Effect.Effect<AnyCommand> =>
  Effect.map(Effect.promise(commands[name]![1]), Command.withDescription(commands[name]![0]))

const examples: ReadonlyArray<Command.Command.Example> = [
  { command: "constellate train --preset spark", description: "Train a small policy from nothing, in minutes" },
  {
    command: "constellate eval scripted:careful --env frozen-lake-obscure",
    description: "Success by position of an agent that carries what it learns"
  },
  { command: "constellate doctor", description: "See what this machine can do" }
]

/** Runs a command line: the words after `constellate`. Fails with what the shell makes an exit code of. */
export const constellate = Effect.fnUntraced(function* (words: ReadonlyArray<string>) {
  const args = shortenLongForms(words)
  const asked = args.find((word) => !word.startsWith("-"))
  const everything = args.some((word) => word.startsWith("--completions"))
  const subcommands = yield* Effect.forEach(Object.entries(commands), ([name, [description]]) =>
    everything || name === asked
      ? loadCommand(name)
      : Effect.succeed(Command.make(name).pipe(Command.withDescription(description)) as AnyCommand)
  )
  const root = Command.make("constellate").pipe(
    Command.withDescription(
      "Simulates and trains long-lifecycle agents: thousands of lifecycles, one policy, one machine."
    ),
    Command.withExamples(examples),
    Command.withSubcommands(subcommands)
  )
  yield* Command.runWith(root, { version: yield* version })(args).pipe(
    Effect.provideService(CliConfig.CliConfig, { builtIns }),
    Effect.provideService(CliOutput.Presenter, presenter)
  )
})

const builtIns = [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel]

/** Help that was asked for is an answer; help in place of a missing command is not. What is wrong is said by the shell. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    switch (event._tag) {
      case "Help":
        return Effect.flatMap(CliOutput.Formatter, (formatter) =>
          (event.reason === "Requested" ? Console.log : Console.error)(formatter.formatHelpDoc(event.helpDoc))
        )
      case "InvalidInvocation":
        return Effect.void
      case "Version":
        return Console.log(`${event.name} ${event.version}`)
    }
  }
}

/** From our package.json, which lies above the sources and above what is compiled from them. */
const version = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  return JSON.parse(yield* files.readFileString(findPackageJSON(import.meta.url)!)).version as string
})
