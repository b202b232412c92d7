/**
 * The public environment API: everything an environment may know of constellate.
 *
 * An environment is a value. Its dynamics are an XState machine whose guards and assigns call pure functions, its views
 * turn the machine's snapshot into text, its parsers turn text into actions. Randomness is handed in, states are JSON,
 * so that every episode can be saved, forked, replayed and compared. There is no such thing as a policy here.
 */
import type { Schema } from "effect"
import type { AnyStateMachine, SnapshotFrom } from "xstate"

/** A named stream of random numbers. The same name always gives the same numbers; no two consumers share one. */
export interface Rng {
  /** Uniform in [0, 1). */
  readonly uniform: () => number
  /** Uniform integer in [low, high], both included. */
  readonly int: (low: number, high: number) => number
  /** Standard normal. */
  readonly normal: () => number
  /** One of the items, uniformly. The list must not be empty. */
  readonly pick: <A>(items: ReadonlyArray<A>) => A
  /** A new list with the items in uniformly random order. */
  readonly shuffle: <A>(items: ReadonlyArray<A>) => Array<A>
}

/** `solve`: an attempt at a task. `update`: the rewriting of the context after it. */
export type EpisodeKind = "solve" | "update"

/** How prompts are written: `chat` for language models, `terse` (few tokens) for small policies trained here. */
export type Style = "chat" | "terse"

/**
 * How an episode ended. `failure`: by the rules, without success; `truncated`: step cap or reply-length cap;
 * `malformed`: an answer that could not be read. The last three are faults or format, never the same thing as reward 0.
 */
export type Outcome = "success" | "failure" | "truncated" | "malformed" | "timeout" | "error"

export interface Message {
  readonly role: "system" | "user" | "assistant"
  readonly content: string
}

/** What an agent sees at one step: the whole conversation of the episode so far. */
export interface Prompt {
  readonly kind: EpisodeKind
  readonly messages: ReadonlyArray<Message>
}

/** What a parser makes of a reply: an action, or the reason why there is none. */
export type Parsed<A> = { readonly action: A } | { readonly why: string }

/** The input of an environment's machine. `memory` is the environment's own, kept per lifecycle; undefined where unused. */
export interface Start<O = any, K = any, T = any, M = any> {
  readonly options: O
  /** Hidden, shared by all tasks of a pack and all runs of its group. */
  readonly knowledge: K
  readonly task: T
  readonly memory: M
  /** 0-based place of the task in its pack. */
  readonly position: number
  readonly packSize: number
}

/**
 * The events an environment's machine must understand in every state that is not final. `verdict` is there when a judge was
 * asked about the action: what it said, or null when it could not be read.
 */
export type EnvironmentEvent<A = any, V = any> =
  | { readonly type: "answer"; readonly action: A; readonly rng: Rng; readonly verdict?: V | null }
  | {
      readonly type: "malformed"
      readonly why: string
      /** The reply reached its length cap, which may be why. */
      readonly truncated?: boolean
    }

/** The output of an environment's machine. `reward` is unshaped and finite; `memory` is handed to the next task. */
export interface Ending<M = any> {
  readonly success: boolean
  readonly reward: number
  readonly outcome: Extract<Outcome, "success" | "failure" | "truncated" | "malformed">
  readonly memory?: M
}

/**
 * Shaping of positive rewards by length (lifecycle specification, section 7):
 * `max(0, reward - coefficient * (mean over steps of clamp((tokens - zeroTokens) / (fullTokens - zeroTokens), 0, 1) + steps / maxSteps))`.
 */
export interface LengthPenalty {
  readonly coefficient: number
  readonly maxSteps: number
  readonly zeroTokens: number
  readonly fullTokens: number
}

/** Views for language models. The engine adds the context section and the token limit to the system text. */
export interface Chat<A, S> {
  readonly system: (snapshot: S) => string
  /** The observation before each step, with the feedback on the step before it. */
  readonly user: (snapshot: S) => string
  readonly parse: (reply: string) => Parsed<A>
  /** How the observation of an earlier step stands in later prompts. `age` counts steps back. What is short already stays. Default: as it was. */
  readonly shorten?: (observation: string, age: number) => string
}

