/**
 * A typed builder of ONNX graphs.
 *
 * Types and shapes are checked where a node is made, so a mistake is reported with the operator and both shapes instead
 * of at run time by the runtime. Only operators that all our graphs need are here (opset 21 and `com.microsoft`).
 * Names come from one counter for a graph and its loop bodies: a body may read outer values, and equal names would clash.
 */
import { create, toBinary } from "@bufbuild/protobuf"
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema
} from "./onnx_pb.ts"
import { broadcast, type Dim, product, type Shape, sameShape, showShape } from "./shape.ts"

export type ElementType = "float32" | "int32" | "int64" | "bool" | "uint8"

/** The output of a node, an input or a constant. */
export interface Value {
  readonly name: string
  readonly type: ElementType
  readonly shape: Shape
}

/** Where the bytes of a constant lie: in a file beside the one that the graph is loaded from. */
export interface FilePlace {
  readonly location: string
  /** In bytes. */
  readonly offset: number
  readonly length: number
}

/** An operator was given values it cannot take: a mistake in the code that builds the graph. */
export class GraphError extends Error {
  override readonly name = "GraphError"
}

type Attribute = number | string | ReadonlyArray<number> | { readonly float: number } | { readonly graph: GraphProto }

const dataTypes = {
  float32: DataType.FLOAT,
  int32: DataType.INT32,
  int64: DataType.INT64,
  bool: DataType.BOOL,
  uint8: DataType.UINT8
} as const

const microsoft = "com.microsoft"
const utf8 = new TextEncoder()

export class Graph {
  readonly #nodes: Array<NodeProto> = []
  readonly #constants = new Map<string, { readonly value: Value; readonly data: Uint8Array | FilePlace }>()
  readonly #inputs: Array<Value> = []
  readonly #outputs: Array<Value> = []
  readonly #renamed = new Map<string, string>()
  readonly #counter: { next: number }
  readonly #outer: Graph | undefined

  /** @param outer the graph whose loop body this is; its values may be read here */
  constructor(outer?: Graph) {
    this.#outer = outer
    this.#counter = outer === undefined ? { next: 0 } : outer.#counter
  }

