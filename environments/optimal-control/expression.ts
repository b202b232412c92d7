/**
 * The expression language of Optimal Control: read by a grammar, evaluated over a tree, never as program text.
 *
 * Meaning follows Python, of which the language is a part: comparisons chain, `and`, `or` and `A if C else B` evaluate
 * only what they need and hand on their operands, true and false count as 1 and 0 in arithmetic.
 */
import { parse } from "./expression-parser.ts"

/** What an expression may read. */
export interface Scope {
  readonly x: number
  readonly v: number
  readonly t: number
  readonly x_target: number
  readonly v_target: number
  readonly horizon: number
  readonly remaining_steps: number
}

const names: ReadonlyArray<string> = ["x", "v", "t", "x_target", "v_target", "horizon", "remaining_steps"]

type Value = number | boolean
type Comparator = "<" | "<=" | ">" | ">=" | "==" | "!="

export type Expression =
  | { readonly kind: "number"; readonly value: number }
  | { readonly kind: "name"; readonly name: keyof Scope }
  | { readonly kind: "unary"; readonly op: "+" | "-" | "not"; readonly of: Expression }
  | {
      readonly kind: "binary"
      readonly op: "+" | "-" | "*" | "/" | "**"
      readonly left: Expression
      readonly right: Expression
    }
  | {
      readonly kind: "compare"
      readonly first: Expression
      readonly rest: ReadonlyArray<readonly [Comparator, Expression]>
    }
  | { readonly kind: "and" | "or"; readonly all: ReadonlyArray<Expression> }
  | {
      readonly kind: "choice"
      readonly condition: Expression
      readonly yes: Expression
      readonly no: Expression
    }
  | { readonly kind: "call"; readonly name: "abs" | "min" | "max" | "clip"; readonly args: ReadonlyArray<Expression> }

const longest = 2000
const deepest = 64

/** The expression of a text, or why it is none. */
export const readExpression = (text: string): { readonly expression: Expression } | { readonly why: string } => {
  if (text.trim() === "") return { why: "the expression is empty" }
  if (text.length > longest) return { why: `the expression is longer than ${longest} characters` }
  // The parser calls itself once for each bracket.
  let depth = 0
  for (const character of text) {
    if (character === ")") depth--
    else if (character === "(" && ++depth > deepest) {
      return { why: `the expression nests more than ${deepest} brackets` }
    }
  }
  try {
    return { expression: parse(text, { named } as never) as Expression }
  } catch (thrown) {
    const { expected, location, message } = thrown as {
      readonly message: string
      readonly expected?: unknown
      readonly location?: { readonly start: { readonly offset: number } }
    }
    const at = location?.start.offset
    if (at === undefined) return { why: "the expression is too deeply nested" }
    const near = at < text.length ? `at ${JSON.stringify(text.slice(at, at + 12))}` : "at its end"
    return { why: expected === null ? message : `the expression cannot be read ${near}, character ${at + 1}` }
  }
}

const comparators: Record<string, Comparator> = { lt: "<", le: "<=", gt: ">", ge: ">=", eq: "==", ne: "!=" }

/** How many arguments each function takes; `min` and `max` take any number. */
const arity: Record<string, number> = { abs: 1, min: Infinity, max: Infinity, pow: 2, clip: 3, ifelse: 3 }
for (const name of Object.keys(comparators)) arity[name] = 2

/** Called by the grammar for a name, with its arguments where it is called. `error` throws. */
const named = (name: string, args: ReadonlyArray<Expression> | null, error: (why: string) => never): Expression => {
  const short = name.slice(0, 20)
  if (args === null) {
    if (names.includes(name)) return { kind: "name", name: name as keyof Scope }
    return error(`there is no variable ${short}; there are ${names.join(", ")}`)
  }
  const wanted = Object.hasOwn(arity, name) ? arity[name]! : undefined
  if (wanted === undefined) return error(`there is no function ${short}; there are ${Object.keys(arity).join(", ")}`)
  if (wanted === Infinity ? args.length === 0 : args.length !== wanted) {
    const needs = wanted === Infinity ? "at least 1 argument" : `${wanted} argument${wanted === 1 ? "" : "s"}`
    return error(`${name} takes ${needs}, not ${args.length}`)
  }
  const [a, b, c] = args as [Expression, Expression, Expression]
  if (name === "ifelse") return { kind: "choice", condition: a, yes: b, no: c }
  if (name === "pow") return { kind: "binary", op: "**", left: a, right: b }
  const comparator = comparators[name]
  if (comparator !== undefined) return { kind: "compare", first: a, rest: [[comparator, b]] }
  return { kind: "call", name: name as "abs" | "min" | "max" | "clip", args }
}

