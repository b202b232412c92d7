/** Training runs small enough for a test, and what two of them have in common. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll } from "vitest"

export const main = join(import.meta.dirname, "../../src/cli/main.ts")
/** A folder that goes when the tests are over. */
export const root = mkdtempSync(join(tmpdir(), "constellate-train-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Just enough of a warm start for the first updates to have something to learn from. */
export const small = {
  "model.hiddenSize": 32,
  "model.innerSize": 24,
  "model.layers": 2,
  "model.heads": 2,
  "model.keyValueHeads": 1,
  "model.headSize": 8,
  "warmStart.lifecycles": 4,
  "warmStart.minimum": 200,
  "warmStart.maximum": 200,
  "warmStart.settle": 10,
  "warmStart.checkpointEvery": 50,
  "rollout.packs": 3,
  "rollout.groupSize": 4,
  "rollout.packSize": 2,
  "evaluation.packs": 4,
  "evaluation.packSize": 2,
  checkpointEvery: 2,
  updates: 5
}

export const args = (folder: string, more: Record<string, unknown> = {}) => [
  main,
  "train",
  "--run",
  folder,
  ...Object.entries({ ...small, ...more }).flatMap(([key, value]) => ["--set", `${key}=${String(value)}`])
]

/** Runs the command; `endWhen` looks at the folder every few milliseconds, and the process gets the signal once. */
export const run = (words: ReadonlyArray<string>, endWhen?: () => boolean, signal: NodeJS.Signals = "SIGKILL") =>
  new Promise<{ code: number | null; stdout: string; stderr: string }>((settle) => {
    const child = spawn(process.execPath, [...words])
    let stdout = ""
    let stderr = ""
    child.stdout.on("data", (text) => (stdout += text))
    child.stderr.on("data", (text) => (stderr += text))
    const watch =
      endWhen &&
      setInterval(() => {
        if (!endWhen()) return
        clearInterval(watch)
        child.kill(signal)
      }, 2)
    child.on("close", (code) => {
      clearInterval(watch)
      settle({ code, stdout, stderr })
    })
  })

/** SHA-256 of what a finished run must have in common with its equals. */
export const bytesOf = (folder: string) => {
  const last = join(folder, "checkpoints", String(small.updates))
  const files = [
    "metrics.jsonl",
    ...(existsSync(join(folder, "warm-start.jsonl")) ? ["warm-start.jsonl"] : []),
    ...readdirSync(last).map((name) => join("checkpoints", "5", name))
  ]
  return Object.fromEntries(
    files.map((name) => [
      name,
      createHash("sha256")
        .update(readFileSync(join(folder, name)))
        .digest("hex")
    ])
  )
}

export const linesOf = (file: string): number =>
  existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0
