/**
 * The safetensors format: eight bytes with the length of a JSON header, the header, the tensors' bytes one after another.
 *
 * A header `{ name: { dtype, shape, data_offsets }, __metadata__ }` counts its offsets from its own end. We write float32
 * and read float16 and bfloat16 as well, always as float32. What is accepted is what the reference reader accepts:
 * tensors that fill the file without a gap or an overlap.
 */
import { endianness } from "node:os"

export interface Tensor {
  readonly shape: ReadonlyArray<number>
  readonly data: Float32Array
}

/** Where a tensor lies in its file. */
export interface TensorEntry {
  readonly dtype: "F32" | "F16" | "BF16"
  readonly shape: ReadonlyArray<number>
  /** First byte, from the beginning of the file, and the one behind the last. */
  readonly start: number
  readonly end: number
}

/** Bytes that are not a safetensors file. `field` names the tensor where it is one's fault. */
export class SafetensorsError extends Error {
  readonly field: string | undefined
  readonly value: unknown
  readonly expected: string

  constructor(value: unknown, expected: string, field?: string) {
    super(
      `${field ?? "safetensors file"} is ${typeof value === "string" ? value : JSON.stringify(value)}, expected ${expected}`
    )
    this.name = "SafetensorsError"
    this.field = field
    this.value = value
    this.expected = expected
  }
}

/** All integers and floats of the format are little-endian, and so must be the machine whose arrays we hand out as bytes. */
if (endianness() !== "LE") throw new Error("safetensors files are read and written on little-endian machines only")

const bytesPerElement: Readonly<Record<string, number>> = { F32: 4, F16: 2, BF16: 2 }

/** As the reference reader has it. */
const longestHeader = 100_000_000

const product = (shape: ReadonlyArray<number>): number => shape.reduce((a, b) => a * b, 1)

/**
 * A file in pieces to be written in order: the header, then each tensor's own bytes, not copied. The same tensors in the
 * same order give the same bytes.
 */
export const encodeSafetensors = (
  tensors: Iterable<readonly [name: string, tensor: Tensor]>,
  metadata: Readonly<Record<string, string>> = { format: "pt" }
): ReadonlyArray<Uint8Array> => {
  const header: Record<string, unknown> = { __metadata__: metadata }
  const data: Array<Uint8Array> = []
  let offset = 0
  for (const [name, tensor] of tensors) {
    if (tensor.data.length !== product(tensor.shape)) {
      throw new SafetensorsError(
        `${tensor.data.length} numbers`,
        `those of a shape ${JSON.stringify(tensor.shape)}`,
        name
      )
    }
    if (Object.hasOwn(header, name)) throw new SafetensorsError("there twice", "different names", name)
    const end = offset + tensor.data.byteLength
    header[name] = { dtype: "F32", shape: tensor.shape, data_offsets: [offset, end] }
    data.push(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength))
    offset = end
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const padded = Math.ceil(json.length / 8) * 8
  const head = new Uint8Array(8 + padded).fill(0x20)
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true)
  head.set(json, 8)
  return [head, ...data]
}

/** The whole file at once, for small ones. */
export const decodeSafetensors = (file: Uint8Array): ReadonlyMap<string, Tensor> => {
  const header = file.subarray(8, 8 + headerLength(file.subarray(0, 8), file.length))
  return new Map(
    [...tensorEntries(header, file.length)].map(([name, entry]) => {
      const data = new Float32Array(product(entry.shape))
      readFloats(entry, file.subarray(entry.start, entry.end), data)
      return [name, { shape: entry.shape, data }]
    })
  )
}

/** From the first eight bytes of a file: how many bytes of header follow. */
export const headerLength = (prefix: Uint8Array, fileBytes: number): number => {
  if (prefix.length < 8)
    throw new SafetensorsError(`${fileBytes} bytes long`, "at least the 8 bytes of the header's length")
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true))
  if (length > longestHeader) {
    throw new SafetensorsError(
      `a file with a header of ${length} bytes`,
      `at most ${longestHeader}: is it safetensors?`
    )
  }
  if (8 + length > fileBytes) {
    throw new SafetensorsError(`${fileBytes} bytes long`, `${8 + length} for its header alone: is it truncated?`)
  }
  return length
}

/** The tensors that a header announces, in the order of the header. */
export const tensorEntries = (header: Uint8Array, fileBytes: number): ReadonlyMap<string, TensorEntry> => {
  const base = 8 + header.length
  const entries = new Map(
    Object.entries(parse(header))
      .filter(([name]) => name !== "__metadata__")
      .map(([name, described]) => [name, tensorEntry(name, described, base)])
  )
  let at = base
  for (const [name, { start, end }] of [...entries].toSorted(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    if (start !== at) {
      throw new SafetensorsError(
        `at byte ${start - base}`,
        `its start at ${at - base}, where the tensor before ends`,
        name
      )
    }
    at = end
  }
  if (at !== fileBytes) {
    throw new SafetensorsError(`${fileBytes} bytes long`, `${at}${at > fileBytes ? ": is it truncated?" : ""}`)
  }
  return entries
}

const parse = (header: Uint8Array): object => {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header))
  } catch {
    // Answered below.
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new SafetensorsError("a file with a header that is not a JSON object", "safetensors")
  }
  return json
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const isSizes = (value: unknown): value is ReadonlyArray<number> => Array.isArray(value) && value.every(isSize)

const tensorEntry = (name: string, described: unknown, base: number): TensorEntry => {
  const { dtype, shape, data_offsets: offsets } = { ...(described as Record<string, unknown>) }
  const width = typeof dtype === "string" && Object.hasOwn(bytesPerElement, dtype) ? bytesPerElement[dtype] : undefined
  if (width === undefined) {
    throw new SafetensorsError(
      `of type ${JSON.stringify(dtype)}`,
      `one of ${Object.keys(bytesPerElement).join(", ")}`,
      name
    )
  }
  if (!isSizes(shape)) throw new SafetensorsError(`of shape ${JSON.stringify(shape)}`, "a list of sizes", name)
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[1]! < offsets[0]!) {
    throw new SafetensorsError(`at ${JSON.stringify(offsets)}`, "two offsets, the start and the end", name)
  }
  const [start, end] = [offsets[0]!, offsets[1]!]
  if (end - start !== width * product(shape)) {
    throw new SafetensorsError(
      `${end - start} bytes long`,
      `${width * product(shape)}, as its shape ${JSON.stringify(shape)} says`,
      name
    )
  }
  return { dtype: dtype as TensorEntry["dtype"], shape, start: base + start, end: base + end }
}

/** A tensor's bytes as numbers, written into `out`, which has one place for each. */
export const readFloats = (entry: Pick<TensorEntry, "dtype">, bytes: Uint8Array, out: Float32Array): void => {
  if (entry.dtype === "F32") {
    new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes)
    return
  }
  // Bits are put together by hand because the bytes may lie at an odd address.
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length)
  const widen = entry.dtype === "BF16" ? (half: number) => half << 16 : widenHalf
  for (let i = 0; i < out.length; i++) bits[i] = widen(bytes[2 * i]! | (bytes[2 * i + 1]! << 8))
}

/** The bits of a float16 as those of the float32 of the same value. */
const widenHalf = (half: number): number => {
  const sign = (half & 0x8000) << 16
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13)
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13)
  if (fraction === 0) return sign
  // Subnormal there, normal here: the leading one becomes the implied one.
  const shift = Math.clz32(fraction) - 21
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)
}
