/**
 * Writes the adapter folders `written-*` beside this file, as a training run writes them, for the reference library to read:
 *
 *     npx node test/vectors/lora/write.ts
 */
import { NodeServices } from "@effect/platform-node"
import { Effect, Result } from "effect"
import { mkdirSync, readFileSync, rmSync } from "node:fs"
import { initializeAdapter, type LoraConfig, loraTargets } from "../../../src/kernels/lora.ts"
import { stream } from "../../../src/kernels/random.ts"
import { type Adapter, writeAdapter } from "../../../src/policies/adapter.ts"
import { readConfig } from "../../../src/policies/config.ts"

/** By folder: its base and its adapter, in which neither matrix is zero. */
export const written: Readonly<Record<string, { readonly base: string; readonly lora: LoraConfig }>> = {
  "written-qwen3": { base: "qwen3-untied", lora: { rank: 2, alpha: 4, targets: loraTargets } },
  "written-qwen2": { base: "qwen2-tied", lora: { rank: 3, alpha: 1.5, targets: ["k_proj", "o_proj"] } },
  "written-llama": { base: "llama-untied", lora: { rank: 1, alpha: 2, targets: ["q_proj", "v_proj", "up_proj"] } }
}

/** @param into the folder that gets the folder of that name */
export const write = (name: string, into: string) => {
  const { base, lora } = written[name]!
  const json = readFileSync(`${import.meta.dirname}/../transformer/${base}/config.json`, "utf8")
  const config = Result.getOrThrow(readConfig(JSON.parse(json)))
  const { normal } = stream("written", name)
  const weights = initializeAdapter(config, lora, "written", name).map((x) => x + 0.2 * normal())
  // From where a run would be started.
  const adapter: Adapter = { base: `../../transformer/${base}`, lora, weights }
  rmSync(`${into}/${name}`, { recursive: true, force: true })
  mkdirSync(`${into}/${name}`, { recursive: true })
  return writeAdapter(`${into}/${name}`, config, adapter).pipe(Effect.provide(NodeServices.layer))
}

if (import.meta.main) {
  for (const name of Object.keys(written)) await Effect.runPromise(write(name, import.meta.dirname))
}
