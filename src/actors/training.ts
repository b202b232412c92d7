/**
 * A training run from end to end: warm start, evaluation, policy updates on lifecycles, evaluation.
 *
 * The course machine says what comes next, this fiber does it. Between two steps everything that matters is the course's
 * snapshot, the weights and the optimiser's moments; they change together or not at all, and a checkpoint is those
 * three. All else is derived from seeds, so a run resumed from any checkpoint gives the bytes of one never interrupted.
 */
import { Clock, Effect, FileSystem, Fiber, Option, Runtime, Schema, Semaphore } from "effect"
import { adamWState } from "../kernels/adamw.ts"
import type { Credit, Experience } from "../kernels/credit/estimator.ts"
import type { Device } from "../kernels/device.ts"
import { stream } from "../kernels/random.ts"
import { decodeSafetensors, encodeSafetensors } from "../kernels/safetensors.ts"
import { isFlagged, type Lifecycle } from "../machines/episode.ts"
import { ownEpisodes } from "../machines/fork.ts"
import { course, courseMachine, type CourseSnapshot } from "../machines/learner.ts"
import { chooseGroups, type Held, oldestSampler, sampledAfter } from "../machines/overlap.ts"
import type { Chat } from "../policies/chat.ts"
import {
  type Checkpoint,
  readCheckpoint,
  trainedWeights,
  withTrained,
  writeCheckpoint
} from "../policies/checkpoint.ts"
import { Policy } from "../policies/policy.ts"
import { makeBatches } from "./batches.ts"
import { lastCheckpoint, publishCheckpoint } from "./checkpoint.ts"
import { demonstrate } from "./demonstrations.ts"
import { type Evaluation, evaluate } from "./evaluate.ts"
import { makeVersions } from "./inference.ts"
import { openJournal } from "./journal.ts"
import type { Learner } from "./learner.ts"
import { keptVersions, makeModelWorkers, type ModelWorkers, shareModel, weightBuffers } from "./model-workers.ts"
import { experiencesOf, updatePolicy, updateRate } from "./policy-update.ts"
import { faultOf, type TaskSet } from "./rollout.ts"
import type { RunFolder } from "./run-folder.ts"
import { rolloutBatch, trainingSettings } from "./training-batch.ts"
import { overlapOf, type TrainingConfig } from "./training-config.ts"
import { imitate, warmStartRate } from "./warm-start.ts"

/** Where a run stands, for whoever watches. */
export interface TrainingNews {
  readonly stage: "drill" | "settling" | "evaluation" | "training"
  readonly done: number
  readonly total: number
  /** Sequence tokens trained and generated in this stage. */
  readonly tokens: number
  /** Share of successes by position in the newest rollout. */
  readonly success?: ReadonlyArray<number>
}

export interface TrainingOptions<E> {
  readonly config: TrainingConfig
  readonly taskSets: ReadonlyArray<TaskSet>
  /** The policy to begin with, when no checkpoint is there to go on from. */
  readonly policy: Checkpoint
  /** How conversations are rendered; needed in style `chat`. */
  readonly chat?: Chat | undefined
  /** Dealt to the model workers in turn. */
  readonly devices: ReadonlyArray<Device>
  readonly folder: RunFolder
  readonly estimate: (experiences: ReadonlyArray<Experience>) => Effect.Effect<Credit, E>
  /** Scores replies where the rules of an environment do not reach. */
  readonly judge?: Policy["Service"]["judge"] | undefined
  readonly onNews: (news: TrainingNews) => Effect.Effect<void>
}

/** Nothing is left to learn from or to measure: every lifecycle was lost to an error or a timeout. */
export class AllLost extends Schema.TaggedError<AllLost>()("AllLost", {
  /** "update 3" or "the evaluation". */
  when: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `every lifecycle of ${this.when} was lost; the first: ${this.reason}`
  }
  override readonly [Runtime.errorExitCode] = 1
}

/** What a run has measured: one evaluation for each task set. */
export interface TrainingResult {
  readonly updates: number
  readonly tokens: number
  readonly before: ReadonlyArray<Evaluation>
  readonly after: ReadonlyArray<Evaluation>
}

