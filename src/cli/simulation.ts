/** What a simulation is made of, opened by name: by the command, and again by each of its worker threads. */
import { Effect, Layer } from "effect"
import { type Living, planOf } from "../actors/simulate.ts"
import { type RecordedPlan, recordedPlan } from "../actors/trace.ts"
import { Policy } from "../policies/policy.ts"
import type { Setting } from "./config.ts"
import { type Chosen, openTaskSet } from "./environments.ts"
import { WrongInput } from "./failure.ts"
import { lifecycleSettings } from "../actors/lifecycle-config.ts"
import { checkStyle, openJudge } from "./judge.ts"
import { openPolicy, openSpeech, type PolicyOptions } from "./policy.ts"
import { type Packing, packTasks, readTaskFile } from "./task-packs.ts"

/** Plain data: it goes to threads as it is. */
export interface SimulationSetup {
  /** Without one the environment is the one that the tasks name. */
  readonly env: string | undefined
  /** A file of tasks. */
  readonly tasks?: string | undefined
  readonly packing: Packing
  readonly policy: string
  /** Among others those of the environment's options. */
  readonly settings: ReadonlyArray<Setting>
  /** Without one that of the tasks, or else 4. */
  readonly packSize: number | undefined
  readonly seed: number
  readonly temperature: number
  readonly lifecycle: Parameters<typeof lifecycleSettings>[0]
  readonly policyOptions: Omit<PolicyOptions, "environment" | "shards">
}

/**
 * What is lived, by whom, and what traces say of it, until the scope closes.
 *
 * @param workers model workers of a policy that has some; undefined where the policy need not be opened, since others
 * open their own
 */
export const openSimulation = Effect.fnUntraced(function* (setup: SimulationSetup, workers: number | undefined) {
  const { lifecycle, packing, policy: name, policyOptions, seed, temperature } = setup
  const { packSize, packs, taskSet } = yield* openTasks(setup)
  const options = { ...policyOptions, environment: taskSet.environment, shards: workers }
  const judge = yield* openJudge("lifecycle", lifecycle, [taskSet.environment])
  const opened =
    workers === undefined
      ? undefined
      : yield* Effect.provide(Policy, yield* Layer.build(yield* openPolicy(name, options)))
  const policy = opened === undefined || judge === undefined ? opened : { ...opened, judge }
  const style = policy?.style ?? (yield* styleOf(name, options))
  yield* checkStyle("lifecycle", lifecycle, style)
  const { packSeeds, strategy } = packing
  const settings = { ...lifecycleSettings(lifecycle, temperature), style }
  const living: Living = { packSize, seed, settings, packs, packSeeds, strategy }
  const { thinking } = policyOptions
  const recorded = (number: number): RecordedPlan => ({
    ...recordedPlan(planOf(taskSet, living, number)),
    policy: name,
    ...(thinking === undefined ? {} : { thinking })
  })
  // Of fresh packs all plans are alike.
  const plan = packs === undefined ? recorded(0) : undefined
  return { taskSet, living, policy, planAt: (number: number) => plan ?? recorded(number) }
})

/** The style that a policy speaks. Fails where it could not be opened. */
const styleOf = Effect.fnUntraced(function* (policy: string, options: PolicyOptions) {
  if (!/^(scripted|openai):/.test(policy)) return (yield* openSpeech(policy, options)).style
  yield* openPolicy(policy, options)
  return "chat" as const
})

const openTasks = Effect.fnUntraced(function* ({ env, packing, packSize, seed, settings, tasks }: SimulationSetup) {
  if (tasks === undefined) {
    return { taskSet: yield* openTaskSet(env!, 0, settings), packSize: packSize ?? 4, packs: undefined }
  }
  const [own, other] = yield* readTaskFile(tasks, env === undefined ? [] : [env], settings)
  if (other !== undefined) {
    const { environment, rows } = other
    const expected = `${JSON.stringify(own!.environment.id)} as before: a simulation has one environment`
    const file = `${tasks}:${rows[0]!.line}`
    return yield* new WrongInput({ file, field: "environment", value: environment.id, expected })
  }
  const { environment, packSize: filed, preset, rows } = own!
  const size = packSize ?? filed ?? 4
  const taskSet: Chosen = { id: 0, environment, preset, options: rows[0]!.options }
  return { taskSet, packSize: size, packs: yield* packTasks(own!, packing, size, seed) }
})
