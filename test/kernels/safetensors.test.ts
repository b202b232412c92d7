import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  decodeSafetensors,
  encodeSafetensors,
  readFloats,
  SafetensorsError,
  type Tensor
} from "../../src/kernels/safetensors.ts"

const encoded = (tensors: Readonly<Record<string, Tensor>>) => Buffer.concat(encodeSafetensors(Object.entries(tensors)))

/** A file with that header and so many bytes of tensors. */
const file = (header: unknown, bytes: number) => {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, Buffer.alloc(bytes)])
}

const tensor = (shape: ReadonlyArray<unknown>, offsets: ReadonlyArray<unknown>, dtype = "F32") => ({
  dtype,
  shape,
  data_offsets: offsets
})

describe("safetensors", () => {
  it("are a length, a header padded to eight bytes, and the numbers", () => {
    const bytes = encoded({ a: { shape: [2, 1], data: Float32Array.of(1, -2) } })
    const header = `{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}`
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8)
    expect(bytes.readBigUInt64LE(0)).toBe(BigInt(padded.length))
    expect(bytes.toString("latin1", 8, 8 + padded.length)).toBe(padded)
    expect(bytes.subarray(8 + padded.length)).toEqual(Buffer.from([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]))
  })

  it("come back as they were, bit for bit", () => {
    const one = fc.float32Array({ maxLength: 12 }).map((data): Tensor => ({ shape: [1, data.length], data }))
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "binary" }), one), (tensors) => {
        const wellFormed = Object.entries(tensors).filter(([name]) => name.isWellFormed() && name !== "__metadata__")
        const back = decodeSafetensors(Buffer.concat(encodeSafetensors(wellFormed)))
        expect([...back].toSorted()).toEqual(wellFormed.toSorted())
      }),
      { seed: 3 }
    )
  })

  it("may hold half-precision numbers of both kinds", () => {
    // All 65,536 of each, against the definition: (-1)^s 2^(e - bias) 1.f, subnormals 2^(1 - bias) 0.f.
    const all = Uint16Array.from({ length: 65_536 }, (_, bits) => bits)
    for (const [dtype, exponentBits] of [
      ["F16", 5],
      ["BF16", 8]
    ] as const) {
      const fractionBits = 15 - exponentBits
      const bias = 2 ** (exponentBits - 1) - 1
      const out = new Float32Array(all.length)
      readFloats({ dtype }, new Uint8Array(all.buffer), out)
      const meant = Float32Array.from(all, (bits) => {
        const sign = bits >> 15 === 0 ? 1 : -1
        const exponent = (bits >> fractionBits) & (2 ** exponentBits - 1)
        const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits
        if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN
        return sign * (exponent === 0 ? 2 ** (1 - bias) * fraction : 2 ** (exponent - bias) * (1 + fraction))
      })
      expect(
        out.every((x, i) => Object.is(x, meant[i])),
        dtype
      ).toBe(true)
    }
  })

  it.each<[string, Uint8Array, string]>([
    ["no file", Buffer.alloc(3), "safetensors file is 3 bytes long, expected at least the 8 bytes"],
    ["a header longer than the file", file({}, 0).subarray(0, 9), "is 9 bytes long, expected 10 for its header alone"],
    ["something else", Buffer.from("PK\x03\x04 and more than eight"), "is a file with a header of"],
    ["no JSON", file("{", 0), "a header that is not a JSON object"],
    ["a list", file("[]", 0), "a header that is not a JSON object"],
    ["a truncated file", file({ a: tensor([2], [0, 8]) }, 7), "is 69 bytes long, expected 70: is it truncated?"],
    ["bytes behind the tensors", file({ a: tensor([2], [0, 8]) }, 9), "is 71 bytes long, expected 70"],
    ["a gap", file({ a: tensor([1], [4, 8]) }, 8), "a is at byte 4, expected its start at 0"],
    [
      "an overlap",
      file({ a: tensor([2], [0, 8]), b: tensor([1], [4, 8]) }, 8),
      "b is at byte 4, expected its start at 8"
    ],
    [
      "an unknown type",
      file({ a: tensor([1], [0, 8], "I64") }, 8),
      `a is of type "I64", expected one of F32, F16, BF16`
    ],
    ["an inherited type", file({ a: tensor([1], [0, 8], "toString") }, 8), `a is of type "toString"`],
    ["no shape", file({ a: tensor([-1], [0, 4]) }, 4), "a is of shape [-1], expected a list of sizes"],
    ["no offsets", file({ a: tensor([1], [4, 0]) }, 4), "a is at [4,0], expected two offsets"],
    ["no tensor", file({ a: null }, 4), "a is of type undefined"],
    [
      "a shape of another size",
      file({ a: tensor([3], [0, 8]) }, 8),
      "a is 8 bytes long, expected 12, as its shape [3] says"
    ]
  ])("refuse %s", (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes)).toThrow(SafetensorsError)
    expect(() => decodeSafetensors(bytes)).toThrow(message)
  })

  it("refuse to be written with a wrong shape or a name twice", () => {
    const one = { shape: [1], data: Float32Array.of(1) }
    expect(() => encoded({ a: { ...one, shape: [2] } })).toThrow("a is 1 numbers, expected those of a shape [2]")
    expect(() =>
      encodeSafetensors([
        ["a", one],
        ["a", one]
      ])
    ).toThrow("a is there twice")
  })
})
