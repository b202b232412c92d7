/** An update episode: one model call that rewrites the context after a solve episode (specification, section 6). */
import { hintsBlock, type Environment, type Style } from "../environment.ts"
import { agent, type AgentSnapshot, type Said, whyUnsaid } from "./agent.ts"
import { chatContext, type ContextEvent } from "./context-store.ts"
import type { Settings } from "./lifecycle.ts"
import type { Pack } from "./packs.ts"
import { chatUpdateSystem, chatUpdateUser, terseUpdateSystem, terseUpdateUser } from "./prompts.ts"
import { updateReward } from "./reward.ts"
import { type Solve, trajectory } from "./solve.ts"

export interface Update {
  readonly agent: AgentSnapshot
  /** What the context store is told when the episode is over. */
  readonly told: ContextEvent | undefined
}

/** `context` is the one that was in force during the solve episode. */
export const beginUpdate = (pack: Pack, settings: Settings, solve: Solve, context: string): Update => {
  const { style, tokenLimit, updateExample } = settings
  const walked = trajectory(solve, pack, settings)
  const feedback = style === "chat" ? pack.environment.feedback.end(solve.world) : ""
  const reward = pack.environment.hidesReward === true ? undefined : solve.agent.context.reward
  const [system, user] =
    style === "chat"
      ? [chatUpdateSystem(tokenLimit, updateExample), chatUpdateUser({ context, trajectory: walked, reward, feedback })]
      : [terseUpdateSystem(context), terseUpdateUser(walked)]
  const [begun] = agent.initial({ kind: "update", style, maxSteps: 1, system, user })
  return { agent: begun, told: undefined }
}

export const takeUpdateReply = (
  update: Update,
  { environment }: Pack,
  { style, updatePenalty }: Settings,
  said: Said
): Update => {
  const read = readContext(environment, style, said)
  const parsed = "context" in read
  const [ended] = agent.transition(update.agent, {
    type: parsed ? "success" : said.truncated ? "truncated" : "malformed",
    said,
    reward: updateReward(parsed, said.tokens.length, updatePenalty),
    why: parsed ? undefined : (whyUnsaid(said) ?? read.why)
  })
  return { agent: ended, told: parsed ? { type: "written", context: read.context } : { type: "unreadable" } }
}

const readContext = (
  environment: Environment,
  style: Style,
  { text, truncated }: Said
): { readonly context: string } | { readonly why: string } => {
  if (style === "terse") {
    if (truncated) return { why: "the reply did not end by itself" }
    return environment.terse?.context?.(text) ?? { context: text.trim() }
  }
  const hints = hintsBlock.read(text)
  if (hints === undefined) return { why: `expected one "${hintsBlock.start}" and one "${hintsBlock.end}" around hints` }
  return { context: chatContext(hints) }
}
