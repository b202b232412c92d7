/** Research in words for language models. These texts are all that the scripted agents see: `reading.ts` changes with them. */
import { printed, supportOf, valueAt } from "./equation.ts"
import { termNames } from "./dictionary.ts"
import { conditionPenalty } from "./regression.ts"
import {
  committed,
  type Hypothesis,
  isOutOfSteps,
  pointsLeft,
  type Report,
  type Research,
  samplesOf
} from "./research.ts"

export const system = ({
  options,
  packSize
}: Research): string => `You are looking for the reaction f(u) of a partial differential equation, by sampling and sparse regression.

## Setting
- du/dt = d2u/dx2 + f(u) for x in [0, 1] and t in [0, 1]; u = 0 at both ends.
- f is the same in all ${packSize} tasks of the stream. Each task observes it from another initial condition.
- f has ${options.terms[0] === options.terms[1] ? "exactly" : `${options.terms[0]} to`} ${options.terms[1]} active terms of this dictionary, each with a coefficient of size 0.5 to 2:
  ${termNames.join(", ")}
- Measurements are noisy. u is largest early: diffusion soon flattens it. Terms are told apart by samples whose values of u are spread widely.

## Actions
One a step, as XML inside the answer. The examples show the form, not good values.
1. sample_pde_data: measures u and y = du/dt - d2u/dx2 (that is, f(u)) at points x,t with 0 < x < 1 and 0 <= t <= 1. Spends one point of the budget each. The values are shown by regressions.
   <answer><sample_pde_data><point_grid>0.2,0.9; 0.7,0.8</point_grid></sample_pde_data></answer>
2. run_sparse_regression: scores equations on data. All arguments are optional: dataset_id (an id, or tasks 1-2; default all data), dictionary (terms, by commas) or candidate_equations (1 to 8, by semicolons; their coefficients are fitted anew), alpha (default 0.05), threshold (default 0.05).
   <answer><run_sparse_regression><dictionary>u, u^2, tanh(u)</dictionary></run_sparse_regression></answer>
   <answer><run_sparse_regression><dataset_id>task1_data1</dataset_id><candidate_equations>1*u - 1*u^2; 1*tanh(u)</candidate_equations></run_sparse_regression></answer>
3. summarize_pack_evidence: lists what earlier tasks committed; with reveal_equations true also their equations.
   <answer><summarize_pack_evidence><reveal_equations>true</reveal_equations></summarize_pack_evidence></answer>
4. update_scientific_context: commits an equation and ends the task. preferred_equation must be an equation of the latest regression of this task, as printed there; optional: note, uncertain_terms (up to 4).
   <answer><update_scientific_context><preferred_equation>0.5*u^2</preferred_equation><note>...</note></update_scientific_context></answer>

## Equations
A sum of number*term. Terms that contain a plus or a minus stand in brackets: 0.7*u - 1.1*(exp(u)-1). In notes write &lt; for < and &amp; for &.

## Diagnostics
- sampled max error: the largest |y - prediction| over the data used. Small is not enough: few points fit many equations.
- condition number: how alike the terms look on these data; above ${options.kappaThreshold} coefficients and supports are doubtful (penalty = its distance in powers of ten).
- margin: how much worse the closest equation with other terms is, as a share of the best error. Near 0 the two cannot be told apart.

## Protocol
- Sample, run a regression, commit: an update needs data and a regression of this task. You have ${options.maxSteps} steps and ${options.pointBudget} points in each task; a task without update is worth nothing.
- Arguments that make no sense cost the step. An answer that is not one of the four actions in this form ends the task.
- Right terms with right coefficients are worth most; missing terms, wrong terms and extra terms cost.
Reason briefly, then give one action.`

const sig = (value: number): string => Number(value.toPrecision(4)).toString()
const span = (values: ReadonlyArray<number>): string => `${sig(Math.min(...values))} to ${sig(Math.max(...values))}`

/** Most coefficients are known to three digits, so is their effect. */
const regression = (research: Research): string => {
  const fit = research.fit!
  const { best, closest, kappa } = fit
  const { kappaThreshold } = research.options
  const samples = samplesOf(research, fit)
  const condition = (value: number): string =>
    `${sig(value)} (penalty ${conditionPenalty(value, kappaThreshold).toFixed(2)})`
  const rows = samples.map(({ t, u, x, y }) => {
    const prediction = valueAt(best.equation, u)
    return [x, t, u, y, prediction, y - prediction].map((value) => `${Number(value.toFixed(5))}`).join(" ")
  })
  return `Regression on ${fit.datasets.join(", ")} (${samples.length} points).
Best equation: ${printed(best.equation)}
Sampled max error: ${sig(best.error)}
Condition number: of the best equation ${condition(kappa.best)}, of the dictionary ${condition(kappa.dictionary)}
${
  closest === null
    ? "Closest equation with other terms: none was scored"
    : `Closest equation with other terms: ${printed(closest.equation)}, max error ${sig(closest.error)}, margin ${sig(closest.margin)}`
}
x t u y prediction error
${rows.join("\n")}`
}

