/** Checks of an environment's states: repeatable, plain, forkable, restorable, and nobody else's. */
import { Effect } from "effect"
import { createActor, type Snapshot } from "xstate"
import type { Environment, Rng } from "../environment.ts"
import type { Lifecycle } from "../machines/episode.ts"
import { defaultSettings } from "../machines/lifecycle.ts"
import { given } from "../machines/given-task.ts"
import { transitions } from "../machines/transition.ts"
import { Policy } from "../policies/policy.ts"
import { scripted } from "../policies/scripted.ts"
import { runLifecycle } from "./lifecycle.ts"
import type { Elsewhere } from "./conformance.ts"
import {
  place,
  play,
  type Played,
  rngOf,
  speaker,
  type Specimen,
  transcript,
  type Verdict,
  verdict
} from "./conformance-specimen.ts"

/** An episode saved in its middle, and the answers that it goes on with. All of it is JSON. */
export interface Resumption {
  readonly snapshot: unknown
  readonly replies: ReadonlyArray<string>
  readonly label: string
  /** Step of the first of the replies. */
  readonly from: number
}

/** Goes on with a saved episode: everything that is seen on the way, and how it ends. */
export const resume = (environment: Environment, { from, label, replies, snapshot }: Resumption): unknown => {
  const { transition } = transitions(environment.machine)
  let world = createActor(environment.machine, { snapshot: snapshot as Snapshot<unknown> }).getSnapshot()
  const seen: Array<string> = []
  for (const [i, reply] of replies.entries()) {
    const parsed = environment.chat.parse(reply)
    const rng: Rng = rngOf(label)(from + i)
    const event = "action" in parsed ? { type: "answer", action: parsed.action, rng } : { type: "malformed", ...parsed }
    ;[world] = transition(world, event as never)
    seen.push(environment.feedback.step(world))
    if (world.status === "active") seen.push(environment.chat.user(world))
  }
  return { seen, output: world.output ?? null }
}

const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null))

const playAll = (specimen: Specimen): Array<Played> =>
  specimen.tasks().map((task, i) => play(task, `random ${i}`, speaker(task, "random", `random ${i}`)))

/** Played once for all checks that only look. */
const playedOnce = new WeakMap<Specimen, Array<Played>>()
const played = (specimen: Specimen): Array<Played> => {
  if (!playedOnce.has(specimen)) playedOnce.set(specimen, playAll(specimen))
  return playedOnce.get(specimen)!
}

/** Saved in the middle, once as it is and once as JSON. */
const saved = ({ label, replies, solves, task }: Played) => {
  const from = Math.floor(replies.length / 2)
  const snapshot = task.environment.machine.getPersistedSnapshot(solves[from]!.world)
  return { snapshot, replies: replies.slice(from), label, from }
}

const determinism = (specimen: Specimen): Verdict => {
  const used = new Map<string, number>()
  const original = { random: Math.random, now: Date.now }
  const spy =
    <A>(name: string, call: () => A) =>
    () => {
      used.set(name, (used.get(name) ?? 0) + 1)
      return call()
    }
  const once = () => playAll(specimen).map(transcript)
  const first = once()
  let second: ReadonlyArray<string>
  try {
    Math.random = spy("Math.random", original.random)
    Date.now = spy("Date.now", original.now)
    second = once()
  } finally {
    Math.random = original.random
    Date.now = original.now
  }
  return verdict(
    [
      ...[...used].map(
        ([name, times]) => `it calls ${name} (${times} times): randomness must come from the rng, time from nowhere`
      ),
      ...first.flatMap((text, i) =>
        text === second[i] ? [] : [`the same seed gave two different episodes: ${difference(text, second[i]!)}`]
      )
    ],
    `${first.length} episodes came out the same twice`,
    { episodes: first.length, calls: Object.fromEntries(used) }
  )
}

