/** The scripted agents that environments bring, as a policy. They read and write the `chat` style. */
import { Exit, Layer, Result } from "effect"
import type { Agents, Environment } from "../environment.ts"
import { Policy, PolicyError, type Request } from "./policy.ts"

export const scriptedAgents: ReadonlyArray<keyof Agents<unknown>> = ["random", "oracle", "careful", "amnesiac"]

const silent = { promptTokens: [], tokens: [], logprobs: [], policyVersion: 0, truncated: false }

/** Replies are there at once, and have no tokens. Only the oracle is handed the hidden knowledge. */
export const scripted = (environment: Environment, agent: keyof Agents<unknown>): Policy["Service"] => {
  const name = `scripted:${agent}`
  const act = environment.agents[agent]
  return {
    name,
    style: "chat",
    reply: ({ context, kind, knowledge, messages, rng }: Request) => {
      const acted = Result.try(() => act({ kind, messages }, context, rng, agent === "oracle" ? knowledge : undefined))
      return Result.isSuccess(acted)
        ? Exit.succeed({ ...silent, text: acted.success })
        : Exit.fail(new PolicyError({ policy: name, reason: `${environment.id}: ${String(acted.failure)}` }))
    }
  }
}

export const layerScripted = (environment: Environment, agent: keyof Agents<unknown>): Layer.Layer<Policy> =>
  Layer.succeed(Policy, scripted(environment, agent))
