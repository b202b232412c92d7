/** Policies by what is written for POLICY: `scripted:NAME`, a checkpoint or run folder, `openai:MODEL@URL`. */
import { Effect, type Layer } from "effect"
import type { Environment, Style } from "../environment.ts"
import { type Policy } from "../policies/policy.ts"
import { layerScripted, scriptedAgents } from "../policies/scripted.ts"
import { UnknownName, WrongInput } from "./failure.ts"

export interface PolicyOptions {
  /** Whose scripted agents are meant. */
  readonly environment: Environment
  /** Overrides what the policy declares; scripted agents know `chat` only. */
  readonly style?: Style | undefined
}

export const openPolicy = Effect.fnUntraced(function* (
  text: string,
  { environment, style }: PolicyOptions
): Effect.fn.Return<Layer.Layer<Policy>, UnknownName | WrongInput> {
  if (text.startsWith("scripted:")) {
    const name = text.slice("scripted:".length)
    const agent = scriptedAgents.find((known) => known === name)
    if (agent === undefined) {
      return yield* new UnknownName({ kind: "scripted agent", name, valid: scriptedAgents })
    }
    if (style === "terse") {
      return yield* new WrongInput({ field: "style", value: style, expected: `"chat", which scripted agents speak` })
    }
    return layerScripted(environment, agent)
  }
  return yield* new WrongInput({
    field: "POLICY",
    value: text,
    expected: `scripted:NAME (${scriptedAgents.join(", ")}), a checkpoint folder or a run folder`
  })
})
