import { Schema } from "effect"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { assign, createActor, createMachine, setup, type AnyStateMachine } from "xstate"
import alchemy from "../../environments/alchemy/index.ts"
import frozenLake from "../../environments/frozen-lake/index.ts"
import frozenLakeObscure from "../../environments/frozen-lake-obscure/index.ts"
import gridNavigation from "../../environments/grid-navigation/index.ts"
import optimalControl from "../../environments/optimal-control/index.ts"
import { stream } from "../../src/kernels/random.ts"
import { agentMachine } from "../../src/machines/agent.ts"
import { contextStoreMachine } from "../../src/machines/context-store.ts"
import { flatten } from "../../src/machines/flat-machine.ts"
import { lifecycleMachine } from "../../src/machines/lifecycle.ts"
import { transitions } from "../../src/machines/transition.ts"

const idle = createActor(createMachine({}))

/** XState's own pure transition, with the same inert scope. */
const reference = (machine: AnyStateMachine) => {
  let asked: Array<any> = []
  const nothing = () => {}
  const scope = {
    self: idle,
    system: idle.system,
    id: idle.id,
    sessionId: idle.sessionId,
    logger: nothing,
    defer: nothing,
    emit: nothing,
    stopChild: nothing,
    actionExecutor: (action: unknown) => void asked.push(action)
  } as never
  return {
    initial: (input: unknown) => {
      asked = []
      return [machine.getInitialSnapshot(scope, input), asked] as const
    },
    transition: (snapshot: any, event: any) => {
      asked = []
      return [machine.transition(snapshot, event, scope), asked] as const
    }
  }
}

const seen = ([snapshot, asked]: readonly [any, ReadonlyArray<any>]) => ({
  status: snapshot.status,
  value: snapshot.value,
  context: snapshot.context,
  output: snapshot.output,
  // Their order is XState's own business.
  nodes: snapshot._nodes.map(({ id }: { id: string }) => id).toSorted(),
  tags: [...snapshot.tags],
  json: JSON.stringify(snapshot),
  asked: asked.map(({ info, params, type }) => ({ type, params, context: info.context, event: info.event }))
})

/** Everything that a flat machine knows, driven by small numbers. */
const machine = setup({
  types: {} as { context: { n: number; log: string }; input: number; events: { type: string; by: number } },
  guards: {
    even: ({ context }) => context.n % 2 === 0,
    large: ({ context, event }) => context.n > 6 || event.by > 90
  },
  actions: {
    add: assign(({ context, event }) => ({ n: context.n + (event.by ?? 0) })),
    write: assign({ log: ({ context, event }) => `${context.log}${event.type} `, n: 3 }),
    tell: (_args, _params: { n: number }) => {},
    shout: () => {}
  }
}).createMachine({
  context: ({ input }) => ({ n: input, log: "" }),
  initial: "one",
  output: ({ context, event }) => ({ n: context.n, event }),
  on: { reset: { target: ".one", actions: "write" }, over: ".finished", add: { actions: "add" } },
  states: {
    one: {
      entry: [{ type: "tell", params: ({ context }) => ({ n: context.n }) }, "add"],
      exit: "shout",
      always: { guard: "large", target: "two" },
      on: {
        go: [{ guard: "even", target: "two", actions: ["add", "shout"] }, { target: "one", actions: "add" }, {}],
        none: {}
      }
    },
    two: {
      tags: ["second"],
      always: [{ guard: ({ context }) => context.n === 5, target: "three" }],
      exit: { type: "tell", params: { n: 1 } },
      on: { go: { target: "three" }, reset: { guard: "even", target: "one" } }
    },
    three: { always: [{ guard: "even", target: "finished" }, { target: "one" }], exit: "add" },
    finished: { type: "final", entry: "write", output: ({ context }) => context.log }
  }
})