/** Scores by another policy, where rules of the environment do not reach. Without a judge it goes by its rules. */
export interface Judge<A, S, V> {
  /** What a judge is asked about an action; undefined where rules suffice. */
  readonly ask: (snapshot: S, action: A) => ReadonlyArray<Message> | undefined
  /** What the judge said; undefined when it cannot be read. */
  readonly read: (reply: string) => V | undefined
}

/** What was told of each step instead of the truth; undefined where it was the truth. */
export type Told = ReadonlyArray<string | undefined>

/**
 * Views in few tokens: words separated by single spaces, all from `vocabulary`. The engine frames them:
 * a solve episode is `<solve> CONTEXT | SYSTEM USER [reply] USER [reply] ...`, an update episode
 * `<update> CONTEXT | TRAJECTORY <ctx> [reply <end>]`. The initial context is empty.
 */
export interface Terse<A, S> {
  readonly vocabulary: ReadonlyArray<string>
  readonly system: (snapshot: S) => string
  readonly user: (snapshot: S) => string
  readonly parse: (reply: string) => Parsed<A>
  /** The words of `user` that tell of the last step. They begin it; empty before the first. See `told`. */
  readonly feedback?: (snapshot: S) => string
  /**
   * The episode as an update episode sees it, from the final snapshot. Default: every observation and reply, joined.
   * `told` holds by step the words that the agent was told instead of `feedback`, empty where it was told nothing.
   */
  readonly trajectory?: (snapshot: S, told?: Told) => string
  /** Reads a reply of an update episode as a context. Default: any text that ended by itself. */
  readonly context?: (reply: string) => { readonly context: string } | { readonly why: string }
  /** The oracle context of an evaluation. Default: the knowledge's own description. */
  readonly describe?: (knowledge: any) => string
  /** Most tokens sampled in one step of a solve episode and in an update episode. A step that reaches its cap is complete. */
  readonly replyTokens: { readonly solve: number; readonly update: number }
}

/**
 * A scripted agent: acts through prompts and replies of the `chat` style as a language model would and keeps nothing
 * between calls. What it wants to remember it must write into its reply of the update episode.
 * `knowledge` is handed to `oracle` only.
 */
export type Agent<K = any> = (prompt: Prompt, context: string, rng: Rng, knowledge?: K) => string

export interface Agents<K> {
  /** Uniformly random legal answers. */
  readonly random: Agent
  /** Knows the hidden knowledge. */
  readonly oracle: Agent<K>
  /** As near optimal as is reasonable without the knowledge; carries what it learns in its context text. */
  readonly careful: Agent
  /** As `careful` within a task, but always writes the initial context. */
  readonly amnesiac: Agent
}

/**
 * Noisy demonstrations in the `terse` style for the warm start of a small policy. `recalled` marks replies whose last
 * token follows from the context or from this episode: how well a policy predicts those measures the skill of looking up.
 */
export interface Demonstrations<K> {
  readonly stages: ReadonlyArray<string>
  /** The context that a demonstrated lifecycle of this stage begins with. */
  readonly context: (stage: string, knowledge: K, rng: Rng) => string
  readonly reply: (
    stage: string,
    prompt: Prompt,
    context: string,
    rng: Rng
  ) => { readonly reply: string; readonly recalled: boolean }
}

