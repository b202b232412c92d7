import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { join } from "node:path"
import { createRun } from "../../src/actors/run-folder.ts"
import { runCommandLine } from "../fixtures/command-line.ts"

/** A run of two updates in `folder/name`; what `then` does happens while it is being written. */
const trained = (path: string, then: "finishes" | "stops" | "goes on") =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const run = yield* createRun({ environments: ["frozen-lake"], policy: "spark", config: "seed: 1\n", path })
    yield* run.append("metrics.jsonl", { update: 1, success: [0.25, 0.5] })
    yield* run.append("metrics.jsonl", { update: 2 })
    for (const update of [1, 2]) {
      yield* run.publish(update, (folder) => files.writeFileString(join(folder, "config.json"), "{}"))
    }
    if (then === "finishes") yield* run.finish
    return run
  }).pipe((run) => (then === "goes on" ? run : Effect.scoped(run)))

const inFolder = (body: (folder: string) => Effect.Effect<unknown, unknown, any>) => () =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    yield* body(yield* files.makeTempDirectoryScoped())
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)) as Effect.Effect<void>

const print = (...args: ReadonlyArray<string>) => Effect.promise(() => runCommandLine(...args))

describe("runs", () => {
  it.live(
    "list tells running, finished, interrupted and foreign runs apart, and passes over other folders",
    inFolder((folder) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        yield* trained(join(folder, "a"), "finishes")
        yield* trained(join(folder, "b"), "stops")
        yield* trained(join(folder, "c"), "goes on")
        yield* files.makeDirectory(join(folder, "d"))
        yield* files.writeFileString(join(folder, "d", "run.json"), '{"format": 99}')
        yield* files.makeDirectory(join(folder, "other"))
        const { code, stdout, stderr } = yield* print("runs", "list", folder, "--json")
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
        const runs = JSON.parse(stdout) as ReadonlyArray<{ state: string; updates: number; success: Array<number> }>
        expect(runs.map(({ state }) => state)).toEqual(["finished", "interrupted", "running", "unreadable"])
        expect(runs[0]).toMatchObject({ updates: 2, success: [0.25, 0.5], environments: ["frozen-lake"] })
        const table = yield* print("runs", "list", folder)
        expect(table.stdout).toMatch(/^ *run +state +environment +updates +success by position$/m)
        expect(table.stdout).toMatch(/a +finished +frozen-lake +2 +0\.25 0\.50$/m)
      })
    )
  )

  it.live(
    "show names what is damaged, and refuses a run of another version with one line",
    inFolder((folder) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        const { path } = yield* trained(join(folder, "run"), "finishes")
        yield* files.writeFileString(join(path, "checkpoints", "2", "config.json"), "{ }")
        const shown = JSON.parse((yield* print("runs", "show", path, "--json")).stdout)
        expect(shown.checkpoints.map(({ damage }: { damage: string | null }) => damage)).toEqual([
          null,
          "config.json has another checksum than it was written with"
        ])
        yield* files.writeFileString(join(path, "run.json"), '{"format": 99}')
        expect(yield* print("runs", "show", path)).toEqual({
          code: 2,
          stdout: "",
          stderr: `constellate: ${join(path, "run.json")}: "format" is 99, expected 1: the run is of another version of constellate\n`
        })
      })
    )
  )
})
