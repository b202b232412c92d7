/** The configuration of a training run: what there is to set, its defaults and its presets. */
import { Effect, Schema } from "effect"
import { readDevices } from "../kernels/device.ts"
import { type LoraConfig, loraTargets } from "../kernels/lora.ts"
import { lifecycleFields } from "./lifecycle-config.ts"
import { publishedPresets } from "./published-presets.ts"
import { neededStaleness, type Overlap } from "../machines/overlap.ts"

/** What `--device` takes: the devices that have names, or `auto`, for the fastest. */
export const DeviceText = Schema.String.check(
  Schema.makeFilter((text) => text === "auto" || readDevices(text) !== undefined, {
    expected: "cpu, cuda, cuda:N, several as in cuda:0,1, webgpu or auto"
  })
)

const positive = Schema.Finite.check(Schema.isGreaterThan(0))
const share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const atLeast1 = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

const withDefault = <A, I>(schema: Schema.Codec<A, I>, value: I, description: string) =>
  schema.annotate({ description }).pipe(Schema.withDecodingDefaultKey(Effect.succeed(value)))

const section = <F extends Schema.Struct.Fields>(fields: F) =>
  Schema.Struct(fields).pipe(Schema.withDecodingDefaultKey(Effect.succeed({} as never)))

/** Options that their own module checks, by name. */
const options = Schema.Record(Schema.String, Schema.Unknown)

