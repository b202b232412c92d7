import fc from "fast-check"
import { readFileSync } from "node:fs"
import peggy from "peggy"
import { describe, expect, it } from "vitest"
import { evaluate, type Expression, readExpression, type Scope } from "../../environments/optimal-control/expression.ts"
import control from "../../environments/optimal-control/index.ts"
import { bestControls, explained, schedule } from "../../environments/optimal-control/plan.ts"
import { fitted, addTable, noSums, readSums, written } from "../../environments/optimal-control/reading.ts"
import { runExpression } from "../../environments/optimal-control/trial.ts"
import { escape } from "../../environments/xml.ts"
import { stream } from "../../src/kernels/random.ts"
import { answering, curve, lifecycle, mean, optionsOf } from "./chat-play.ts"

const { chat, feedback, knowledge, task } = control

const answer = (expression: string) => `<answer><action_expression>${escape(expression)}</action_expression></answer>`

const example = { knowledge: { a: 0.9, b: 0.5 }, task: { x0: 0, v0: 0, xTarget: 2, horizon: 4 } }
const expression = "0.25*(x_target-x)+0.32*(v_target-v)"

describe("the worked example", () => {
  const [start, end] = answering(control, example, [answer(expression)])

  it("comes to loss 0.60727 and reward 0.62217", () => {
    const { moments, ...run } = end.context.run
    expect(moments.map(({ u }: { u: number }) => u.toFixed(4))).toEqual(["0.5000", "0.3575", "0.2074", "0.0703"])
    expect(run.x.toFixed(5)).toBe("1.57633")
    expect(run.v.toFixed(5)).toBe("0.45552")
    expect(run.loss.toFixed(5)).toBe("0.60727")
    expect(end.output.reward.toFixed(5)).toBe("0.62217")
    expect(end.output).toMatchObject({ success: false, outcome: "failure" })
    expect(end.value).toBe("missed")
  })

  it("is told as a table", () => {
    expect(chat.user(start)).toBe("Start: x = 0, v = 0\nTarget: x_target = 2, v_target = 0\nHorizon: 4 steps")
    expect(feedback.end(end)).toBe(
      `t x v u
0 0.000 0.000 0.500
1 0.250 0.250 0.357
2 0.654 0.404 0.207
3 1.121 0.467 0.070
End: x = 1.576, v = 0.456
Target: x = 2, v = 0
Loss 0.607, reward 0.622`
    )
    expect(control.finalState!(end)).toBe(`Submitted expression: ${expression}`)
  })
})

it("a loss of at most 0.1 is a success", () => {
  const still = { knowledge: { a: 0.9, b: 0.5 }, task: { x0: 0, v0: 0, xTarget: 0.3, horizon: 4 } }
  const end = answering(control, still, [answer("0")]).at(-1)
  expect(end.output).toMatchObject({ success: true, outcome: "success" })
  expect(end.output.reward).toBeCloseTo(1 / 1.09, 12)
})

it("shows a small positive reward in powers of ten", () => {
  const far = { ...example, task: { ...example.task, xTarget: 100 } }
  expect(feedback.end(answering(control, far, [answer("0")]).at(-1))).toContain("reward 9.999e-5")
})

it("adds the noise of the task to the speed", () => {
  const noisy = { ...example, task: { ...example.task, horizon: 2, noise: [1, -0.5] } }
  const { run } = answering(control, noisy, [answer("0")]).at(-1).context
  expect([run.x, run.v]).toEqual([1 + 0.4, 0.4])
})