/** Beside the policy in a checkpoint: where the course stood. The moments are in `optimizer.safetensors`. */
const SavedState = Schema.fromJsonString(
  Schema.Struct({
    format: Schema.Literal(1),
    /** The state of the course machine. */
    value: Schema.String,
    /** Its data; the plan comes from the configuration. */
    step: Schema.Int,
    update: Schema.Int,
    recall: Schema.Finite,
    policyVersion: Schema.Int,
    /** Steps that the moments have seen. */
    optimizerSteps: Schema.Int,
    tokens: Schema.Int,
    /** Older policies that sample batches on their way; their weights are in `samplers.safetensors`. */
    samplers: Schema.optionalKey(Schema.Array(Schema.Struct({ update: Schema.Int, policyVersion: Schema.Int }))),
    /** Groups that wait to be learnt from again. */
    held: Schema.optionalKey(Schema.Array(Schema.Struct({ pack: Schema.String, batch: Schema.Int, uses: Schema.Int })))
  })
)
type SavedState = typeof SavedState.Type

const stateFile = "state.json"
const optimizerFile = "optimizer.safetensors"
const samplersFile = "samplers.safetensors"
const metricsFile = "metrics.jsonl"
const warmStartFile = "warm-start.jsonl"
const beforeFile = "before.json"
const warmStartFolder = "warm-start"

