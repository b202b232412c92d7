/**
 * Which waiting requests form the next batch: a pure choice, the actor carries it out.
 *
 * A batch holds requests of one padded length and one cap only, so that what a request gets does not depend on who else
 * is in the batch. The oldest request chooses, so none starves; the work at hand is spread over the idle workers.
 *
 * A worker may have read what a prompt goes on from; then only the rest is to be read there. So a request waits for that
 * worker, as long as the others have something in hand: an idle one takes it, which costs less than doing nothing.
 */

export interface Waiting {
  /** Requests that may share a batch have equal shapes. */
  readonly shape: string
  /** Padded length of the prompt plus the cap, in tokens: what the request costs. */
  readonly cost: number
  /** The worker that read what the prompt goes on from. */
  readonly home?: number | undefined
}

/** A worker that can take a batch. */
export interface Free {
  readonly worker: number
  /** It has one in hand already. */
  readonly busy: boolean
}

export interface Choice<W> {
  readonly worker: number
  readonly batch: ReadonlyArray<W>
  /** Who waits on. */
  readonly rest: ReadonlyArray<W>
}

/**
 * @param waiting in order of arrival; batch and rest are too
 * @param free    those that can take a batch, the best first, once for each that they can take; at least 1
 * @param budget  most tokens in a batch, padding included; a single request may exceed it
 * @returns undefined when everybody waits for a worker that is not free
 */
export const nextBatch = <W extends Waiting>(
  waiting: ReadonlyArray<W>,
  free: ReadonlyArray<Free>,
  budget: number
): Choice<W> | undefined => {
  const { busy, worker: best } = free[0]!
  const welcome = ({ home }: W) => home === undefined || free.some(({ worker }) => worker === home)
  const first = waiting.find(welcome) ?? (busy ? undefined : waiting[0])
  if (first === undefined) return undefined
  const worker = first.home !== undefined && welcome(first) ? first.home : best
  const most = Math.max(1, Math.min(Math.ceil(waiting.length / free.length), Math.floor(budget / first.cost)))
  const fits = ({ home, shape }: W) =>
    shape === first.shape && (home === undefined || home === worker || home === first.home)
  const batch: Array<W> = []
  const rest: Array<W> = []
  for (const request of waiting) (fits(request) && batch.length < most ? batch : rest).push(request)
  return { worker, batch, rest }
}
