/**
 * Traces: one line of JSON an episode, and their digest.
 *
 * A line is the episode record. The first line of a lifecycle says in `plan` how it was lived, so that a trace file alone
 * is enough to live it again; every line ends with a checksum of itself.
 */
import { createHash } from "node:crypto"
import type { Environment, Operation } from "../environment.ts"
import { stream } from "../kernels/random.ts"
import type { Episode, Lifecycle } from "../machines/episode.ts"
import type { Fork } from "../machines/fork.ts"
import type { Settings } from "../machines/lifecycle.ts"
import { givenPack, makePack, type Pack, type Phase } from "../machines/packs.ts"
import { checksumLength, readCheckedLine } from "./checked-lines.ts"
import { canonicalJson, type EpisodePlace, untimed } from "./episode-text.ts"
import type { Plan } from "./lifecycle.ts"

/** What a trace says of a plan, beside what its episodes say. */
export interface RecordedPlan {
  readonly phase: Phase
  readonly baseSeed: number
  readonly attempt: number
  readonly options: unknown
  readonly environmentPositions: ReadonlyArray<number>
  readonly settings: Settings
  readonly firstContext?: string
  readonly contexts?: ReadonlyArray<string>
  readonly tasks?: number
  readonly forks?: ReadonlyArray<Fork>
  /** Hidden knowledge that was handed in, not drawn. The tasks are those of the episodes. */
  readonly given?: NonNullable<Pack["given"]>
  /** Operators around the environment, where there are any. */
  readonly dynamics?: ReadonlyArray<Operation>
  /** As given on the command line, where it is known. */
  readonly policy?: string
  /** The thinking switch of its chat template, where it was set. */
  readonly thinking?: boolean
}

/** A line of a trace without its checksum. */
export type TraceLine = Episode & { readonly plan?: RecordedPlan }

/** The lines of a lifecycle, each with its line feed; `policy` as it was given on the command line. */
export const traceLines = (
  lifecycle: Lifecycle,
  plan: Plan,
  policy: Pick<RecordedPlan, "policy" | "thinking"> = {}
): string =>
  lifecycle.episodes
    .map((episode, i) => {
      const bytes = Buffer.from(canonicalJson(untimed(episode)))
      const place = { start: 0, end: bytes.length, timing: episode.timing }
      return traceLine(bytes, place, i === 0 ? { ...recordedPlan(plan), ...policy } : undefined).toString()
    })
    .join("")

/** The line of an episode from its canonical JSON; the first of a lifecycle has the plan. */
export const traceLine = (bytes: Uint8Array, { end, start, timing }: EpisodePlace, plan?: RecordedPlan): Buffer => {
  const { endedMillis, startedMillis } = timing
  const times = `,"timing":{"startedMillis":${startedMillis},"endedMillis":${endedMillis}}`
  const rest = plan === undefined ? times : `${times},"plan":${JSON.stringify(plan)}`
  const open = bytes.subarray(start, end - 1)
  const sum = createHash("sha256").update(open).update(`${rest}}`).digest("hex").slice(0, checksumLength)
  return Buffer.concat([open, Buffer.from(`${rest},"checksum":"${sum}"}\n`)])
}

export const recordedPlan = ({
  attempt = 0,
  contexts,
  firstContext,
  forks,
  pack,
  settings,
  tasks
}: Plan): RecordedPlan => ({
  phase: pack.phase,
  baseSeed: pack.baseSeed,
  attempt,
  options: pack.options,
  environmentPositions: pack.environmentPositions,
  settings,
  ...(firstContext === undefined ? {} : { firstContext }),
  ...(contexts === undefined ? {} : { contexts }),
  ...(tasks === undefined ? {} : { tasks }),
  ...(forks === undefined ? {} : { forks }),
  ...(pack.environment.dynamics === undefined ? {} : { dynamics: pack.environment.dynamics }),
  ...(pack.given === undefined ? {} : { given: pack.given })
})

/** The line, and whether it is as it was written; undefined when it is not a line of a trace at all. */
export const readTraceLine = (text: string): { readonly line: TraceLine; readonly intact: boolean } | undefined => {
  const read = readCheckedLine(text)
  return read === undefined ? undefined : { line: read.value as TraceLine, intact: read.intact }
}

/** SHA-256 over the canonical JSON of the array of all episodes, without times, by (pack, run, index, kind). */
export const makeDigest = () => {
  const sha = createHash("sha256").update("[")
  let first = true
  return {
    /** Lifecycles must come by pack and run. */
    add: ({ episodes }: Lifecycle): void => {
      for (const episode of episodes) {
        sha.update((first ? "" : ",") + canonicalJson(untimed(episode)))
        first = false
      }
    },
    hex: (): string => sha.update("]").digest("hex")
  }
}

/** The digest of lifecycles in any order. */
export const digestOf = (lifecycles: ReadonlyArray<Lifecycle>): string => {
  const digest = makeDigest()
  const byPackAndRun = (a: Lifecycle, b: Lifecycle) => (a.pack < b.pack ? -1 : a.pack > b.pack ? 1 : a.run - b.run)
  for (const lifecycle of lifecycles.toSorted(byPackAndRun)) digest.add(lifecycle)
  return digest.hex()
}

/** The plan by which a recorded lifecycle was lived. `lines` are all of its episodes. */
export const planOfLines = (lines: ReadonlyArray<TraceLine>, environment: Environment): Plan => {
  const { plan: recorded, pack: id, run, seed } = lines[0]!
  const tasks = lines.filter(({ kind }) => kind === "solve").map(({ task }) => task)
  return { ...recorded!, pack: packOf(id, BigInt(seed), recorded!, environment, tasks), run }
}

const packOf = (
  id: string,
  seed: bigint,
  plan: RecordedPlan,
  environment: Environment,
  tasks: ReadonlyArray<unknown>
): Pack => {
  const { baseSeed, environmentPositions, given, options, phase } = plan
  const pack = { id, seed, baseSeed, phase, environment, options, environmentPositions }
  return given === undefined
    ? makePack(pack, (purpose, position) => stream(baseSeed, phase, seed, purpose, position))
    : givenPack(pack, given, tasks)
}
