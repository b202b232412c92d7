/**
 * Estimators with one planted fault each, around an independent and correct causal estimator (`mutant(undefined)`).
 *
 * They are what the fuzzer is measured by: it must find each of them, and be silent on the correct one.
 */
import type { PublishedOptions } from "../../../src/kernels/credit/fuzz/generator.ts"
import type { Experience } from "../../../src/kernels/credit/estimator.ts"

export const faults = [
  // Slices.
  "solve starts after its task",
  "solve starts one task early",
  "update credits the task it has just seen",
  "update skips the next task",
  "update ignores its own reward",
  "update counts its own reward at the end",
  "list ends one task early",
  "whole lifecycle for everyone",
  "last solve counts for nothing",
  "updates are numbered as in the paper",
  // Windows and discounts.
  "window one too long",
  "window one too short",
  "window does not count the own reward of updates",
  "window divides by its size",
  "window takes the last entries",
  "discount starts at gamma",
  "discount is divided by the length",
  "discount of updates starts one later",
  "gamma 0 gives 0",
  "gamma 0 stands for unset",
  "discount is divided by its weights",
  "discount counts from the first task",
  "mean divides by all tasks",
  // Keys.
  "key without the kind",
  "key without the position",
  "key without the pack",
  "key glued together",
  "key ignores case and spaces",
  "position counts from the end",
  "key with the task set instead of the pack",
  // Votes and denominators.
  "every step votes",
  "last step votes",
  "every step votes by its own reward",
  "best step votes",
  "equal returns vote once",
  "runs vote when they change",
  "run numbers of 16 bits",
  "runs of all packs share votes",
  "baseline divides by the group size",
  "baseline divides by one less",
  "baseline leaves the run out",
  "baseline is the median",
  "baseline is 0 for a single run",
  "score is divided by the deviation",
  "score is halved",
  "baseline of the whole batch",
  // Flags.
  "own flags are ignored",
  "trajectory flags are ignored",
  "flagged runs still vote",
  "an own flag drops the run",
  "dropped are not listed",
  "dropped counts runs",
  "count after dropping",
  // Weighting.
  "adaptive sums episodes",
  "adaptive ignores tokens",
  "adaptive starts at 0.5",
  "adaptive ends at 50",
  "adaptive stops early",
  "adaptive stops late",
  "adaptive keeps the low side",
  "adaptive keeps the high side",
  "adaptive searches the other way",
  "adaptive without tolerance",
  "adaptive always on",
  "adaptive keeps the fixed temperature too",
  "adaptive falls back to the fixed temperature",
  "adaptive over returns",
  "adaptive over the whole call",
  "adaptive by task for task sets",
  "adaptive with one temperature for all groups",
  "weight multiplies the temperature",
  "weight by the return",
  "weight by the size of the score",
  "weight without the score",
  "weight for positive scores only",
  "weight for solves only",
  "weight is 10 at most",
  "weight by groups of a kind",
  "fixed temperature 0 divides",
  "no guard against overflow",
  // Shift.
  "shift ignores tokens",
  "shift up and down",
  "shift over weighted scores",
  "shift before weighting",
  "shift has the wrong sign",
  "shift over the whole call",
  "shift lowers negative scores only",
  "shift only where nothing is weighted",
  // Bookkeeping.
  "mean temperature counts idle groups",
  "state between calls",
  "results in another order of ids",
  "last experience is lost",
  "rounded to thousandths"
] as const

export type Fault = (typeof faults)[number]

let remembered = new Map<string, number>()

