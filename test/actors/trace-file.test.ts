/** The writer of traces beside the simulation: a slow disk does not hold it up, a full one ends it. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, FileSystem, Latch, PlatformError } from "effect"
import { join } from "node:path"
import { planGroups, rollout } from "../../src/actors/rollout.ts"
import { openTraceFile, partOf, partsOf } from "../../src/actors/trace-file.ts"
import type { LifecycleTexts } from "../../src/actors/simulate.ts"
import { recordedPlan, traceLines } from "../../src/actors/trace.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy } from "../../src/policies/policy.ts"
import { scripted } from "../../src/policies/scripted.ts"
import { guess } from "../fixtures/guess.ts"
import { doors, packsOf } from "../fixtures/living.ts"

/** A lifecycle's texts, as a simulation hands them over. */
const recorded = Effect.gen(function* () {
  const [plan] = planGroups(packsOf(doors({ doors: 9 })), 1, defaultSettings)
  const { lifecycles } = yield* rollout([plan!], { concurrency: 1 })
  const lines = Buffer.from(traceLines(lifecycles[0]!, plan!))
  const texts = { lines, first: true, last: true } as unknown as LifecycleTexts
  return { plan: recordedPlan(plan!), texts, lines }
}).pipe(Effect.provideService(Policy, scripted(guess, "careful")))

/** The file system, with another way to write. */
const writing = (writeAll: (bytes: Uint8Array, write: Effect.Effect<void, PlatformError.PlatformError>) => any) =>
  Effect.map(FileSystem.FileSystem, (files) =>
    FileSystem.FileSystem.of({
      ...files,
      open: (path, options) =>
        Effect.map(files.open(path, options), (file) => {
          const changed: FileSystem.File = Object.create(file)
          return Object.assign(changed, { writeAll: (bytes: Uint8Array) => writeAll(bytes, file.writeAll(bytes)) })
        })
    })
  )

const inFolder = <A, E>(test: (path: string) => Effect.Effect<A, E, FileSystem.FileSystem>) =>
  Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped()).pipe(
    Effect.flatMap((folder) => test(join(folder, "t.jsonl"))),
    Effect.scoped,
    Effect.provide(NodeServices.layer)
  )

describe("a trace file", () => {
  it.effect("takes lines while the disk is busy, waits when it is far behind, and has them all in the end", () =>
    inFolder((path) =>
      Effect.gen(function* () {
        const { lines, plan, texts } = yield* recorded
        const disk = yield* Latch.make(false)
        const slow = yield* writing((_, write) => Effect.andThen(disk.await, write))
        let taken = 0
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { write } = yield* openTraceFile(path, () => plan, {})
            let wait: ReturnType<typeof write>
            while ((wait = write(texts)) === undefined) taken++
            expect(taken * lines.length).toBeGreaterThan(1 << 24)
            yield* disk.open
            yield* wait
            expect(write(texts)).toBeUndefined()
          })
        ).pipe(Effect.provideService(FileSystem.FileSystem, slow))
        const files = yield* FileSystem.FileSystem
        expect(Number((yield* files.stat(path)).size)).toBe((taken + 2) * lines.length)
      })
    )
  )

  it.effect("says that the disk is full to whoever writes on, and to whoever closes", () =>
    inFolder((path) =>
      Effect.gen(function* () {
        const { plan, texts } = yield* recorded
        const description = "no space left on device"
        const error = PlatformError.systemError({ _tag: "Unknown", module: "File", method: "write", description })
        const full = yield* writing(() => Effect.fail(error))
        const exit = yield* Effect.exit(
          Effect.scoped(
            Effect.gen(function* () {
              const { close, write } = yield* openTraceFile(path, () => plan, {})
              yield* write({ ...texts, lines: Buffer.alloc(1 << 18) }) ?? Effect.void
              const first = yield* Effect.exit(close)
              expect(Exit.isFailure(first)).toBe(true)
              yield* write(texts) ?? Effect.void
            })
          ).pipe(Effect.provideService(FileSystem.FileSystem, full))
        )
        expect(Exit.isFailure(exit) && String(exit.cause)).toContain(description)
      })
    )
  )

  it.effect("has parts that stand beside it", () =>
    inFolder((path) =>
      Effect.gen(function* () {
        const files = yield* FileSystem.FileSystem
        expect([partOf("a/t.jsonl", 0), partOf("a/t.jsonl", 2), partOf("t", 12)]).toEqual([
          "a/t.jsonl",
          "a/t.0002.jsonl",
          "t.0012"
        ])
        for (const part of [0, 1, 2, 4]) yield* files.writeFileString(partOf(path, part), "")
        expect(yield* partsOf(path)).toEqual([0, 1, 2].map((part) => partOf(path, part)))
      })
    )
  )
})