describe("an answer that can't be read ends the task with -0.1", () => {
  it.each([
    ["", "exactly one <answer>"],
    ["<answer>0.5</answer>", "an XML element"],
    [answer("1") + answer("1"), "exactly one <answer>"],
    [`${answer("1")} as said`, "nothing may follow"],
    [`\`\`\`\n${answer("1")}\n\`\`\``, "triple backquotes"],
    [`\`\`\`x\`\`\` ${answer("1")}`, "triple backquotes"],
    ["<answer><action_expression>1</action_expression><note>x</note></answer>", "exactly one <action_expression>"],
    ["<answer><action_expression><b>1</b></action_expression></answer>", "exactly one <action_expression>"],
    ['<answer><action_expression unit="1">1</action_expression></answer>', "no attributes"],
    ["<answer><expression>1</expression></answer>", "exactly one <action_expression>"],
    ["<answer><action_expression>1 if t < 2 else 0</action_expression></answer>", "well-formed XML"],
    ["<answer><action_expression>x &and; v</action_expression></answer>", "well-formed XML"],
    ["<answer><action_expression>1</answer>", "well-formed XML"],
    [answer(""), "empty"],
    [answer("y"), "there is no variable y"],
    [answer("constructor"), "there is no variable constructor"],
    [answer("toString(1)"), "there is no function toString"],
    [answer("__proto__(1)"), "there is no function __proto__"],
    [answer("sin(x)"), "there is no function sin"],
    [answer("x.constructor"), "cannot be read"],
    [answer("x[0]"), "cannot be read"],
    [answer("x = 1"), "cannot be read"],
    [answer("x; v"), "cannot be read"],
    [answer("lambda: 1"), "there is no variable lambda"],
    [answer("[x for x in x]"), "cannot be read"],
    [answer("x if v"), "cannot be read at its end"],
    [answer("2 x"), "cannot be read"],
    [answer("x // v"), "cannot be read"],
    [answer("x % v"), "cannot be read"],
    [answer("'1'"), "cannot be read"],
    [answer("True"), "there is no variable True"],
    [answer("1e999"), "not finite"],
    [answer("abs()"), "abs takes 1 argument, not 0"],
    [answer("abs(1, 2)"), "abs takes 1 argument, not 2"],
    [answer("clip(1, 2)"), "clip takes 3 arguments, not 2"],
    [answer("min()"), "min takes at least 1 argument, not 0"],
    [answer("(".repeat(999) + "x" + ")".repeat(999)), "brackets"],
    [answer("abs(".repeat(390) + "x" + ")".repeat(390)), "brackets"],
    [answer("-".repeat(2000) + "x"), "longer than"],
    [answer("x+".repeat(500_000) + "x"), "longer than"],
    [answer("\u0000"), "well-formed XML"],
    ["<answer>" + "<a>".repeat(1000) + "</a>".repeat(1000) + "</answer>", "well-formed XML"],
    ['<!DOCTYPE a [<!ENTITY b "1">]><answer><action_expression>&b;</action_expression></answer>', "well-formed XML"]
  ])("%.60j", (reply, why) => {
    const end = answering(control, example, [reply]).at(-1)
    expect(end.value).toBe("misread")
    expect(end.output).toMatchObject({ success: false, reward: -0.1, outcome: "malformed" })
    expect(feedback.end(end)).toContain(why)
    expect(feedback.end(end).length).toBeLessThan(400)
  })

  it("says so when the response was cut off", () => {
    const event = { type: "malformed", why: "no answer", truncated: true }
    const cut = answering({ ...control, chat: { ...chat, parse: () => event } }, example, [""]).at(-1)
    expect(feedback.end(cut)).toContain("cut off at its length limit (no answer)")
  })
})

const scope: Scope = { x: 2, v: -1, t: 3, x_target: 5, v_target: 0, horizon: 12, remaining_steps: 9 }
const valueOf = (text: string): number => {
  const read = readExpression(text)
  if ("why" in read) throw new Error(read.why)
  return evaluate(read.expression, scope)
}