export const train = Effect.fnUntraced(function* <E>(options: TrainingOptions<E>) {
  const { config, folder, onNews, taskSets } = options
  const { rollout: rolling, seed } = config
  const files = yield* FileSystem.FileSystem
  const begun = yield* begin(options)
  const { learner, policy } = begun
  yield* files.makeDirectory(folder.at("journal"), { recursive: true })
  let { at, tokens } = begun
  const overlap = overlapOf(config)
  const overlaps = oldestSampler(overlap) > 0
  const { tokenizer } = policy
  const model = { ...begun.model, devices: options.devices }
  const settings = trainingSettings(config)
  const sampling = yield* makeModelWorkers(model, config.shards, keptVersions + oldestSampler(overlap))
  /** Learners of their own, where both go on at once. */
  const learning = overlap.ahead === 0 ? sampling : yield* makeModelWorkers(model, config.shards)
  const workers: ModelWorkers = {
    workers: learning.workers,
    publish: (version, weights) =>
      Effect.forEach(new Set([sampling, learning]), (all) => all.publish(version, weights), { discard: true })
  }
  for (const { policyVersion, weights } of begun.samplers) yield* sampling.publish(policyVersion, weights)
  yield* workers.publish(learner.policyVersion, learner.weights)
  /** The newest last: all that batches which are not learnt from yet may be sampled by. */
  let samplers: ReadonlyArray<Sampler> = begun.samplers
  const versionOf = yield* makeVersions({
    name: folder.path,
    style: config.style,
    tokenizer,
    chat: options.chat,
    thinking: config.thinking,
    workers: sampling,
    maxPositions: policy.config.maxPositions,
    policyVersion: () => learner.policyVersion
  })
  const { judge } = options
  const policyOf = (version?: number): Policy["Service"] =>
    judge === undefined ? versionOf(version) : { ...versionOf(version), judge }
  const agent = policyOf()
  let held: ReadonlyArray<Group> = []

  const begins = new Map<TrainingNews["stage"], number>()
  /** Tokens since the stage was first heard of. */
  const inStage = (stage: TrainingNews["stage"]): number => {
    if (!begins.has(stage)) begins.set(stage, tokens)
    return tokens - begins.get(stage)!
  }

  const save = (path: string) =>
    Effect.gen(function* () {
      const { context, value } = at
      const { step, update, recall } = context
      const declares = { ...policy.declares, environments: config.environments, policyVersion: learner.policyVersion }
      yield* writeCheckpoint(path, { ...withTrained(policy, learner.weights), declares })
      const shape = [learner.weights.length]
      const moments = encodeSafetensors([
        ["first", { shape, data: learner.moments.first }],
        ["second", { shape, data: learner.moments.second }]
      ])
      yield* files.writeFile(`${path}/${optimizerFile}`, Buffer.concat(moments))
      const older = samplers.slice(0, -1)
      const state: SavedState = {
        format: 1,
        value: String(value),
        step,
        update,
        recall,
        policyVersion: learner.policyVersion,
        optimizerSteps: learner.moments.step,
        tokens,
        ...(overlaps
          ? {
              samplers: older.map(({ policyVersion, update }) => ({ update, policyVersion })),
              held: held.map(({ batch, pack, uses }) => ({ pack, batch, uses }))
            }
          : {})
      }
      if (overlaps) {
        const older = samplers
          .slice(0, -1)
          .map(({ update, weights }) => [`${update}`, { shape, data: weights }] as const)
        yield* files.writeFile(`${path}/${samplersFile}`, Buffer.concat(encodeSafetensors(older)))
      }
      yield* files.writeFileString(`${path}/${stateFile}`, `${yield* Schema.encodeEffect(SavedState)(state)}\n`)
    })
  const checkpoint = Effect.flatMap(folder.flush, () =>
    isWarmStart(at)
      ? Effect.andThen(
          publishCheckpoint(folder.at(warmStartFolder), learner.policyVersion, save),
          // The one before stays, should the newest come to harm.
          files.remove(folder.at(warmStartFolder, `${learner.policyVersion - 2 * config.warmStart.checkpointEvery}`), {
            recursive: true,
            force: true
          })
        )
      : folder.publish(at.context.update, save)
  )

  /** A checkpoint needs no replies from before it; those of its last update stay to be looked at. */
  const forgetReplies = Effect.fnUntraced(function* (update: number) {
    const first = update - config.checkpointEvery - overlap.staleness
    for (let old = Math.max(0, first); old < update - 1; old++) {
      if (held.some(({ batch }) => batch === old)) continue
      yield* files.remove(folder.at("journal", `${old}.jsonl`), { force: true })
    }
  })

  const evaluateAll = Effect.fnUntraced(function* () {
    const { packs, packSize } = config.evaluation
    const evaluations: Array<Evaluation> = []
    let done = 0
    let lost: string | undefined
    for (const taskSet of packs === 0 ? [] : taskSets) {
      const evaluation = evaluate(taskSet, {
        packs,
        packSize,
        strategy: "cod",
        context: "own",
        seed,
        seeds: 1,
        settings,
        concurrency: Math.max(config.concurrency, evaluationConcurrency),
        onLifecycle: (lifecycle) => {
          lost ??= faultOf(lifecycle)?.why
          if (lifecycle.attempt === 0) done++
          return onNews({ stage: "evaluation", done, total: packs * taskSets.length, tokens: 0 })
        }
      })
      const measured = yield* Effect.provideService(evaluation, Policy, agent)
      if (measured.positions[0]!.success.mean === null) {
        return yield* new AllLost({ when: "the evaluation", reason: lost ?? "unknown" })
      }
      evaluations.push(measured)
    }
    return evaluations
  })

  const demonstrations = (stage: number, step: number) =>
    demonstrate({
      taskSets,
      tokenizer,
      settings,
      baseSeed: seed,
      stage,
      step,
      lifecycles: config.warmStart.lifecycles,
      packSize: rolling.packSize
    })
  const warmStart = Effect.gen(function* () {
    /** The batch after the present one is made while the workers learn. */
    let ahead:
      | { readonly stage: number; readonly step: number; readonly fiber: Fiber.Fiber<Demonstrations> }
      | undefined
    while (isWarmStart(at)) {
      const stage = at.value === "drilling" ? 0 : 1
      const { step } = at.context
      const ready = ahead?.stage === stage && ahead.step === step
      if (!ready && ahead !== undefined) yield* Fiber.interrupt(ahead.fiber)
      const batch: Demonstrations = yield* ready ? Fiber.join(ahead!.fiber) : demonstrations(stage, step)
      ahead = { stage, step: step + 1, fiber: yield* Effect.forkChild(demonstrations(stage, step + 1)) }
      const rate = warmStartRate(at, config)
      const started = yield* Clock.currentTimeMillis
      yield* Effect.uninterruptible(
        Effect.gen(function* () {
          const { tokens: learnt, ...metrics } = yield* imitate(learner, workers, batch, config, rate)
          tokens += learnt
          const line = { policyVersion: learner.policyVersion, stage: at.value, step, learningRate: rate, ...metrics }
          ;[at] = course.transition(at, { type: "demonstrated", recall: metrics.recall })
          if (!isWarmStart(at)) learner.moments = adamWState(learner.weights.length)
          yield* folder.append(warmStartFile, line)
          yield* folder.append("timing.jsonl", { ...line, millis: (yield* Clock.currentTimeMillis) - started })
          const due = isWarmStart(at) && learner.policyVersion % config.warmStart.checkpointEvery === 0
          if (due || !isWarmStart(at)) yield* checkpoint
        })
      )
      const { maximum } = config.warmStart
      yield* onNews(
        stage === 0
          ? { stage: "drill", done: step + 1, total: maximum, tokens: inStage("drill") }
          : { stage: "settling", done: step + 1, total: config.warmStart.settle, tokens: inStage("settling") }
      )
    }
    if (ahead !== undefined) yield* Fiber.interrupt(ahead.fiber)
    yield* files.remove(folder.at(warmStartFolder), { recursive: true, force: true })
  })

  const permits = Semaphore.makeUnsafe(config.concurrency)
  /** Samples a batch of groups with the policy that has seen `after` updates, and credits what it did. */
  const sample = (batch: number, after: number) =>
    Effect.gen(function* () {
      const started = yield* Clock.currentTimeMillis
      const { policyVersion } = samplers.find(({ update }) => update === after) ?? { policyVersion: undefined }
      const journal = yield* openJournal(folder.at("journal", `${batch}.jsonl`))
      const rolled = yield* Effect.provideService(
        rolloutBatch(taskSets, config, batch, { journal, permits }),
        Policy,
        policyOf(policyVersion)
      )
      if (rolled.lifecycles.length === 0) {
        return yield* new AllLost({
          when: `update ${batch + 1}`,
          reason: rolled.lost[0]?.why ?? "no lifecycle was planned"
        })
      }
      const credit = yield* options.estimate(
        experiencesOf(rolled.lifecycles, (id) => taskSets.findIndex(({ environment }) => environment.id === id))
      )
      const groups = [...Map.groupBy(rolled.lifecycles, ({ pack }) => pack)].map(([pack, lifecycles]): Group => ({
        pack,
        batch,
        uses: 0,
        lifecycles,
        credit
      }))
      return { ...rolled, credit, groups, millis: (yield* Clock.currentTimeMillis) - started }
    }).pipe(Effect.scoped)

  const policyUpdates = Effect.gen(function* () {
    const newest = { update: at.context.update, policyVersion: learner.policyVersion, weights: learner.weights }
    samplers = [...begun.samplers, newest]
    const batches = yield* makeBatches(overlap, at.context.update, config.updates, sample)
    held = yield* restored(begun.held, sample)
    while (at.value === "improving") {
      const { update } = at.context
      const waited = yield* Clock.currentTimeMillis
      const rolled = yield* batches.take(update)
      const sampled = yield* Clock.currentTimeMillis
      const { kept, taken } = chooseGroups(
        [...held, ...rolled.groups],
        overlap,
        { update, count: rolling.packs },
        ({ pack, uses }) => stream(seed, "train", "priority", pack, uses)
      )
      const lifecycles = taken.flatMap((group) => group.lifecycles)
      const credit = { experiences: [...new Set(taken.map((group) => group.credit))].flatMap((all) => all.experiences) }
      const rate = updateRate(update, config)
      yield* Effect.uninterruptible(
        Effect.gen(function* () {
          const staleness = learner.policyVersion - sampledVersion(lifecycles, learner.policyVersion)
          const learnt = yield* updatePolicy(learner, workers, lifecycles, credit, config, rate)
          tokens += learnt.tokens
          ;[at] = course.transition(at, { type: "updated" })
          held = kept
          const oldest = sampledAfter(at.context.update, overlap)
          samplers = [
            ...samplers.filter((sampler) => sampler.update >= oldest),
            { update: at.context.update, policyVersion: learner.policyVersion, weights: learner.weights }
          ]
          const line = {
            update: at.context.update,
            policyVersion: learner.policyVersion,
            ...byPosition(rolled.lifecycles, rolling.packSize),
            ...learnt,
            learningRate: rate,
            staleness,
            temperatures: rolled.credit.temperatures.map(({ temperature }) => temperature),
            informativeGroups: informativeGroups(rolled.lifecycles, rolled.credit),
            lost: rolled.lost.length,
            droppedGroups: rolled.dropped.length
          }
          yield* folder.append(metricsFile, line)
          const now = yield* Clock.currentTimeMillis
          yield* folder.append("timing.jsonl", {
            update: at.context.update,
            rolloutMillis: rolled.millis,
            waitMillis: sampled - waited,
            learnMillis: now - sampled
          })
          if (at.context.update % config.checkpointEvery === 0 || at.value === "finished") {
            yield* checkpoint
            yield* forgetReplies(at.context.update)
          }
        })
      )
      yield* onNews({
        stage: "training",
        done: at.context.update,
        total: config.updates,
        tokens: inStage("training"),
        success: byPosition(rolled.lifecycles, rolling.packSize).success
      })
    }
  }).pipe(Effect.scoped)

  // What was learnt since the last checkpoint is not lost to Ctrl-C.
  const keeping = Effect.onInterrupt(() => Effect.ignore(checkpoint))
  yield* keeping(warmStart)
  const before = (yield* files.exists(folder.at(beforeFile)))
    ? (JSON.parse(yield* files.readFileString(folder.at(beforeFile))) as ReadonlyArray<Evaluation>)
    : yield* evaluateAll()
  yield* folder.write(beforeFile, `${JSON.stringify(before, null, 2)}\n`)

  yield* keeping(policyUpdates)
  const after = config.updates === 0 ? before : yield* evaluateAll()
  return { updates: at.context.update, tokens, before, after } satisfies TrainingResult
}, Effect.scoped)