const summary = ({ notebook }: Research, reveal: boolean): string => {
  if (notebook.hypotheses.length === 0) return "No earlier task has committed an equation."
  return notebook.hypotheses
    .map((hypothesis) => {
      const { equation, note, uncertain } = hypothesis
      const shown = reveal ? `${printed(equation)}, ` : `${supportOf(equation).length} terms, `
      const doubts = uncertain.length === 0 ? "" : `, uncertain: ${uncertain.join(", ")}`
      return `Task ${hypothesis.position + 1}: ${shown}${evidence(hypothesis)}${doubts}${note === "" ? "" : `, note: ${note}`}`
    })
    .join("\n")
}

const evidence = ({ error, margin, points, uSpan }: Hypothesis): string =>
  `${points} points, u from ${sig(uSpan[0])} to ${sig(uSpan[1])}, max error ${sig(error)}, margin ${margin === null ? "unknown" : sig(margin)}`

const reported = (research: Research, report: Report): string => {
  switch (report.kind) {
    case "refused":
      return `${report.action} was refused: ${report.why}. The step is spent.`
    case "sampled": {
      const { samples } = research.notebook.datasets.find(({ id }) => id === report.dataset)!
      const of = (key: "u" | "x" | "t") => span(samples.map((sample) => sample[key]))
      return `Stored ${report.dataset}: ${samples.length} points, u from ${of("u")}, x from ${of("x")}, t from ${of("t")}. Budget left: ${pointsLeft(research)} points. A regression shows the values.`
    }
    case "fitted":
      return regression(research)
    case "summarised":
      return summary(research, report.reveal)
    case "committed":
      return `Committed ${printed(report.equation)}. The task is over.`
  }
}

/** On the last action; empty before the first. */
export const stepFeedback = (research: Research): string => {
  if (research.why !== undefined) return `Your answer was no action: ${research.why}. The task is over.`
  return research.report === undefined ? "" : reported(research, research.report)
}

const next = (research: Research): string => {
  const sampling = pointsLeft(research) > 0 ? ["sample_pde_data"] : []
  const hasData = research.notebook.datasets.length > 0
  const canCommit = research.spent > 0 && research.fit !== undefined
  return [
    ...sampling,
    ...(hasData ? ["run_sparse_regression"] : []),
    "summarize_pack_evidence",
    ...(canCommit ? ["update_scientific_context"] : [])
  ].join(", ")
}

export const user = (research: Research): string => {
  const { fit, notebook, options, packSize, position, steps } = research
  const latest = notebook.hypotheses.at(-1)
  const data = notebook.datasets.map(({ id, samples }) => `${id} (${samples.length})`)
  const feedback = stepFeedback(research)
  return `Task ${position + 1} of ${packSize}, step ${steps + 1}/${options.maxSteps}
Budget left: ${pointsLeft(research)} points
Data sets (points): ${data.length === 0 ? "none" : data.join(", ")}
Latest sampled max error: ${fit === undefined ? "none yet in this task" : sig(fit.best.error)}
Latest committed task: ${latest === undefined ? "none" : `task ${latest.position + 1}, ${evidence(latest)}`}${feedback === "" ? "" : `\n\n${feedback}`}

Possible now: ${next(research)}`
}

/** The feedback on all but the latest two actions is left out of later prompts: tables of regressions are long. */
export const shorten = (observation: string, age: number): string =>
  age < 2
    ? observation
    : observation.replace(
        /\n\n[\s\S]*\n\nPossible now:/,
        "\n\n(The feedback on this action was left out to save space.)\n\nPossible now:"
      )

/** Of the episode, for the update of the context. The reward stays out: it would tell the hidden truth. */
export const endFeedback = (research: Research): string => {
  const { fit } = research
  const equation = committed(research)
  return [
    research.report?.kind === "fitted" ? "" : stepFeedback(research),
    equation === undefined && isOutOfSteps(research) ? "You ran out of steps without committing an equation." : "",
    `Finalised equation: ${equation === undefined ? "none" : printed(equation)}`,
    fit === undefined
      ? "No regression was run."
      : `Latest regression candidate: ${printed(fit.best.equation)}, sampled max error ${sig(fit.best.error)} on ${samplesOf(research, fit).length} points`
  ]
    .filter((line) => line !== "")
    .join("\n")
}
