/**
 * Replay: a recorded lifecycle is lived again, and the first thing that is not as recorded is named.
 *
 * Who answers decides what is found out. The recorded replies: whether everything follows from them. The recorded tokens,
 * with the policy's tokenizer: whether they also are what was said, after the prompts that it was said after. The policy
 * itself: whether it would say the same again, token by token and bit by bit.
 */
import { Effect } from "effect"
import type { Episode, Lifecycle, Step } from "../machines/episode.ts"
import { Policy, PolicyError } from "../policies/policy.ts"
import { untimed } from "./episode-text.ts"
import { modelPolicy, type Speech } from "./inference.ts"
import { journalEntry, type JournalEntry, replayPolicy } from "./journal.ts"
import { lifecycleId, type Plan, runLifecycle } from "./lifecycle.ts"

/** The first thing that is not as recorded. */
export interface Difference {
  readonly lifecycle: string
  readonly kind: Episode["kind"] | undefined
  readonly index: number | undefined
  /** 0-based place of the model call in its episode; undefined for what belongs to the episode. */
  readonly step: number | undefined
  /** Where in the step or in the episode, such as `tokens.3`. */
  readonly field: string
  readonly recorded: unknown
  readonly replayed: unknown
}

/** Who answers in the place of what was recorded of an attempt. */
export type Answering = (entry: JournalEntry, plan: Plan) => Policy["Service"]

/** The recorded replies, as they are. */
export const fromReplies: Answering = (entry, { settings: { style } }) => replayPolicy(entry, { name: "replay", style })

/** The recorded tokens; a speech makes tokens of the prompts and texts of the replies. */
export const fromTokens =
  (speech: Speech): Answering =>
  (entry) => {
    const { calls, fault, lifecycle } = entry
    let asked = 0
    return modelPolicy(speech, () => {
      const call = calls[asked++]
      if (call !== undefined) return Effect.succeed(call)
      const reason = fault?.why ?? `the record of ${lifecycle} ends after ${calls.length} replies`
      return Effect.fail(new PolicyError({ policy: speech.name, reason, outcome: fault?.outcome ?? "error" }))
    })
  }

/** Lives a plan again. Undefined when everything is as in the recorded episodes, times aside. */
export const replayLifecycle = Effect.fnUntraced(function* (
  plan: Plan,
  episodes: ReadonlyArray<Episode>,
  answering: Answering = fromReplies
) {
  const lifecycle = lifecycleId(plan)
  const { pack, run } = plan
  const recorded = { id: lifecycle, pack: pack.id, run, attempt: plan.attempt ?? 0, totalReward: 0, episodes }
  const policy = answering(journalEntry(recorded, plan), plan)
  const replayed = yield* Effect.provideService(runLifecycle(plan), Policy, policy)
  return firstOf(lifecycle, episodes, replayed.episodes)
})

/** Whether an entry of a journal has the replies that its lifecycle asks for, when it is lived from them. */
export const checkReplies = (
  lifecycle: Lifecycle,
  entry: JournalEntry,
  { past = [] }: Plan
): Difference | undefined => {
  const last = lifecycle.episodes.at(-1)
  const asked = lifecycle.episodes.reduce((sum, { steps }) => sum + steps.length, 0) - past.length
  const isOver = entry.fault !== undefined || last?.outcome !== "error"
  if (asked === entry.calls.length && isOver) return undefined
  return {
    lifecycle: lifecycle.id,
    kind: last?.kind,
    index: last?.index,
    step: undefined,
    field: "replies",
    recorded: entry.calls.length,
    replayed: asked === entry.calls.length ? (last?.why ?? "more") : asked
  }
}

const firstOf = (
  lifecycle: string,
  recorded: ReadonlyArray<Episode>,
  replayed: ReadonlyArray<Episode>
): Difference | undefined => {
  for (let i = 0; i < Math.max(recorded.length, replayed.length); i++) {
    const [before, after] = [recorded[i], replayed[i]]
    const { index, kind } = before ?? after!
    if (before === undefined || after === undefined) {
      const there = (episode: Episode | undefined) => (episode === undefined ? "no episode" : "an episode")
      return { lifecycle, kind, index, step: undefined, field: "", recorded: there(before), replayed: there(after) }
    }
    const found = firstDifference(asItHappened(before), asItHappened(after))
    if (found === undefined) continue
    const [, step, ...rest] = found.path
    const ofStep = found.path[0] === "steps" && step !== undefined
    return {
      lifecycle,
      kind,
      index,
      step: ofStep ? Number(step) : undefined,
      field: (ofStep ? rest : found.path).join("."),
      recorded: found.recorded,
      replayed: found.replayed
    }
  }
  return undefined
}

/** What came first comes first, whatever order a file has it in. */
const asItHappened = (episode: Episode): object => {
  const { contextBefore, environment, index, kind, lifecycle, pack, run, seed, steps, task, ...rest } = untimed(episode)
  const identity = { lifecycle, pack, run, kind, index, environment, seed }
  return { ...identity, task, contextBefore, steps: steps.map(asItWasSaid), ...rest }
}

const asItWasSaid = (step: Step): Step => {
  const { feedback, logprobs, observation, policyVersion, prompt, promptTokens, reply, tokens, truncated } = step
  return { observation, prompt, promptTokens, policyVersion, tokens, logprobs, reply, truncated, feedback }
}

const firstDifference = (
  recorded: unknown,
  replayed: unknown,
  path: ReadonlyArray<string> = []
): { readonly path: ReadonlyArray<string>; readonly recorded: unknown; readonly replayed: unknown } | undefined => {
  if (typeof recorded !== "object" || recorded === null || typeof replayed !== "object" || replayed === null) {
    return recorded === replayed ? undefined : { path, recorded, replayed }
  }
  const [a, b] = [recorded, replayed] as [Record<string, unknown>, Record<string, unknown>]
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const found = firstDifference(a[key], b[key], [...path, key])
    if (found !== undefined) return found
  }
  return undefined
}