describe("expressions mean what they mean in Python", () => {
  it.each([
    ["1 + 2 * 3", 7],
    ["(1 + 2) * 3", 9],
    ["8 - 3 - 2", 3],
    ["8 / 4 / 2", 1],
    ["-x ** 2", -4],
    ["2 ** 3 ** 2", 512],
    ["2 ** -1", 0.5],
    ["--x + +x", 4],
    [".5 + 1. + 1.5e1", 16.5],
    ["1 if x > 1 else 2", 1],
    ["1 if x > 5 else 2 if v < 0 else 3", 2],
    ["(1 if x < 5 else 2) + 1", 2],
    ["1 if 0 < x < 3 else 0", 1],
    ["1 if 0 < x > 3 else 0", 0],
    ["1 if not x > 3 and v < 0 else 0", 1],
    ["1 if not (x < 3 or v < 0) else 0", 0],
    ["1 if not not x else 0", 1],
    ["0 or 7", 7],
    ["x and v", -1],
    ["0 and 1 / 0", 0],
    ["(x > 1) * 0.5", 0.5],
    ["1 if x == 2 != v else 0", 1],
    ["abs(v) + min(3, x, 4) + max(1)", 4],
    ["pow(x, 3) + clip(9, -1, 1) + clip(-9, -1, 1)", 8],
    ["ifelse(lt(x, 3), 1, 1 / 0)", 1],
    ["1 / 0 if v > 0 else 3", 3],
    ["ifelse(le(x, 2), 1, 0) + ifelse(ge(x, 3), 1, 0) + ifelse(ne(x, 2), 1, 0) + ifelse(eq(x, 2), 1, 0)", 2],
    ["ifelse(gt(x, 1), remaining_steps, horizon)", 9],
    [" \n x_target\t-\r\n x ", 3]
  ])("%s is %d", (text, value) => {
    expect(valueOf(text)).toBeCloseTo(value, 12)
  })

  it.each([
    ["1 / 0", "division by zero"],
    ["1 / (x - 2)", "division by zero"],
    ["0 ** -1", "zero to a negative power"],
    ["(v) ** 0.5", "broken power"],
    ["10 ** 1000", "too large"],
    ["1e308 * 10", "not finite"],
    ["x > 1", "the result is true"],
    ["not x", "the result is false"],
    ["1 / 0 > 1 or 1", "division by zero"]
  ])("%s has no value: %s", (text, why) => {
    expect(() => valueOf(text)).toThrow(why)
    const end = answering(control, { ...example, task: { ...example.task, x0: 2, v0: -1 } }, [answer(text)]).at(-1)
    expect(end.value).toBe("failed")
    expect(end.output).toMatchObject({ success: false, reward: 0, outcome: "failure" })
    expect(feedback.end(end)).toContain("The expression failed while running")
  })

  it("the table of a run shows how far it came before it failed", () => {
    const end = answering(control, example, [answer("1 / (2 - t)")]).at(-1)
    expect(feedback.end(end)).toContain(
      "\n1 0.250 0.250 1.000\nThe expression failed while running: division by zero at t = 2."
    )
  })

  it("reads brackets, chains and choices as deep as they are allowed in no time", () => {
    const deep = [
      "(".repeat(64) + "x" + ")".repeat(64),
      "max(x, ".repeat(64) + "x" + ")".repeat(64),
      "(x if x else ".repeat(64) + "x" + ")".repeat(64),
      "x if x else ".repeat(160) + "x",
      "1" + "**1".repeat(660),
      "-".repeat(1999) + "x",
      "not ".repeat(499) + "x",
      "x" + "+x".repeat(999)
    ]
    const started = performance.now()
    for (const text of deep) {
      const read = readExpression(text)
      expect(read).toHaveProperty("expression")
      if ("expression" in read && !text.startsWith("not")) evaluate(read.expression, scope)
    }
    expect(performance.now() - started).toBeLessThan(4000)
  })

  it("the committed parser is what the grammar generates", () => {
    const folder = new URL("../../environments/optimal-control/", import.meta.url)
    const grammar = readFileSync(new URL("expression.peggy", folder), "utf8")
    const committed = readFileSync(new URL("expression-parser.ts", folder), "utf8")
    expect(peggy.generate(grammar, { output: "source", format: "es" })).toBe(committed)
  })

  it("reading never throws, and evaluating throws nothing but its own failure", () => {
    const piece = fc.constantFrom(
      ..."x v t ( ) + - * ** / , < > if else and or not 1 .5 1e9 abs( min( ifelse( 0".split(" ")
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const read = readExpression(pieces.join(" "))
        if ("why" in read) return
        const run = runExpression(read.expression, example.knowledge, { ...readTask(), horizon: 3 })
        expect("failure" in run || Number.isFinite(run.loss)).toBe(true)
      }),
      { seed: 1, numRuns: 1000 }
    )
  })

  it("written out with all brackets, a tree reads back as itself", () => {
    const { tree } = fc.letrec<{ tree: string }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 5, withCrossShrink: true },
        fc.constantFrom("x", "v", "1.5", "remaining_steps"),
        fc
          .tuple(tie("tree"), fc.constantFrom("+", "-", "*", "/", "**", "<", "==", "and", "or"), tie("tree"))
          .map((p) => `(${p.join(" ")})`),
        tie("tree").map((of) => `(-${of})`),
        fc.tuple(tie("tree"), tie("tree"), tie("tree")).map(([a, b, c]) => `(${a} if ${b} else ${c})`),
        fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => `max(${a}, ${b})`)
      )
    }))
    const write = (e: Expression): string => {
      if (e.kind === "number") return `${e.value}`
      if (e.kind === "name") return e.name
      if (e.kind === "unary") return `(${e.op}${write(e.of)})`
      if (e.kind === "binary") return `(${write(e.left)} ${e.op} ${write(e.right)})`
      if (e.kind === "compare") return `(${write(e.first)} ${e.rest.map(([op, of]) => `${op} ${write(of)}`).join(" ")})`
      if (e.kind === "choice") return `(${write(e.yes)} if ${write(e.condition)} else ${write(e.no)})`
      if (e.kind === "call") return `${e.name}(${e.args.map(write).join(", ")})`
      return `(${e.all.map(write).join(` ${e.kind} `)})`
    }
    fc.assert(
      fc.property(tree, (text) => {
        const read = readExpression(text)
        expect("why" in read ? read.why : write(read.expression)).toBe(text)
      }),
      { seed: 2, numRuns: 300 }
    )
  })
})

