/** The executable: runs the command line that the process was started with. */
import { constellate } from "./commands.ts"
import { runAsProcess } from "./shell.ts"

runAsProcess(constellate(process.argv.slice(2)))