export interface Definition<O = any, K = any, T = any, A = any, D extends AnyStateMachine = AnyStateMachine> {
  /** Lower case with dashes, as on the command line. */
  readonly id: string
  readonly title: string
  /** Every option has a default: decoding `{}` gives the preset `train` before its overrides. */
  readonly options: Schema.Codec<O, any>
  /** Options that differ from the defaults, by preset name. */
  readonly presets: Readonly<Record<string, Partial<O>>>
  readonly knowledge: {
    /** JSON. Without a schema any JSON value is taken from a task file. */
    readonly schema?: Schema.Codec<K, any>
    /** `number` counts the packs of an evaluation or a simulation from 0, for data sets in a fixed order. */
    readonly sample: (
      rng: Rng,
      at: { readonly options: O; readonly packSize: number; readonly number?: number | undefined }
    ) => K
    /**
     * What of a sample holds at a position, where it does not stay the same: all that the other parts get, and what the
     * schema describes. Default: all of it, everywhere. The same object as long as nothing changes.
     */
    readonly at?: (sample: any, position: number) => K
    /** For the oracle context of an evaluation and for people. */
    readonly describe: (knowledge: K) => string
  }
  readonly task: {
    readonly schema?: Schema.Codec<T, any>
    readonly sample: (
      rng: Rng,
      at: { readonly options: O; readonly knowledge: K; readonly position: number; readonly packSize: number }
    ) => T
  }
  /**
   * The environment's own memory when a lifecycle begins: JSON, such as a map that stays revealed. It begins anew when the
   * knowledge changes on the way; then `before` is what it was, or undefined.
   */
  readonly memory?: (at: {
    readonly options: O
    readonly knowledge: K
    readonly packSize: number
    readonly before?: unknown
  }) => unknown
  readonly machine: D
  readonly chat: Chat<A, SnapshotFrom<D>>
  readonly terse?: Terse<A, SnapshotFrom<D>>
  readonly judge?: Judge<A, SnapshotFrom<D>, any>
  readonly feedback: {
    /** On the step just taken; empty before the first. Never tells the hidden knowledge. */
    readonly step: (snapshot: SnapshotFrom<D>) => string
    /** On the episode; with it the final state reaches the update episode. */
    readonly end: (snapshot: SnapshotFrom<D>) => string
  }
  /** A block appended to the trajectory handed to the update episode. */
  readonly finalState?: (snapshot: SnapshotFrom<D>) => string
  /** The reward is computed from the hidden truth, so prompts of update episodes leave it out. Default: they show it. */
  readonly hidesReward?: boolean
  /** Absent or undefined: rewards are not shaped by length. */
  readonly lengthPenalty?: (options: O) => LengthPenalty | undefined
  /** Lowest and highest reward before shaping. Default: -1 and 1. */
  readonly rewardBounds?: (options: O) => readonly [lowest: number, highest: number]
  /** The reward of an episode may have been earned in an earlier one. */
  readonly delaysReward?: boolean
  readonly agents: Agents<K>
  readonly demonstrate?: Demonstrations<K>
  /** The operators that made it out of another environment, the first one first (see `src/dynamics`). */
  readonly dynamics?: ReadonlyArray<Operation>
}

/** A dynamics operator with its parameters, as a configuration says it: `{ drift: { rate: 0.2 } }`. */
export type Operation = Readonly<Record<string, object>>

/** An environment with its parameters erased, as the engine holds it. */
export type Environment = Definition

/** Checks a definition's types against each other and gives it to the engine. */
export const defineEnvironment = <O, K, T, A, D extends AnyStateMachine>(
  definition: Definition<O, K, T, A, D>
): Environment => definition as unknown as Environment

/** What a `chat` agent's context says before anything is known. */
export const initialContext = "Hints: null"

const hintsStart = "--- Start of updated hints ---"
const hintsEnd = "--- End of updated hints ---"

/** The text between two markers, if each occurs exactly once and in order; otherwise undefined. */
const between = (text: string, start: string, end: string): string | undefined => {
  const from = text.indexOf(start)
  const to = text.indexOf(end)
  const single = from === text.lastIndexOf(start) && to === text.lastIndexOf(end)
  return from >= 0 && single && from + start.length <= to ? text.slice(from + start.length, to).trim() : undefined
}

/** The one block of each kind that the engine and environments agree on in `chat` style. */
export const answerBlock = {
  write: (answer: string): string => `<answer>${answer}</answer>`,
  /** Trimmed content of the only answer block; undefined when there is none, more than one, or out of order. */
  read: (reply: string): string | undefined => between(reply, "<answer>", "</answer>")
}

export const hintsBlock = {
  start: hintsStart,
  end: hintsEnd,
  write: (hints: string): string => `${hintsStart}\n${hints}\n${hintsEnd}`,
  /** Trimmed content of the only hints block, which must not be blank; otherwise undefined. */
  read: (reply: string): string | undefined => between(reply, hintsStart, hintsEnd) || undefined
}
