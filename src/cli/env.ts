/** `constellate env`: the environment workbench. */
import * as Command from "effect/cli/Command"
import { check } from "./env-check.ts"
import { list } from "./env-list.ts"
import { create } from "./env-new.ts"
import { play } from "./env-play.ts"
import { show } from "./env-show.ts"
import { tasks } from "./env-tasks.ts"
import { trace } from "./env-trace.ts"

export const env = Command.make("env").pipe(
  Command.withDescription("The environment workbench: look at environments, write, check, play and trace them"),
  Command.withSubcommands([list, show, create, check, play, trace, tasks])
)