export const TrainingConfig = Schema.Struct({
  environments: withDefault(
    Schema.Array(Schema.String),
    ["frozen-lake-obscure"],
    "Task sets, each an environment id or path with an optional :preset; several are mixed evenly"
  ),
  policy: withDefault(Schema.String, "", "A policy to start from, which skips the warm start; empty for a new one"),
  seed: withDefault(Schema.Int, 1, "Base seed of everything random"),
  updates: withDefault(count, 160, "Policy updates on lifecycles, not counting the warm start"),
  concurrency: withDefault(atLeast1, 64, "Lifecycles in flight; changes no result"),
  shards: withDefault(atLeast1, 2, "Model workers, each a thread; changes no result"),
  device: withDefault(DeviceText, "cpu", "Where the model runs: cpu, cuda, cuda:N, cuda:N,M, webgpu or auto"),
  style: withDefault(Schema.Literals(["terse", "chat"]), "terse", "Style of the prompts; chat needs a policy"),
  thinking: Schema.optionalKey(
    Schema.Boolean.annotate({ description: "Thinking switch of the chat template; default: the template's own" })
  ),
  environment: withDefault(options, {}, "Options of the environments, over their presets"),
  model: section({
    family: withDefault(Schema.Literals(["qwen3", "qwen2", "llama"]), "llama", "Family of a new policy"),
    hiddenSize: withDefault(atLeast1, 64, "Width of the residual stream"),
    innerSize: withDefault(atLeast1, 192, "Width of the feed-forward layers"),
    layers: withDefault(atLeast1, 4, "Layers"),
    heads: withDefault(atLeast1, 4, "Query heads"),
    keyValueHeads: withDefault(atLeast1, 4, "Key and value heads; divides heads"),
    headSize: withDefault(atLeast1, 16, "Size of a head; even"),
    maxPositions: withDefault(atLeast1, 512, "Longest sequence in tokens"),
    ropeTheta: withDefault(positive, 1000, "Base of the rotary positions")
  }),
  warmStart: section({
    lifecycles: withDefault(atLeast1, 6, "Demonstrated lifecycles of one step"),
    learningRate: withDefault(positive, 2e-3, "Peak"),
    warmUp: withDefault(count, 50, "Steps of linear rise"),
    minimum: withDefault(atLeast1, 100, "Least steps of the drill"),
    maximum: withDefault(atLeast1, 1500, "Most steps of the drill"),
    recall: withDefault(share, 0.95, "The drill ends at this probability of what follows from context or episode"),
    settle: withDefault(atLeast1, 200, "Steps on mediocre demonstrations"),
    floor: withDefault(share, 0.05, "Share of the peak at which the cosine of the last steps ends"),
    checkpointEvery: withDefault(atLeast1, 100, "Steps between checkpoints of the warm start")
  }),
  rollout: section({
    packs: withDefault(atLeast1, 8, "Packs of one update"),
    groupSize: withDefault(atLeast1, 8, "Lifecycles of each pack (G)"),
    packSize: withDefault(atLeast1, 4, "Tasks of a pack (S)"),
    temperature: withDefault(positive, 1, "Of sampling"),
    packSeeds: withDefault(
      Schema.Literals(["runtime", "stable"]),
      "runtime",
      "Seeds of packs: from seed and number, or from the identities of their tasks"
    ),
    ...lifecycleFields,
    minimum: withDefault(count, 0, "Survivors that a group needs after retries; 0 for all of them"),
    counterfactual: section({
      alternatives: withDefault(atLeast1, 1, "Contexts sampled from the state at each update (M); 1 for no branches"),
      horizon: withDefault(count, 0, "Tasks that a branch lives after its update (K); 0 for all that are left")
    })
  }),
  credit: section({
    estimator: withDefault(Schema.String, "causal", "causal, counterfactual, grpo, or the file of a plug-in"),
    options: withDefault(options, {}, "Options of the estimator")
  }),
  loss: withDefault(options, {}, "The loss: kind (rec, ppo or gspo) and its options, over the published choice"),
  optimizer: section({
    learningRate: withDefault(positive, 5e-4, "Of policy updates"),
    warmUp: withDefault(count, 5, "Updates of linear rise"),
    finalShare: withDefault(share, 1, "Share of the learning rate at the last update; falls by a cosine"),
    beta1: withDefault(share, 0.9, "Decay of the first moment"),
    beta2: withDefault(share, 0.95, "Decay of the second moment"),
    epsilon: withDefault(positive, 1e-8, "Keeps the quotient of the moments finite"),
    weightDecay: withDefault(share, 0, "Decoupled"),
    clipNorm: withDefault(positive, 1, "Largest norm of a gradient")
  }),
  lora: Schema.optionalKey(
    Schema.Struct({
      rank: atLeast1.annotate({ description: "Rank of adapters, which are then all that is trained; needs a policy" }),
      alpha: Schema.optionalKey(
        positive.annotate({ description: "Adapters count alpha / rank; default: twice the rank" })
      ),
      targets: withDefault(
        Schema.NonEmptyArray(Schema.Literals(loraTargets)),
        [...loraTargets],
        "Matrices that get an adapter"
      )
    })
  ),
  learner: section({
    budgetTokens: withDefault(
      atLeast1,
      1280,
      "Padded tokens of a micro-batch; changes results by rounding only. What stays in the processor's cache is fastest"
    ),
    recompute: withDefault(
      Schema.Boolean,
      false,
      "Make the inner values of layers anew for the gradient: less memory, about a third more work, no other result"
    )
  }),
  async: section({
    staleness: withDefault(count, 0, "Oldest policy to learn from, in updates behind the newest; 0 takes turns"),
    ahead: Schema.optionalKey(
      count.annotate({ description: "Batches sampled before their turn; default: as many as staleness allows" })
    ),
    syncInterval: withDefault(atLeast1, 1, "Batches between two takings of the newest weights"),
    uses: withDefault(atLeast1, 1, "How often a group may be learnt from"),
    noise: withDefault(
      Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
      0,
      "Standard deviation of the noise in the priority of groups that wait"
    )
  }),
  evaluation: section({
    packs: withDefault(count, 500, "Packs of the evaluations before and after; 0 for none"),
    packSize: withDefault(atLeast1, 4, "Tasks of a pack there")
  }),
  checkpointEvery: withDefault(atLeast1, 20, "Policy updates between checkpoints")
})
export type TrainingConfig = typeof TrainingConfig.Type

/** The adapters that are trained, if any. */
export const loraOf = ({ lora }: TrainingConfig): LoraConfig | undefined =>
  lora && {
    rank: lora.rank,
    alpha: lora.alpha ?? 2 * lora.rank,
    targets: loraTargets.filter((target) => lora.targets.includes(target))
  }

/** How rollouts run ahead; what is left open reaches as far as the staleness allows. */
export const overlapOf = ({ async }: TrainingConfig): Overlap => ({
  ...async,
  ahead: async.ahead ?? Math.max(0, async.staleness - neededStaleness({ ...async, ahead: 0 }))
})

/** Named settings, over the defaults. */
export const presets: Readonly<Record<string, object>> = {
  /** The defaults: from nothing to a risen curve in minutes. */
  spark: {},
  /** The same policy for longer, with the published estimator, loss, group and pack size. */
  published: { updates: 3000, optimizer: { finalShare: 0.1 }, checkpointEvery: 100 },
  ...publishedPresets
}
