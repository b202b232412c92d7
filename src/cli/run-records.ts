/** What a run folder remembers of its lifecycles: its configuration, and the journals that it still has. */
import { Effect, FileSystem } from "effect"
import { basename, dirname, join } from "node:path"
import type { JournalEntry } from "../actors/journal.ts"
import { lifecycleId, type Plan } from "../actors/lifecycle.ts"
import { planBatch } from "../actors/training-plans.ts"
import { TrainingConfig } from "../actors/training-config.ts"
import { isRun, readRecord } from "../actors/run-folder.ts"
import { fromFile, fromObject, resolveConfig } from "./config.ts"
import { openTaskSet } from "./environments.ts"
import { WrongInput } from "./failure.ts"

/** The journal of one batch: what was lived for one policy update. */
export interface BatchJournal {
  /** 0-based: the update that learns from it first is one more. */
  readonly batch: number
  readonly file: string
}

/** The run and the journals that a path means: all of a run folder, or one file; undefined where it means none. */
export const journalsAt = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const isFolder = (yield* files.stat(path)).type === "Directory"
  const [, number] = /^(\d+)\.jsonl$/.exec(basename(path)) ?? []
  const above = dirname(dirname(path))
  if (number !== undefined && basename(dirname(path)) === "journal" && (yield* isRun(above))) {
    return { run: above, journals: [{ batch: Number(number), file: path }] }
  }
  if (!isFolder) return undefined
  yield* readRecord(path)
  const folder = join(path, "journal")
  const names = (yield* files.exists(folder)) ? yield* files.readDirectory(folder) : []
  const journals = names
    .filter((name) => /^\d+\.jsonl$/.test(name))
    .map((name): BatchJournal => ({ batch: Number.parseInt(name), file: join(folder, name) }))
    .toSorted((a, b) => a.batch - b.batch)
  return { run: path, journals }
})

/** The configuration of a run and the task sets it names. */
export const openRecords = Effect.fnUntraced(function* (run: string) {
  yield* readRecord(run)
  const config = yield* resolveConfig(TrainingConfig, yield* fromFile(join(run, "config.yaml")))
  const settings = fromObject({ environment: config.environment })
  const taskSets = yield* Effect.forEach(config.environments, (text, id) => openTaskSet(text, id, settings))
  const plans = new Map<number, ReadonlyMap<string, Plan>>()
  /** The plan that an entry of a batch's journal was lived by. */
  const planOf = ({ batch, file }: BatchJournal, { attempt, baseSeed, lifecycle, seed }: JournalEntry) => {
    const known =
      plans.get(batch) ?? new Map(planBatch(taskSets, config, batch).map((plan) => [lifecycleId(plan), plan]))
    plans.set(batch, known)
    const plan = known.get(lifecycle)
    if (plan === undefined || String(plan.pack.seed) !== seed || plan.pack.baseSeed !== baseSeed) {
      const expected = `a lifecycle of batch ${batch} as ${join(run, "config.yaml")} plans it`
      return Effect.fail(new WrongInput({ file, field: "lifecycle", value: lifecycle, expected }))
    }
    return Effect.succeed<Plan>({ ...plan, attempt })
  }
  return { config, taskSets, planOf }
})
