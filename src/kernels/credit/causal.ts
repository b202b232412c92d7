/**
 * Causal credit: the estimator of CoD (specification, sections 1 to 9; arXiv 2606.20002, appendix A).
 *
 * judge filtering, returns, baselines, scores, weighting by group, shift. Time and memory are linear in the number of
 * experiences times the length of their lifecycles. The packs of one call share nothing but the weighting, and that only
 * where `redLevel` says so.
 */
import { ballots, baselineOf, type Baseline } from "./baseline.ts"
import { flag, oneOf, refuse, resolve, CreditError, type Credit, type Experience, type Rules } from "./estimator.ts"
import { adaptiveTemperature, shiftOf, weigh } from "./red.ts"
import { returnOf, type ReturnOptions } from "./returns.ts"

export interface CausalOptions extends ReturnOptions {
  /** Fixed temperature of the weighting, above 0; null or 0 for none. Ignored where the temperature is adaptive. */
  readonly redTemperature: number | null
  /** Search the temperature of each group by bisection. */
  readonly redAdaptive: boolean
  /** What shares a temperature and a shift: the whole call, one pack, one task set. */
  readonly redLevel: "batch" | "task" | "taskset"
  /** Lift the scores of a group by its negative token mean. */
  readonly advantageShift: boolean
  // Beyond the specification, all off by default.
  readonly baseline?: Baseline
  /** Keep the side of the bisection whose weighted sum is not negative. */
  readonly redStrict?: boolean
  /** Drop experiences whose score is exactly 0: they cost tokens and teach nothing. Decided before weighting and shift. */
  readonly dropZeroScores?: boolean
}

const finite = (value: unknown): boolean => Number.isFinite(value)

export const causalRules: Rules<CausalOptions> = {
  returns: oneOf("mean", "sliding_window_mean", "discounted"),
  window: [
    "an integer, at least 1 or -1 for unset",
    (value: number) => Number.isInteger(value) && (value === -1 || value >= 1)
  ],
  gamma: ["a number in [0, 1]", (value: number) => finite(value) && value >= 0 && value <= 1],
  redTemperature: [
    "a number above 0, or null",
    (value: number | null) => value === null || (finite(value) && value >= 0)
  ],
  redAdaptive: flag,
  redLevel: oneOf("batch", "task", "taskset"),
  advantageShift: flag,
  baseline: oneOf("group-mean", "leave-one-out"),
  redStrict: flag,
  dropZeroScores: flag
}

/** The specification's defaults: plain means, no weighting. */
export const causalDefaults: Required<CausalOptions> = {
  returns: "mean",
  window: -1,
  gamma: 1,
  redTemperature: null,
  redAdaptive: false,
  redLevel: "batch",
  advantageShift: false,
  baseline: "group-mean",
  redStrict: false,
  dropZeroScores: false
}

/** What all published training runs use: mean returns, adaptive weighting over the whole call. */
export const published: Required<CausalOptions> = { ...causalDefaults, redAdaptive: true }

/** Whom an experience is compared with, beside its kind and index, and how many of its lifecycle's tasks count. */
export type Comparison = (experience: Experience) => { readonly among: string; readonly tasks: number }

/** Scores every experience that no judge flagged, against the runs of its pack. */
export const causal = (experiences: ReadonlyArray<Experience>, given: Partial<CausalOptions> = {}): Credit =>
  causalBy(experiences, given, () => undefined)

