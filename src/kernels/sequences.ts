/** Sequences to train on, made of the model calls of an episode, and the micro-batches they are cut into. */
import { paddedLength } from "./model.ts"

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
