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