/** A policy that samples, by the updates it has seen. */
interface Sampler {
  readonly update: number
  readonly policyVersion: number
  readonly weights: Float32Array
}

/** The lifecycles of a pack, and the credit that their whole batch was given. */
interface Group extends Held {
  readonly lifecycles: ReadonlyArray<Lifecycle>
  readonly credit: Credit
}

/** Groups that waited when a run was stopped: their batches are lived again from the journal. */
const restored = Effect.fnUntraced(function* <E, R>(
  waiting: ReadonlyArray<Held>,
  sample: (batch: number, after: number) => Effect.Effect<{ readonly groups: ReadonlyArray<Group> }, E, R>
) {
  const batches = new Map<number, ReadonlyArray<Group>>()
  const groups: Array<Group> = []
  for (const { batch, pack, uses } of waiting) {
    if (!batches.has(batch)) batches.set(batch, (yield* sample(batch, batch)).groups)
    const group = batches.get(batch)!.find((group) => group.pack === pack)
    if (group !== undefined) groups.push({ ...group, uses })
  }
  return groups
})

type Demonstrations = Effect.Success<ReturnType<typeof demonstrate>>

/** In evaluation nothing is learnt in between, so more lifecycles may be in flight. */
const evaluationConcurrency = 256

const isWarmStart = ({ value }: CourseSnapshot): boolean => value === "drilling" || value === "settling"

