/** Where replies come from: one interface for scripted agents, checkpoints and remote servers. */
import { Context, Schema, type Effect } from "effect"
import type { EpisodeKind, Message, Rng, Style } from "../environment.ts"

/** One model call of an episode. */
export interface Request {
  readonly kind: EpisodeKind
  /** The conversation so far, ending with a user message. Message objects are reused between the steps of an episode. */
  readonly messages: ReadonlyArray<Message>
  /**
   * Tokens of the step before, in an episode's later steps: its prompt, then what was sampled. A prompt of tokens goes on
   * from there, so that what was sampled is never tokenised again.
   */
  readonly previous: Pick<Reply, "promptTokens" | "tokens"> | undefined
  /** The context in force, for scripted agents; language models see it in the messages. */
  readonly context: string
  /** The pack's hidden knowledge, for the scripted oracle only. */
  readonly knowledge: unknown
  /** This call's own stream. */
  readonly rng: Rng
  /** At least 0; 0 takes the most probable token. */
  readonly temperature: number
  /** Most tokens to sample. */
  readonly maxTokens: number
}

export interface Reply {
  readonly text: string
  /** Empty arrays for policies that have no tokens. */
  readonly promptTokens: ReadonlyArray<number>
  readonly tokens: ReadonlyArray<number>
  readonly logprobs: ReadonlyArray<number>
  readonly policyVersion: number
  /** The reply reached `maxTokens` without ending by itself. */
  readonly truncated: boolean
}

/** A policy could not answer; the lifecycle that asked ends as `outcome`, which is `error` unless it says otherwise. */
export class PolicyError extends Schema.TaggedError<PolicyError>()("PolicyError", {
  policy: Schema.String,
  reason: Schema.String,
  outcome: Schema.optionalKey(Schema.Literals(["timeout", "error"])),
  /** Whose fault it is; default: the policy's. */
  by: Schema.optionalKey(Schema.Literals(["environment", "policy", "thread"]))
}) {
  override get message() {
    return `policy ${this.policy}: ${this.reason}`
  }
}

export class Policy extends Context.Service<
  Policy,
  {
    /** As given on the command line. */
    readonly name: string
    readonly style: Style
    readonly reply: (request: Request) => Effect.Effect<Reply, PolicyError>
    /** Another policy that scores its replies where an environment's rules do not reach; absent: rules score them all. */
    readonly judge?: (request: Request) => Effect.Effect<Pick<Reply, "text">, PolicyError>
  }
>()("constellate/Policy") {}
