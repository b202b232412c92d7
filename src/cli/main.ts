/** The process: streams, signals and the exit code around a command. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Exit } from "effect"
import { constellate } from "./commands.ts"
import { outcome } from "./failure.ts"
import { console, logger } from "./output.ts"
import { statusLine } from "./progress.ts"

// Whoever reads our output may stop reading (`| head`): then there is nobody left to answer to.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 3))

// Node announces what it still counts as experimental (its SQLite, in early versions of 24); users can't act on that.
process.removeAllListeners("warning")
process.on("warning", ({ message, name }) => {
  if (name !== "ExperimentalWarning") statusLine.print(`warning: ${message}`)
})

// The first Ctrl-C asks for a clean stop, a later one ends the process. npm passes on every signal that the terminal has
// sent already, so two at once count as one.
let firstInterrupt: number | undefined
process.on("SIGINT", () => {
  const now = performance.now()
  if (firstInterrupt !== undefined && now - firstInterrupt > 1_000) process.exit(130)
  if (firstInterrupt === undefined) statusLine.print("stopping; Ctrl-C again to stop at once")
  firstInterrupt ??= now
})

constellate(process.argv.slice(2)).pipe(
  Effect.provide([NodeServices.layer, logger]),
  Effect.provideService(Console.Console, console),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, onExit) => {
      statusLine.end()
      if (Exit.isSuccess(exit)) return onExit(0)
      const { code, lines } = outcome(exit.cause)
      for (const line of lines) statusLine.print(line)
      onExit(code)
    }
  })
)
