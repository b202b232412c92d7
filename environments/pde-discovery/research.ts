/** The research of one task: the machine's data and what each action makes of it, as pure functions. */
import type { Rng, Start } from "../../src/environment.ts"
import type { Action } from "./actions.ts"
import { type TermName, termNames } from "./dictionary.ts"
import { compare, equal, type Equation, printed, readDictionary, readEquation, supportOf } from "./equation.ts"
import type { Knowledge, Options, Task } from "./options.ts"
import { conditionNumber, largestError, type Question, runnerUp, type Sample, scoreSupports } from "./regression.ts"
import { measure, type Place } from "./simulation.ts"

export interface Dataset {
  readonly id: string
  /** Of the task that sampled it. */
  readonly position: number
  readonly samples: ReadonlyArray<Sample>
}

/** What a task committed, and on what evidence. */
export interface Hypothesis {
  readonly position: number
  readonly equation: Equation
  readonly points: number
  readonly uSpan: readonly [number, number]
  readonly error: number
  /** Of the closest equation with other terms; null when there was none. */
  readonly margin: number | null
  readonly note: string
  readonly uncertain: ReadonlyArray<TermName>
}

/** What lasts for the lifecycle. */
export interface Notebook {
  readonly datasets: ReadonlyArray<Dataset>
  readonly hypotheses: ReadonlyArray<Hypothesis>
}

export const emptyNotebook: Notebook = { datasets: [], hypotheses: [] }

/** A regression of this task. */
export interface Fit {
  readonly datasets: ReadonlyArray<string>
  readonly question: Question
  readonly best: { readonly equation: Equation; readonly error: number }
  readonly kappa: { readonly best: number; readonly dictionary: number }
  readonly closest: { readonly equation: Equation; readonly error: number; readonly margin: number } | null
}

/** What the last action led to. */
export type Report =
  | { readonly kind: "refused"; readonly action: Action["name"]; readonly why: string }
  | { readonly kind: "sampled"; readonly dataset: string }
  | { readonly kind: "fitted" }
  | { readonly kind: "summarised"; readonly reveal: boolean }
  | { readonly kind: "committed"; readonly equation: Equation }

export interface Research {
  readonly options: Options
  readonly knowledge: Knowledge
  readonly trajectory: number
  readonly position: number
  readonly packSize: number
  readonly notebook: Notebook
  /** Actions taken. */
  readonly steps: number
  /** Points sampled in this task. */
  readonly spent: number
  /** The latest regression of this task. */
  readonly fit: Fit | undefined
  readonly report: Report | undefined
  /** Why the answer was no action. */
  readonly why: string | undefined
}

export const begin = (start: Start<Options, Knowledge, Task, Notebook | undefined>): Research => {
  const { knowledge, memory, options, packSize, position, task } = start
  return {
    options,
    knowledge,
    trajectory: task.trajectory % knowledge.trajectories.length,
    position,
    packSize,
    notebook: (options.memory === "on" ? memory : undefined) ?? emptyNotebook,
    steps: 0,
    spent: 0,
    fit: undefined,
    report: undefined,
    why: undefined
  }
}

export const truth = ({ knowledge }: Research): Equation => knowledge.equation as Equation

/** What the research has become by an action. An argument that makes no sense costs the step, no more. */
export const act = (research: Research, action: Action, rng: Rng): Research => {
  const done = perform(research, action, rng)
  const steps = research.steps + 1
  return typeof done === "string"
    ? { ...research, steps, report: { kind: "refused", action: action.name, why: done } }
    : { ...research, ...done, steps }
}

const perform = (research: Research, action: Action, rng: Rng): Partial<Research> | string => {
  switch (action.name) {
    case "sample_pde_data":
      return sample(research, action.point_grid, rng)
    case "run_sparse_regression":
      return regress(research, action)
    case "summarize_pack_evidence": {
      const { reveal_equations: reveal = "false" } = action
      if (reveal !== "true" && reveal !== "false") return "reveal_equations must be true or false"
      return { report: { kind: "summarised", reveal: reveal === "true" } }
    }
    case "update_scientific_context":
      return commit(research, action)
  }
}