/** The last intact checkpoint, of the updates or of the warm start, or else the policy that was given. */
const begin = Effect.fnUntraced(function* ({
  config,
  folder,
  policy: given
}: Pick<TrainingOptions<never>, "config" | "folder" | "policy">) {
  const { maximum, minimum, recall, settle } = config.warmStart
  const plan = {
    drill: { maximum, minimum, recall },
    settle,
    updates: config.updates,
    skipWarmStart: config.policy !== ""
  }
  const kept = keptVersions + oldestSampler(overlapOf(config))
  /** What is frozen lies in shared memory, and nowhere else. */
  const opened = (checkpoint: Checkpoint) => {
    const { model } = shareModel(checkpoint)
    const policy = model.frozen === undefined ? checkpoint : { ...checkpoint, weights: model.frozen.base }
    return { model: { ...model, recompute: config.learner.recompute }, policy }
  }
  const saved = yield* folder.lastCheckpoint
  const found = Option.isSome(saved) ? saved : yield* lastCheckpoint(folder.at(warmStartFolder))
  if (Option.isNone(found)) {
    yield* folder.rewind(warmStartFile, () => false)
    yield* folder.rewind(metricsFile, () => false)
    const { model, policy } = opened(given)
    const buffer = weightBuffers(model, kept)
    const weights = buffer()
    weights.set(trainedWeights(policy))
    const learner: Learner = { policyVersion: 0, weights, buffer, moments: adamWState(weights.length) }
    return { at: course.initial(plan)[0], learner, model, policy, tokens: 0, samplers: [], held: [] }
  }
  const files = yield* FileSystem.FileSystem
  const { path } = found.value
  const { model, policy } = opened(yield* readCheckpoint(path))
  const state = yield* Schema.decodeUnknownEffect(SavedState)(yield* files.readFileString(`${path}/${stateFile}`))
  const moments = decodeSafetensors(yield* files.readFile(`${path}/${optimizerFile}`))
  const buffer = weightBuffers(model, kept)
  const older = (yield* files.exists(`${path}/${samplersFile}`))
    ? decodeSafetensors(yield* files.readFile(`${path}/${samplersFile}`))
    : undefined
  const samplers = (state.samplers ?? []).map(({ policyVersion, update }): Sampler => {
    const weights = buffer()
    weights.set(older!.get(`${update}`)!.data)
    return { update, policyVersion, weights }
  })
  const weights = buffer()
  weights.set(trainedWeights(policy))
  const learner: Learner = {
    policyVersion: state.policyVersion,
    weights,
    buffer,
    moments: { step: state.optimizerSteps, first: moments.get("first")!.data, second: moments.get("second")!.data }
  }
  yield* folder.rewind(warmStartFile, (line) => line.policyVersion <= state.policyVersion)
  yield* folder.rewind(metricsFile, (line) => line.update <= state.update)
  const { recall: smoothed, step, update } = state
  const snapshot = courseMachine.resolveState({
    value: state.value as never,
    context: { plan, step, update, recall: smoothed }
  }) as CourseSnapshot
  // A run that was given more updates goes on where it had finished.
  const at = state.value === "finished" && update < config.updates ? resumed(snapshot) : snapshot
  return { at, learner, model, policy, tokens: state.tokens, samplers, held: state.held ?? [] }
})

