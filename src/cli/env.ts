/** `constellate env`: the environment workbench. */
import * as Command from "effect/cli/Command"
import { trace } from "./env-trace.ts"

export const env = Command.make("env").pipe(
  Command.withDescription("The environment workbench: look at environments, write, check, play and trace them"),
  Command.withSubcommands([trace])
)
