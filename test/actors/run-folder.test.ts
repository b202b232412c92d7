import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, FileSystem, Logger, Option } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { listCheckpoints } from "../../src/actors/checkpoint.ts"
import { createRun, isBeingWritten, openRun, policyFolderOf } from "../../src/actors/run-folder.ts"

const options = { environments: ["frozen-lake-obscure"], policy: "spark", config: "seed: 1\n" }

/** A test with a temporary folder of its own and the real file system. */
const inFolder = (name: string, body: (folder: string) => Effect.Effect<unknown, unknown, any>) =>
  it.live(
    name,
    () =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        yield* body(yield* files.makeTempDirectoryScoped())
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)) as Effect.Effect<void>
  )

const files = Effect.service(FileSystem.FileSystem)

const message = (effect: Effect.Effect<unknown, any, any>) =>
  Effect.map(Effect.flip(effect), (error) => error.message as string)

/** Two checkpoints of one file each. */
const trained = Effect.fnUntraced(function* (path: string) {
  const run = yield* createRun({ ...options, path })
  const { writeFileString } = yield* files
  for (const update of [1, 2, 10]) {
    yield* run.publish(update, (folder) => writeFileString(join(folder, "model.safetensors"), `weights ${update}`))
  }
  return run
})

describe("a run folder", () => {
  inFolder("holds its configuration and says what it is", (folder) =>
    Effect.gen(function* () {
      const run = yield* createRun({ ...options, path: join(folder, "run") })
      const { readFileString } = yield* files
      expect(yield* readFileString(run.at("config.yaml"))).toBe("seed: 1\n")
      expect(JSON.parse(yield* readFileString(run.at("run.json")))).toEqual(run.record)
      expect(run.record.id).toMatch(/^\d{8}T\d{6}Z-[\w-]{6}$/)
    })
  )

  inFolder("is refused where anything is already, and nothing is touched", (folder) =>
    Effect.gen(function* () {
      const { readDirectory, writeFileString } = yield* files
      yield* writeFileString(join(folder, "thesis.txt"), "")
      expect(yield* message(createRun({ ...options, path: folder }))).toBe(`${folder}: is not empty and not a run`)
      expect(yield* readDirectory(folder)).toEqual(["thesis.txt"])
      const path = join(folder, "run")
      yield* Effect.scoped(createRun({ ...options, path }))
      expect(yield* message(createRun({ ...options, path }))).toBe(
        `${path}: holds a run already; continue it with --resume`
      )
    })
  )

  inFolder("of another version is refused with one line", (folder) =>
    Effect.gen(function* () {
      const path = join(folder, "run")
      yield* Effect.scoped(createRun({ ...options, path }))
      const { readFileString, writeFileString } = yield* files
      const record = JSON.parse(yield* readFileString(join(path, "run.json")))
      yield* writeFileString(join(path, "run.json"), JSON.stringify({ ...record, format: 7 }))
      const expected = `${join(path, "run.json")}: "format" is 7, expected 1: the run is of another version of constellate`
      expect(yield* message(openRun(path))).toBe(expected)
      expect(yield* message(policyFolderOf(path))).toBe(expected)
    })
  )

  inFolder("has one writer at a time, within a process too", (folder) =>
    Effect.gen(function* () {
      const path = join(folder, "run")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* createRun({ ...options, path })
          expect(yield* isBeingWritten(path)).toBe(true)
          expect(yield* message(openRun(path))).toBe(`${path}: another process is writing to this run`)
        })
      )
      expect(yield* isBeingWritten(path)).toBe(false)
      yield* openRun(path)
    })
  )

  inFolder("is free again when its writer was killed", (folder) =>
    Effect.gen(function* () {
      const path = join(folder, "run")
      yield* Effect.scoped(createRun({ ...options, path }))
      const child = spawn(
        process.execPath,
        [
          "-e",
          `const { DatabaseSync } = require("node:sqlite"); const d = new DatabaseSync(process.argv[1]);
          d.exec("begin exclusive"); console.log("held"); setInterval(() => {}, 1000)`,
          join(path, "lock")
        ],
        { stdio: ["ignore", "pipe", "ignore"] }
      )
      yield* Effect.promise(() => once(child.stdout, "data"))
      expect(yield* isBeingWritten(path)).toBe(true)
      child.kill("SIGKILL")
      yield* Effect.promise(() => once(child, "exit"))
      expect(yield* isBeingWritten(path)).toBe(false)
      yield* openRun(path)
    })
  )

  inFolder("is rewound to a line, without what was torn or comes after", (folder) =>
    Effect.gen(function* () {
      const run = yield* createRun({ ...options, path: join(folder, "run") })
      for (const update of [1, 2, 3, 4]) yield* run.append("metrics.jsonl", { update })
      const { readFileString, writeFileString } = yield* files
      yield* writeFileString(run.at("metrics.jsonl"), '{"upd', { flag: "a" })
      yield* run.rewind("metrics.jsonl", (line) => line.update <= 9)
      expect(yield* readFileString(run.at("metrics.jsonl"))).toBe(
        '{"update":1}\n{"update":2}\n{"update":3}\n{"update":4}\n'
      )
      yield* run.rewind("metrics.jsonl", (line) => line.update <= 2)
      expect(yield* readFileString(run.at("metrics.jsonl"))).toBe('{"update":1}\n{"update":2}\n')
    })
  )
})

describe("checkpoints", () => {
  inFolder("are found by number, the last one as the policy of the run", (folder) =>
    Effect.gen(function* () {
      const run = yield* trained(join(folder, "run"))
      expect((yield* listCheckpoints(run.at("checkpoints"))).map(({ update }) => update)).toEqual([1, 2, 10])
      expect(yield* policyFolderOf(run.path)).toBe(run.at("checkpoints", "10"))
      expect(yield* policyFolderOf(folder)).toBe(folder)
    })
  )

  inFolder("appear whole or not at all", (folder) =>
    Effect.gen(function* () {
      const run = yield* trained(join(folder, "run"))
      const { writeFileString } = yield* files
      const half = (into: string) =>
        Effect.andThen(writeFileString(join(into, "model.safetensors"), "half"), Effect.die("killed"))
      expect(Exit.isFailure(yield* Effect.exit(run.publish(11, half)))).toBe(true)
      expect(Option.getOrThrow(yield* run.lastCheckpoint).update).toBe(10)
      yield* run.publish(11, (into) => writeFileString(join(into, "model.safetensors"), "whole"))
      expect(Option.getOrThrow(yield* run.lastCheckpoint).update).toBe(11)
    })
  )

  inFolder("that are damaged are named and the one before is taken", (folder) =>
    Effect.gen(function* () {
      const run = yield* trained(join(folder, "run"))
      const { remove, writeFileString } = yield* files
      const warnings: Array<string> = []
      const listen = Logger.layer([Logger.make<unknown, void>(({ message }) => void warnings.push(String(message)))])
      yield* writeFileString(run.at("checkpoints", "10", "model.safetensors"), "weights 1O")
      yield* remove(run.at("checkpoints", "2", "model.safetensors"))
      expect(Option.getOrThrow(yield* Effect.provide(run.lastCheckpoint, listen)).update).toBe(1)
      expect(warnings).toEqual([
        `${run.at("checkpoints", "10")} is damaged (model.safetensors has another checksum than it was written with), falling back to the one before`,
        `${run.at("checkpoints", "2")} is damaged (model.safetensors is missing), falling back to the one before`
      ])
    })
  )
})
