/** AdamW (Loshchilov and Hutter 2019) with clipping by global norm, over flat vectors. */

export interface AdamWOptions {
  /** Step size, positive. */
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Decoupled decay, at least 0; applied to every parameter. */
  readonly weightDecay: number
  /** Largest norm of the gradient; a longer one is scaled down to it. */
  readonly clipNorm: number
}

/** Moments of the gradient and how many steps they have seen. Changed in place by `adamWStep`. */
export interface AdamWState {
  step: number
  readonly first: Float32Array
  readonly second: Float32Array
}

export const adamWState = (size: number): AdamWState => ({
  step: 0,
  first: new Float32Array(size),
  second: new Float32Array(size)
})

/**
 * One step down the gradient.
 *
 * @param next receives the new weights; `weights` stay as they are, since a published policy version never changes
 * @returns the norm of the gradient before clipping; when it is not finite, nothing has been changed
 */
export const adamWStep = (
  weights: Float32Array,
  gradient: Float32Array,
  state: AdamWState,
  options: AdamWOptions,
  next: Float32Array
): number => {
  let square = 0
  for (let i = 0; i < gradient.length; i++) square += gradient[i]! * gradient[i]!
  const norm = Math.sqrt(square)
  if (!Number.isFinite(norm)) return norm
  const { beta1, beta2, epsilon, learningRate, weightDecay, clipNorm } = options
  const scale = norm > clipNorm ? clipNorm / norm : 1
  state.step++
  // What is the same for all parameters is worked out here: the loop's time goes into its operations.
  const mix1 = (1 - beta1) * scale
  const mix2 = (1 - beta2) * scale * scale
  const correction = 1 / Math.sqrt(1 - beta2 ** state.step)
  const rate = learningRate / (1 - beta1 ** state.step)
  const keep = 1 - learningRate * weightDecay
  const { first, second } = state
  for (let i = 0; i < gradient.length; i++) {
    const g = gradient[i]!
    const m = beta1 * first[i]! + mix1 * g
    const v = beta2 * second[i]! + mix2 * (g * g)
    first[i] = m
    second[i] = v
    next[i] = keep * weights[i]! - (rate * m) / (correction * Math.sqrt(v) + epsilon)
  }
  return norm
}