const readTask = () => ({ x0: 0, v0: 0, xTarget: 2, vTarget: 0, horizon: 4, controlPenalty: 0.03, noise: [] })

describe("the previous expression", () => {
  it("is shown with the next task, marked as evidence from another one", () => {
    const { memory } = answering(control, example, [answer(expression)]).at(-1).output
    const [next] = answering(control, { ...example, memory, position: 1 }, [])
    expect(chat.user(next)).toContain(
      `Evidence from ANOTHER task of this stream, with the same hidden a and b but its own start and target:
Expression: ${expression}
Start: x = 0, v = 0
Target: x = 2, v = 0
Horizon: 4
Reward: 0.6222
Errors at the end: x_end - x_target = -0.42367, v_end - v_target = 0.45552`
    )
    const [without] = answering(control, { ...example, memory, options: { memory: "off" } }, [])
    expect(chat.user(without)).not.toContain("Evidence")
  })

  it("is kept when a later one fails or can't be read, and replaced by a poor one that runs", () => {
    const { memory } = answering(control, example, [answer(expression)]).at(-1).output
    const after = (reply: string) => answering(control, { ...example, memory }, [reply]).at(-1).output.memory
    expect(after(answer("1 / 0"))).toEqual(memory)
    expect(after("nonsense")).toEqual(memory)
    expect(after(answer("-1")).expression).toBe("-1")
  })
})

describe("draws", () => {
  const options = optionsOf(control)
  it("leave out gains near zero, and are uniform over the rest", () => {
    let positive = 0
    for (let seed = 0; seed < 2000; seed++) {
      const { a, b } = knowledge.sample(stream("system", seed), { options, packSize: 1 })
      expect(a >= 0.55 && a <= 1.2).toBe(true)
      expect(Math.abs(b) >= 0.35 && Math.abs(b) <= 1.5).toBe(true)
      if (b > 0) positive++
    }
    expect(Math.abs(positive - 1000)).toBeLessThan(100)
    const lopsided = optionsOf(control, { b: [-0.5, 1.5] })
    const b = Array.from(
      { length: 2000 },
      (_, seed) => knowledge.sample(stream("b", seed), { options: lopsided, packSize: 1 }).b
    )
    expect(b.filter((b) => b < 0).length / b.length).toBeCloseTo(0.15 / 1.3, 1)
  })

  it("tell the sign of b only where its range excludes zero", () => {
    const systemOf = (b: [number, number]) => chat.system(answering(control, { ...example, options: { b } }, [])[0])
    expect(systemOf([-1.5, 1.5])).toContain("the sign of b is unknown")
    expect(systemOf([0.4, 1.5])).toContain("b is known to be positive")
    expect(systemOf([-2, -1])).toContain("b is known to be negative")
  })

  it.each([
    ["easy", 8, 1, 0.5, 3],
    ["medium", 12, 2, 1, 5],
    ["hard", 12, 2, 1.5, 8]
  ])("%s keeps to its ranges", (preset, horizon, x, v, target) => {
    const own = optionsOf(control, control.presets[preset])
    const drawn = Array.from({ length: 300 }, (_, seed) =>
      task.sample(stream(preset, seed), { options: own, knowledge: null, position: 0, packSize: 1 })
    )
    const largest = (of: (task: any) => number) => Math.max(...drawn.map((task) => Math.abs(of(task))))
    for (const task of drawn) expect(task.horizon).toBe(horizon)
    expect(largest(({ x0 }) => x0) / x).toBeCloseTo(1, 1)
    expect(largest(({ v0 }) => v0) / v).toBeCloseTo(1, 1)
    expect(largest(({ xTarget }) => xTarget) / target).toBeCloseTo(1, 1)
  })
})

