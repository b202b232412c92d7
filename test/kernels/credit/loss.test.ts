import { describe, expect, it } from "vitest"
import { policyLoss } from "../../../src/kernels/credit/loss.ts"
import { gspoLoss, ppoLoss } from "../../../src/kernels/credit/ppo-loss.ts"
import { recLoss, recPublished } from "../../../src/kernels/credit/rec-loss.ts"

const sequences = [
  { logprobs: [-0.2, -2], behaviourLogprobs: [-1, -1.9], mask: [1, 1], advantages: [1, 1] },
  { logprobs: [-0.4], behaviourLogprobs: [-0.1], mask: [1], advantages: [-0.5] }
]

describe("losses by name", () => {
  it("is the published loss unless another is named", () => {
    expect(policyLoss(sequences)).toEqual(recLoss(sequences, recPublished))
    expect(policyLoss(sequences, { epsilonHigh: 9 })).toEqual(recLoss(sequences, { ...recPublished, epsilonHigh: 9 }))
    expect(policyLoss(sequences, { kind: "ppo", epsilonLow: 0.1 })).toEqual(ppoLoss(sequences, { epsilonLow: 0.1 }))
    expect(policyLoss(sequences, { kind: "gspo" })).toEqual(gspoLoss(sequences))
  })

  it.each([
    [{ kind: "dpo" }, /"kind" is "dpo", expected rec, ppo or gspo/],
    [{ kind: "toString" }, /"kind" is "toString"/],
    [{ kind: ["rec"] }, /"kind" is \["rec"\], expected rec, ppo or gspo/],
    [{ kind: "gspo", clipMode: "none" }, /clipMode/],
    [{ epsilonLow: 2 }, /"epsilonLow" is 2/]
  ])("refuses %o", (options, message) => {
    expect(() => policyLoss(sequences, options)).toThrow(message)
  })
})
