/**
 * Counter-based random streams with names.
 *
 * A stream is Philox4x32-10 (Salmon et al. 2011) under a key that is a hash of its name, so it needs no state beyond a
 * counter, and no draw depends on who drew before: the same name gives the same numbers at any concurrency.
 */
import { hash } from "node:crypto"

/** A part of a stream's name. A bigint carries a 64-bit pack seed. */
export type Name = string | number | bigint

/** Same shape as the environment API's `Rng`, which this room does not import. */
export interface Stream {
  readonly uniform: () => number
  readonly int: (low: number, high: number) => number
  readonly normal: () => number
  readonly pick: <A>(items: ReadonlyArray<A>) => A
  readonly shuffle: <A>(items: ReadonlyArray<A>) => Array<A>
}

/** One block of Philox4x32-10: four 32-bit words of the counter under a 64-bit key, written into `out`. */
export const philox = (
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Uint32Array
): void => {
  for (let round = 0; round < 10; round++) {
    const low0 = Math.imul(0xd2511f53, c0)
    const high0 = multiplyHigh(0xd2511f53, c0)
    const low1 = Math.imul(0xcd9e8d57, c2)
    const high1 = multiplyHigh(0xcd9e8d57, c2)
    c0 = high1 ^ c1 ^ k0
    c1 = low1
    c2 = high0 ^ c3 ^ k1
    c3 = low0
    k0 = (k0 + 0x9e3779b9) | 0
    k1 = (k1 + 0xbb67ae85) | 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

/** Upper 32 bits of the product of two unsigned 32-bit integers. */
const multiplyHigh = (a: number, b: number): number => {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const carry = aLow * bHigh + (middle & 0xffff)
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) | 0
}

/** Joins the parts of a name so that no two different lists of parts give the same text. */
const spell = (parts: ReadonlyArray<Name>): string =>
  JSON.stringify(
    parts.map((part) => {
      if (typeof part === "bigint") return `${part}n`
      // A text that looks like one of these must not pass for it.
      return typeof part === "string" && /^\^*-?\d+n$/.test(part) ? `^${part}` : part
    })
  )

/** A 64-bit hash of a name as an unsigned bigint: the first eight bytes, big-endian, of SHA-256. */
export const hash64 = (...parts: ReadonlyArray<Name>): bigint =>
  hash("sha256", spell(parts), "buffer").readBigUInt64BE(0)

/** The stream of that name, at its beginning. */
export const stream = (...parts: ReadonlyArray<Name>): Stream => streams(...parts)(0, 0)

/**
 * Many streams under one name, told apart by two integers in [0, 2^32): they stand in the upper half of the counter, so
 * that a stream costs no hashing. Those of (0, 0) are the numbers of `stream` by that name.
 */
export const streams = (...parts: ReadonlyArray<Name>): ((a: number, b: number) => Stream) => {
  const digest = hash("sha256", spell(parts), "buffer")
  const k0 = digest.readInt32LE(0)
  const k1 = digest.readInt32LE(4)
  return (a, b) => member(k0, k1, a | 0, b | 0)
}

const member = (k0: number, k1: number, a: number, b: number): Stream => {
  // Made when the first number is drawn: many streams are handed out and never used.
  let block: Uint32Array | undefined
  let counter = 0
  let left = 0

  const word = (): number => {
    block ??= new Uint32Array(4)
    if (left === 0) {
      philox(counter | 0, Math.floor(counter / 0x1_0000_0000) | 0, a, b, k0, k1, block)
      counter++
      left = 4
    }
    return block[--left]!
  }
  // 53 bits, so that every representable step of [0, 1) at that resolution can occur.
  const uniform = (): number => ((word() >>> 5) * 67108864 + (word() >>> 6)) / 9007199254740992
  const int = (low: number, high: number): number => low + Math.floor(uniform() * (high - low + 1))
  const shuffle = <A>(items: ReadonlyArray<A>): Array<A> => {
    const shuffled = [...items]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = int(0, i)
      const held = shuffled[i]!
      shuffled[i] = shuffled[j]!
      shuffled[j] = held
    }
    return shuffled
  }
  return {
    uniform,
    int,
    // Box-Muller; 1 - u keeps the logarithm finite.
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    pick: (items) => items[int(0, items.length - 1)]!,
    shuffle
  }
}
