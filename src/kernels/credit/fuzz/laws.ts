/**
 * Laws that sound estimators obey. `docs/credit-assignment.md` states each with its reason.
 *
 * A law looks at one case: it asks the estimator about the case and about variants of it, and complains where the answers
 * contradict each other. It draws nothing at random, so a case that breaks a law breaks it always. Where a law holds only
 * under a condition, `applies` is the condition.
 */
import type { Experience, RunExperience } from "../estimator.ts"
import type { CausalCase, FuzzCase } from "./generator.ts"
import { ask, decided, neutral, scoreOf, toleranceOf, violate, type Answer, type Plugin } from "./subject.ts"

export interface Law {
  readonly name: string
  /** One sentence. */
  readonly statement: string
  readonly applies: (given: FuzzCase) => boolean
  /** Throws a `Violation`. `answer` is the estimator's to the case itself. */
  readonly check: (given: FuzzCase, answer: Answer, plugin: Plugin) => void
}

type Change = (experience: any, at: number) => RunExperience

const always = () => true

/** The case with other experiences. */
const variant = (given: FuzzCase, experiences: ReadonlyArray<RunExperience>): FuzzCase =>
  ({ ...given, experiences }) as FuzzCase

const changed = (given: FuzzCase, change: Change): FuzzCase =>
  variant(given, (given.experiences as ReadonlyArray<RunExperience>).map(change))

interface Comparison {
  /** The experiences compared; all that both answers score, by default. */
  readonly ids?: Iterable<string>
  /** Advantages too, where no rounding decides a temperature. */
  readonly advantages?: boolean
  /** The variant, where its numbers or groups differ. */
  readonly other?: FuzzCase
  readonly because: string
}

/** Complains about the first experience whose score the variant changed. */
const expectSame = (
  given: FuzzCase,
  answer: Answer,
  found: Answer,
  { ids, advantages, other = given, because }: Comparison
) => {
  const tolerance = Math.max(toleranceOf(given), toleranceOf(other))
  const compareAdvantages = advantages === true && (neutral(given) || (decided(given) && decided(other)))
  for (const id of ids ?? answer.rows.keys()) {
    const before = answer.rows.get(id)
    const after = found.rows.get(id)
    if (before === undefined && after === undefined) continue
    if (before === undefined || after === undefined) {
      if (given.mode === "grpo" && !(decided(given) && decided(other))) continue
      return violate(`${id} is ${after ? "scored" : "dropped"} only ${because}`)
    }
    const [was, is] = [scoreOf(given, before), scoreOf(other, after)]
    if (was !== undefined && is !== undefined && !(Math.abs(was - is) <= tolerance)) {
      violate(`the score of ${id} is ${was}, but ${is} ${because}`)
    }
    if (!compareAdvantages) continue
    const slack = advantageSlack(given, before.score ?? before.advantage, before.advantage, tolerance)
    if (!(Math.abs(before.advantage - after.advantage) <= slack)) {
      violate(`the advantage of ${id} is ${before.advantage}, but ${after.advantage} ${because}`)
    }
  }
}

/** What becomes of a score's tolerance in its advantage: d(s exp(s/T)) is exp(s/T) (1 + s/T) ds. */
export const advantageSlack = (given: FuzzCase, score: number, advantage: number, tolerance: number): number => {
  if (given.mode === "grpo" || neutral(given)) return tolerance
  const coldest = given.options.redAdaptive ? 0.8 : given.options.redTemperature || Infinity
  const ratio = Math.abs(score) / coldest
  return tolerance * (1 + ratio) * Math.exp(Math.min(Math.max(score / coldest, 0), 700)) + 1e-9 * Math.abs(advantage)
}

const conservation: Law = {
  name: "conservation",
  statement: "Every experience is returned exactly once or listed as dropped.",
  applies: always,
  check: ({ experiences }, { rows, dropped }) => {
    const ids = new Set(experiences.map(({ id }) => id))
    const gone = new Set<string>()
    for (const id of dropped) {
      if (!ids.has(id)) violate(`dropped ${id}, which is not among the experiences`)
      if (gone.has(id)) violate(`dropped ${id} twice`)
      if (rows.has(id)) violate(`${id} is both returned and dropped`)
      gone.add(id)
    }
    for (const id of rows.keys()) if (!ids.has(id)) violate(`returned ${id}, which is not among the experiences`)
    for (const id of ids) if (!rows.has(id) && !gone.has(id)) violate(`${id} is neither returned nor dropped`)
  }
}

