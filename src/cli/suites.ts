/** The published evaluation suites by name (evaluation specification, section 2). */
import { families } from "../../environments/pde-discovery/families.ts"
import type { PackSeeds } from "../actors/rollout.ts"
import type { Compression } from "../machines/lifecycle.ts"
import type { Strategy } from "../machines/packs.ts"

/** One environment of a suite. Its values are those of the preset. */
export interface SuitePart {
  /** `ID:PRESET`. */
  readonly env: string
  readonly strategy: Strategy
  /** An option whose values packs take in turn. */
  readonly turns?: { readonly option: string; readonly values: ReadonlyArray<unknown> }
}

/** What a suite fixes. Its packs are of eight tasks. */
export interface Suite {
  readonly title: string
  readonly parts: ReadonlyArray<SuitePart>
  /** For each seed. */
  readonly packs: number
  readonly packSize: number
  /** `stable`: every seed meets the same packs. `runtime`: each seed has packs of its own. */
  readonly packSeeds: PackSeeds
  readonly temperature: number
  /** Most tokens of a reply. */
  readonly maxTokens: number
  /** What the agent is told to stay within. */
  readonly tokenLimit: number
  /** Of replies in later prompts; default all of them. */
  readonly compression?: Compression
  /** Thinking switch of policies that have one; default their own. */
  readonly thinking?: boolean
}

const cod = (env: string): SuitePart => ({ env, strategy: "cod" })

const common = { packs: 500, packSize: 8, temperature: 1 }

const small = { ...common, packSeeds: "runtime", maxTokens: 2000, tokenLimit: 1500 } as const

const large = {
  ...common,
  packSeeds: "stable",
  maxTokens: 4000,
  tokenLimit: 4000,
  parts: [
    {
      ...cod("pde-discovery:hard"),
      turns: { option: "template", values: families.full_eval_4000.map(({ name }) => name) }
    },
    cod("optimal-control:hard"),
    cod("grid-navigation:hard")
  ]
} as const

export const suites = {
  "8b-a": {
    ...small,
    title: "trained on FrozenLake-Obscure: harder maps, and two other environments",
    parts: [cod("frozen-lake-obscure:hard"), cod("alchemy:easy"), cod("terminal:eval")]
  },
  "8b-b": {
    ...small,
    title: "trained on FrozenLake-Obscure and Alchemy: both harder, and another environment",
    parts: [cod("frozen-lake-obscure:hard"), cod("alchemy:hard"), cod("terminal:eval")]
  },
  "27b": { ...large, title: "PDE Discovery, Optimal Control and Grid Navigation, each in a harder variant" },
  "27b-api": {
    ...large,
    title: "as 27b, with the longer replies and the thinking that models on servers were given",
    maxTokens: 8000,
    tokenLimit: 8000,
    compression: "remove_think",
    thinking: true
  },
  ralph: {
    ...small,
    title: "one task eight times over, contexts in between",
    parts: (["alchemy:easy", "terminal:eval"] as const).map((env) => ({ env, strategy: "ralph-sample" as const }))
  }
} satisfies Readonly<Record<string, Suite>>

export type SuiteName = keyof typeof suites

export const suiteNames = Object.keys(suites) as ReadonlyArray<SuiteName>