/** Why an expression has no value. */
export class ExpressionFailure extends Error {}

/** The finite number that the expression is. Throws an ExpressionFailure when it is not one. */
export const evaluate = (expression: Expression, scope: Scope): number => {
  const result = value(expression, scope)
  if (typeof result === "boolean") throw new ExpressionFailure(`the result is ${result}, not a number`)
  if (!Number.isFinite(result)) throw new ExpressionFailure("the result is not finite")
  return result
}

const number = (expression: Expression, scope: Scope): number => Number(value(expression, scope))

const value = (expression: Expression, scope: Scope): Value => {
  switch (expression.kind) {
    case "number":
      return expression.value
    case "name":
      return scope[expression.name]
    case "unary": {
      const of = value(expression.of, scope)
      return expression.op === "not" ? !of : expression.op === "-" ? -Number(of) : Number(of)
    }
    case "binary":
      return chain(expression, scope)
    case "compare": {
      let left = number(expression.first, scope)
      for (const [comparator, operand] of expression.rest) {
        const right = number(operand, scope)
        if (!compare(comparator, left, right)) return false
        left = right
      }
      return true
    }
    case "and":
    case "or": {
      let last: Value = false
      for (const operand of expression.all) {
        last = value(operand, scope)
        if (Boolean(last) === (expression.kind === "or")) break
      }
      return last
    }
    case "choice":
      return value(value(expression.condition, scope) ? expression.yes : expression.no, scope)
    case "call":
      return call(
        expression.name,
        expression.args.map((arg) => number(arg, scope))
      )
  }
}

/** Sums and products may be long: along their left sides this is a loop, not a recursion. */
const chain = (expression: Extract<Expression, { kind: "binary" }>, scope: Scope): number => {
  const { left, op, right } = expression
  if (op === "**") return calculate(op, number(left, scope), number(right, scope))
  const waiting = [expression]
  let first = left
  while (first.kind === "binary" && first.op !== "**") {
    waiting.push(first)
    first = first.left
  }
  let sum = number(first, scope)
  while (waiting.length > 0) {
    const next = waiting.pop()!
    sum = calculate(next.op, sum, number(next.right, scope))
  }
  return sum
}

const calculate = (op: "+" | "-" | "*" | "/" | "**", left: number, right: number): number => {
  if (op === "+") return left + right
  if (op === "-") return left - right
  if (op === "*") return left * right
  if (right === 0 && op === "/") throw new ExpressionFailure("division by zero")
  if (op === "/") return left / right
  if (left === 0 && right < 0) throw new ExpressionFailure("zero to a negative power")
  const power = left ** right
  if (Number.isFinite(left) && Number.isFinite(right) && !Number.isFinite(power)) {
    throw new ExpressionFailure(Number.isNaN(power) ? "a negative number to a broken power" : "a power is too large")
  }
  return power
}

const compare = (comparator: Comparator, left: number, right: number): boolean => {
  if (comparator === "<") return left < right
  if (comparator === "<=") return left <= right
  if (comparator === ">") return left > right
  if (comparator === ">=") return left >= right
  return (left === right) === (comparator === "==")
}

const call = (name: "abs" | "min" | "max" | "clip", args: ReadonlyArray<number>): number => {
  if (name === "abs") return Math.abs(args[0]!)
  if (name === "min") return Math.min(...args)
  if (name === "max") return Math.max(...args)
  const [given, low, high] = args as [number, number, number]
  return Math.min(high, Math.max(low, given))
}
