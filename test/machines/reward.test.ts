import { describe, expect, it } from "vitest"
import { solveReward, totalReward, updateReward } from "../../src/machines/reward.ts"

const lakes = { coefficient: 0.1, maxSteps: 8, zeroTokens: 1_000_000, fullTokens: 2_000_000 }

describe("the reward of a solve episode", () => {
  it.each([
    { reward: 1, steps: 3, maxSteps: 8, shaped: 0.9625 },
    { reward: 1, steps: 8, maxSteps: 8, shaped: 0.9 },
    { reward: 1, steps: 1, maxSteps: 8, shaped: 0.9875 },
    { reward: 1, steps: 2, maxSteps: 15, shaped: 0.98667 },
    { reward: 0, steps: 8, maxSteps: 8, shaped: 0 },
    { reward: -0.1, steps: 1, maxSteps: 8, shaped: -0.1 },
    { reward: 0.05, steps: 8, maxSteps: 8, shaped: 0 }
  ])("$reward in $steps of $maxSteps steps is $shaped", ({ maxSteps, reward, shaped, steps }) => {
    const tokens = Array.from({ length: steps }, () => 500)
    expect(solveReward(reward, tokens, { ...lakes, maxSteps })).toBeCloseTo(shaped, 5)
  })

  it("charges long replies by their mean over steps", () => {
    // Shares 0, 0.5 and 1 between 100 and 200 tokens, three of ten steps.
    expect(
      solveReward(1, [50, 150, 900], { coefficient: 0.1, maxSteps: 10, zeroTokens: 100, fullTokens: 200 })
    ).toBeCloseTo(1 - 0.1 * (0.5 + 0.3))
  })

  it("is not shaped where the environment asks for nothing", () => {
    expect(solveReward(0.7, [1], undefined)).toBe(0.7)
  })
})

describe("the reward of an update episode", () => {
  const length = { zeroTokens: 300, fullTokens: 900, minTokens: 50 }

  it.each([
    [20, true, -0.1],
    [300, true, 0],
    [450, true, -0.025],
    [1200, true, -0.1],
    [450, false, -0.1]
  ])("of %s tokens, readable %s: %s", (tokens, parsed, reward) => {
    expect(updateReward(parsed, tokens, { coefficient: 0.1, length })).toBeCloseTo(reward)
  })

  it("without bounds charges only what cannot be read", () => {
    expect(updateReward(true, 5000, { coefficient: 0.1 })).toBe(0)
    expect(updateReward(false, 5000, { coefficient: 0.1 })).toBe(-0.1)
  })
})

describe("the total reward", () => {
  it("is the plain sum without decay", () => {
    expect(totalReward([1, 0, 2], 1)).toBe(3)
  })
  it("discounts early tasks by their distance from the last", () => {
    expect(totalReward([1, 1, 1], 0.5)).toBe(1.75)
  })
})