export const pointsLeft = ({ options, spent }: Research): number => options.pointBudget - spent

const sample = (research: Research, text: string, rng: Rng): Partial<Research> | string => {
  const places = readPlaces(text)
  if (typeof places === "string") return places
  const left = pointsLeft(research)
  if (places.length > left) return `${places.length} points were asked for, ${left} are left`
  const { knowledge, notebook, options, position, spent, trajectory } = research
  const { grid, noiseLevel, stateLimit } = options
  const exact = measure(truth(research), knowledge.trajectories[trajectory]!, grid, stateLimit, places)
  const samples = exact.map(({ u, y }, i) => ({
    ...places[i]!,
    u: rounded(u + noiseLevel * rng.normal()),
    y: rounded(y + (noiseLevel / 4) * rng.normal())
  }))
  const own = notebook.datasets.filter((dataset) => dataset.position === position).length
  const id = `task${position + 1}_data${own + 1}`
  return {
    notebook: { ...notebook, datasets: [...notebook.datasets, { id, position, samples }] },
    spent: spent + places.length,
    report: { kind: "sampled", dataset: id }
  }
}

const rounded = (value: number): number => Math.round(1e6 * value) / 1e6 + 0

/** Pairs of numbers, in brackets or not. */
const readPlaces = (text: string): ReadonlyArray<Place> | string => {
  const numbers = text
    .split(/[\s,;()[\]]+/)
    .filter((word) => word !== "")
    .map(Number)
  if (numbers.length === 0 || numbers.length % 2 === 1 || numbers.some((value) => !Number.isFinite(value))) {
    return "point_grid must be pairs of numbers such as 0.5,0.1; 0.25,0.3"
  }
  const places = Array.from({ length: numbers.length / 2 }, (_, i) => ({ x: numbers[2 * i]!, t: numbers[2 * i + 1]! }))
  const outside = places.find(({ t, x }) => !(x > 0 && x < 1 && t >= 0 && t <= 1))
  return outside === undefined ? places : `the point ${outside.x},${outside.t} is outside of 0 < x < 1, 0 <= t <= 1`
}

/** The samples that a regression used. */
export const samplesOf = ({ notebook }: Research, { datasets }: Fit): ReadonlyArray<Sample> =>
  notebook.datasets.filter(({ id }) => datasets.includes(id)).flatMap(({ samples }) => samples)

const regress = (
  research: Research,
  action: Extract<Action, { name: "run_sparse_regression" }>
): Partial<Research> | string => {
  const datasets = choose(research.notebook.datasets, action.dataset_id ?? "")
  if (typeof datasets === "string") return datasets
  const question = readQuestion(action, research.options)
  if (typeof question === "string") return question
  const samples = datasets.flatMap((dataset) => dataset.samples)
  const scored = scoreSupports(samples, question)
  const [best] = scored
  if (best === undefined) return "no term explains the samples with a coefficient above the threshold"
  const fit: Fit = {
    datasets: datasets.map(({ id }) => id),
    question,
    best,
    kappa: {
      best: conditionNumber(samples, supportOf(best.equation)),
      dictionary: conditionNumber(samples, question.dictionary)
    },
    closest: runnerUp(scored) ?? null
  }
  return { fit, report: { kind: "fitted" } }
}

/** All data, those of one id, or those of a range of tasks, counted from 1. */
const choose = (datasets: ReadonlyArray<Dataset>, asked: string): ReadonlyArray<Dataset> | string => {
  if (datasets.length === 0) return "there is no data yet, sample first"
  if (asked === "" || asked === "all") return datasets
  const range = /^tasks?\s*(\d{1,6})(?:\s*(?:-|to)\s*(?:task\s*)?(\d{1,6}))?$/.exec(asked)
  const [first, last] = [Number(range?.[1]), Number(range?.[2] ?? range?.[1])]
  const chosen =
    range === null
      ? datasets.filter(({ id }) => id === asked)
      : datasets.filter(({ position }) => position + 1 >= first && position + 1 <= last)
  if (chosen.length > 0) return chosen
  return `there is no data ${asked.slice(0, 40)}; there are ${datasets.map(({ id }) => id).join(", ")}`
}

