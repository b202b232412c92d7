import { Command } from "effect/cli"
export const doctor = Command.make("doctor")
