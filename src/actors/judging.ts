/** Asking a judge about a reply, where the rules of its environment do not reach (specification of environments, section 5). */
import { Effect, Option, Result } from "effect"
import type { Rng } from "../environment.ts"
import type { Said } from "../machines/agent.ts"
import type { Settings } from "../machines/lifecycle.ts"
import type { Pack } from "../machines/packs.ts"
import { judgeAbout, type Solve } from "../machines/solve.ts"
import type { Policy } from "../policies/policy.ts"

/** Most times that a judge is asked about one reply, and the pauses in between. */
const mostTries = 6
const pauseMillis = (tries: number): number => 500 * 2 ** tries

/**
 * A reply with what the judge says of it, who is asked until that can be read; after the last time the judgement is null.
 * Undefined where nobody is to be asked: about a reply that was recorded with its judgement, and one that needs none.
 *
 * @param at.rngOf a stream for each call of the episode
 */
export const judged = (
  judge: NonNullable<Policy["Service"]["judge"]>,
  solve: Solve,
  said: Said,
  at: { readonly pack: Pack; readonly settings: Settings; readonly rngOf: (call: number) => Rng }
): Effect.Effect<Said> | undefined => {
  const { pack, rngOf, settings } = at
  if (said.judgement !== undefined) return undefined
  const messages = Result.getOrElse(
    Result.try(() => judgeAbout(solve, pack, settings, said)),
    // The environment will say itself what is wrong when it gets the reply.
    () => undefined
  )
  if (messages === undefined) return undefined
  const step = solve.agent.context.steps.length
  return Effect.gen(function* () {
    for (let tries = 0; tries < mostTries; tries++) {
      if (tries > 0) yield* Effect.sleep(pauseMillis(tries))
      const replied = yield* judge({
        kind: "solve",
        messages,
        previous: undefined,
        context: "",
        knowledge: undefined,
        rng: rngOf(mostTries * step + tries),
        temperature: 1,
        maxTokens: settings.maxTokens
      }).pipe(Effect.timeoutOption(settings.replyMillis), Effect.orElseSucceed(Option.none))
      const text = Option.getOrUndefined(replied)?.text
      if (text !== undefined && pack.environment.judge!.read(text) !== undefined) return { ...said, judgement: text }
    }
    return { ...said, judgement: null }
  })
}
