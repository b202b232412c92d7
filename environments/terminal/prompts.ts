/** A session in words for language models. */
import { answerBlock, type Parsed } from "../../src/environment.ts"
import { here } from "./commands.ts"
import { type Os, shellPrompt } from "./computer.ts"
import type { Session } from "./machine.ts"
import { commandNames } from "./shell.ts"

const systemNames: Record<Os, string> = { windows: "Windows", macos: "macOS", linux: "Linux" }

export const system = ({
  instruction,
  local,
  remote,
  stepCap
}: Session): string => `You work in a simulated terminal and want to carry out a task on files by typing commands.

## Computers
- Local machine: ${systemNames[local.os]}, host ${local.host}, user ${local.user}
- Remote server: Linux, host ${remote.host}, user ${remote.user} (SSH is set up, no password is needed)

## Commands
${commandNames.join(", ")}
Not all of them exist on every system.

## Task
${instruction}

## Answer
One command line per turn; commands may be chained in it with && or ;. You have ${stepCap} steps, and the task is over as soon as it is done.
An answer that cannot be read ends the task.
Reason briefly, then give exactly one command line at the end, like this: ${answerBlock.write("COMMAND")}`

export const user = (session: Session): string => {
  const { output, stepCap, taken } = session
  const last = taken === 0 ? "" : `Output of the last command:\n${output || "(none)"}\n`
  return `Step ${taken + 1}/${stepCap}\n${last}${shellPrompt(here(session))}`
}

/** What the last command line said; empty before the first. */
export const stepFeedback = ({ misread, output }: Session): string =>
  misread === null ? output : `Your answer could not be read: ${misread}.`

/** On the episode. What was missing is not told. */
export const endFeedback = ({ misread, solved, stepCap, taken }: Session): string => {
  if (misread !== null) return `The task ended because your answer could not be read: ${misread}.`
  return solved
    ? `You completed the task in ${taken} of ${stepCap} steps.`
    : `You did not reach the goal: ${taken} of ${stepCap} steps used.`
}

export const parse = (reply: string): Parsed<string> => {
  const line = answerBlock.read(reply)
  return line === undefined || line === ""
    ? { why: `expected exactly one ${answerBlock.write("COMMAND")} with a command line in it` }
    : { action: line }
}

/** How the simulation differs from real shells: what carries over from task to task. */
export const quirks = `- Pipes and redirections are refused; && and ; work.
- On a local Windows machine quotes stay part of a word, so write paths without them; touch, chmod, tar, gzip, gunzip and rsync do not exist there, but ls, cp, mv, rm, cat, zip and unzip do.
- ssh opens the remote shell and ignores a command after the host; exit comes back.
- scp and rsync run on the local machine only, as in scp FILE user@host:/absolute/path; they do not understand ~ in a remote path.
- tar ignores -C and extracts into the current directory; tar and zip name entries from the packed directory onwards. Go to its parent directory first.
- chmod takes three octal digits only.`