  #name(hint: string): string {
    return `${hint}_${this.#counter.next++}`
  }

  /** One node with as many outputs as `outputs` has types and shapes. */
  #node(
    op: string,
    inputs: ReadonlyArray<Value | undefined>,
    outputs: ReadonlyArray<readonly [ElementType, Shape]>,
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = ""
  ): Array<Value> {
    const values = outputs.map(([type, shape]) => ({ name: this.#name(op), type, shape }))
    this.#nodes.push(
      create(NodeProtoSchema, {
        opType: op,
        domain,
        name: values[0]!.name,
        input: inputs.map((input) => input?.name ?? ""),
        output: values.map((value) => value.name),
        attribute: Object.entries(attributes).map(([name, value]) => attributeProto(name, value))
      })
    )
    return values
  }

  #refuse(op: string, why: string, ...values: ReadonlyArray<Value>): never {
    throw new GraphError(
      `${op}: ${why}; given ${values.map((value) => `${value.name} ${value.type} ${showShape(value.shape)}`).join(", ")}`
    )
  }

  #floats(op: string, ...values: ReadonlyArray<Value>): void {
    if (values.some((value) => value.type !== "float32")) this.#refuse(op, "expected float32", ...values)
  }

  // ---- what enters and leaves

  input(name: string, type: ElementType, shape: Shape): Value {
    const value = { name, type, shape }
    this.#inputs.push(value)
    return value
  }

  /** A constant stored in the graph. Equal scalars and index lists are stored once. */
  constant(data: Float32Array | Int32Array | BigInt64Array, shape: ReadonlyArray<number>): Value {
    const type: ElementType = data instanceof Float32Array ? "float32" : data instanceof Int32Array ? "int32" : "int64"
    if (product(shape) !== data.length) throw new GraphError(`constant: ${data.length} numbers for ${showShape(shape)}`)
    const key = data.length <= 16 ? `${type}${showShape(shape)}${data.join(",")}` : this.#name("key")
    const known = this.#findConstant(key)
    if (known !== undefined) return known
    const value: Value = { name: this.#name("constant"), type, shape }
    this.#constants.set(key, { value, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) })
    return value
  }

  #findConstant(key: string): Value | undefined {
    const known = this.#constants.get(key)?.value
    return known === undefined && this.#outer !== undefined ? this.#outer.#findConstant(key) : known
  }

  /** A named constant: a weight that the runtime may rearrange once for speed. */
  initializer(name: string, data: Float32Array, shape: ReadonlyArray<number>): Value {
    const value: Value = { name, type: "float32", shape }
    this.#constants.set(name, { value, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) })
    return value
  }

  /** The same, left in its file: the runtime maps it, so the graph stays small. */
  external(name: string, place: FilePlace, shape: ReadonlyArray<number>, type: ElementType = "float32"): Value {
    const value: Value = { name, type, shape }
    this.#constants.set(name, { value, data: place })
    return value
  }

  scalar(number: number): Value {
    return this.constant(Float32Array.of(number), [])
  }

  int32(number: number): Value {
    return this.constant(Int32Array.of(number), [])
  }

  indices(...numbers: ReadonlyArray<number>): Value {
    return this.constant(BigInt64Array.from(numbers, BigInt), [numbers.length])
  }

  /**
   * Marks a value as a result of the graph under a name of its own. The node that makes it is renamed, because an
   * `Identity` would copy; only what is no node's output, or is put out twice, needs one.
   */
  output(given: Value, name: string): void {
    const current = { ...given, name: this.#renamed.get(given.name) ?? given.name }
    const own = this.#nodes.some((node) => node.output.includes(given.name))
    const value = own ? given : this.#unary("Identity", current)
    this.#renamed.set(given.name, this.#renamed.get(given.name) ?? name)
    for (const node of this.#nodes) {
      node.input = node.input.map((input) => (input === value.name ? name : input))
      node.output = node.output.map((output) => (output === value.name ? name : output))
    }
    this.#outputs.push({ ...value, name })
  }

  // ---- elementwise

  #elementwise(op: string, a: Value, b: Value, result: ElementType = a.type): Value {
    if (a.type !== b.type) this.#refuse(op, "types differ", a, b)
    const shape = broadcast(a.shape, b.shape)
    if (shape === undefined) this.#refuse(op, "shapes do not broadcast", a, b)
    return this.#node(op, [a, b], [[result, shape]])[0]!
  }

  add = (a: Value, b: Value): Value => this.#elementwise("Add", a, b)
  sub = (a: Value, b: Value): Value => this.#elementwise("Sub", a, b)
  mul = (a: Value, b: Value): Value => this.#elementwise("Mul", a, b)
  div = (a: Value, b: Value): Value => this.#elementwise("Div", a, b)
  equal = (a: Value, b: Value): Value => this.#elementwise("Equal", a, b, "bool")
  lessOrEqual = (a: Value, b: Value): Value => this.#elementwise("LessOrEqual", a, b, "bool")
  greater = (a: Value, b: Value): Value => this.#elementwise("Greater", a, b, "bool")

  #unary(op: string, x: Value): Value {
    return this.#node(op, [x], [[x.type, x.shape]])[0]!
  }

  neg = (x: Value): Value => this.#unary("Neg", x)
  sqrt = (x: Value): Value => this.#unary("Sqrt", x)
  exp = (x: Value): Value => this.#unary("Exp", x)
  sigmoid = (x: Value): Value => this.#unary("Sigmoid", x)

  /** `a` where the condition holds, `b` elsewhere. */
  where(condition: Value, a: Value, b: Value): Value {
    if (condition.type !== "bool" || a.type !== b.type) this.#refuse("Where", "types differ", condition, a, b)
    const values = broadcast(a.shape, b.shape)
    const shape = values && broadcast(condition.shape, values)
    if (shape === undefined) this.#refuse("Where", "shapes do not broadcast", condition, a, b)
    return this.#node("Where", [condition, a, b], [[a.type, shape]])[0]!
  }

  cast(x: Value, to: ElementType): Value {
    return x.type === to ? x : this.#node("Cast", [x], [[to, x.shape]], { to: dataTypes[to] })[0]!
  }

  // ---- shape

  readonly #reshaped = new Map<string, Value>()

  /** The same numbers under another shape. Reshaping what was reshaped goes back to the first. */
  reshape(x: Value, shape: Shape): Value {
    if (product(x.shape) !== product(shape)) this.#refuse("Reshape", `does not fit ${showShape(shape)}`, x)
    if (sameShape(x.shape, shape)) return x
    const source = this.#reshaped.get(x.name) ?? x
    // The runtime infers one dimension by itself, which spares computing it.
    const named = shape.filter((dim) => typeof dim === "string").length
    const target =
      named === 1 ? this.indices(...shape.map((dim) => (typeof dim === "number" ? dim : -1))) : this.shapeOf(shape)
    const made = this.#node("Reshape", [source, target], [[x.type, shape]])[0]!
    this.#reshaped.set(made.name, source)
    return made
  }

  readonly #sizes = new Map<string, Value>()

  /** Binds a dimension's name to where its size is found at run time: axis `axis` of `value`, over `by` if given. */
  bind(name: string, value: Value, axis: number, by = 1): void {
    const size = this.#node("Shape", [value], [["int64", [1]]], { start: axis, end: axis + 1 })[0]!
    this.#sizes.set(name, by === 1 ? size : this.div(size, this.indices(by)))
  }

  /** A shape as a run-time value: int64 `[rank]`. Made once, and outside of a loop where its dimensions are known there. */
  shapeOf(shape: Shape): Value {
    if (shape.every((dim) => typeof dim === "number")) return this.indices(...shape)
    if (this.#outer !== undefined && shape.every((dim) => this.#outer!.#knows(dim))) return this.#outer.shapeOf(shape)
    const key = showShape(shape)
    const known = this.#sizes.get(key)
    if (known !== undefined) return known
    const made = this.concat(
      shape.map((dim) => this.size(dim)),
      0
    )
    this.#sizes.set(key, made)
    return made
  }

  /** Whether the size of a dimension can be computed here. */
  #knows(dim: Dim): boolean {
    const whole = String(dim)
    const outer = this.#outer
    if (!Number.isNaN(Number(whole)) || this.#sizes.has(whole) || (outer !== undefined && outer.#knows(whole)))
      return true
    const parts = whole.split("*")
    return parts.length > 1 && parts.every((part) => this.#knows(part))
  }

  /** The size of a dimension at run time: int64 `[1]`. */
  size(dim: Dim): Value {
    if (typeof dim === "number") return this.indices(dim)
    const known = this.#sizes.get(dim)
    if (known !== undefined) return known
    if (this.#outer !== undefined && this.#outer.#knows(dim)) return this.#outer.size(dim)
    const parts = dim.split("*")
    if (parts.length === 1) throw new GraphError(`dimension ${dim} is not bound to an input`)
    const size = parts
      .map((part) => this.size(Number.isNaN(Number(part)) ? part : Number(part)))
      .reduce((a, b) => this.mul(a, b))
    this.#sizes.set(dim, size)
    return size
  }

  readonly #transposed = new Map<string, { readonly source: Value; readonly order: ReadonlyArray<number> }>()

  /** Axis i of the result is axis `order[i]` of `x`. Transposing what was transposed goes back to the first. */
  transpose(x: Value, order: ReadonlyArray<number>): Value {
    if (order.length !== x.shape.length) this.#refuse("Transpose", `order ${order} has another rank`, x)
    const shape = order.map((axis) => x.shape[axis]!)
    const moved = order.filter((axis) => x.shape[axis] !== 1)
    // Where only axes of size 1 change places, nothing moves.
    if (moved.every((axis, i) => i === 0 || moved[i - 1]! < axis)) return this.reshape(x, shape)
    const before = this.#transposed.get(x.name)
    const [source, perm] = before === undefined ? [x, order] : [before.source, order.map((axis) => before.order[axis]!)]
    const made = this.#node("Transpose", [source], [[x.type, shape]], { perm })[0]!
    this.#transposed.set(made.name, { source, order: perm })
    return made
  }

  concat(values: ReadonlyArray<Value>, axis: number): Value {
    const [first, ...rest] = values
    for (const value of rest) {
      const fits = value.type === first!.type && value.shape.every((dim, i) => i === axis || dim === first!.shape[i])
      if (!fits || value.shape.length !== first!.shape.length) this.#refuse("Concat", "values differ", first!, value)
    }
    const sizes = values.map((value) => value.shape[axis]!)
    const total = sizes.every((size) => typeof size === "number") ? sizes.reduce((a, b) => a + b, 0) : sizes.join("+")
    const shape = first!.shape.map((dim, i) => (i === axis ? total : dim))
    return this.#node("Concat", values, [[first!.type, shape]], { axis })[0]!
  }

  /** `x[..., from:to, ...]` on one axis, with numbers known while building. */
  slice(x: Value, axis: number, from: number, to: number): Value {
    const shape = x.shape.map((dim, i) => (i === axis ? to - from : dim))
    const bounds = [this.indices(from), this.indices(to), this.indices(axis)]
    return this.#node("Slice", [x, ...bounds], [[x.type, shape]])[0]!
  }

  /**
   * `x[..., from:to, ...]` on one axis, with numbers known at run time, int64 `[1]`.
   *
   * @param size what `to - from` is called
   */
  cut(x: Value, axis: number, from: Value, to: Value, size: Dim): Value {
    const shape = x.shape.map((dim, i) => (i === axis ? size : dim))
    return this.#node("Slice", [x, from, to, this.indices(axis)], [[x.type, shape]])[0]!
  }

  /** 0, 1, 2 ... up to the size of a dimension: int64 `[dim]`. */
  range(dim: Dim): Value {
    const scalar = (number: bigint) => this.constant(BigInt64Array.of(number), [])
    return this.#node("Range", [scalar(0n), this.reshape(this.size(dim), []), scalar(1n)], [["int64", [dim]]])[0]!
  }

  /** Cuts one axis into pieces of the given sizes. */
  split(x: Value, axis: number, sizes: Shape): ReadonlyArray<Value> {
    const shapes = sizes.map((size) => [x.type, x.shape.map((dim, i) => (i === axis ? size : dim))] as const)
    return this.#node("Split", [x, this.shapeOf(sizes)], shapes, { axis })
  }

  /** Zeros of a shape that may have named dimensions. */
  zeros(shape: Shape): Value {
    return this.#node("ConstantOfShape", [this.shapeOf(shape)], [["float32", shape]])[0]!
  }

  // ---- products and reductions

  /** `alpha * a b` over the last two axes; leading axes broadcast. `transA`, `transB` transpose the last two axes. */
  matMul(
    a: Value,
    b: Value,
    options: { readonly transA?: boolean; readonly transB?: boolean; readonly alpha?: number } = {}
  ): Value {
    const { transA = false, transB = false, alpha = 1 } = options
    this.#floats("MatMul", a, b)
    if (a.shape.length < 2 || b.shape.length < 2) this.#refuse("MatMul", "expected rank 2 or more", a, b)
    const [aRows, aColumns] = lastTwo(a.shape, transA)
    const [bRows, bColumns] = lastTwo(b.shape, transB)
    if (aColumns !== bRows) this.#refuse("MatMul", `inner sizes ${aColumns} and ${bRows} differ`, a, b)
    const leading = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2))
    if (leading === undefined) this.#refuse("MatMul", "leading axes do not broadcast", a, b)
    const shape = [...leading, aRows, bColumns]
    if (!transA && !transB && alpha === 1) return this.#node("MatMul", [a, b], [["float32", shape]])[0]!
    const attributes = { transA: Number(transA), transB: Number(transB), alpha: { float: alpha } }
    return this.#node("FusedMatMul", [a, b], [["float32", shape]], attributes, microsoft)[0]!
  }

  /**
   * `x w'` with `w [N, K]` held as `bytes [N, K / b, b]`: signed numbers plus 128, each block of b with its scale in
   * `scales [N, K / b]`. The runtime rounds blocks of `x` to bytes as well.
   */
  matMulBytes(x: Value, bytes: Value, scales: Value): Value {
    const [N, blocks, size] = bytes.shape as [number, number, number]
    if (bytes.type !== "uint8" || x.shape.at(-1) !== blocks * size || !sameShape(scales.shape, [N, blocks]))
      this.#refuse("MatMulNBits", "sizes do not fit", x, bytes, scales)
    const attributes = { K: blocks * size, N, bits: 8, block_size: size, accuracy_level: 4 }
    const shape = [...x.shape.slice(0, -1), N]
    return this.#node("MatMulNBits", [x, bytes, scales], [["float32", shape]], attributes, microsoft)[0]!
  }

  #reduce(op: string, x: Value, axis: number, keep: boolean): Value {
    const at = axis < 0 ? x.shape.length + axis : axis
    const shape = x.shape.flatMap((dim, i) => (i === at ? (keep ? [1] : []) : [dim]))
    return this.#node(op, [x, this.indices(axis)], [[x.type, shape]], { keepdims: Number(keep) })[0]!
  }

  sum = (x: Value, axis: number, keep = false): Value => this.#reduce("ReduceSum", x, axis, keep)
  sumSquare = (x: Value, axis: number, keep = false): Value => this.#reduce("ReduceSumSquare", x, axis, keep)
  max = (x: Value, axis: number, keep = false): Value => this.#reduce("ReduceMax", x, axis, keep)

  softmax(x: Value): Value {
    return this.#node("Softmax", [x], [["float32", x.shape]], { axis: -1 })[0]!
  }

  logSoftmax(x: Value): Value {
    return this.#node("LogSoftmax", [x], [["float32", x.shape]], { axis: -1 })[0]!
  }

  cumSum(x: Value, axis: number): Value {
    return this.#node("CumSum", [x, this.constant(BigInt64Array.of(BigInt(axis)), [])], [[x.type, x.shape]])[0]!
  }

  // ---- indexing

  /** Rows of `x` (axis 0) at integer `indices`: `[...indices, ...x without its first axis]`. */
  gather(x: Value, indices: Value): Value {
    return this.#node("Gather", [x, indices], [[x.type, [...indices.shape, ...x.shape.slice(1)]]], { axis: 0 })[0]!
  }

  /** One element of each row: `x [M, V]`, integer `columns [M, 1]` to `[M, 1]`. */
  pick(x: Value, columns: Value): Value {
    if (!sameShape([x.shape[0]!, 1], columns.shape)) this.#refuse("GatherElements", "columns do not fit", x, columns)
    return this.#node("GatherElements", [x, columns], [[x.type, columns.shape]], { axis: 1 })[0]!
  }

  /** Adds `rows [N, D]` to the rows of `base [V, D]` named by `indices [N]`; an index may occur more than once. */
  scatterAdd(base: Value, indices: Value, rows: Value): Value {
    if (!sameShape([indices.shape[0]!, base.shape[1]!], rows.shape))
      this.#refuse("ScatterND", "rows do not fit", base, indices, rows)
    const column = this.reshape(this.cast(indices, "int64"), [indices.shape[0]!, 1])
    return this.#node("ScatterND", [base, column, rows], [["float32", base.shape]], { reduction: "add" })[0]!
  }

  // ---- fused operators of language models

  /** `weight * x / sqrt(mean(x^2) + epsilon)` over the last axis. */
  rmsNorm(x: Value, weight: Value, epsilon: number): Value {
    if (!sameShape([x.shape.at(-1)!], weight.shape)) this.#refuse("RMSNorm", "weight does not fit", x, weight)
    const attributes = { axis: -1, epsilon: { float: epsilon }, stash_type: 1 }
    return this.#node("SimplifiedLayerNormalization", [x, weight], [["float32", x.shape]], attributes)[0]!
  }

  /** `x sigmoid(x)`. */
  silu(x: Value): Value {
    return this.#node("QuickGelu", [x], [[x.type, x.shape]], { alpha: { float: 1 } }, microsoft)[0]!
  }

  /**
   * Rotary positions, half-split pairing. `x [B, heads, T, d]`, tables `[maximum, d / 2]`, `positions` int64: `[B, T]`,
   * or `[1]` where every row begins at that position.
   */
  rotary(x: Value, positions: Value, cos: Value, sin: Value): Value {
    const fits = sameShape(positions.shape, [1]) || sameShape([x.shape[0]!, x.shape[2]!], positions.shape)
    if (x.shape.length !== 4 || !fits) this.#refuse("Rotary", "positions do not fit", x, positions)
    return this.#node("RotaryEmbedding", [x, positions, cos, sin], [["float32", x.shape]], {}, microsoft)[0]!
  }

  // ---- loops

  /**
   * Runs `body` at most `trips` times while its condition holds.
   *
   * @param trips int64 scalar
   * @param condition bool scalar, before the first round
   * @param carried values handed from round to round; a body's may grow, so their named dimensions are fresh
   * @param body given the round (int64 scalar) and the carried values, returns the condition, the carried values and what
   *   this round puts out
   * @param rounds what the number of rounds is called
   * @returns the carried values after the last round, and what the rounds put out, stacked on a new first axis
   */
  loop(
    trips: Value,
    condition: Value,
    carried: ReadonlyArray<{ readonly value: Value; readonly shape: Shape }>,
    body: (
      graph: Graph,
      round: Value,
      carried: ReadonlyArray<Value>
    ) => { readonly condition: Value; readonly carried: ReadonlyArray<Value>; readonly emitted: ReadonlyArray<Value> },
    rounds: Dim = "rounds"
  ): { readonly carried: ReadonlyArray<Value>; readonly emitted: ReadonlyArray<Value> } {
    const inner = new Graph(this)
    const round = inner.input(this.#name("round"), "int64", [])
    inner.input(this.#name("going"), "bool", [])
    const entering = carried.map(({ value, shape }) => inner.input(this.#name("carried"), value.type, shape))
    const result = body(inner, round, entering)
    for (const value of [result.condition, ...result.carried, ...result.emitted]) {
      inner.output(value, this.#name("leaving"))
    }
    const outputs = this.#node(
      "Loop",
      [trips, condition, ...carried.map(({ value }) => value)],
      [
        ...result.carried.map((value, i) => [value.type, carried[i]!.shape] as const),
        ...result.emitted.map((value) => [value.type, [rounds, ...value.shape]] as const)
      ],
      { body: { graph: inner.#proto("body") } }
    )
    return { carried: outputs.slice(0, carried.length), emitted: outputs.slice(carried.length) }
  }

  /**
   * Runs `body` a number of times. All that it reads is there before it begins, and what it makes is gone when a round
   * ends, except for what is carried on and what is put out: so a loop also bounds memory.
   */
  each(
    rounds: Dim,
    carried: ReadonlyArray<Value>,
    body: (
      graph: Graph,
      round: Value,
      carried: ReadonlyArray<Value>
    ) => { readonly carried: ReadonlyArray<Value>; readonly emitted: ReadonlyArray<Value> }
  ): { readonly carried: ReadonlyArray<Value>; readonly emitted: ReadonlyArray<Value> } {
    const always = this.equal(this.int32(0), this.int32(0))
    return this.loop(
      this.reshape(this.size(rounds), []),
      always,
      carried.map((value) => ({ value, shape: value.shape })),
      (graph, round, values) => ({ condition: always, ...body(graph, round, values) }),
      rounds
    )
  }

  // ---- serialisation

  /** The nodes whose results anything asks for. */
  #needed(): Array<NodeProto> {
    const asked = new Set(this.#outputs.map(({ name }) => name))
    const needed = this.#nodes.toReversed().filter((node) => {
      if (!node.output.some((name) => asked.has(name))) return false
      for (const name of [...node.input, ...bodyInputs(node)]) asked.add(name)
      return true
    })
    return needed.toReversed()
  }

  #proto(name: string): GraphProto {
    return create(GraphProtoSchema, {
      name,
      node: this.#needed(),
      input: this.#inputs.map(valueInfo),
      output: this.#outputs.map(valueInfo),
      initializer: Array.from(this.#constants.values(), ({ value, data }) =>
        create(TensorProtoSchema, {
          name: value.name,
          dataType: dataTypes[value.type],
          dims: value.shape.map((dim) => BigInt(dim as number)),
          ...(data instanceof Uint8Array
            ? { rawData: data }
            : {
                dataLocation: DataLocation.EXTERNAL,
                externalData: Object.entries(data).map(([key, entry]) =>
                  create(StringStringEntryProtoSchema, { key, value: String(entry) })
                )
              })
        })
      )
    })
  }

  /** The model as bytes that onnxruntime loads. */
  serialize(): Uint8Array {
    return toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        irVersion: 10n,
        producerName: "constellate",
        graph: this.#proto("graph"),
        opsetImport: [
          create(OperatorSetIdProtoSchema, { domain: "", version: 21n }),
          create(OperatorSetIdProtoSchema, { domain: microsoft, version: 1n })
        ]
      })
    )
  }
}