/** Where two texts part, with what stands there. */
export const difference = (a: string, b: string): string => {
  let i = 0
  while (i < a.length && a[i] === b[i]) i++
  const around = (text: string) => JSON.stringify(text.slice(Math.max(0, i - 30), i + 30))
  return `${around(a)} and then ${around(b)}`
}

const serialisable = (specimen: Specimen): Verdict => {
  const problems = played(specimen).flatMap(({ solves, task }) => [
    flaw(task.knowledge, "knowledge"),
    flaw(task.task, "task"),
    flaw(solves[0]!.memory, "memory"),
    ...solves.flatMap(({ memory, world }, step) =>
      [flaw(world.context, "state"), flaw(memory, "memory"), flaw(world.output, "output")].map(
        (found) => found && `${found} (${place(task, step - 1)})`
      )
    )
  ])
  const found = problems.filter((problem) => problem !== undefined)
  return verdict([...new Set(found)], "knowledge, tasks, memory and states are JSON", { states: problems.length })
}

/** Why a value is not JSON; undefined where it is. A property may be undefined, as if it were not there. */
const flaw = (value: unknown, path: string, depth = 0): string | undefined => {
  if (value === undefined || value === null || typeof value === "string" || typeof value === "boolean") return undefined
  if (typeof value === "number") return Number.isFinite(value) ? undefined : `${path} is ${value}, which JSON has not`
  if (typeof value !== "object") return `${path} is a ${typeof value}, which JSON has not`
  if (depth > 500) return `${path.slice(0, 80)}... nests without end`
  const prototype = Object.getPrototypeOf(value)
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) {
      const found = item === undefined ? `${path}[${i}] is undefined` : flaw(item, `${path}[${i}]`, depth + 1)
      if (found !== undefined) return found
    }
    return undefined
  }
  if (prototype !== Object.prototype && prototype !== null)
    return `${path} is a ${prototype.constructor.name}, which JSON has not`
  for (const [key, item] of Object.entries(value)) {
    const found = flaw(item, `${path}.${key}`, depth + 1)
    if (found !== undefined) return found
  }
  return undefined
}

const forks = (specimen: Specimen): Verdict => {
  const problems = played(specimen).flatMap((one) => {
    const { label, replies, solves, task } = one
    const { take } = given(task, { style: "chat" })
    const last = replies.length - 1
    return [...new Set([0, last >> 1, last])].flatMap((from) => {
      let solve = solves[from]!
      for (const [i, reply] of replies.slice(from).entries()) solve = take(solve, reply, rngOf(label)(from + i))
      const again = transcript({ solves: [solve] })
      return again === transcript(one)
        ? []
        : [`a fork at ${place(task, from)} went another way: ${difference(transcript(one), again)}`]
    })
  })
  return verdict(
    problems,
    "forked at its first, middle and last step, with the same answers, every episode ended the same"
  )
}

const restoring = (specimen: Specimen): Verdict => {
  const all = played(specimen).map((one) => ({ played: one, at: saved(one) }))
  const problems = all.flatMap(({ at, played: { task } }) => {
    const kept = JSON.stringify(resume(task.environment, at))
    const restored = JSON.stringify(resume(task.environment, { ...at, snapshot: json(at.snapshot) }))
    return kept === restored
      ? []
      : [`saved as JSON at ${place(task, at.from)} and restored, it went another way: ${difference(kept, restored)}`]
  })
  return verdict(problems, `${all.length} episodes were saved as JSON in their middle, restored, and ended the same`)
}

const elsewhere = (specimen: Specimen, go: Elsewhere): Effect.Effect<Verdict> =>
  Effect.suspend(() => {
    const all = played(specimen).map((one) => ({ played: one, at: saved(one) }))
    return Effect.map(go(all.map(({ at }) => ({ ...at, snapshot: json(at.snapshot) }))), (ended) => {
      const problems = all.flatMap(({ at, played: { task } }, i) => {
        const here = JSON.stringify(resume(task.environment, at))
        const there = JSON.stringify(ended[i] ?? null)
        return here === there
          ? []
          : [`in another process it went another way from ${place(task, at.from)}: ${difference(here, there)}`]
      })
      return verdict(problems, `${all.length} episodes went on in another process and ended the same`)
    })
  }).pipe(
    Effect.catchCause((cause) => Effect.succeed(verdict([`it can't go on in another process: ${oneLine(cause)}`], "")))
  )

