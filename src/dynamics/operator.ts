/**
 * Dynamics operators: functions from an environment to an environment that is harder in one respect.
 *
 * An operator keeps everything that an environment is, from its presets to its demonstrations, and may be put around any
 * other. What it needs to remember lies in the state of the machine, under a name of its own, where the views of the
 * environment inside do not look: so states stay JSON, and can be forked, restored and replayed as before. What it draws,
 * it draws from the stream of the step after the environment has drawn: an operator that never acts changes nothing, not a
 * single byte.
 */
import { Effect, Schema } from "effect"
import type { AnyStateMachine } from "xstate"
import type { Ending, Environment, EnvironmentEvent, Start } from "../environment.ts"
import { transitions } from "../machines/transition.ts"

/** An operator: an environment and parameters in, an environment out. Without parameters that matter, the very same one. */
export interface Operator<P = any> {
  (environment: Environment, parameters?: Partial<P>): Environment
  readonly parameters: Schema.Codec<P, any>
}

/**
 * Makes an operator that is known by this name in configurations.
 *
 * @param acts whether it does anything with these parameters
 * @param wrap throws a RangeError that begins with "expected" when the environment is none that it can work on
 */
export const operator = <P extends object>(
  name: string,
  parameters: Schema.Codec<P, any>,
  acts: (parameters: P) => boolean,
  wrap: (environment: Environment, parameters: P, key: string) => Environment
): Operator<P> =>
  Object.assign(
    (environment: Environment, given: Partial<P> = {}): Environment => {
      const decoded = Schema.decodeSync(parameters)(given, { onExcessProperty: "error" })
      if (!acts(decoded)) return environment
      const before = environment.dynamics ?? []
      const wrapped = wrap(environment, decoded, `${name} ${before.length}`)
      return { ...wrapped, dynamics: [...before, { [name]: decoded }] }
    },
    { parameters }
  )

/** A parameter with its default. The description goes into the JSON schema that people are shown. */
export const parameter = <S extends Schema.Top>(schema: S, value: S["Type"], description: string) =>
  schema.pipe(
    Schema.withDecodingDefaultTypeKey(Effect.succeed(value)),
    Schema.annotateEncoded({ description: `${description}. Default: ${JSON.stringify(value)}` })
  )

export const probability = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

/** A state of an environment's machine, as far as operators look at it. */
export type World = ReturnType<ReturnType<typeof transitions>["initial"]>[0]

/** One answer of an agent and what it led to. */
export interface Turn {
  readonly event: EnvironmentEvent
  readonly before: World
  readonly after: World
}

/** What an operator does beside the machine of an environment; `W` is what it remembers of an episode, JSON. */
export interface Beside<W> {
  readonly begin: (start: Start) => W
  /** What the environment is told that it starts with. Default: all. */
  readonly inside?: (start: Start) => Start
  /** Before the environment takes an answer, or the news of one that could not be read. */
  readonly before?: (own: W, event: EnvironmentEvent) => W
  /** After it. */
  readonly after?: (own: W, turn: Turn) => W
  readonly end?: (own: W, ending: Ending) => Ending
}

/** What the operator of that key remembers. Undefined before it has begun. */
export const ownOf = <W>({ context }: { readonly context: object }, key: string): W | undefined =>
  (context as Record<string, W>)[key]

/** The machine with something beside it. Its states, chart and saved snapshots are the machine's own. */
export const beside = <W>(machine: AnyStateMachine, key: string, layer: Beside<W>): AnyStateMachine => {
  const { initial, transition } = transitions(machine)
  const put = (world: World, own: W): World =>
    ownOf(world, key) === own ? world : { ...world, context: { ...world.context, [key]: own } }
  const begin = (start: Start): World => {
    const [world] = initial((layer.inside?.(start) ?? start) as never)
    return world.status === "error" ? world : put(world, layer.begin(start))
  }
  const take = (world: World, event: EnvironmentEvent): World => {
    const own = ownOf<W>(world, key)!
    const ready = layer.before?.(own, event) ?? own
    const before = put(world, ready)
    const [after] = transition(before, event as never)
    if (after.status === "error") return after
    const now = layer.after?.(ready, { event, before, after }) ?? ready
    const next = put(after, now)
    if (next.status !== "done" || layer.end === undefined) return next
    return { ...next, output: layer.end(now, next.output as Ending) as never }
  }
  const layered: Partial<Layered> = {
    getInitialSnapshot: (_, start) => begin(start),
    transition: (world, event) => (world.status === "active" ? take(world, event) : world),
    reshaped: (change) => beside(reshaped(machine, change), key, layer)
  }
  return Object.assign(Object.create(machine) as AnyStateMachine, layered)
}

/** What a machine with something beside it has of its own. */
interface Layered {
  readonly getInitialSnapshot: (scope: unknown, start: Start) => World
  readonly transition: (world: World, event: EnvironmentEvent) => World
  readonly reshaped: (change: (machine: AnyStateMachine) => AnyStateMachine) => AnyStateMachine
}

/** The machine with its innermost one changed, and everything beside it as it was. */
export const reshaped = (
  machine: AnyStateMachine & Partial<Pick<Layered, "reshaped">>,
  change: (machine: AnyStateMachine) => AnyStateMachine
): AnyStateMachine => machine.reshaped?.(change) ?? change(machine)