const purity: Law = {
  name: "purity",
  statement: "The same call gives the same answer.",
  applies: always,
  check: (given, answer, plugin) => {
    const again = ask(plugin, given)
    for (const [id, { advantage }] of answer.rows) {
      const other = again.rows.get(id)?.advantage
      if (other !== advantage) violate(`the advantage of ${id} is ${advantage} at first and ${other} when asked again`)
    }
  }
}

/** Adds to the rewards of the tasks before `end`, to each run another amount, keeping solve rewards and lists together. */
const perturb = (given: CausalCase, end: number, updatesBefore: number): FuzzCase =>
  changed(given, (experience: Experience) => {
    const { run, kind, index } = experience
    const taskRewards = experience.taskRewards.map((reward, i) =>
      i < end ? reward + 1 + 0.375 * (run % 5) + i : reward
    )
    const reward =
      kind === "solve"
        ? taskRewards[index]!
        : index < updatesBefore
          ? experience.reward - 0.25 * (run % 3) - 1
          : experience.reward
    return { ...experience, taskRewards, reward }
  })

const causality: Law = {
  name: "causality",
  statement: "A score never depends on earlier rewards; an update episode's not on the task it has just seen.",
  applies: ({ mode }) => mode === "causal",
  check: (given, answer, plugin) => {
    if (given.mode !== "causal") return
    const last = given.experiences.reduce((most, { index }) => Math.max(most, index), -1)
    for (let position = 0; position <= last; position++) {
      const other = perturb(given, position + 1, position)
      const later = given.experiences.filter(({ kind, index }) =>
        kind === "solve" ? index > position : index >= position
      )
      expectSame(given, answer, ask(plugin, other), {
        ids: later.map(({ id }) => id),
        other,
        because: `when run r's rewards of tasks i up to ${position} are raised by 1 + 0.375 (r mod 5) + i`
      })
    }
  }
}

const isolation: Law = {
  name: "isolation",
  statement: "A score never depends on another pack, kind or position.",
  applies: (given) => given.mode === "causal" || given.options.stdLevel !== "batch",
  check: (given, answer, plugin) => {
    const alone = (because: string, keep: (experience: any) => boolean) => {
      const experiences = (given.experiences as ReadonlyArray<RunExperience>).filter(keep)
      if (experiences.length === given.experiences.length) return
      const other = variant(given, experiences)
      expectSame(given, answer, ask(plugin, other), { ids: experiences.map(({ id }) => id), other, because })
    }
    for (const name of new Set(given.experiences.map(({ pack }) => pack))) {
      alone(`without the packs other than ${JSON.stringify(name)}`, ({ pack }) => pack === name)
    }
    if (given.mode !== "causal") return
    alone("without update episodes", ({ kind }) => kind === "solve")
    alone("without solve episodes", ({ kind }) => kind === "update")
    for (const position of new Set(given.experiences.map(({ index }) => index))) {
      alone(`without the positions other than ${position}`, ({ index }) => index === position)
    }
  }
}

const groupOf = ({ options }: CausalCase, { pack, taskset }: Experience): string =>
  options.redLevel === "batch" ? "batch" : options.redLevel === "task" ? pack : String(taskset)

const grouping: Law = {
  name: "grouping",
  statement: "An advantage depends on other packs only through its group of the weighting and the shift.",
  applies: (given) => given.mode === "causal" && given.options.redLevel !== "batch",
  check: (given, answer, plugin) => {
    if (given.mode !== "causal") return
    const groups = Map.groupBy(given.experiences, (experience) => groupOf(given, experience))
    if (groups.size < 2) return
    for (const [name, experiences] of groups) {
      const other = variant(given, experiences)
      expectSame(given, answer, ask(plugin, other), {
        ids: experiences.map(({ id }) => id),
        advantages: true,
        other,
        because: `without the groups other than ${JSON.stringify(name)}`
      })
    }
  }
}

