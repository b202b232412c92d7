/**
 * The published training runs by name (specification of credit assignment, section 15), as far as they are this engine's to
 * do: a policy of that size must be given, and a machine that holds it.
 *
 * One of our policy updates learns from one of their reads: 32 tasks in 8 packs of 4, each lived 8 times. They let
 * trainer and explorer run apart, with weights handed over every 4 reads and experiences up to 20 updates old.
 */

const eight = {
  style: "chat",
  thinking: false,
  // One epoch of 50,000 tasks.
  updates: 1562,
  rollout: { packs: 8, groupSize: 8, packSize: 4, temperature: 1, maxTokens: 2000, tokenLimit: 1000 },
  optimizer: { learningRate: 1e-6, warmUp: 0, beta1: 0.9, beta2: 0.999, weightDecay: 0.01, clipNorm: 1 },
  async: { staleness: 20, syncInterval: 4 },
  evaluation: { packSize: 8 },
  checkpointEvery: 100
}

const grid = { ...eight, optimizer: { ...eight.optimizer, warmUp: 10 } }

const large = (base: typeof eight, maxTokens: number, packSeeds: "runtime" | "stable") => ({
  ...base,
  rollout: { ...base.rollout, maxTokens, tokenLimit: 4000, packSeeds }
})

export const publishedPresets = {
  /** Setting A. */
  "8b-a": { ...eight, environments: ["frozen-lake-obscure"] },
  /** Setting B. */
  "8b-b": { ...eight, environments: ["frozen-lake-obscure", "alchemy"] },
  /** Two ablations: without weighting, and without it but with importance sampling. */
  "8b-alchemy-unweighted": { ...eight, environments: ["alchemy"], credit: { options: { redAdaptive: false } } },
  "8b-alchemy-importance": {
    ...eight,
    environments: ["alchemy"],
    credit: { options: { redAdaptive: false } },
    loss: { weight: "importance_sampling" }
  },
  "8b-grid": { ...grid, environments: ["grid-navigation"] },
  "27b-grid": { ...large(grid, 3999, "runtime"), environments: ["grid-navigation:27b"], checkpointEvery: 20 },
  "27b-control": { ...large(eight, 4000, "stable"), environments: ["optimal-control"] },
  "27b-pde": {
    ...large(eight, 4000, "stable"),
    environments: ["pde-discovery"],
    updates: 600,
    checkpointEvery: 25
  }
} satisfies Readonly<Record<string, object>>

/** The policy that a preset was published with; undefined for presets that begin with one of their own. */
export const publishedPolicy = (preset: string): string | undefined =>
  Object.hasOwn(publishedPresets, preset) ? (preset.startsWith("27b") ? "Qwen3.6-27B" : "Qwen3-8B") : undefined