const lastTwo = (shape: Shape, transposed: boolean): readonly [Dim, Dim] =>
  transposed ? [shape.at(-1)!, shape.at(-2)!] : [shape.at(-2)!, shape.at(-1)!]

/** What the nodes of a node's loop body read, outer values among them. */
const bodyInputs = (node: NodeProto): ReadonlyArray<string> =>
  node.attribute.flatMap(({ g }) => (g?.node ?? []).flatMap((inner) => [...inner.input, ...bodyInputs(inner)]))

const attributeProto = (name: string, value: Attribute) => {
  if (typeof value === "number")
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) })
  if (typeof value === "string")
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: utf8.encode(value) })
  if ("float" in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float })
  if ("graph" in value) return create(AttributeProtoSchema, { name, type: AttributeType.GRAPH, g: value.graph })
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) })
}

// The runtime checks declared dimensions by name, so only plain names are declared; products and sums stay unnamed.
const valueInfo = (value: Value) =>
  create(ValueInfoProtoSchema, {
    name: value.name,
    type: create(TypeProtoSchema, {
      value: {
        case: "tensorType",
        value: create(TypeProto_TensorSchema, {
          elemType: dataTypes[value.type],
          shape: create(TensorShapeProtoSchema, {
            dim: value.shape.map((dim) =>
              create(TensorShapeProto_DimensionSchema, {
                value:
                  typeof dim === "number"
                    ? { case: "dimValue", value: BigInt(dim) }
                    : /^\w+$/.test(dim)
                      ? { case: "dimParam", value: dim }
                      : { case: undefined }
              })
            )
          })
        })
      }
    })
  })
