/**
 * Demonstrations for the warm start: an environment's noisy demonstrator lives lifecycles as any policy does, and what it
 * says becomes tokens to imitate. Demonstrators act here and nowhere else.
 */
import { Effect } from "effect"
import { stream } from "../kernels/random.ts"
import { mergeCalls, type Sequence } from "../kernels/sequences.ts"
import type { Settings } from "../machines/lifecycle.ts"
import { Policy } from "../policies/policy.ts"
import type { Tokenizer } from "../policies/tokenizer.ts"
import { freshPacks, rollout, shareOf, type TaskSet } from "./rollout.ts"

/** A sequence to imitate. */
export interface Demonstration extends Sequence {
  /** Indices into `positions` of tokens that follow from the context or the episode: looking up shows there. */
  readonly recalled: ReadonlyArray<number>
}

/** The lifecycles of one step of the warm start, all on packs of their own, spread evenly over the task sets. */
export const demonstrate = Effect.fnUntraced(function* (options: {
  readonly taskSets: ReadonlyArray<TaskSet>
  readonly tokenizer: Tokenizer
  readonly settings: Settings
  readonly baseSeed: number
  /** Place in the environment's list of stages. */
  readonly stage: number
  readonly step: number
  readonly lifecycles: number
  readonly packSize: number
}) {
  const { baseSeed, lifecycles, packSize, settings, stage, step, taskSets, tokenizer } = options
  const demonstrations: Array<Demonstration> = []
  for (const [place, taskSet] of taskSets.entries()) {
    const { demonstrate: demonstrator } = taskSet.environment
    if (demonstrator === undefined) continue
    const name = demonstrator.stages[stage]!
    const remembered = new WeakSet<ReadonlyArray<number>>()
    const policy = Policy.of({
      name: `demonstrator of ${taskSet.environment.id}`,
      style: "terse",
      reply: ({ context, kind, messages, previous, rng }) => {
        const { recalled, reply } = demonstrator.reply(name, { kind, messages }, context, rng)
        const promptTokens =
          previous === undefined
            ? messages.flatMap(({ content }) => tokenizer.encode(content))
            : [...previous.promptTokens, ...previous.tokens, ...tokenizer.encode(messages.at(-1)!.content)]
        // A list of its own: a tokenizer may give the same one for the same text, and it is by this one that we remember.
        const tokens = [...tokenizer.encode(reply), ...(kind === "update" ? [tokenizer.end] : [])]
        if (recalled) remembered.add(tokens)
        const logprobs = tokens.map(() => 0)
        return Effect.succeed({ text: reply, promptTokens, tokens, logprobs, policyVersion: 0, truncated: false })
      }
    })
    const count = shareOf(lifecycles, taskSets.length, place)
    // Epochs of their own: updates on lifecycles count theirs from 0.
    const packs = freshPacks(taskSet, {
      phase: "train",
      baseSeed,
      epoch: -1 - step,
      first: stage * lifecycles,
      count,
      size: packSize
    })
    const plans = packs.map((pack) => ({
      pack,
      run: 0,
      settings,
      firstContext: demonstrator.context(
        name,
        pack.knowledge(),
        stream(baseSeed, "train", pack.seed, "demonstration", name, "context")
      )
    }))
    const lived = yield* Effect.provideService(rollout(plans, { concurrency: lifecycles, retries: 0 }), Policy, policy)
    for (const episode of lived.lifecycles.flatMap(({ episodes }) => episodes)) {
      for (const sequence of mergeCalls(episode.steps)) {
        const recalled = sequence.calls.flatMap((call, i) =>
          sequence.calls[i + 1] !== call && remembered.has(episode.steps[call]!.tokens) ? [i] : []
        )
        demonstrations.push({ ...sequence, recalled })
      }
    }
  }
  return demonstrations
})
