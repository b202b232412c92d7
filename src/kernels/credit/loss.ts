/** The policy losses by name, as a configuration asks for one: `{ kind: "ppo", epsilonHigh: 0.28 }`. */
import { CreditError } from "./estimator.ts"
import type { PolicyLoss, TokenSequence } from "./policy-loss.ts"
import { gspoLoss, ppoLoss } from "./ppo-loss.ts"
import { recLoss, recPublished } from "./rec-loss.ts"

type Loss = (sequences: ReadonlyArray<TokenSequence>, options: object) => PolicyLoss

const losses: Readonly<Record<string, Loss>> = {
  rec: (sequences, options) => recLoss(sequences, { ...recPublished, ...options }),
  ppo: ppoLoss,
  gspo: gspoLoss
}

/**
 * The loss that `kind` names, the published REC loss when it names none, with its options over its defaults.
 * Throws a CreditError for a kind or an option that there is not.
 */
export const policyLoss = (
  sequences: ReadonlyArray<TokenSequence>,
  { kind = "rec", ...options }: Readonly<Record<string, unknown>> = {}
): PolicyLoss => {
  const loss = typeof kind === "string" && Object.hasOwn(losses, kind) ? losses[kind] : undefined
  if (loss === undefined) {
    throw new CreditError({ field: "kind", value: kind, expected: "rec, ppo or gspo" })
  }
  return loss(sequences, options)
}
