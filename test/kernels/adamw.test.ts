import { describe, expect, it } from "vitest"
import { type AdamWOptions, adamWState, adamWStep } from "../../src/kernels/adamw.ts"
import { stream } from "../../src/kernels/random.ts"

const options: AdamWOptions = {
  learningRate: 0.01,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-4,
  weightDecay: 0.1,
  clipNorm: 1
}

describe("AdamW", () => {
  it("follows the paper's algorithm, gradients clipped by their global norm", () => {
    const { normal } = stream("adamw")
    const size = 7
    const state = adamWState(size)
    let weights = Float32Array.from({ length: size }, normal)
    // Loshchilov and Hutter (2019), algorithm 2, in double precision.
    const expected = {
      w: [...weights],
      m: Array.from({ length: size }, () => 0),
      v: Array.from({ length: size }, () => 0)
    }
    for (let t = 1; t <= 20; t++) {
      // Norms on both sides of the bound.
      const gradient = Float32Array.from({ length: size }, () => 0.15 * t * normal() * 0.5)
      const norm = Math.hypot(...gradient)
      const scale = Math.min(1, options.clipNorm / norm)
      const next = new Float32Array(size)
      expect(adamWStep(weights, gradient, state, options, next)).toBeCloseTo(norm, 5)
      weights = next
      expected.w = expected.w.map((w, i) => {
        const g = gradient[i]! * scale
        const m = (expected.m[i] = options.beta1 * expected.m[i]! + (1 - options.beta1) * g)
        const v = (expected.v[i] = options.beta2 * expected.v[i]! + (1 - options.beta2) * g * g)
        const mHat = m / (1 - options.beta1 ** t)
        const vHat = v / (1 - options.beta2 ** t)
        return w - options.learningRate * (mHat / (Math.sqrt(vHat) + options.epsilon) + options.weightDecay * w)
      })
      expect(state.step).toBe(t)
      weights.forEach((w, i) => expect(w).toBeCloseTo(expected.w[i]!, 5))
    }
  })

  it("leaves the weights it is given as they are, and everything when the gradient is not finite", () => {
    const weights = Float32Array.of(1, 2)
    const state = adamWState(2)
    const next = new Float32Array(2)
    adamWStep(weights, Float32Array.of(1, 1), state, options, next)
    expect([...weights]).toEqual([1, 2])
    const before = structuredClone({ state, next })
    expect(adamWStep(weights, Float32Array.of(1, Number.NaN), state, options, next)).toBeNaN()
    expect({ state, next }).toEqual(before)
  })
})
