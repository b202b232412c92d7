/** Pack seeds: 64-bit names of packs (lifecycle specification, section 3), as bigint because a double cannot hold them. */
import { hash } from "node:crypto"
import { hash64 } from "./random.ts"

/** Stable mode: a hash of the sorted identities [task set, data set index], the same in every run. */
export const stablePackSeed = (identities: ReadonlyArray<readonly [taskSet: number, index: number]>): bigint => {
  const sorted = identities.toSorted(([setA, a], [setB, b]) => setA - setB || a - b)
  return hash("sha256", JSON.stringify(sorted), "buffer").readBigUInt64BE(0)
}

/** Runtime mode: fresh packs for each epoch of a run. `epoch` counts reads of the task set, `number` packs in a read. */
export const runtimePackSeed = (pack: {
  readonly baseSeed: number
  readonly phase: "train" | "eval"
  readonly environment: string
  readonly epoch: number
  readonly number: number
}): bigint => hash64("pack", pack.baseSeed, pack.phase, pack.environment, pack.epoch, pack.number)
