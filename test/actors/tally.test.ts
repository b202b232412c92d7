/** Every kind of fault has a name of its own, and only lost lifecycles are lost. */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { simulate } from "../../src/actors/simulate.ts"
import {
  countsFromNumbers,
  countsToNumbers,
  type EpisodeCounts,
  emptyTally,
  type Faults
} from "../../src/actors/tally.ts"
import { hintsBlock } from "../../src/environment.ts"
import { defaultSettings } from "../../src/machines/lifecycle.ts"
import { Policy, PolicyError, type Reply, type Request } from "../../src/policies/policy.ts"
import type { GuessOptions } from "../fixtures/guess.ts"
import { answering, doors, spoken } from "../fixtures/living.ts"

/** Lives four lifecycles of two tasks with a policy of that answer. */
const live = (
  reply: (request: Request) => Effect.Effect<Reply, PolicyError>,
  options: Partial<GuessOptions> = {},
  limits: { readonly replyMillis?: number; readonly environmentMillis?: number } = {}
) =>
  simulate(doors({ tries: 1, ...options }), {
    lifecycles: 4,
    packSize: 2,
    concurrency: 3,
    seed: 1,
    settings: { ...defaultSettings, ...limits }
  }).pipe(Effect.provideService(Policy, answering(reply)))

const saying =
  (text: string, truncated = false) =>
  ({ kind }: Request) =>
    Effect.succeed({
      ...spoken(kind === "solve" ? text : hintsBlock.write("x")),
      truncated: truncated && kind === "solve"
    })

const cases: ReadonlyArray<
  readonly [
    string,
    Parameters<typeof live>,
    Partial<Faults>,
    { readonly lost: number; readonly deterministic: boolean }
  ]
> = [
  ["sense", [saying("<answer>1</answer>")], {}, { lost: 0, deterministic: true }],
  ["garbage", [saying("\u0000 ]]>")], { unreadableAnswers: 8 }, { lost: 0, deterministic: true }],
  ["nothing at all", [saying("")], { unreadableAnswers: 8, emptyReplies: 8 }, { lost: 0, deterministic: true }],
  ["words without end", [saying("and so", true)], { cutReplies: 8 }, { lost: 0, deterministic: true }],
  [
    "no context",
    [() => Effect.succeed(spoken("<answer>1</answer>"))],
    { unreadableContexts: 4 },
    { lost: 0, deterministic: true }
  ],
  [
    "an error",
    [() => Effect.fail(new PolicyError({ policy: "fake", reason: "gone" }))],
    { failedPolicy: 4 },
    { lost: 4, deterministic: true }
  ],
  [
    "that its thread has ended",
    [() => Effect.fail(new PolicyError({ policy: "fake", reason: "gone", by: "thread" }))],
    { lostThread: 4 },
    { lost: 4, deterministic: true }
  ],
  [
    "no word in time",
    [() => Effect.never, {}, { replyMillis: 5 }],
    { silentPolicy: 4 },
    { lost: 4, deterministic: false }
  ],
  [
    "something to a slow environment",
    [saying("<answer>1</answer>"), { flaw: "slow" }, { environmentMillis: 5 }],
    { hungEnvironment: 4 },
    { lost: 4, deterministic: false }
  ],
  [
    "something to a broken environment",
    [saying("<answer>1</answer>"), { flaw: "throws" }],
    { brokenEnvironment: 4 },
    { lost: 4, deterministic: true }
  ]
]

describe("faults of a policy that says", () => {
  it.live.each(cases)("%s", ([_says, given, faults, others]) =>
    Effect.gen(function* () {
      const tally = yield* live(...given)
      expect(tally.faults).toEqual({ ...emptyTally().faults, ...faults })
      expect(tally).toMatchObject({ ...others, done: 4 })
    })
  )
})

describe("counts of an episode", () => {
  it("are what they were before they became numbers", () => {
    const counts: ReadonlyArray<EpisodeCounts> = [
      { kind: "update", outcome: "error", lostBy: "thread", steps: 1, tokens: 300, empty: 0, cut: 1 },
      { kind: "solve", outcome: "success", lostBy: undefined, steps: 8, tokens: 0, empty: 2, cut: 0 }
    ]
    for (const own of counts) {
      const numbers = [...countsToNumbers(own)]
      expect(countsFromNumbers(() => numbers.shift()!)).toEqual(own)
    }
  })
})
