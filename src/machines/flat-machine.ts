/**
 * Transitions of flat machines, a tenth of the cost of XState's own: the machine is taken apart once instead of at every
 * event. Most machines of episodes and environments are flat: states without states, guards, assigns and named actions.
 *
 * The meaning is XState's, and a test compares the two; whatever this does not know (nested and parallel states, history,
 * invocations, delays, wildcards, built-in actions other than `assign`) makes a machine not flat.
 */
import { type AnyActor, type AnyStateMachine, StateMachine, type StateNode } from "xstate"

/** A snapshot as XState makes it, as far as transitions look at it. */
interface Snapshot {
  readonly status: string
  readonly value: unknown
  readonly context: object
}

type Guard = (args: { readonly context: object; readonly event: Event }) => boolean
type Assign = (args: object) => object
type Event = { readonly type: string }

interface Move {
  readonly guard: Guard | undefined
  readonly actions: ReadonlyArray<Action>
  readonly target: State | undefined
  /** False for a target that is the state itself: it is neither left nor entered. */
  readonly moves: boolean
}

type Action =
  | { readonly assign: Assign | Readonly<Record<string, unknown>> }
  | {
      readonly type: string
      readonly params: unknown
      readonly exec: unknown
    }

interface State {
  readonly on: ReadonlyMap<string, ReadonlyArray<Move>>
  readonly always: ReadonlyArray<Move>
  readonly entry: ReadonlyArray<Action>
  readonly exit: ReadonlyArray<Action>
  readonly final: boolean
  readonly node: AnyNode
  /** A snapshot in this state, to be copied with another context. */
  readonly model: any
}

type AnyNode = StateNode<any, any>

export interface FlatMachine {
  /** Undefined when the machine's own `context` or an initial transition throws: XState says how. */
  readonly initial: (input: unknown, asked: Array<unknown>) => Snapshot | undefined
  /** The very same snapshot when nothing has changed. */
  readonly transition: (snapshot: Snapshot, event: Event, asked: Array<unknown>) => Snapshot
}

/** Takes a machine apart; undefined when it is not flat. `self` is what actions are told that they belong to. */
export const flatten = (machine: AnyStateMachine, self: AnyActor): FlatMachine | undefined => {
  // What has transitions of its own, as dynamics operators have, is not XState's to take apart.
  if (Object.getPrototypeOf(machine) !== StateMachine.prototype) return undefined
  const { root } = machine as unknown as { readonly root: AnyNode }
  const parts = readParts(machine, root)
  if (parts === undefined) return undefined
  const { first, rootOn, states } = parts
  const { system } = self
  const { context: begin } = machine.config as { readonly context?: unknown }

  // One transition at a time: machines are pure and do not call each other.
  let state = first
  let context: object = {}
  let changed = false
  let event: Event = { type: "" }
  let asked: Array<unknown> = []

  const carryOut = (actions: ReadonlyArray<Action>): void => {
    for (const action of actions) {
      const args = { context, event, spawn: refuse, self, system }
      if ("assign" in action) {
        context = Object.assign({}, context, assigned(action.assign, args))
        changed = true
      } else {
        const params = typeof action.params === "function" ? action.params({ context, event }) : action.params
        asked.push({ type: action.type, info: { context, event, self, system }, params, exec: action.exec })
      }
    }
  }
  const take = ({ actions, moves, target }: Move): void => {
    if (moves) carryOut(state.exit)
    carryOut(actions)
    if (!moves) return
    if (state !== target) changed = true
    state = target!
    carryOut(state.entry)
  }
  const enabled = (candidates: ReadonlyArray<Move> | undefined): Move | undefined => {
    if (candidates === undefined) return undefined
    for (const move of candidates) if (move.guard === undefined || move.guard({ context, event })) return move
    return undefined
  }
  /** Takes what is enabled without an event, until nothing is or nothing changes any more. */
  const settle = (): void => {
    const before = changed
    let ever = false
    while (!state.final) {
      const move = enabled(state.always)
      if (move === undefined) break
      changed = false
      take(move)
      if (!changed) break
      ever = true
    }
    changed = before || ever
  }
  const snapshot = (): Snapshot => {
    const { model } = state
    return {
      status: state.final ? "done" : "active",
      output: state.final ? outputOf(root, state.node, { context, event, self }) : undefined,
      error: undefined,
      machine: model.machine,
      context,
      _nodes: model._nodes,
      value: model.value,
      tags: model.tags,
      children: model.children,
      historyValue: model.historyValue,
      matches: model.matches,
      hasTag: model.hasTag,
      can: model.can,
      getMeta: model.getMeta,
      toJSON: model.toJSON
    } as Snapshot
  }
  return {
    initial: (input, actions) => {
      asked = actions
      event = { type: "xstate.init", input } as Event
      state = first
      try {
        context = Object.assign({}, typeof begin === "function" ? begin({ spawn: refuse, input, self }) : begin)
        carryOut(state.entry)
        settle()
        return snapshot()
      } catch {
        actions.length = 0
        return undefined
      }
    },
    transition: (before, received, actions) => {
      asked = actions
      event = received
      state = states.get(before.value as string)!
      context = before.context
      changed = false
      const move = enabled(state.on.get(event.type)) ?? enabled(rootOn.get(event.type))
      if (move !== undefined) take(move)
      settle()
      return changed ? snapshot() : before
    }
  }
}

