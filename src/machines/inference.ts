/**
 * Which waiting requests form the next batch: a pure choice, the actor carries it out.
 *
 * A batch holds requests of one padded length and one cap only, so that what a request gets does not depend on who else
 * is in the batch. The oldest request chooses, so none starves; the work at hand is spread over the idle workers. Where not
 * all find room, those come first who lose nothing: a worker that has read what a prompt goes on from reads only the rest.
 */

export interface Waiting {
  /** Requests that may share a batch have equal shapes. */
  readonly shape: string
  /** Padded length of the prompt plus the cap, in tokens: what the request costs. */
  readonly cost: number
  /** The worker that read what the prompt goes on from. */
  readonly home?: number | undefined
}

/**
 * @param waiting in order of arrival
 * @param worker  who gets the batch
 * @param idle    places for a batch, at least 1
 * @param budget  most tokens in a batch, padding included; a single request may exceed it
 * @returns the batch and those who wait on, both in order of arrival
 */
export const nextBatch = <W extends Waiting>(
  waiting: ReadonlyArray<W>,
  worker: number,
  idle: number,
  budget: number
): { readonly batch: ReadonlyArray<W>; readonly rest: ReadonlyArray<W> } => {
  const first = waiting[0]
  if (first === undefined) return { batch: [], rest: [] }
  const most = Math.max(1, Math.min(Math.ceil(waiting.length / idle), Math.floor(budget / first.cost)))
  const alike = waiting.filter(({ shape }) => shape === first.shape)
  const loses = ({ home = worker }: W) => Number(home !== worker)
  const others = alike.slice(1).toSorted((a, b) => loses(a) - loses(b))
  const chosen = new Set([first, ...others.slice(0, most - 1)])
  return {
    batch: alike.filter((request) => chosen.has(request)),
    rest: waiting.filter((request) => !chosen.has(request))
  }
}
