/** `spark`, the built-in policy: a small checkpoint like any other, with random weights and a vocabulary of its tasks. */
import { Result } from "effect"
import type { Environment } from "../environment.ts"
import { initialize } from "../kernels/initialize.ts"
import type { TransformerConfig } from "../kernels/transformer.ts"
import type { Checkpoint } from "../policies/checkpoint.ts"
import { openTokenizer } from "../policies/tokenizer.ts"
import { wordTokenizer } from "../policies/word-tokenizer.ts"
import type { TrainingConfig } from "./training-config.ts"

/** A new policy for environments that have a `terse` style. */
export const makeSpark = (
  { environments: named, model, seed }: TrainingConfig,
  environments: ReadonlyArray<Environment>
): Checkpoint => {
  const files = wordTokenizer(environments.flatMap(({ terse }) => terse?.vocabulary ?? []))
  // A tokenizer of our own making that does not open is a defect.
  const tokenizer = Result.getOrThrow(openTokenizer(files))
  const config: TransformerConfig = {
    ...model,
    vocabularySize: tokenizer.vocabularySize,
    epsilon: 1e-6,
    tied: true
  }
  const weights = initialize(config, seed, "spark")
  const declares = { format: 1, style: "terse", environments: named, policyVersion: 0 } as const
  return { config, weights, tokenizer, files, declares }
}
