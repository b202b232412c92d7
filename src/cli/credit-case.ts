/**
 * Case files of credit assignment: one case, or a document with `cases` and a `tolerance`.
 *
 * A case holds a mode, its options and its inputs, and may hold the numbers expected of them. What it expects is
 * compared within the tolerance (absolute plus relative), and nothing else is.
 */
import { Effect, FileSystem, Schema, SchemaIssue } from "effect"
import { LineCounter, parseDocument } from "yaml"
import { causal } from "../kernels/credit/causal.ts"
import { counterfactual } from "../kernels/credit/counterfactual.ts"
import { CreditError, type Credit } from "../kernels/credit/estimator.ts"
import { grpo } from "../kernels/credit/grpo.ts"
import { recLoss } from "../kernels/credit/rec-loss.ts"
import { WrongInput } from "./failure.ts"

const Tolerance = Schema.Struct({ absolute: Schema.Finite, relative: Schema.Finite })
type Tolerance = typeof Tolerance.Type

const strict: Tolerance = { absolute: 1e-9, relative: 1e-9 }

/** A number, or the word for one that JSON has none for: cases of what must be refused hold them. */
// @effect-diagnostics-next-line schemaNumber:off
const Reward = Schema.toCodecJson(Schema.Number)

const RunExperience = Schema.Struct({
  id: Schema.String,
  pack: Schema.String,
  run: Schema.Int,
  step: Schema.Int,
  reward: Reward,
  responseTokens: Schema.Int,
  totalReward: Schema.optionalKey(Reward),
  flag: Schema.optionalKey(Schema.Literals(["own", "trajectory"]))
})

const Experience = Schema.Struct({
  ...RunExperience.fields,
  taskset: Schema.Int,
  kind: Schema.Literals(["solve", "update"]),
  index: Schema.Int,
  taskRewards: Schema.Array(Reward),
  fork: Schema.optionalKey(Schema.String)
})

/** Options are checked by the estimators themselves. */
const Options = Schema.Record(Schema.String, Schema.Unknown)

const ExpectedCredit = Schema.Struct({
  /** The experience that is refused. */
  refused: Schema.optionalKey(Schema.String),
  experiences: Schema.optionalKey(
    Schema.Array(
      Schema.Struct({
        id: Schema.String,
        return: Schema.optionalKey(Schema.Finite),
        baseline: Schema.optionalKey(Schema.Finite),
        score: Schema.optionalKey(Schema.Finite),
        advantage: Schema.optionalKey(Schema.Finite)
      })
    )
  ),
  dropped: Schema.optionalKey(Schema.Array(Schema.String)),
  skippedPacks: Schema.optionalKey(Schema.Array(Schema.String)),
  temperatures: Schema.optionalKey(
    Schema.Array(Schema.Struct({ group: Schema.String, temperature: Schema.NullOr(Schema.Finite) }))
  ),
  metrics: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite))
})

const Rows = Schema.Array(Schema.Array(Schema.Finite))

/** Every mode's own shape. */
const shapes = {
  causal: Schema.Struct({
    id: Schema.String,
    mode: Schema.Literal("causal"),
    options: Options,
    experiences: Schema.Array(Experience),
    expected: Schema.optionalKey(ExpectedCredit)
  }),
  counterfactual: Schema.Struct({
    id: Schema.String,
    mode: Schema.Literal("counterfactual"),
    options: Options,
    experiences: Schema.Array(Experience),
    expected: Schema.optionalKey(ExpectedCredit)
  }),
  grpo: Schema.Struct({
    id: Schema.String,
    mode: Schema.Literal("grpo"),
    options: Options,
    experiences: Schema.Array(RunExperience),
    expected: Schema.optionalKey(ExpectedCredit)
  }),
  rec: Schema.Struct({
    id: Schema.String,
    mode: Schema.Literal("rec"),
    options: Options,
    logprobs: Rows,
    oldLogprobs: Rows,
    mask: Rows,
    advantages: Rows,
    expected: Schema.optionalKey(
      Schema.Struct({
        loss: Schema.optionalKey(Schema.Finite),
        clipFraction: Schema.optionalKey(Schema.Finite),
        gradient: Schema.optionalKey(Rows)
      })
    )
  })
}
export type Case = (typeof shapes)[keyof typeof shapes]["Type"]

const Mode = Schema.Struct({ mode: Schema.Literals(["causal", "counterfactual", "grpo", "rec"]) })

/** A case file, decoded; `at` answers where something in it stands, for messages. */
export interface CaseFile {
  readonly cases: ReadonlyArray<{ readonly case: Case; readonly path: Path; readonly tolerance: Tolerance }>
  readonly refuse: (path: Path, value: unknown, expected: string) => WrongInput
}
type Path = ReadonlyArray<string | number>

