/** Sequences to train on, made of the model calls of an episode, and the micro-batches they are cut into. */
import { type GradientRow, paddedLength } from "./model.ts"

/** One model call as tokens. */
export interface Call {
  readonly promptTokens: ReadonlyArray<number>
  /** Sampled: these are trained, exactly as they are. */
  readonly tokens: ReadonlyArray<number>
  /** Of the sampled tokens, by the policy that sampled them. */
  readonly logprobs: ReadonlyArray<number>
}

export interface Sequence {
  readonly tokens: ReadonlyArray<number>
  /** Where the sampled tokens stand, ascending. */
  readonly positions: ReadonlyArray<number>
  readonly behaviourLogprobs: ReadonlyArray<number>
  /** For each sampled token the number of its call. */
  readonly calls: ReadonlyArray<number>
}

const startsWith = (whole: ReadonlyArray<number>, start: ReadonlyArray<number>): boolean =>
  start.length <= whole.length && start.every((token, i) => token === whole[i])

/**
 * Consecutive calls become one sequence where each prompt goes on from the call before: every token then sees exactly
 * what it saw when it was sampled, so losses and gradients are those of separate sequences, at a fraction of the work.
 */
export const mergeCalls = (calls: ReadonlyArray<Call>): Array<Sequence> => {
  const merged: Array<{
    tokens: Array<number>
    positions: Array<number>
    behaviourLogprobs: Array<number>
    calls: Array<number>
  }> = []
  calls.forEach((call, i) => {
    let open = merged.at(-1)
    if (open === undefined || !startsWith(call.promptTokens, open.tokens)) {
      merged.push((open = { tokens: [], positions: [], behaviourLogprobs: [], calls: [] }))
    }
    open.tokens.push(...call.promptTokens.slice(open.tokens.length))
    call.tokens.forEach((token, t) => {
      open.positions.push(open.tokens.length)
      open.tokens.push(token)
      open.behaviourLogprobs.push(call.logprobs[t]!)
      open.calls.push(i)
    })
  })
  return merged.filter(({ positions }) => positions.length > 0)
}

/**
 * Cuts sequences into micro-batches of similar length, each of at most `budgetTokens` with padding (a single longer
 * sequence stands alone). The cut depends on the sequences only, so sums over it are the same on any number of workers.
 */
export const microBatches = <S extends { readonly tokens: ReadonlyArray<number> }>(
  sequences: ReadonlyArray<S>,
  budgetTokens: number
): Array<Array<S>> => {
  const ordered = sequences.toSorted((a, b) => b.tokens.length - a.tokens.length)
  const batches: Array<Array<S>> = []
  for (const sequence of ordered) {
    const open = batches.at(-1)
    // The first of a batch is its longest and sets the padded length.
    const fits = open !== undefined && paddedLength(open[0]!.tokens.length) * (open.length + 1) <= budgetTokens
    if (fits) open.push(sequence)
    else batches.push([sequence])
  }
  return batches
}

/** Sequences in one row, whose log-probabilities stand one after the other. */
export interface Shared<Row> {
  readonly row: GradientRow
  readonly members: ReadonlyArray<Row>
}

/** Fewer tokens in common are not worth a table of who sees whom. */
const leastStem = 128

/**
 * Sequences that begin alike become one row: their common beginning once, as a stem, and behind it what each goes on with,
 * as branches that see the stem and themselves. Tokens, places and what each token sees stay what they were, so gradients
 * are those of the separate sequences up to rounding. Rows are chosen so that the most tokens are saved, none longer than
 * `budgetTokens`; the order of the sequences plays no part in who shares with whom.
 */
export const shareStems = <Row extends GradientRow>(
  sequences: ReadonlyArray<Row>,
  budgetTokens: number
): Array<Shared<Row>> => {
  const sorted = sequences.toSorted((a, b) => compare(a.tokens, b.tokens))
  return alike(sorted).flatMap((group) => {
    const stem = group.length === 1 ? 0 : stemOf(group)
    const rows: Array<Array<Row>> = []
    let length = 0
    for (const sequence of group) {
      const tail = sequence.tokens.length - stem
      if (rows.length > 0 && length + tail <= budgetTokens) rows.at(-1)!.push(sequence)
      else {
        rows.push([sequence])
        length = stem
      }
      length += tail
    }
    return rows.map((members): Shared<Row> => ({ members, row: members.length === 1 ? members[0]! : grown(members) }))
  })
}

const compare = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  const at = a.findIndex((token, i) => token !== b[i])
  return at < 0 ? a.length - b.length : a[at]! - (b[at] ?? -1)
}

/** How many tokens sorted sequences have in common; at least one token of each is its own. */
const stemOf = (sorted: ReadonlyArray<GradientRow>): number => {
  const [first, last] = [sorted[0]!.tokens, sorted.at(-1)!.tokens]
  const differs = first.findIndex((token, i) => token !== last[i])
  return Math.min(differs < 0 ? first.length : differs, first.length - 1)
}

const savedBy = (group: ReadonlyArray<GradientRow>): number => {
  const stem = group.length === 1 ? 0 : stemOf(group)
  return stem < leastStem ? 0 : stem * (group.length - 1)
}

/** Sorted sequences in groups that share a stem: all of them, or those that go on alike, whichever saves more. */
const alike = <Row extends GradientRow>(sorted: ReadonlyArray<Row>): Array<ReadonlyArray<Row>> => {
  if (sorted.length <= 1) return sorted.length === 0 ? [] : [sorted]
  const stem = stemOf(sorted)
  const parts = [...Map.groupBy(sorted, ({ tokens }) => tokens[stem]).values()]
  const apart = parts.length === 1 ? sorted.map((sequence) => [sequence]) : parts.flatMap(alike)
  const saved = savedBy(sorted)
  return saved > 0 && saved >= apart.reduce((sum, group) => sum + savedBy(group), 0) ? [sorted] : apart
}

const grown = (members: ReadonlyArray<GradientRow>): GradientRow => {
  const stem = stemOf(members)
  const tokens = members[0]!.tokens.slice(0, stem)
  const row = {
    tokens,
    positions: [] as Array<number>,
    weights: [] as Array<number>,
    branching: { places: tokens.map((_, t) => t), branches: tokens.map(() => 0), before: [] as Array<number> }
  }
  members.forEach((member, i) => {
    const offset = row.tokens.length - stem
    const at = (t: number) => (t < stem ? t : t + offset)
    for (const t of member.positions) {
      row.positions.push(at(t))
      row.branching.before.push(at(t - 1))
    }
    row.weights.push(...member.weights)
    for (let t = stem; t < member.tokens.length; t++) {
      row.tokens.push(member.tokens[t]!)
      row.branching.places.push(t)
      row.branching.branches.push(i + 1)
    }
  })
  return row
}