const mostCandidates = 8

const readQuestion = (
  action: Extract<Action, { name: "run_sparse_regression" }>,
  options: Options
): Question | string => {
  const { candidate_equations: candidates = "", dictionary = "" } = action
  const alpha = readSize("alpha", action.alpha)
  const threshold = readSize("threshold", action.threshold)
  if (typeof alpha === "string") return alpha
  if (typeof threshold === "string") return threshold
  const common = { alpha, threshold, mostTerms: options.terms[1] }
  if (dictionary !== "" && candidates !== "") return "give a dictionary or candidate_equations, not both"
  if (candidates === "") {
    const read = dictionary === "" ? { dictionary: termNames } : readDictionary(dictionary)
    return "why" in read ? `dictionary: ${read.why}` : { ...common, ...read, supports: undefined }
  }
  const texts = candidates.split(/[;\n]/).filter((text) => text.trim() !== "")
  if (texts.length > mostCandidates) return `at most ${mostCandidates} candidate_equations, not ${texts.length}`
  const supports: Array<Array<TermName>> = []
  for (const text of texts) {
    const read = readEquation(text)
    if ("why" in read) return `candidate_equations, ${JSON.stringify(text.trim().slice(0, 40))}: ${read.why}`
    supports.push(supportOf(read.equation))
  }
  return { ...common, dictionary: termNames, supports }
}

const readSize = (name: string, text: string | undefined): number | string => {
  if (text === undefined || text === "") return 0.05
  const value = Number(text)
  return Number.isFinite(value) && value >= 0 ? value : `${name} must be a number of at least 0`
}

const mostUncertain = 4
const longestNote = 1000

const commit = (
  research: Research,
  action: Extract<Action, { name: "update_scientific_context" }>
): Partial<Research> | string => {
  const { fit, notebook, position, spent } = research
  if (spent === 0) return "sample data in this task first"
  if (fit === undefined) return "run a regression in this task first"
  const read = readEquation(action.preferred_equation)
  if ("why" in read) return `preferred_equation: ${read.why}`
  if (!read.explicit) return "preferred_equation: every term needs its numeric coefficient, such as 1*u"
  const uncertain = readDictionary(action.uncertain_terms || "u")
  if ("why" in uncertain) return `uncertain_terms: ${uncertain.why}`
  const terms = action.uncertain_terms ? uncertain.dictionary : []
  if (terms.length > mostUncertain) return `at most ${mostUncertain} uncertain_terms, not ${terms.length}`
  const samples = samplesOf(research, fit)
  // Scored again rather than kept: the scores of hundreds of equations would outweigh all other state.
  if (!scoreSupports(samples, fit.question).some(({ equation }) => equal(equation, read.equation))) {
    return `preferred_equation: the latest regression has scored no ${printed(read.equation)}; take an equation as it was printed`
  }
  const us = samples.map(({ u }) => u)
  const hypothesis: Hypothesis = {
    position,
    equation: read.equation,
    points: samples.length,
    uSpan: [Math.min(...us), Math.max(...us)],
    error: largestError(read.equation, samples),
    margin: fit.closest?.margin ?? null,
    note: (action.note ?? "").slice(0, longestNote),
    uncertain: terms
  }
  return {
    notebook: { ...notebook, hypotheses: [...notebook.hypotheses, hypothesis] },
    report: { kind: "committed", equation: read.equation }
  }
}

export const committed = ({ report }: Research): Equation | undefined =>
  report?.kind === "committed" ? report.equation : undefined

export const isRecovered = (research: Research): boolean => {
  const equation = committed(research)
  return equation !== undefined && compare(equation, truth(research)).recovered
}

export const isOutOfSteps = ({ options, steps }: Research): boolean => steps >= options.maxSteps

/** Never shown: it is computed from the hidden truth. */
export const rewardOf = (research: Research): number => {
  const equation = committed(research)
  return equation === undefined ? 0 : compare(equation, truth(research)).reward
}
