/**
 * Experiences in the shapes that other trainers read: one row for each model call, with what it was worth.
 *
 * A row is what the constructor of the trainer's own class takes, so reading one is `Class(**row)`:
 * - `trl`: `RolloutSample` of TRL's asynchronous GRPO (1.16.0, `trl.experimental.async_grpo`);
 * - `verl`: `AgentLoopOutput` of verl (0.9.1, `verl.experimental.agent_loop`);
 * - `trinity`: `Experience` of Trinity-RFT (0.6.0, `trinity.common.experience`).
 */
import type { Credit, Experience, Scored } from "../kernels/credit/estimator.ts"
import type { Episode, Lifecycle, Step } from "../machines/episode.ts"
import { ownEpisodes } from "../machines/fork.ts"

/** A model call and its credit. */
export interface CreditedCall {
  readonly experience: Experience
  readonly scored: Scored
  readonly lifecycle: Lifecycle
  readonly episode: Episode
  readonly step: Step
  /** 0-based place among all calls of its lifecycle. */
  readonly place: number
}

/** The calls that an estimator has not dropped. `experiences` are those of the lifecycles, in their order. */
export const creditedCalls = (
  lifecycles: ReadonlyArray<Lifecycle>,
  experiences: ReadonlyArray<Experience>,
  credit: Credit
): Array<CreditedCall> => {
  const scores = new Map(credit.experiences.map((scored) => [scored.id, scored]))
  let next = 0
  return lifecycles.flatMap((lifecycle) =>
    ownEpisodes(lifecycle)
      .flatMap((episode) => episode.steps.map((step) => ({ episode, step })))
      .flatMap(({ episode, step }, place) => {
        const experience = experiences[next++]!
        const scored = scores.get(experience.id)
        return scored === undefined ? [] : [{ experience, scored, lifecycle, episode, step, place }]
      })
  )
}

export const trainers = ["trl", "verl", "trinity"] as const
export type Trainer = (typeof trainers)[number]

/** Makes rows; batches must come in their order, since groups are numbered as they come. */
export const makeTrainerRows = (trainer: Trainer) => {
  const groups = new Map<string, number>()
  return (batch: number, call: CreditedCall): object => {
    const { pack } = call.experience
    const group = groups.get(pack) ?? groups.size
    groups.set(pack, group)
    return rows[trainer](call, batch, group)
  }
}

const same = (value: number, { tokens }: Step): ReadonlyArray<number> => tokens.map(() => value)

/** What all rows say in the place that their trainer leaves for more. */
const about = ({ episode, experience: { id }, lifecycle }: CreditedCall, batch: number) => ({
  id,
  batch,
  lifecycle: lifecycle.id,
  environment: episode.environment,
  kind: episode.kind,
  index: episode.index,
  outcome: episode.outcome
})

const rows: Record<Trainer, (call: CreditedCall, batch: number, group: number) => object> = {
  trl: ({ episode: { reward, success }, scored, step }, _batch, group) => ({
    prompt: [{ role: "user", content: step.prompt }],
    completion: [{ role: "assistant", content: step.reply }],
    input_ids: [...step.promptTokens, ...step.tokens],
    completion_mask: [...step.promptTokens.map(() => 0), ...step.tokens.map(() => 1)],
    old_log_probs: [...step.promptTokens.map(() => 0), ...step.logprobs],
    advantage: scored.advantage,
    model_version: step.policyVersion,
    group_id: group,
    metrics: { reward, success: Number(success), return: scored.return, baseline: scored.baseline, score: scored.score }
  }),
  verl: (call, batch) => {
    const { episode, experience, scored, step } = call
    return {
      prompt_ids: step.promptTokens,
      response_ids: step.tokens,
      response_mask: step.tokens.map(() => 1),
      response_logprobs: step.logprobs,
      reward_score: episode.reward,
      num_turns: 2,
      metrics: { generate_sequences: 0, tool_calls: 0, compute_score: 0, num_preempted: -1 },
      extra_fields: {
        uid: experience.pack,
        advantages: same(scored.advantage, step),
        returns: same(scored.return, step),
        policy_version: step.policyVersion,
        ...about(call, batch)
      }
    }
  },
  trinity: (call, batch) => {
    const { episode, experience, place, scored, step } = call
    return {
      eid: { batch, task: experience.pack, run: experience.run, step: place, suffix: experience.id },
      tokens: [...step.promptTokens, ...step.tokens],
      prompt_length: step.promptTokens.length,
      logprobs: step.logprobs,
      reward: episode.reward,
      advantages: same(scored.advantage, step),
      returns: same(scored.return, step),
      action_mask: step.tokens.map(() => true),
      truncate_status: step.truncated ? "response_truncated" : null,
      prompt_text: step.prompt,
      response_text: step.reply,
      info: { model_version: step.policyVersion, ...about(call, batch) },
      metrics: { score: scored.score, baseline: scored.baseline }
    }
  }
}