const permutation: Law = {
  name: "permutation",
  statement:
    "Interleaving runs changes nothing as long as each keeps its own order; names of runs and packs mean nothing.",
  applies: always,
  check: (given, answer, plugin) => {
    const lifecycle = ({ pack, run }: RunExperience) => JSON.stringify([pack, run])
    const lists = Array.from(Map.groupBy<string, RunExperience>(given.experiences, lifecycle).values())
    const longest = lists.reduce((most, list) => Math.max(most, list.length), 0)
    const orders: Record<string, ReadonlyArray<RunExperience>> = {
      "when runs arrive one after the other": lists.flat(),
      "when runs arrive in the opposite order": lists.toReversed().flat(),
      "when runs arrive in turns": Array.from({ length: longest }, (_, i) =>
        lists.flatMap((list) => list.slice(i, i + 1))
      ).flat()
    }
    for (const [because, experiences] of Object.entries(orders)) {
      const other = variant(given, experiences)
      expectSame(given, answer, ask(plugin, other), { advantages: true, because })
    }
    const runs = [...new Set(given.experiences.map(({ run }) => run))]
    const swapped = changed(given, (experience) => ({
      ...experience,
      run: runs.at(-1 - runs.indexOf(experience.run))!
    }))
    expectSame(given, answer, ask(plugin, swapped), { advantages: true, because: "when runs are numbered otherwise" })
    const packs = [...new Set(given.experiences.map(({ pack }) => pack))]
    const renamed = changed(given, (experience) => ({
      ...experience,
      pack: `renamed ${packs.indexOf(experience.pack)}`
    }))
    expectSame(given, answer, ask(plugin, renamed), { advantages: true, because: "when packs are renamed" })
  }
}

const deadGroups: Law = {
  name: "dead-groups",
  statement: "A pack whose runs are all alike scores 0 and changes no other score.",
  applies: (given) => given.mode === "causal" || given.options.stdLevel !== "batch",
  check: (given, answer, plugin) => {
    const taskRewards = [0.35, 0.35, 0.35]
    const dead = [0, 1, 2].flatMap((run) =>
      [0, 1, 2].map((index) => ({
        id: `dead ${run} ${index}`,
        pack: "dead",
        run,
        step: 0,
        reward: 0.35,
        responseTokens: 7,
        ...(given.mode === "causal" ? { taskset: 987, kind: "solve", index, taskRewards } : { totalReward: 1.05 })
      }))
    )
    const other = variant(given, [...given.experiences, ...dead])
    const found = ask(plugin, other)
    const advantages = given.mode === "grpo" || !given.options.advantageShift
    expectSame(given, answer, found, { advantages, other, because: "beside a pack of equal runs" })
    for (const { id } of dead) {
      const score = scoreOf(other, found.rows.get(id))
      if (score !== undefined && !(Math.abs(score) <= toleranceOf(other) + 1e-12)) {
        violate(`an experience of a pack whose runs are all alike scores ${score}, expected 0`)
      }
    }
  }
}

/** The experience that arrives last of each run. */
const lastOf = (given: FuzzCase): ReadonlyArray<RunExperience> =>
  Array.from(
    new Map<string, RunExperience>(
      given.experiences.map((each) => [JSON.stringify([each.pack, each.run]), each])
    ).values()
  )

const padding: Law = {
  name: "padding",
  statement: "A further step without trainable tokens changes nothing.",
  applies: (given) => given.mode === "causal" || !given.options.stepNorm,
  check: (given, answer, plugin) => {
    const pads = lastOf(given).map((each, i) => ({
      ...each,
      id: `padding ${i}`,
      step: each.step + 1,
      responseTokens: 0
    }))
    const other = variant(given, [...given.experiences, ...pads])
    expectSame(given, answer, ask(plugin, other), { advantages: true, other, because: "with steps of no tokens added" })
  }
}