export const mutant = (fault: Fault | undefined) => {
  remembered = new Map()
  return (all: ReadonlyArray<Experience>, o: PublishedOptions) => {
    const is = (name: Fault) => fault === name
    const badRuns = new Set(all.filter((e) => e.flag === "own").map((e) => `${e.pack}\n${e.run}`))
    const bad = (e: Experience) =>
      is("own flags are ignored")
        ? e.flag === "trajectory"
        : is("trajectory flags are ignored")
          ? e.flag === "own"
          : is("an own flag drops the run")
            ? e.flag !== undefined || badRuns.has(`${e.pack}\n${e.run}`)
            : e.flag !== undefined
    const kept = all.filter((e) => !bad(e))
    const dropped = all.filter(bad)

    const returnOf = (e: Experience): number => {
      const r = e.taskRewards
      let from = e.kind === "solve" ? e.index : e.index + 1
      if (is("solve starts after its task") && e.kind === "solve") from = Math.min(from + 1, r.length - 1)
      if (is("solve starts one task early") && e.kind === "solve") from = Math.max(0, from - 1)
      if (is("update credits the task it has just seen") && e.kind === "update") from -= 1
      if (is("update skips the next task") && e.kind === "update") from += 1
      if (is("whole lifecycle for everyone")) from = 0
      if (is("updates are numbered as in the paper") && e.kind === "update") from = e.index
      if (is("last solve counts for nothing") && e.kind === "solve" && e.index === r.length - 1) return 0
      const to = is("list ends one task early") ? Math.max(from + 1, r.length - 1) : r.length
      const rest = r.slice(from, to)
      let list = e.kind === "solve" ? rest : [e.reward, ...rest]
      if (e.kind === "update" && is("update ignores its own reward") && rest.length > 0) list = rest
      if (e.kind === "update" && is("update counts its own reward at the end")) list = [...rest, e.reward]
      const total = (values: ReadonlyArray<number>) => values.reduce((a, b) => a + b, 0)
      if (o.returns === "mean") return total(list) / (is("mean divides by all tasks") ? r.length : list.length)
      if (o.returns === "sliding_window_mean") {
        let w = o.window
        if (is("window one too long")) w += 1
        if (is("window one too short")) w = Math.max(1, w - 1)
        if (is("window does not count the own reward of updates") && e.kind === "update") w += 1
        const cut = is("window takes the last entries") ? list.slice(-w) : list.slice(0, w)
        return total(cut) / (is("window divides by its size") ? w : cut.length)
      }
      let offset = is("discount starts at gamma") ? 1 : 0
      if (is("discount of updates starts one later") && e.kind === "update") offset = 1
      if (is("discount counts from the first task")) offset = e.index
      const gamma = is("gamma 0 stands for unset") ? o.gamma || 1 : o.gamma
      const weights = list.map((_, i) => (is("gamma 0 gives 0") && gamma === 0 ? 0 : gamma ** (i + offset)))
      const sum = total(list.map((v, i) => v * weights[i]!))
      if (is("discount is divided by its weights")) return sum / total(weights)
      return is("discount is divided by the length") ? sum / list.length : sum
    }

    const keyOf = (e: Experience): string => {
      if (is("key without the kind")) return JSON.stringify([e.pack, e.index])
      if (is("key without the position")) return JSON.stringify([e.pack, e.kind])
      if (is("key without the pack")) return JSON.stringify([e.kind, e.index])
      if (is("key glued together")) return `${e.kind}${e.pack}${e.index}`
      if (is("key ignores case and spaces")) return JSON.stringify([e.pack.trim().toLowerCase(), e.kind, e.index])
      if (is("position counts from the end")) return JSON.stringify([e.pack, e.kind, e.taskRewards.length - e.index])
      if (is("key with the task set instead of the pack")) return JSON.stringify([e.taskset, e.kind, e.index])
      if (is("baseline of the whole batch")) return ""
      return JSON.stringify([e.pack, e.kind, e.index])
    }
    const votes = new Map<string, Map<string, number>>()
    let before = ""
    let visits = 0
    ;(is("flagged runs still vote") ? all : kept).forEach((e, i) => {
      const key = keyOf(e)
      const ballot = votes.get(key) ?? new Map<string, number>()
      votes.set(key, ballot)
      let voter = JSON.stringify([e.pack, e.run])
      if (is("every step votes")) voter += i
      if (is("every step votes by its own reward")) voter += `${e.reward}`
      if (is("runs of all packs share votes")) voter = String(e.run % 2)
      if (is("run numbers of 16 bits")) voter = JSON.stringify([e.pack, e.run & 0xffff])
      if (voter !== before) visits++
      before = voter
      if (is("runs vote when they change")) voter += visits
      const better = is("best step votes") && returnOf(e) > (ballot.get(voter) ?? -Infinity)
      if (!ballot.has(voter) || is("last step votes") || better) ballot.set(voter, returnOf(e))
    })
    const sizes = new Map<string, Set<number>>()
    for (const e of kept) sizes.set(e.pack, (sizes.get(e.pack) ?? new Set()).add(e.run))

    const baselineOf = (e: Experience): number => {
      const key = keyOf(e)
      const ballot = votes.get(key)!
      const values = is("equal returns vote once") ? [...new Set(ballot.values())] : [...ballot.values()]
      const sum = values.reduce((a, b) => a + b, 0)
      if (is("state between calls")) {
        if (!remembered.has(key)) remembered.set(key, sum / values.length)
        return remembered.get(key)!
      }
      if (is("baseline divides by the group size")) return sum / sizes.get(e.pack)!.size
      if (is("baseline divides by one less")) return sum / Math.max(1, values.length - 1)
      if (is("baseline leaves the run out") && values.length > 1) {
        return (sum - ballot.get(JSON.stringify([e.pack, e.run]))!) / (values.length - 1)
      }
      if (is("baseline is the median")) {
        const sorted = values.toSorted((a, b) => a - b)
        const half = sorted.length >> 1
        return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
      }
      if (is("baseline is 0 for a single run") && values.length === 1) return 0
      return sum / values.length
    }

    const rows = kept.map((e) => {
      const value = returnOf(e)
      const baseline = baselineOf(e)
      let score = value - baseline
      if (is("score is divided by the deviation")) {
        const values = [...votes.get(keyOf(e))!.values()]
        score /= Math.sqrt(values.reduce((a, v) => a + (v - baseline) ** 2, 0) / values.length) + 1e-6
      }
      if (is("score is halved")) score /= 2
      return { e, value, baseline, score, advantage: score }
    })

    const level = is("adaptive by task for task sets") && o.redLevel === "taskset" ? "task" : o.redLevel
    const kindOf = (e: Experience) => (is("weight by groups of a kind") ? e.kind : "")
    const nameOf = (e: Experience) =>
      (level === "batch" ? "batch" : level === "task" ? e.pack : String(e.taskset)) + kindOf(e)
    const names = [...new Set(kept.map(nameOf))]
    const search = (group: typeof rows): number | null => {
      let members = group.map((r) => ({ s: is("adaptive over returns") ? r.value : r.score, n: r.e.responseTokens }))
      if (is("adaptive sums episodes")) {
        const seen = new Set<string>()
        members = members.filter((_, i) => {
          const { e } = group[i]!
          const episode = JSON.stringify([e.pack, e.run, e.kind, e.index])
          return !seen.has(episode) && seen.add(episode)
        })
      }
      if (is("adaptive ignores tokens")) members = members.map(({ s }) => ({ s, n: 1 }))
      const guard = (x: number) => Math.exp(is("no guard against overflow") ? x : Math.min(x, 700))
      const f = (t: number) => members.reduce((a, { s, n }) => a + s * n * guard(s / t), 0)
      const none = members.reduce((a, { s, n }) => a + s * n, 0)
      const size = members.reduce((a, { s, n }) => a + Math.abs(s) * n, 0)
      if (!is("adaptive always on") && none >= (is("adaptive without tolerance") ? 0 : -1e-9 * size)) return null
      if (size === 0) return null
      let lo = is("adaptive starts at 0.5") ? 0.5 : 0.8
      let hi = is("adaptive ends at 50") ? 50 : 100
      let mid = 0
      for (let round = 0; round < 20; round++) {
        mid = (lo + hi) / 2
        if (f(mid) < 0 !== is("adaptive searches the other way")) hi = mid
        else lo = mid
        if (hi - lo < (is("adaptive stops early") ? 0.5 : is("adaptive stops late") ? 0.01 : 0.05)) break
      }
      return is("adaptive keeps the low side") ? lo : is("adaptive keeps the high side") ? hi : mid
    }

    const whole = o.redAdaptive && is("adaptive over the whole call") ? search(rows) : undefined
    let shared: number | null | undefined
    const temperatures = names.map((group) => {
      const members = rows.filter((r) => nameOf(r.e) === group)
      const fixed = o.redTemperature || null
      let temperature = o.redAdaptive ? (whole === undefined ? search(members) : whole) : fixed
      if (o.redAdaptive && is("adaptive falls back to the fixed temperature")) temperature ??= fixed
      if (o.redAdaptive && is("adaptive with one temperature for all groups")) {
        shared = shared === undefined ? temperature : shared
        temperature = shared
      }
      const tokenMean = (of: typeof rows, value: (r: (typeof rows)[number]) => number) => {
        const n = (r: (typeof rows)[number]) => (is("shift ignores tokens") ? 1 : r.e.responseTokens)
        const tokens = of.reduce((a, r) => a + n(r), 0)
        return tokens === 0 ? 0 : of.reduce((a, r) => a + value(r) * n(r), 0) / tokens
      }
      const base = is("shift over the whole call") ? rows : members
      const unweighted = tokenMean(base, (r) => r.score)
      if (is("shift before weighting") && o.advantageShift && unweighted < 0)
        for (const r of members) r.advantage -= unweighted
      for (const r of members) {
        const s = r.advantage
        let t = temperature
        if (t === null && is("fixed temperature 0 divides") && o.redTemperature === 0 && !o.redAdaptive) t = 1e-3
        const spared =
          (is("weight for positive scores only") && s < 0) || (is("weight for solves only") && r.e.kind === "update")
        if (t !== null && !spared) {
          let x = s / t
          if (is("weight multiplies the temperature")) x = s * t
          if (is("weight by the return")) x = r.value / t
          if (is("weight by the size of the score")) x = Math.abs(s) / t
          if (is("weight is 10 at most")) x = Math.min(x, Math.log(10))
          const w = Math.exp(is("no guard against overflow") ? x : Math.min(x, 700))
          r.advantage = is("weight without the score") ? w * Math.sign(s) : Math.min(s * w, Number.MAX_VALUE)
          if (is("no guard against overflow")) r.advantage = s * w
        }
        if (o.redAdaptive && fixed !== null && is("adaptive keeps the fixed temperature too"))
          r.advantage *= Math.exp(Math.min(s / fixed, 50))
      }
      const shifted = o.advantageShift && !(is("shift only where nothing is weighted") && temperature !== null)
      if (shifted && !is("shift before weighting")) {
        const mean = is("shift over weighted scores") ? tokenMean(base, (r) => r.advantage) : unweighted
        if (mean < 0 || is("shift up and down")) {
          for (const r of members) {
            if (is("shift lowers negative scores only") && r.score >= 0) continue
            r.advantage -= is("shift has the wrong sign") ? -mean : mean
          }
        }
      }
      return { group, temperature }
    })
    const active = temperatures.flatMap(({ temperature }) =>
      temperature === null ? (is("mean temperature counts idle groups") ? [0] : []) : [temperature]
    )
    const shown = is("results in another order of ids")
      ? rows.map((r, i) => ({ ...r, e: rows[(i + 1) % rows.length]!.e }))
      : rows
    return {
      experiences: (is("last experience is lost") ? shown.slice(0, -1) : shown).map((r) => ({
        id: r.e.id,
        return: r.value,
        baseline: r.baseline,
        score: r.score,
        advantage: is("rounded to thousandths") ? Math.round(r.advantage * 1000) / 1000 : r.advantage
      })),
      dropped: is("dropped are not listed") ? [] : dropped.map((e) => e.id),
      temperatures,
      metrics: {
        experience_count: is("count after dropping") ? kept.length : all.length,
        judge_format_error_count: is("dropped counts runs")
          ? new Set(dropped.map((e) => `${e.pack}\n${e.run}`)).size
          : dropped.length,
        active_weight_temp_mean: active.length === 0 ? 0 : active.reduce((a, b) => a + b) / active.length
      }
    }
  }
}
