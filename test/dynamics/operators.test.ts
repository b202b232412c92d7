/**
 * What operators promise: without an effect they change nothing, around each other they keep what environments promise.
 * What each of them means is in `meaning.test.ts`.
 */
import { Effect, Schema } from "effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import alchemy from "../../environments/alchemy/index.ts"
import lake from "../../environments/frozen-lake-obscure/index.ts"
import grid from "../../environments/grid-navigation/index.ts"
import terminal from "../../environments/terminal/index.ts"
import { checkEnvironment } from "../../src/actors/conformance.ts"
import { resume } from "../../src/actors/conformance-states.ts"
import { operators, withDrift, withDynamics, withFaults } from "../../src/dynamics/operators.ts"
import type { Environment, Operation } from "../../src/environment.ts"
import sound from "../fixtures/environments/sound.ts"
import { demonstrated, live, packOf, told } from "../fixtures/lives.ts"

const options = (environment: Environment): unknown =>
  Schema.decodeSync(environment.options)(environment.presets["train"] ?? {})

const failures = async (environment: Environment): Promise<ReadonlyArray<string>> => {
  const checks = await Effect.runPromise(
    checkEnvironment(environment, options(environment), { packs: 2, packSize: 3, seed: 1 }, (resumptions) =>
      Effect.sync(() => resumptions.map((one) => resume(environment, JSON.parse(JSON.stringify(one)))))
    )
  )
  return checks.flatMap(({ id, message, passed }) => (passed ? [] : [`${id}: ${message}`]))
}

/** Parameters with which an operator acts, and with which it never does although it is there. */
const acting: ReadonlyArray<Operation> = [
  { drift: { rate: 0.5 } },
  { noisyFeedback: { rate: 0.5 } },
  { sparseFeedback: { rate: 0.5 } },
  { delayedReward: { positions: 1 } },
  { distractors: { count: 2 } },
  { budget: { steps: 50 } }
]
const idle: ReadonlyArray<Operation> = [
  { drift: { at: [99] } },
  { noisyFeedback: { rate: 1e-300 } },
  { sparseFeedback: { rate: 1e-300 } },
  { faults: { throws: 1e-300 } }
]

describe("without an effect", () => {
  it.each(Object.keys(operators))("%s is not even there", (name) => {
    expect(operators[name]!(lake)).toBe(lake)
    expect(operators[name]!(lake, {})).toBe(lake)
  })

  it("operators that never act, in any order, leave every byte as it was", () => {
    const anyOrder = fc.shuffledSubarray(idle as Array<Operation>, { minLength: 1 })
    fc.assert(
      fc.property(fc.constantFrom(lake, alchemy), anyOrder, fc.nat(1000), (environment, operations, seed) => {
        const wrapped = withDynamics(environment, operations)
        expect(wrapped.dynamics).toHaveLength(operations.length)
        const [bare, same] = [environment, wrapped].map((one) => packOf(one, options(one), 3, seed))
        expect(told(live(same!))).toBe(told(live(bare!)))
        expect(told(demonstrated(same!))).toBe(told(demonstrated(bare!)))
      }),
      { numRuns: 30, seed: 1 }
    )
  })

  it("the world goes on as it would have, whatever is told of it", () => {
    for (const operation of [
      { noisyFeedback: { rate: 1 } },
      { sparseFeedback: { rate: 1 } },
      { distractors: { count: 3 } }
    ]) {
      const wrapped = withDynamics(lake, [operation])
      const [bare, retold] = [lake, wrapped].map((one) =>
        live(packOf(one, options(lake)), "random").episodes.map(({ outcome, reward, steps }) => [
          outcome,
          reward,
          steps.length
        ])
      )
      expect(retold).toEqual(bare)
    }
  })
})

describe("an environment with operators keeps what environments promise", () => {
  it.each(acting.flatMap((operation) => [lake, alchemy].map((environment) => ({ environment, operation }))))(
    "$environment.id with $operation",
    async ({ environment, operation }) => {
      expect(await failures(withDynamics(environment, [operation]))).toEqual([])
    }
  )

  it("several of them, in any order, some twice", { timeout: 20_000 }, async () => {
    const many = fc.array(fc.constantFrom(...acting), { minLength: 2, maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(lake, alchemy), many, async (environment, operations) => {
        expect(await failures(withDynamics(environment, operations))).toEqual([])
      }),
      { numRuns: 5, seed: 3 }
    )
  })

  it("the environment of env new, its feedback in few words included", async () => {
    const wrapped = withDynamics(sound, [{ noisyFeedback: { rate: 0.5 } }, { sparseFeedback: { rate: 0.5 } }])
    expect(wrapped.terse).toBeDefined()
    expect(await failures(wrapped)).toEqual([])
  })

  it("memory, nested states and chat alone are kept too", async () => {
    const sparse = [{ budget: { steps: 40 } }, { sparseFeedback: { rate: 0.3 } }, { delayedReward: { positions: 2 } }]
    expect(await failures(withDynamics(grid, [{ drift: { rate: 0.5 } }, ...sparse]))).toEqual([])
    expect(await failures(withDynamics(terminal, sparse))).toEqual([])
  })
})

describe("faults", () => {
  it("are found by the very checks that environments pass", async () => {
    expect((await failures(withFaults(lake, { throws: 0.2 }))).join("\n")).toContain(
      "a fault on purpose (faults.throws)"
    )
  })

  it("end a lifecycle as errors, never as reward 0", () => {
    const { episodes } = live(packOf(withFaults(lake, { throws: 1 }), options(lake)))
    expect(episodes.map(({ outcome, why }) => [outcome, why])).toEqual([
      ["error", "a fault on purpose (faults.throws)"]
    ])
  })
})

it("refuses parameters that are none, and environments without anything to drift", () => {
  expect(() => withDrift(lake, { rate: 2 })).toThrow(/rate/)
  expect(() => withDrift(lake, { rat: 1 } as never)).toThrow(/rat/)
  expect(() => withDrift(terminal, { rate: 1 })).toThrow(
    "expected an environment that hides something, which terminal does not"
  )
})
