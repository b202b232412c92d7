/** Feedback that lies now and then, in the environment's own words. */
import { Schema } from "effect"
import { type Environment, initialContext } from "../environment.ts"
import { transitions } from "../machines/transition.ts"
import { operator, parameter, probability } from "./operator.ts"
import { retold, type Tale } from "./retelling.ts"

const NoisyFeedback = Schema.Struct({
  rate: parameter(probability, 0, "Probability that the feedback on a step is that on another answer")
})

/**
 * With probability `rate` the feedback on a step is the one that another answer would have got, told as if it were on the
 * answer that was given: the other's words and numbers are put back where they stand. The other answer is the `random`
 * agent's, drawn again, eight times at most, until its feedback is not the same. What really happened is not changed, nor is
 * the rest of the observation, the outcome, the reward or the final state.
 */
export const withNoisyFeedback = operator(
  "noisyFeedback",
  NoisyFeedback,
  ({ rate }) => rate > 0,
  (environment, { rate }, key) => {
    const { transition } = transitions(environment.machine)
    return retold(environment, key, (turn) =>
      turn.event.rng.uniform() < rate ? lie(environment, transition, turn) : null
    )
  }
)

const attempts = 8

const lie = (
  environment: Environment,
  transition: ReturnType<typeof transitions>["transition"],
  { after, before, event }: Parameters<Parameters<typeof retold>[2]>[0]
): Tale | null => {
  const { agents, chat, feedback, terse } = environment
  const messages = [
    { role: "system", content: chat.system(before) },
    { role: "user", content: chat.user(before) }
  ] as const
  const truth = feedback.step(after)
  const truthInWords = terse?.feedback?.(after)
  for (let attempt = 0; attempt < attempts; attempt++) {
    const parsed = chat.parse(agents.random({ kind: "solve", messages }, initialContext, event.rng))
    if ("why" in parsed) continue
    const [other] = transition(before, { type: "answer", action: parsed.action, rng: event.rng } as never)
    if (other.status === "error") continue
    const told = readdressed(feedback.step(other), parsed.action, event.action)
    const inWords = readdressed(terse?.feedback?.(other) ?? "", parsed.action, event.action)
    if (told !== "" && told !== truth && (truthInWords === undefined || inWords !== truthInWords)) {
      return { chat: told, terse: inWords }
    }
  }
  return null
}

const scalars = (value: unknown): ReadonlyArray<string> =>
  typeof value === "object" && value !== null ? Object.values(value).flatMap(scalars) : [String(value)]

/** The text with the words and numbers of one action in the place of another's, each where it is first mentioned. */
const readdressed = (text: string, from: unknown, to: unknown): string => {
  const [mine, others] = [scalars(to), scalars(from)]
  if (mine.length !== others.length) return text
  let done = ""
  let rest = text
  for (const [i, other] of others.entries()) {
    const found = new RegExp(
      `(?<![\\p{L}\\p{N}])${other.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}(?![\\p{L}\\p{N}])`,
      "u"
    ).exec(rest)
    if (other === "" || found === null) continue
    done += rest.slice(0, found.index) + mine[i]!
    rest = rest.slice(found.index + other.length)
  }
  return done + rest
}