describe("agents", () => {
  const anyKnowledge = fc.record({
    a: fc.double({ min: 0.55, max: 1.2, noNaN: true }),
    b: fc.double({ min: 0.35, max: 1.5, noNaN: true })
  })

  it("`bestControls` can't be bettered by changing any of them", () => {
    fc.assert(
      fc.property(anyKnowledge, fc.double({ min: -8, max: 8, noNaN: true }), fc.nat(5), (system, xTarget, at) => {
        const own = { ...readTask(), xTarget, v0: 0.7, horizon: 6 }
        const controls = bestControls(system, own)
        const loss = (us: ReadonlyArray<number>): number => {
          let [x, v, effort] = [own.x0, own.v0, 0]
          for (const u of us) {
            v = system.a * v + system.b * u
            x += v
            effort += u * u
          }
          return (x - xTarget) ** 2 + 2 * v ** 2 + 0.03 * effort
        }
        for (const by of [-0.01, 0.01]) {
          const changed = controls.with(at, Math.min(1, Math.max(-1, controls[at]! + by)))
          expect(loss(changed)).toBeGreaterThanOrEqual(loss(controls) - 1e-9)
        }
      }),
      { seed: 3, numRuns: 100 }
    )
  })

  it("the parameters follow from tables, through what is written, and from where an expression led", () => {
    fc.assert(
      fc.property(anyKnowledge, (system) => {
        const text = feedback.end(
          answering(control, { knowledge: system, task: { ...readTask(), v0: 0.5, horizon: 12 } }, [
            answer(expression)
          ]).at(-1)
        )
        const sums = readSums(`Hints: ${written(addTable(noSums, text))}`)
        expect(sums.steps).toBe(12)
        const { a, b } = fitted(sums)!
        expect(a).toBeCloseTo(system.a, 1)
        expect(b).toBeCloseTo(system.b, 1)
        const controls = readExpression(schedule([0.5, -0.2, 0.3, 1]))
        if ("why" in controls) throw new Error(controls.why)
        const own = { ...readTask(), v0: 1 }
        const run = runExpression(controls.expression, system, own)
        if ("failure" in run) throw new Error(run.failure)
        const found = explained({ expression: controls.expression, task: own, x: run.x, v: run.v })!
        const again = runExpression(controls.expression, found, own)
        expect("loss" in again && Math.abs(again.x - run.x) + Math.abs(again.v - run.v)).toBeLessThan(1e-3)
      }),
      { seed: 4, numRuns: 50 }
    )
  })

  const at = { packs: 25, packSize: 3, options: { memory: "off" } }

  it("without the environment's memory, `careful` rises by what it writes and `amnesiac` does not", () => {
    const careful = curve(control, "careful", at).reward
    const amnesiac = curve(control, "amnesiac", at).reward
    const oracle = curve(control, "oracle", at).reward
    expect(careful[0]).toBe(amnesiac[0])
    expect(mean(careful.slice(1)) - careful[0]!).toBeGreaterThan(0.3)
    expect(Math.abs(mean(amnesiac.slice(1)) - amnesiac[0]!)).toBeLessThan(0.1)
    expect(careful[2]).toBeCloseTo(oracle[2]!, 2)
  })

  it("with it, the previous expression alone helps `amnesiac`", () => {
    const { reward } = curve(control, "amnesiac", { ...at, options: {} })
    expect(mean(reward.slice(1)) - reward[0]!).toBeGreaterThan(0.2)
  })

  it("`random` submits what can be read", () => {
    for (let pack = 0; pack < 10; pack++) {
      expect(lifecycle(control, "random", { pack, packSize: 2 }).outcomes).not.toContain("malformed")
    }
  })
})
