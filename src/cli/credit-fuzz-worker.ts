/**
 * The thread that searches: an estimator that never answers blocks it, and not the command.
 *
 * It reports findings as messages and its standing in shared memory, where the command can read it at any time.
 */
import { parentPort, workerData } from "node:worker_threads"
import { causal } from "../kernels/credit/causal.ts"
import {
  asHostile,
  examine,
  fuzzOne,
  refusal,
  shrunk,
  type Finding,
  type FuzzOptions
} from "../kernels/credit/fuzz/fuzz.ts"
import type { FuzzCase } from "../kernels/credit/fuzz/generator.ts"
import { checkHostile } from "../kernels/credit/fuzz/hostile.ts"
import { ask, Violation } from "../kernels/credit/fuzz/subject.ts"
import { grpo } from "../kernels/credit/grpo.ts"
import { loadPlugin, type Plugin } from "../kernels/credit/plugin.ts"
import { slots, type SearchJob, type SearchMessage } from "./credit-search.ts"

const job = workerData as SearchJob
const standing = new Int32Array(job.standing)
const post = (message: SearchMessage) => parentPort!.postMessage(message)
const stopped = () => Atomics.load(standing, slots.stop) !== 0

const load = async (): Promise<Plugin> =>
  "file" in job.estimator
    ? loadPlugin(job.estimator.file)
    : ({ causal, grpo } as Record<string, Plugin>)[job.estimator.name]!

/** Both before and after a call, so that a slow law between two calls is not taken for a slow estimator. */
const beating =
  (plugin: Plugin): Plugin =>
  (experiences, options) => {
    Atomics.add(standing, slots.calls, 1)
    const credit = plugin(experiences, options)
    Atomics.add(standing, slots.calls, 1)
    return credit
  }

/** The rows that the estimator gives, for the table; none where it gives none. */
const rowsOf = (plugin: Plugin, given: FuzzCase): ReadonlyArray<unknown> => {
  try {
    return Array.from(ask(plugin, given).rows.values())
  } catch {
    return []
  }
}

const search = (plugin: Plugin): void => {
  const left = new Set(job.options.laws)
  const broken = new Set<string>()
  const current = (): FuzzOptions => ({ ...job.options, laws: Array.from(left) })
  /** Whether the search is over. */
  const report = (finding: Finding | undefined): boolean => {
    // An estimator may fail to answer under any law: that is told once, too.
    if (finding === undefined || broken.has(finding.law)) return false
    broken.add(finding.law)
    post({ type: "found", finding, answer: rowsOf(plugin, finding.case) })
    const smallest = shrunk(finding, plugin, job.options, stopped)
    post({ type: "shrunk", finding: smallest, answer: rowsOf(plugin, smallest.case) })
    left.delete(finding.law)
    return !job.all || left.size === 0
  }
  const replayed = (given: FuzzCase): Finding | undefined => {
    const hostile = asHostile(given)
    if (hostile.culprits.length === 0) {
      const found = examine(given, plugin, current())
      return found && { ...found, case: given }
    }
    try {
      if (left.has(refusal)) checkHostile(hostile, plugin)
    } catch (error) {
      if (error instanceof Violation) return { law: refusal, message: error.message, case: given }
      throw error
    }
    return undefined
  }
  for (const [i, given] of job.saved.entries()) {
    if (stopped()) return
    Atomics.store(standing, slots.number, -1 - i)
    if (report(replayed(given))) return
    Atomics.add(standing, slots.done, 1)
  }
  for (let number = 0; number < job.cases && !stopped(); number++) {
    Atomics.store(standing, slots.number, number)
    const over = report(fuzzOne(number, plugin, current()))
    Atomics.add(standing, slots.done, 1)
    if (over) return
  }
}

load().then(
  (plugin) => {
    // Asked for one case at a time, by whoever wants to know which of them are answered at all.
    parentPort!.on("message", (given: FuzzCase) => {
      rowsOf(plugin, given)
      post({ type: "answered" })
    })
    post({ type: "ready" })
    search(beating(plugin))
    post({ type: "done" })
  },
  (error: unknown) => post({ type: "unusable", reason: error instanceof Error ? error.message : String(error) })
)
