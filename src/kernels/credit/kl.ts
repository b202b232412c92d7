/**
 * Estimators of KL(policy || reference) from tokens that the policy sampled (Schulman, "Approximating KL divergence").
 *
 * With d = logprob - reference: k1 = d, unbiased, may be negative; k2 = d^2 / 2, biased, small variance;
 * k3 = exp(-d) - 1 + d, unbiased, never negative.
 */
export type KlEstimator = "k1" | "k2" | "k3"

/** The estimate of one token and its derivative by `logprob`, the sampled token held fixed. */
export const klOf = (
  estimator: KlEstimator,
  logprob: number,
  reference: number
): { readonly value: number; readonly slope: number } => {
  const d = logprob - reference
  switch (estimator) {
    case "k1":
      return { value: d, slope: 1 }
    case "k2":
      return { value: (d * d) / 2, slope: d }
    case "k3":
      return { value: Math.expm1(-d) + d, slope: -Math.expm1(-d) }
  }
}