const resumed = (snapshot: CourseSnapshot): CourseSnapshot =>
  courseMachine.resolveState({ value: "improving", context: snapshot.context }) as CourseSnapshot

/** The oldest policy version that any token was sampled from. */
const sampledVersion = (lifecycles: ReadonlyArray<Lifecycle>, newest: number): number =>
  lifecycles
    .flatMap(({ episodes }) => episodes.flatMap(({ steps }) => steps.map(({ policyVersion }) => policyVersion)))
    .reduce((oldest, version) => Math.min(oldest, version), newest)

const byPosition = (lifecycles: ReadonlyArray<Lifecycle>, packSize: number) => {
  const judged = lifecycles.filter(({ episodes }) => !isFlagged(episodes))
  const episodes = judged.flatMap(ownEpisodes)
  const updates = episodes.filter(({ kind }) => kind === "update")
  const mean = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0) / Math.max(1, numbers.length)
  const solves = Array.from({ length: packSize }, (_, position) =>
    episodes.filter(({ kind, index }) => kind === "solve" && index === position)
  )
  const sampled = episodes.reduce((sum, { steps }) => sum + steps.reduce((n, step) => n + step.tokens.length, 0), 0)
  return {
    success: solves.map((solve) => mean(solve.map(({ success }) => Number(success)))),
    reward: solves.map((solve) => mean(solve.map(({ reward }) => reward))),
    parseRate: mean(updates.map(({ success }) => Number(success))),
    sampledTokens: sampled,
    ...(judged.length === lifecycles.length ? {} : { flagged: lifecycles.length - judged.length })
  }
}

/** Share of the groups in which any score differs from 0: the others teach nothing. */
const informativeGroups = (lifecycles: ReadonlyArray<Lifecycle>, { experiences }: Credit): number => {
  const groups = new Set(lifecycles.map(({ pack }) => pack))
  const informative = new Set(
    experiences.filter(({ score }) => score !== 0).map(({ id }) => id.slice(0, id.indexOf("/")))
  )
  return groups.size === 0 ? 0 : informative.size / groups.size
}