/** Reads a case file. What is malformed is refused by file, line, field and value. */
export const readCases = Effect.fnUntraced(function* (file: string) {
  const text = yield* (yield* FileSystem.FileSystem).readFileString(file)
  const document = yield* Effect.try({
    try: () => JSON.parse(text) as unknown,
    catch: (error) => {
      const line = /line (\d+)/.exec(String(error))?.[1]
      const at = line === undefined ? file : `${file}:${line}`
      return new WrongInput({ file: at, field: "document", value: String(error), expected: "JSON" })
    }
  })
  // Lines are only looked up when there is something to complain about.
  const refuse = (path: Path, value: unknown, expected: string): WrongInput => {
    const lineCounter = new LineCounter()
    const parsed = parseDocument(text, { lineCounter, uniqueKeys: false })
    const spelled = path.reduce<string>(
      (name, key) => (typeof key === "number" ? `${name}[${key}]` : name === "" ? key : `${name}.${key}`),
      ""
    )
    for (let known = path.length; ; known--) {
      const node = (known === 0 ? parsed.contents : parsed.getIn(path.slice(0, known), true)) as any
      if (node?.range == null && known > 0) continue
      const line = node?.range == null ? 1 : lineCounter.linePos(node.range[0]).line
      return new WrongInput({ file: `${file}:${line}`, field: spelled || "document", value, expected })
    }
  }
  const decode = <A>(schema: Schema.Decoder<A>, value: unknown, path: Path) =>
    Effect.mapError(Schema.decodeUnknownEffect(schema)(value), ({ issue }) => {
      const { path: inner, message } = firstIssue(issue)
      const found = inner.reduce((at: any, key) => at?.[key], value)
      return refuse([...path, ...inner], found, expectation(message))
    })

  const many = typeof document === "object" && document !== null && "cases" in document
  const list = many ? yield* decode(Schema.Array(Schema.Unknown), document.cases, ["cases"]) : [document]
  const outer = many ? (document as { tolerance?: unknown }).tolerance : undefined
  const cases = yield* Effect.forEach(list, (value, i) => {
    const path = many ? ["cases", i] : []
    return Effect.gen(function* () {
      const { mode } = yield* decode(Mode, value, path)
      const decoded: Case = yield* decode(shapes[mode] as Schema.Decoder<Case>, value, path)
      const own = (value as { tolerance?: unknown }).tolerance
      const tolerance =
        own !== undefined
          ? yield* decode(Tolerance, own, [...path, "tolerance"])
          : outer !== undefined
            ? yield* decode(Tolerance, outer, ["tolerance"])
            : strict
      return { case: decoded, path, tolerance }
    })
  })
  return { cases, refuse } satisfies CaseFile
})

/** A schema's message as it completes "expected ...". */
const expectation = (message: string): string =>
  message.includes('"NaN"') ? "a number" : message.replace(/^Expected /, "").replace(/^Missing key$/, "a value")

const firstIssue = (issue: SchemaIssue.Issue): { readonly path: Path; readonly message: string } => {
  const first = SchemaIssue.makeFormatterStandardSchemaV1()(issue).issues[0]!
  const path = (first.path ?? []).map((key) => (typeof key === "object" ? key.key : key) as string | number)
  return { path, message: first.message }
}

/** A case's result, in the order in which it is printed. `matches` is there when the case expects something. */
export type Result = { readonly id: string; readonly matches?: boolean } & (
  | Credit
  | { readonly loss: number; readonly clipFraction: number; readonly gradient: ReadonlyArray<ReadonlyArray<number>> }
  | { readonly refused: string }
)

type CreditCase = Exclude<Case, { readonly mode: "rec" }>
type RecCase = Extract<Case, { readonly mode: "rec" }>
type Close = (actual: number | undefined, expected: number) => boolean

/** Computes a case. Fails with the field that no credit can be computed from, unless the case expects that. */
export const scoreCase = (
  { case: given, path, tolerance }: CaseFile["cases"][number],
  refuse: CaseFile["refuse"]
): Effect.Effect<Result, WrongInput> => {
  const close: Close = (actual, expected) =>
    actual !== undefined && Math.abs(actual - expected) <= tolerance.absolute + tolerance.relative * Math.abs(expected)
  const expected = given.mode === "rec" ? undefined : given.expected?.refused
  return Effect.try({
    try: (): Result => (given.mode === "rec" ? scoreLoss(given, close) : scoreCredit(given, close)),
    catch: (error) => {
      if (!(error instanceof CreditError)) throw error
      return error
    }
  }).pipe(
    Effect.catch((error) =>
      expected === undefined
        ? Effect.fail(refuse([...path, ...pathOf(error, given)], error.value, error.expected))
        : Effect.succeed({ id: given.id, refused: error.message, matches: error.experience === expected })
    )
  )
}

