/**
 * Runs the benches of this folder, each in a process of its own: all of them, or those named.
 *
 *     npm run bench
 *     npm run bench -- kernels
 */
import { spawnSync } from "node:child_process"
import { readdirSync } from "node:fs"

const all = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith(".ts") && file !== "main.ts")
  .map((file) => file.slice(0, -3))
const named = process.argv.slice(2)
const unknown = named.find((name) => !all.includes(name))
if (unknown !== undefined) {
  console.error(`bench: there is no ${unknown}, expected one of ${all.join(", ")}`)
  process.exit(2)
}
for (const name of named.length > 0 ? named : all) {
  const { status } = spawnSync(process.execPath, [`${import.meta.dirname}/${name}.ts`], { stdio: "inherit" })
  if (status !== 0) process.exitCode = 1
}
