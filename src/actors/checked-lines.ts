/**
 * Files of lines that end with a checksum of themselves: what is torn or was altered is found.
 *
 * A line is an object of JSON whose last key is `checksum`, half of the SHA-256 of the object without it. Lines end with a
 * line feed and with nothing else: other separators may stand in texts.
 */
import { Effect, FileSystem, Stream } from "effect"
import { hash } from "node:crypto"

/** Characters of a checksum, hexadecimal. */
export const checksumLength = 16

const checksum = (json: string): string => hash("sha256", json, "hex").slice(0, checksumLength)

/** The line of an object, given as JSON with at least one key. */
export const checkedLine = (json: string): string => `${json.slice(0, -1)},"checksum":"${checksum(json)}"}\n`

/** The object of a line, and whether it is as it was written; undefined when it is no object with a checksum at all. */
export const readCheckedLine = (text: string): { readonly value: unknown; readonly intact: boolean } | undefined => {
  const ending = /,"checksum":"([0-9a-f]{16})"\}$/.exec(text)
  if (ending === null) return undefined
  const json = `${text.slice(0, ending.index)}}`
  try {
    return { value: JSON.parse(json), intact: checksum(json) === ending[1] }
  } catch {
    return undefined
  }
}

/** A line as it stands in a file. */
export interface FileLine {
  readonly file: string
  /** Counted from 1. */
  readonly number: number
  readonly text: string
  /** It has its line feed. Only the last line of a file may have none: a kill has torn it. */
  readonly whole: boolean
}

/** The lines of a file, read as they are asked for. */
export const linesOf = (file: string) =>
  Stream.unwrap(
    Effect.map(FileSystem.FileSystem, (files) => {
      let rest = ""
      let number = 0
      const line = (text: string, whole: boolean): FileLine => ({ file, number: ++number, text, whole })
      const whole = files.stream(file).pipe(
        Stream.decodeText,
        Stream.flatMap((text) => {
          const texts = (rest + text).split("\n")
          rest = texts.pop()!
          return Stream.fromIterable(texts.map((text) => line(text, true)))
        })
      )
      const torn = Stream.suspend(() => (rest === "" ? Stream.empty : Stream.make(line(rest, false))))
      return Stream.concat(whole, torn)
    })
  )
