/** Policies by what is written for POLICY: `scripted:NAME`, a checkpoint folder, or a run folder (its last checkpoint). */
import { Effect, FileSystem, Layer, type PlatformError } from "effect"
import { makeInference } from "../actors/inference.ts"
import { makeModelWorkers, sharedWeights } from "../actors/model-workers.ts"
import { policyFolderOf, type RunFolderError } from "../actors/run-folder.ts"
import type { Environment, Style } from "../environment.ts"
import { type Checkpoint, readCheckpoint } from "../policies/checkpoint.ts"
import type { CheckpointError } from "../policies/checkpoint-file.ts"
import { Policy } from "../policies/policy.ts"
import { layerScripted, scriptedAgents } from "../policies/scripted.ts"
import { UnknownName, WrongInput } from "./failure.ts"

export interface PolicyOptions {
  /** Whose scripted agents are meant, and whose words a small policy must know. */
  readonly environment: Environment
  /** Overrides what the policy declares; scripted agents know `chat` only. */
  readonly style?: Style | undefined
  /** Model workers; default 2. */
  readonly shards?: number | undefined
}

export type PolicyFault = UnknownName | WrongInput | CheckpointError | RunFolderError | PlatformError.PlatformError

export const openPolicy = Effect.fnUntraced(function* (
  text: string,
  options: PolicyOptions
): Effect.fn.Return<Layer.Layer<Policy>, PolicyFault, FileSystem.FileSystem> {
  const { environment, style } = options
  if (!text.startsWith("scripted:")) return yield* openCheckpoint(text, options)
  const name = text.slice("scripted:".length)
  const agent = scriptedAgents.find((known) => known === name)
  if (agent === undefined) return yield* new UnknownName({ kind: "scripted agent", name, valid: scriptedAgents })
  if (style === "terse") {
    return yield* new WrongInput({ field: "style", value: style, expected: `"chat", which scripted agents speak` })
  }
  return layerScripted(environment, agent)
})

/** The policy folder that a path means: itself, or the last checkpoint of a run. */
export const readPolicyFolder = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  if (!(yield* files.exists(path))) {
    return yield* new WrongInput({
      field: "POLICY",
      value: path,
      expected: `scripted:NAME (${scriptedAgents.join(", ")}), a checkpoint folder or a run folder`
    })
  }
  return yield* readCheckpoint(yield* policyFolderOf(path))
})

const openCheckpoint = Effect.fnUntraced(function* (
  path: string,
  { environment, shards = 2, style: wanted }: PolicyOptions
) {
  const checkpoint = yield* readPolicyFolder(path)
  const style = wanted ?? checkpoint.declares.style
  if (style === "chat") {
    const expected = `"terse": prompts in chat style are not rendered for checkpoints yet`
    return yield* new WrongInput({ field: "style", value: style, expected })
  }
  yield* checkCoverage(path, checkpoint, environment)
  const { config, tokenizer } = checkpoint
  return Layer.effect(
    Policy,
    Effect.gen(function* () {
      const workers = yield* makeModelWorkers(config, shards)
      const weights = sharedWeights(config)
      weights.set(checkpoint.weights)
      yield* workers.publish(0, weights)
      const { maxPositions } = config
      return yield* makeInference({ name: path, style, tokenizer, workers, maxPositions, policyVersion: () => 0 })
    })
  )
})

/** A policy that would spell an environment's words in bytes has never learnt them: no number it makes means anything. */
const checkCoverage = Effect.fnUntraced(function* (
  path: string,
  { declares, tokenizer }: Checkpoint,
  { id, terse }: Environment
) {
  const missing = terse?.vocabulary.find((word) => tokenizer.encode(word).length !== 1)
  if (terse !== undefined && missing === undefined) return
  const why = terse === undefined ? "it has no terse style" : `the policy has no word ${JSON.stringify(missing)}`
  return yield* new WrongInput({
    field: "--env",
    value: id,
    expected: `an environment that ${path} can read (trained on ${declares.environments.join(", ")}; ${why})`
  })
})