/** The same with another comparison among those that no judge flagged; undefined for runs of the pack, over all tasks. */
export const causalBy = (
  experiences: ReadonlyArray<Experience>,
  given: Partial<CausalOptions>,
  comparisonOf: (kept: ReadonlyArray<Experience>) => Comparison | undefined
): Credit => {
  const options = resolve(causalRules, causalDefaults, given)
  if (options.returns === "sliding_window_mean" && options.window < 1) {
    throw new CreditError({ field: "window", value: options.window, expected: "an integer, at least 1" })
  }
  const dropped: Array<string> = []
  const kept: Array<Experience> = []
  for (const experience of experiences) {
    if (experience.flag === undefined) kept.push(experience)
    else dropped.push(experience.id)
  }
  const flagged = dropped.length

  kept.forEach((experience, i) => check(experience, kept[i - 1]?.taskRewards))
  const compare = comparisonOf(kept)
  const cast = ballots()
  const returns = new Float64Array(kept.length)
  const cuts = kept.map((experience, i) => {
    const other = compare?.(experience)
    const value = (returns[i] = returnOf(experience, options, other?.tasks))
    if (!Number.isFinite(value))
      refuse(experience.id, "return", value, "a finite number: the rewards are too large to add")
    return cast(experience, value, other?.among)
  })

  const scored: Array<{ id: string; return: number; baseline: number; score: number; advantage: number }> = []
  const groups = new Map<
    string,
    { readonly members: Array<number>; readonly scores: Array<number>; readonly tokens: Array<number> }
  >()
  // The whole call is a group even when nothing is left of it.
  if (options.redLevel === "batch") groups.set("batch", { members: [], scores: [], tokens: [] })
  kept.forEach((experience, i) => {
    const baseline = baselineOf(cuts[i]!, experience.run, options.baseline)
    const score = returns[i]! - baseline
    if (!Number.isFinite(score))
      refuse(experience.id, "score", score, "a finite number: the rewards are too large to compare")
    if (options.dropZeroScores && score === 0) return void dropped.push(experience.id)
    const name = groupOf(experience, options.redLevel)
    let group = groups.get(name)
    if (group === undefined) groups.set(name, (group = { members: [], scores: [], tokens: [] }))
    group.members.push(scored.length)
    group.scores.push(score)
    group.tokens.push(experience.responseTokens)
    scored.push({ id: experience.id, return: returns[i]!, baseline, score, advantage: score })
  })

  const temperatures = Array.from(groups, ([name, group]) => {
    const temperature = options.redAdaptive
      ? adaptiveTemperature(group, options.redStrict)
      : (group.members.length > 0 && options.redTemperature) || null
    const shift = options.advantageShift ? shiftOf(group) : 0
    for (const member of group.members) {
      const entry = scored[member]!
      entry.advantage = weigh(entry.score, temperature) - shift
      if (!Number.isFinite(entry.advantage)) refuse(entry.id, "advantage", entry.advantage, "a finite number")
    }
    return { group: name, temperature }
  })

  const active = temperatures.flatMap(({ temperature }) => (temperature === null ? [] : [temperature]))
  return {
    experiences: scored,
    dropped,
    temperatures,
    metrics: {
      experience_count: experiences.length,
      judge_format_error_count: flagged,
      active_weight_temp_mean: active.length === 0 ? 0 : active.reduce((a, b) => a + b) / active.length,
      ...(options.dropZeroScores ? { zero_score_count: dropped.length - flagged } : {})
    }
  }
}

const groupOf = (experience: Experience, level: CausalOptions["redLevel"]): string =>
  level === "batch" ? "batch" : level === "task" ? experience.pack : String(experience.taskset)

/** Refuses what no return can be computed from. Steps of one lifecycle share their list of rewards, which is read once. */
const check = (experience: Experience, checked: ReadonlyArray<number> | undefined): void => {
  const { id, taskRewards, index, kind, reward, responseTokens } = experience
  if (kind !== "solve" && kind !== "update") refuse(id, "kind", kind, "solve or update")
  if (!Array.isArray(taskRewards)) refuse(id, "taskRewards", taskRewards, "a list of numbers")
  if (!Number.isInteger(index) || index < 0 || index >= taskRewards.length) {
    refuse(id, "index", index, `an integer in [0, ${taskRewards.length})`)
  }
  if (!Number.isFinite(reward)) refuse(id, "reward", reward, "a finite number")
  if (!Number.isInteger(responseTokens) || responseTokens < 0) {
    refuse(id, "responseTokens", responseTokens, "an integer, at least 0")
  }
  if (taskRewards === checked) return
  for (let i = 0; i < taskRewards.length; i++) {
    if (!Number.isFinite(taskRewards[i])) refuse(id, `taskRewards[${i}]`, taskRewards[i], "a finite number")
  }
}