const scoreLoss = (given: RecCase, close: Close): Result => {
  for (const field of ["oldLogprobs", "mask", "advantages"] as const) {
    const rows = given[field].length
    if (rows !== given.logprobs.length) {
      throw new CreditError({
        field,
        value: `${rows} rows`,
        expected: `${given.logprobs.length}, as many as logprobs has`
      })
    }
  }
  const sequences = given.logprobs.map((logprobs, row) => ({
    logprobs,
    behaviourLogprobs: given.oldLogprobs[row]!,
    mask: given.mask[row]!,
    advantages: given.advantages[row]!
  }))
  const { loss, clipFraction, gradient } = recLoss(sequences, given.options)
  const rows = gradient.map((row) => Array.from(row))
  const { expected } = given
  if (expected === undefined) return { id: given.id, loss, clipFraction, gradient: rows }
  const sameRow = (row: ReadonlyArray<number>, i: number) =>
    row.length === rows[i]!.length && row.every((value, t) => close(rows[i]![t], value))
  const matches =
    (expected.loss === undefined || close(loss, expected.loss)) &&
    (expected.clipFraction === undefined || close(clipFraction, expected.clipFraction)) &&
    (expected.gradient === undefined || (expected.gradient.length === rows.length && expected.gradient.every(sameRow)))
  return { id: given.id, loss, clipFraction, gradient: rows, matches }
}

const creditOf = (given: CreditCase): Credit => {
  switch (given.mode) {
    case "causal":
      return causal(given.experiences, given.options)
    case "counterfactual":
      return counterfactual(given.experiences, given.options)
    case "grpo":
      return grpo(given.experiences, given.options)
  }
}

const scoreCredit = (given: CreditCase, close: Close): Result => {
  const credit = creditOf(given)
  return {
    id: given.id,
    ...credit,
    ...(given.expected && {
      matches: given.expected.refused === undefined && matchesCredit(credit, given, given.expected, close)
    })
  }
}

/** Where in its case the input of an error stands. */
const pathOf = ({ experience, sequence, token, field }: CreditError, given: Case): Path => {
  const name = field === "behaviourLogprobs" ? "oldLogprobs" : field
  if (sequence !== undefined) return token === undefined ? [name, sequence] : [name, sequence, token]
  if (given.mode === "rec" && field in given) return [name]
  if (experience === undefined || given.mode === "rec") return ["options", field]
  return ["experiences", given.experiences.findIndex(({ id }) => id === experience), field]
}

const matchesCredit = (
  credit: Credit,
  given: CreditCase,
  expected: typeof ExpectedCredit.Type,
  close: Close
): boolean => {
  const sameSet = (a: ReadonlyArray<string>, b: ReadonlyArray<string>) =>
    a.length === b.length && new Set([...a, ...b]).size === new Set(a).size
  const scored = new Map(credit.experiences.map((experience) => [experience.id, experience]))
  const dropped = new Set(credit.dropped)
  // A group that is not listed is one that was not weighted.
  const temperatures = new Map(credit.temperatures.map(({ group, temperature }) => [group, temperature]))
  const packs = Map.groupBy(given.experiences, ({ pack }) => pack)
  const skipped = Array.from(packs)
    .filter(([, experiences]) => experiences.every(({ id }) => dropped.has(id)))
    .map(([pack]) => pack)
  return (
    (expected.experiences === undefined ||
      (expected.experiences.length === scored.size &&
        expected.experiences.every(({ id, ...numbers }) =>
          Object.entries(numbers).every(([field, value]) => close(scored.get(id)?.[field as "score"], value))
        ))) &&
    (expected.dropped === undefined || sameSet(expected.dropped, credit.dropped)) &&
    (expected.skippedPacks === undefined || sameSet(expected.skippedPacks, skipped)) &&
    (expected.temperatures === undefined ||
      (expected.temperatures.every(({ group, temperature }) => {
        const actual = temperatures.get(group) ?? null
        return temperature === null ? actual === null : actual !== null && close(actual, temperature)
      }) &&
        credit.temperatures.every(
          ({ group, temperature }) =>
            temperature === null || expected.temperatures!.some((other) => other.group === group)
        ))) &&
    (expected.metrics === undefined ||
      Object.entries(expected.metrics).every(([name, value]) => close(credit.metrics[name], value)))
  )
}
