import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { count, describe as inWords, duration, makeStatusLine, progress, type Screen } from "../../src/cli/progress.ts"

/** What a terminal would show after all that was written to it, line by line. */
const terminal = (columns?: number) => {
  const lines = [""]
  const screen: Screen = {
    isTTY: true,
    ...(columns === undefined ? {} : { columns }),
    write: (text) => {
      for (const part of text.replaceAll("\r\x1b[2K", "\r").split(/(\n|\r)/)) {
        if (part === "\n") lines.push("")
        else if (part === "\r") lines[lines.length - 1] = ""
        else lines[lines.length - 1] += part
      }
    }
  }
  return { lines, screen }
}

describe("the status line", () => {
  it("is redrawn below what is printed meanwhile, and stays as a line in the end", () => {
    const { lines, screen } = terminal()
    const line = makeStatusLine(screen)
    line.draw("update 1")
    line.draw("update 2")
    expect(lines).toEqual(["update 2"])
    line.print("warning: slow")
    expect(lines).toEqual(["warning: slow", "update 2"])
    line.draw("update 3")
    line.end()
    line.print("interrupted")
    expect(lines).toEqual(["warning: slow", "update 3", "interrupted", ""])
  })

  it("never wraps, since what has wrapped can't be cleared", () => {
    for (const columns of [20, 0]) {
      const { lines, screen } = terminal(columns)
      makeStatusLine(screen).draw("x".repeat(200))
      expect(lines[0]!.length).toBeLessThan(columns || 80)
    }
  })
})

describe("progress", () => {
  const standing = { stage: "training", unit: "update", total: 80 }

  it.effect("without a terminal writes a plain line now and then, and the end of a stage", () =>
    Effect.gen(function* () {
      const written: Array<string> = []
      const { report } = yield* progress(makeStatusLine({ write: (text) => written.push(text) }))
      for (let done = 0; done <= 80; done++) {
        yield* report({ ...standing, done })
        yield* TestClock.adjust("500 millis")
      }
      expect(written).toHaveLength(9)
      expect(written[1]).toBe("training: update 10/80 · 35 s left\n")
      expect(written.at(-1)).toBe("training: update 80/80 · 40 s\n")
      expect(written.join("")).not.toContain("\x1b")
    }).pipe(Effect.scoped)
  )

  it.effect("on a terminal redraws one line and leaves it when its scope closes", () =>
    Effect.gen(function* () {
      const { lines, screen } = terminal()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { report } = yield* progress(makeStatusLine(screen))
          for (let done = 0; done <= 80; done++) {
            yield* report({ ...standing, done })
            yield* TestClock.adjust("500 millis")
          }
        })
      )
      expect(lines).toEqual(["training: update 80/80 · 40 s", ""])
    })
  )

  it("says stage, unit, success by position, speed and the time left", () => {
    const text = inWords({ ...standing, done: 20, success: [0.3, 1], tokens: 250_000 }, 10, 20)
    expect(text).toBe("training: update 20/80 · success .30 1.00 · 25.0k tokens/s · 30 s left")
  })

  it("reckons the time left of a resumed run from what was done here", () => {
    expect(inWords({ ...standing, done: 70 }, 10, 10)).toBe("training: update 70/80 · 10 s left")
  })

  it("writes numbers and times as people do", () => {
    expect([950, 9_500, 1_200_000].map(count)).toEqual(["950", "9.5k", "1.2M"])
    expect([42, 185, 7_800].map(duration)).toEqual(["42 s", "3 min 05 s", "2 h 10 min"])
  })
})