describe("a flat machine", () => {
  it("means what XState means, whatever happens to it", () => {
    const event = fc.record({ type: fc.constantFrom("go", "add", "reset", "over", "none", "what"), by: fc.nat(5) })
    fc.assert(
      fc.property(fc.nat(4), fc.array(event, { maxLength: 12 }), (input, events) => {
        const [ours, theirs] = [transitions(machine), reference(machine)]
        let [a, b]: [any, any] = [ours.initial(input), theirs.initial(input)]
        expect(seen(a)).toEqual(seen(b))
        for (const event of events) {
          const before = a[0]
          const unchanged = theirs.transition(b[0], event)[0] === b[0]
          ;[a, b] = [ours.transition(a[0], event), theirs.transition(b[0], event)]
          expect(seen(a)).toEqual(seen(b))
          expect(a[0] === before).toBe(unchanged)
        }
      }),
      { seed: 5, numRuns: 300 }
    )
  })

  it.each([alchemy, frozenLake, frozenLakeObscure, gridNavigation, optimalControl].map((it) => [it.id, it] as const))(
    "is what %s is made of, and plays as XState plays it",
    (_, environment) => {
      expect(flatten(environment.machine, idle)).toBeDefined()
      const options: any = Schema.decodeSync(environment.options)({})
      for (let pack = 0; pack < 10; pack++) {
        const at = { options, packSize: 2, position: 0 }
        const knowledge: any = environment.knowledge.sample(stream("flat", pack, "knowledge"), at)
        const task: any = environment.task.sample(stream("flat", pack, "task"), { ...at, knowledge })
        const memory = environment.memory?.({ ...at, knowledge })
        const start: any = { ...at, knowledge, task, memory }
        const [ours, theirs] = [transitions(environment.machine), reference(environment.machine)]
        let [a, b]: [any, any] = [ours.initial(start), theirs.initial(start)]
        expect(seen(a)).toEqual(seen(b))
        for (let step = 0; step < 10 && a[0].status === "active"; step++) {
          const user = environment.chat.user(a[0])
          const messages = [
            { role: "system", content: environment.chat.system(a[0]) },
            { role: "user", content: user }
          ] as const
          const reply = environment.agents.random({ kind: "solve", messages }, "", stream("flat", pack, step))
          const parsed = environment.chat.parse(pack === 9 && step === 1 ? "nothing" : reply)
          const event = () => ({
            ...(("why" in parsed ? { type: "malformed", ...parsed } : { type: "answer", ...parsed }) as object),
            rng: stream("flat", pack, step, "world")
          })
          ;[a, b] = [ours.transition(a[0], event() as never), theirs.transition(b[0], event())]
          expect(seen(a)).toEqual(seen(b))
        }
      }
    }
  )

  it("throws what an assign throws", () => {
    const broken = () => {
      throw new Error("broken")
    }
    const failing = createMachine({
      context: {},
      on: { go: { actions: assign(broken) } },
      initial: "a",
      states: { a: {} }
    })
    const { initial, transition } = transitions(failing)
    expect(() => transition(initial(undefined)[0], { type: "go" })).toThrow("broken")
  })

  it("begins in an error, as in XState, when its context cannot be made", () => {
    const failing = createMachine({
      context: () => {
        throw new Error("no world")
      },
      initial: "a",
      states: { a: {} }
    })
    expect(transitions(failing).initial(undefined)[0]).toMatchObject({ status: "error", error: new Error("no world") })
  })

  it.each<[string, AnyStateMachine]>([
    ["nested states", createMachine({ initial: "a", states: { a: { initial: "b", states: { b: {} } } } })],
    ["parallel states", createMachine({ type: "parallel", states: { a: {}, b: {} } })],
    ["delays", createMachine({ initial: "a", states: { a: { after: { 5: "a" } } } })],
    ["wildcards", createMachine({ initial: "a", states: { a: { on: { "*": "a" } } } })],
    ["reentry", createMachine({ initial: "a", states: { a: { on: { go: { target: "a", reenter: true } } } } })],
    ["no states", createMachine({})]
  ])("is none with %s", (_, machine) => {
    expect(flatten(machine, idle)).toBeUndefined()
  })

  it("is what the engine is made of", () => {
    for (const machine of [agentMachine, contextStoreMachine, lifecycleMachine]) {
      expect(flatten(machine, idle)).toBeDefined()
    }
  })
})
