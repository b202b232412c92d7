/** What a run folder remembers of its lifecycles: its configuration, and the journals that it still has. */
import { Effect, FileSystem, Stream } from "effect"
import { basename, dirname, join } from "node:path"
import { JournalError, type JournalEntry, journalLines, recordedIn } from "../actors/journal.ts"
import type { Plan } from "../actors/lifecycle.ts"
import { isRun, readRecord } from "../actors/run-folder.ts"
import { rolloutBatch } from "../actors/training-batch.ts"
import { TrainingConfig } from "../actors/training-config.ts"
import type { Lifecycle } from "../machines/episode.ts"
import { Policy, PolicyError } from "../policies/policy.ts"
import { fromFile, fromObject, resolveConfig } from "./config.ts"
import { openTaskSet } from "./environments.ts"
import { WrongInput } from "./failure.ts"

/** The journal of one batch: what was lived for one policy update. */
export interface BatchJournal {
  /** 0-based: the update that learns from it first has the next number. */
  readonly batch: number
  readonly file: string
}

export interface RunJournals {
  readonly run: string
  /** By batch. */
  readonly journals: ReadonlyArray<BatchJournal>
  /** They are all that the run has. */
  readonly all: boolean
}

/** The run and the journals that a path means: all of a run folder, or one file; undefined for any other file. */
export const journalsAt = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const isFolder = (yield* files.stat(path)).type === "Directory"
  const [, number] = /^(\d+)\.jsonl$/.exec(basename(path)) ?? []
  const above = dirname(dirname(path))
  if (number !== undefined && basename(dirname(path)) === "journal" && (yield* isRun(above))) {
    return {
      run: above,
      journals: [{ batch: Number(number), file: path }],
      all: false
    } satisfies RunJournals as RunJournals
  }
  if (!isFolder) return undefined
  yield* readRecord(path)
  const folder = join(path, "journal")
  const names = (yield* files.exists(folder)) ? yield* files.readDirectory(folder) : []
  const journals = names
    .filter((name) => /^\d+\.jsonl$/.test(name))
    .map((name): BatchJournal => ({ batch: Number.parseInt(name), file: join(folder, name) }))
    .toSorted((a, b) => a.batch - b.batch)
  if (journals.length === 0) {
    const expected = "a run with journals: it keeps those since its last checkpoint, and that of the update before it"
    return yield* new WrongInput({ field: "run", value: path, expected })
  }
  return { run: path, journals, all: true } satisfies RunJournals as RunJournals
})

/** An attempt at a lifecycle, with the episodes that follow from its entry. */
export interface Relived {
  readonly lifecycle: Lifecycle
  readonly plan: Plan
  readonly entry: JournalEntry
}

/** The configuration of a run and the task sets it names, and what its journals hold. */
export const openRecords = Effect.fnUntraced(function* (run: string) {
  const config = yield* resolveConfig(TrainingConfig, yield* fromFile(join(run, "config.yaml")))
  const settings = fromObject({ environment: config.environment })
  const taskSets = yield* Effect.forEach(config.environments, (text, id) => openTaskSet(text, id, settings))

  /**
   * Lives a batch again from its journal, as a run that is resumed does.
   *
   * @param onMissing called for an attempt that the journal lacks; it counts as lost
   */
  const relive = Effect.fnUntraced(function* <E>(
    { batch, file }: BatchJournal,
    { onMissing }: { readonly onMissing: (lifecycle: string) => Effect.Effect<void, E> }
  ) {
    const lines = yield* Stream.runCollect(journalLines(file))
    const torn = lines.find(({ entry, whole }) => entry === undefined || !whole)
    if (torn !== undefined) return yield* new JournalError({ path: `${file}:${torn.number}`, reason: torn.problem! })
    const recorded = recordedIn(lines.map(({ entry }) => entry!))
    const attempts: Array<Relived> = []
    const known = new Set<JournalEntry>()
    const rollout = yield* rolloutBatch(taskSets, config, batch, {
      journal: { recorded, write: ({ id }) => onMissing(id), flush: Effect.void },
      onLifecycle: (lifecycle, plan) =>
        Effect.sync(() => {
          const entry = recorded(plan)
          if (entry === undefined || known.has(entry)) return
          known.add(entry)
          attempts.push({ lifecycle, plan, entry })
        })
    }).pipe(Effect.provideService(Policy, silent(file, config)))
    const foreign = lines.find(({ entry }) => !known.has(entry!))
    if (foreign !== undefined) {
      const expected = `a lifecycle of batch ${batch} as ${join(run, "config.yaml")} plans it`
      const at = `${file}:${foreign.number}`
      return yield* new WrongInput({ file: at, field: "lifecycle", value: foreign.entry!.lifecycle, expected })
    }
    return { rollout, attempts, altered: lines.filter(({ problem }) => problem !== undefined) }
  })
  return { config, taskSets, relive }
})

/** Has nothing to say: whoever asks it, asks for what is not recorded. */
const silent = (file: string, { style }: TrainingConfig): Policy["Service"] => ({
  name: file,
  style,
  reply: () => Effect.fail(new PolicyError({ policy: file, reason: "not recorded" }))
})
