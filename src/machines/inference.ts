/**
 * Which waiting requests form the next batch: a pure choice, the actor carries it out.
 *
 * A batch holds requests of one padded length and one cap only, so that what a request gets does not depend on who else
 * is in the batch. The oldest request chooses, so none starves; the work at hand is spread over the idle workers.
 */

export interface Waiting {
  /** Requests that may share a batch have equal shapes. */
  readonly shape: string
  /** Padded length of the prompt plus the cap, in tokens: what the request costs. */
  readonly cost: number
}

/**
 * @param waiting in order of arrival
 * @param idle    workers without work, at least 1
 * @param budget  most tokens in a batch, padding included; a single request may exceed it
 * @returns the batch and those who wait on, both in order of arrival
 */
export const nextBatch = <W extends Waiting>(
  waiting: ReadonlyArray<W>,
  idle: number,
  budget: number
): { readonly batch: ReadonlyArray<W>; readonly rest: ReadonlyArray<W> } => {
  const first = waiting[0]
  if (first === undefined) return { batch: [], rest: [] }
  const most = Math.max(1, Math.min(Math.ceil(waiting.length / idle), Math.floor(budget / first.cost)))
  const batch: Array<W> = []
  const rest: Array<W> = []
  for (const request of waiting) (request.shape === first.shape && batch.length < most ? batch : rest).push(request)
  return { batch, rest }
}