const oneLine = (cause: unknown): string => String(cause).split("\n")[0]!.slice(0, 200)

const history = (specimen: Specimen): Verdict => {
  const [task] = specimen.tasks()
  const once = () => transcript(play(task!, "history", speaker(task!, "random", "history")))
  const before = once()
  playAll(specimen)
  specimen.lives("careful")
  const after = once()
  return verdict(
    before === after ? [] : [`a new episode depends on those before it: ${difference(before, after)}`],
    "a new episode is the same whatever was played before"
  )
}

const ownership = (specimen: Specimen): Verdict => {
  const problems = played(specimen).flatMap(({ label, replies, task }) => {
    const mine = {
      ...task,
      options: frozen(structuredClone(task.options)),
      knowledge: frozen(structuredClone(task.knowledge)),
      task: frozen(structuredClone(task.task))
    }
    const { begin, take } = given(mine, { style: "chat" })
    try {
      let solve = begin()
      for (const [step, reply] of replies.entries()) {
        frozen(solve.world.context)
        solve = take(solve, reply, rngOf(label)(step))
      }
      return []
    } catch (thrown) {
      return [`it changes what it was handed, or a state that others may hold: ${(thrown as Error).message}`]
    }
  })
  return verdict([...new Set(problems)], "options, knowledge, tasks and earlier states stay as they are")
}

const frozen = <A>(value: A): A => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value) && !ArrayBuffer.isView(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) frozen(inner)
  }
  return value
}

/** Two lifecycles of a group, each alone, one after the other in the same pack, and step by step beside each other. */
const isolation = Effect.fnUntraced(
  function* (specimen: Specimen) {
    const { environment } = specimen
    const problems: Array<string> = []
    const settings = { ...defaultSettings, maxSteps: 1000 }
    for (const [i, pack] of specimen.few().entries()) {
      const fresh = () => specimen.packs()[i]!
      const live = (pack = fresh(), run = 0) =>
        runLifecycle({ pack, run, settings }).pipe(Effect.provideService(Policy, patient(environment)))
      const alone = [withoutTimes(yield* live()), withoutTimes(yield* live(fresh(), 1))]
      const inRow = [withoutTimes(yield* live(pack)), withoutTimes(yield* live(pack, 1))]
      const beside = (yield* Effect.all([live(pack), live(pack, 1)], { concurrency: 2 })).map(withoutTimes)
      for (const [run, expected] of alone.entries()) {
        if (inRow[run] !== expected)
          problems.push(`what a run does in a pack shows in the next one: ${difference(expected, inRow[run]!)}`)
        if (beside[run] !== expected)
          problems.push(`runs of a group see each other's steps: ${difference(expected, beside[run]!)}`)
      }
    }
    return verdict(problems, "runs of a group live the same alone, in a row and beside each other")
  },
  Effect.catchCause((cause) => Effect.succeed(verdict([`it throws: ${oneLine(cause)}`], "")))
)

/** Lets the others have a turn before each reply. */
const patient = (environment: Environment): Policy["Service"] => {
  const policy = scripted(environment, "careful")
  return { ...policy, reply: (request) => Effect.andThen(Effect.yieldNow, policy.reply(request)) }
}

const withoutTimes = ({ episodes }: Lifecycle): string =>
  JSON.stringify(episodes.map((episode) => ({ ...episode, timing: null })))

export const stateChecks = { determinism, serialisable, forks, restoring, history, ownership }
export const checkStates = { elsewhere, isolation }
