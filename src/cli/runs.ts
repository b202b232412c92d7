import { Command } from "effect/cli"
export const runs = Command.make("runs")
