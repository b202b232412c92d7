/** `constellate eval --suite`: a published suite under all context controls. */
import { Effect, Option } from "effect"
import { lifecycleSettings } from "../actors/lifecycle-config.ts"
import type { Setting } from "./config.ts"
import { type EvalConfig, type Given, onePack, type Outcome, policyOptionsOf, reporter } from "./eval-config.ts"
import { UnknownName, WrongInput } from "./failure.ts"
import { policyIdentity } from "./policy.ts"
import { statusLine } from "./progress.ts"
import { lifecyclesOfSuite, runSuite } from "./suite.ts"
import { isPage, type Reported, reportText } from "./suite-report.ts"
import { type Suite, type SuiteName, suiteNames, suites } from "./suites.ts"

/** What may be said beside `--suite`, which fixes the rest. */
const mayAccompanySuite = [
  "packs",
  "seed",
  "seeds",
  "concurrency",
  "style",
  "thinking",
  "device",
  "dtype",
  "remote",
  "lifecycle.replySeconds",
  "lifecycle.environmentSeconds"
]

export const bySuite = Effect.fnUntraced(function* (
  { env, out, policy, tasks }: Given,
  name: string,
  settings: ReadonlyArray<Setting>,
  config: EvalConfig
) {
  const suite: Suite | undefined = suites[name as SuiteName]
  if (!suiteNames.includes(name as SuiteName)) {
    return yield* new UnknownName({ kind: "suite", name, valid: suiteNames })
  }
  const refused =
    env.length > 0
      ? "--env"
      : Option.isSome(tasks)
        ? "--tasks"
        : settings
            .map(({ path }) => path.join("."))
            .find((key) => !mayAccompanySuite.some((known) => key === known || key.startsWith(`${known}.`)))
  if (refused !== undefined) {
    const expected = `nothing beside --suite, which fixes it; ${mayAccompanySuite.join(", ")} may be set`
    return yield* new WrongInput({ field: refused, value: "given", expected })
  }
  const { compression = "keep_all", maxTokens, temperature, tokenLimit } = suite
  const { concurrency, lifecycle, packs = suite.packs, seed, seeds = 3 } = config
  if (packs < 2) return yield* onePack(packs)
  const report = yield* reporter(`suite ${name}`, lifecyclesOfSuite(suite, packs, seeds))
  const folder = Option.getOrUndefined(out)
  const kept = folder === undefined || isPage(folder) ? undefined : folder
  const parts = yield* runSuite({
    name,
    suite,
    policy: yield* policyIdentity(policy),
    policyOptions: {
      // Scripted agents have no switch.
      ...(suite.thinking === undefined || policy.startsWith("scripted:") ? {} : { thinking: suite.thinking }),
      ...policyOptionsOf(config)
    },
    settings: lifecycleSettings({ ...lifecycle, maxTokens, tokenLimit, compression }, temperature),
    packs,
    seed,
    seeds,
    concurrency,
    folder: kept,
    onLifecycle: (part, lifecycle) => report(lifecycle, part)
  }).pipe(
    Effect.onInterrupt(() =>
      Effect.sync(() => {
        if (kept !== undefined) statusLine.print(`finished parts are in ${kept}: the same command goes on behind them`)
      })
    )
  )
  const reduced = packs < suite.packs || seeds < 3
  const seedsInWords = seeds === 1 ? `seed ${seed}` : `seeds ${seed} to ${seed + seeds - 1}`
  const page: Reported = {
    title: `suite ${name}, ${suite.title}`,
    policy,
    parts,
    notes: [
      `${packs} packs of ${suite.packSize} for each of ${seedsInWords}; ${
        suite.packSeeds === "stable" ? "the same packs for every seed" : "each seed with packs of its own"
      }; temperature ${temperature}, replies of at most ${maxTokens} tokens, told to stay within ${tokenLimit}.`,
      ...(reduced ? [`Reduced: the suite has ${suite.packs} packs and at least 3 seeds.`] : [])
    ],
    command: `constellate eval ${policy} --suite ${name} --packs ${packs} --seed ${seed} --seeds ${seeds}`
  }
  const { packSeeds, packSize } = suite
  const document = {
    suite: name,
    policy,
    packs,
    packSize,
    packSeeds,
    seed,
    seeds,
    temperature,
    maxTokens,
    tokenLimit,
    reduced,
    parts
  }
  return { document, page, text: reportText(page) } satisfies Outcome as Outcome
})