const refuse = (): never => {
  throw new Error("a machine of pure transitions cannot spawn actors")
}

const assigned = (assign: Assign | Readonly<Record<string, unknown>>, args: object): object => {
  if (typeof assign === "function") return assign(args)
  const update: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(assign)) update[key] = typeof value === "function" ? value(args) : value
  return update
}

const outputOf = (root: AnyNode, final: AnyNode, args: object): unknown => {
  const resolve = (mapper: unknown, given: object) => (typeof mapper === "function" ? mapper(given) : mapper)
  if (root.output === undefined) return undefined
  const event = { type: `xstate.done.state.${final.id}`, output: resolve(final.output, args) }
  return resolve(root.output, { ...args, event })
}

class NotFlat extends Error {}

const require = (holds: boolean): void => {
  if (!holds) throw new NotFlat()
}

const readParts = (machine: AnyStateMachine, root: AnyNode) => {
  try {
    return partsOf(machine, root)
  } catch (thrown) {
    if (thrown instanceof NotFlat) return undefined
    throw thrown
  }
}

/** The states of a flat machine, what leads from one to the other, and the first of them. */
const partsOf = (machine: AnyStateMachine, root: AnyNode) => {
  const nodes: ReadonlyArray<AnyNode> = Object.values(root.states)
  const { actions, guards } = machine.implementations as {
    readonly actions: Record<string, unknown>
    readonly guards: Record<string, unknown>
  }
  require(root.type === "compound" && machine.options.maxIterations === Infinity)
  require(root.entry.length === 0 && root.exit.length === 0 && root.always === undefined)
  const initial = root.initial as unknown as { readonly target: ReadonlyArray<AnyNode>; readonly actions: object[] }
  require(initial.actions.length === 0 && initial.target.length === 1 && initial.target[0]!.parent === root)

  const readAction = (action: unknown): Action => {
    const named = typeof action !== "function"
    const type = named ? (typeof action === "string" ? action : (action as Event).type) : action.name || "(anonymous)"
    const exec = (named ? actions[type] : action) as { type?: string; assignment?: unknown } | undefined
    if (exec !== undefined && "resolve" in exec) {
      require(exec.type === "xstate.assign" && (!named || typeof action === "string"))
      return { assign: exec.assignment as Assign }
    }
    return { type, params: named ? (action as { params?: unknown }).params : undefined, exec }
  }
  const readGuard = (guard: unknown): Guard | undefined => {
    if (guard === undefined) return undefined
    require(typeof guard === "function" || typeof guard === "string")
    const found = typeof guard === "string" ? guards[guard] : guard
    require(typeof found === "function" && !("check" in found))
    return found as Guard
  }
  const states = new Map<string, State>()
  const readMoves = (given: ReadonlyArray<any>): ReadonlyArray<Move> =>
    given.map(({ actions, guard, reenter, source, target }) => {
      require(!reenter && (target === undefined || (target.length === 1 && target[0].parent === root)))
      const to: AnyNode | undefined = target?.[0]
      const move: Move = {
        guard: readGuard(guard),
        actions: actions.map(readAction),
        get target() {
          return to === undefined ? undefined : states.get(to.key)!
        },
        moves: to !== undefined && to !== source
      }
      return move
    })
  const readOn = (node: AnyNode) => {
    const on = new Map<string, ReadonlyArray<Move>>()
    for (const [type, moves] of node.transitions as ReadonlyMap<string, ReadonlyArray<unknown>>) {
      require(!type.includes("*") && !type.startsWith("xstate."))
      on.set(type, readMoves(moves))
    }
    return on
  }
  for (const node of nodes) {
    require(node.type === "atomic" || node.type === "final")
    require(node.invoke.length === 0 && node.after.length === 0)
    require(node.type === "atomic" || node.exit.length === 0)
    states.set(node.key, {
      on: readOn(node),
      always: readMoves((node.always ?? []) as ReadonlyArray<unknown>),
      entry: node.entry.map(readAction),
      exit: node.exit.map(readAction),
      final: node.type === "final",
      node,
      model: machine.resolveState({ value: node.key, context: {} })
    })
  }
  return { states, rootOn: readOn(root), first: states.get(initial.target[0]!.key)! }
}