const oneVote: Law = {
  name: "one-vote",
  statement: "A run has one vote in its baseline, however many steps its episodes have.",
  applies: always,
  check: (given, answer, plugin) => {
    const [first] = given.experiences
    if (first === undefined) return
    const copies = (given.experiences as ReadonlyArray<RunExperience>)
      .filter(({ pack, run }) => pack === first.pack && run === first.run)
      .flatMap((each) => [1, 2].map((copy) => ({ ...each, id: `${each.id} copy ${copy}`, step: each.step + copy })))
    // The copies come after everything of their run, so its first and its last experience stay what they were.
    const last = lastOf(given).find(({ pack, run }) => pack === first.pack && run === first.run)!
    const end = { ...last, id: "end", step: last.step + 3 }
    const other = variant(given, [...given.experiences, ...copies, end])
    expectSame(given, answer, ask(plugin, other), {
      other,
      because: `when run ${first.run} has three times as many steps`
    })
  }
}

const zeroMean: Law = {
  name: "zero-mean",
  statement: "The scores of the runs of a key sum to 0.",
  applies: always,
  check: (given, answer) => {
    const keyOf = (experience: any): string => JSON.stringify([experience.pack, experience.kind, experience.index])
    for (const [key, members] of Map.groupBy<string, RunExperience>(given.experiences, keyOf)) {
      const voters = Array.from(
        Map.groupBy(
          members.filter(({ id }) => answer.rows.has(id)),
          ({ run }) => run
        ).values(),
        ([first]) => first!
      )
      if (given.mode === "grpo" && voters.length < 2) continue
      const scores = voters.map(({ id }) => scoreOf(given, answer.rows.get(id)))
      if (scores.includes(undefined)) continue
      const sum = scores.reduce<number>((total, score) => total + score!, 0)
      if (!(Math.abs(sum) <= toleranceOf(given) * (1 + voters.length))) {
        violate(`the scores of the ${voters.length} runs of ${key} sum to ${sum}, expected 0`)
      }
    }
  }
}

const translation: Law = {
  name: "translation",
  statement:
    "A constant added to the task rewards of all runs of a pack changes no score, where their lengths are equal.",
  applies: always,
  check: (given, answer, plugin) => {
    if (given.mode === "grpo") {
      const other = changed(given, (each) => ({
        ...each,
        reward: each.reward + 2.5,
        totalReward: each.totalReward + 2.5
      }))
      const runs = Map.groupBy(given.experiences, ({ pack }) => pack)
      const several = given.experiences.filter(({ pack }) => new Set(runs.get(pack)!.map(({ run }) => run)).size > 1)
      return expectSame(given, answer, ask(plugin, other), {
        ids: several.map(({ id }) => id),
        other,
        because: "when 2.5 is added to every reward"
      })
    }
    for (const [name, members] of Map.groupBy(given.experiences, ({ pack }) => pack)) {
      if (new Set(members.map(({ taskRewards }) => taskRewards.length)).size > 1) continue
      const other = changed(given, (each: Experience) =>
        each.pack !== name
          ? each
          : {
              ...each,
              taskRewards: each.taskRewards.map((reward) => reward + 2.5),
              reward: each.kind === "solve" ? each.reward + 2.5 : each.reward
            }
      )
      expectSame(given, answer, ask(plugin, other), {
        other,
        because: `when 2.5 is added to the rewards of ${JSON.stringify(name)}`
      })
    }
  }
}

const judged: Law = {
  name: "judged",
  statement: "What a judge flagged is dropped, nothing else is, and it takes part in nothing.",
  applies: (given) => given.mode === "causal",
  check: (given, answer, plugin) => {
    if (given.mode !== "causal") return
    for (const { id, flag } of given.experiences) {
      if (flag !== undefined && answer.rows.has(id)) violate(`${id} carries the flag ${flag} and is not dropped`)
      if (flag === undefined && !answer.rows.has(id)) violate(`${id} carries no flag and is dropped`)
    }
    const kept = given.experiences.filter(({ flag }) => flag === undefined)
    if (kept.length === given.experiences.length) return
    expectSame(given, answer, ask(plugin, variant(given, kept)), {
      ids: kept.map(({ id }) => id),
      advantages: true,
      because: "without the flagged experiences"
    })
  }
}

/** Laws of every estimator, those that explain most first. The weighting's own follow in `red-laws.ts`. */
export const creditLaws: ReadonlyArray<Law> = [
  conservation,
  purity,
  judged,
  causality,
  isolation,
  oneVote,
  padding,
  deadGroups,
  zeroMean,
  translation,
  permutation,
  grouping
]
