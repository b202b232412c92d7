/** The process around a command: streams, signals and the exit code. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Console, Effect, Exit } from "effect"
import { outcome } from "./failure.ts"
import { console, logger } from "./output.ts"
import { statusLine } from "./progress.ts"

/** Runs a command as this process, to the exit code that its end asks for. */
export const runAsProcess = <E>(command: Effect.Effect<void, E, NodeServices.NodeServices>): void => {
  ignoreWhatNobodyCanActOn()
  letCtrlCStopTwice()
  command.pipe(
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
}

const ignoreWhatNobodyCanActOn = (): void => {
  // Whoever reads our output may stop reading (`| head`): then there is nobody left to answer to.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 3))
  // Node announces what it still counts as experimental, such as its SQLite in early versions of 24.
  process.removeAllListeners("warning")
  process.on("warning", ({ message, name }) => {
    if (name !== "ExperimentalWarning") statusLine.print(`warning: ${message}`)
  })
}

/**
 * The first Ctrl-C asks for a clean stop, a later one ends the process. npm passes on every signal that the terminal has
 * sent already, so two at once count as one.
 */
const letCtrlCStopTwice = (): void => {
  let first: number | undefined
  process.on("SIGINT", () => {
    const now = performance.now()
    if (first !== undefined && now - first > 1_000) process.exit(130)
    if (first === undefined) statusLine.print("stopping; Ctrl-C again to stop at once")
    first ??= now
  })
}
