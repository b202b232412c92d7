/**
 * Progress of a long command on stderr: with a terminal one redrawn line, without one a plain line now and then.
 *
 * Everything that is written to stderr while a line is shown goes through `statusLine.print`, which clears the line,
 * writes, and draws it again.
 */
import { Clock, Effect } from "effect"

/** A stream that may be a terminal; `process.stderr` is one. */
export interface Screen {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly write: (text: string) => unknown
}

/** One line at the bottom of a terminal that can be redrawn, with other output passing above it. */
export const makeStatusLine = (screen: Screen) => {
  let shown = ""
  const clear = () => (shown === "" ? "" : "\r\x1b[2K")
  // A terminal that reports no width is taken as 80 columns; a longer text would wrap and could not be cleared.
  const cut = (text: string) => text.slice(0, (screen.columns || 80) - 1)
  return {
    animated: screen.isTTY === true,
    draw: (text: string) => {
      const before = clear()
      shown = cut(text)
      screen.write(before + shown)
    },
    print: (text: string) => {
      screen.write(`${clear()}${text}\n${shown}`)
    },
    /** Leaves what was shown last as an ordinary line. */
    end: () => {
      if (shown !== "") screen.write("\n")
      shown = ""
    }
  }
}

export type StatusLine = ReturnType<typeof makeStatusLine>

/** The process's own. */
export const statusLine: StatusLine = makeStatusLine(process.stderr)

/** Where a long command stands. */
export interface Standing {
  /** What is being done: "warm start", "training", "evaluation". */
  readonly stage: string
  /** Units done of all units of this stage. */
  readonly done: number
  readonly total: number
  /** What is counted: "update", "pack". */
  readonly unit: string
  /** Share of successes by position, as last measured. */
  readonly success?: ReadonlyArray<number>
  /** Tokens processed since the stage began. */
  readonly tokens?: number
  /** What else is to be said, such as rates of the stage's own. */
  readonly details?: ReadonlyArray<string>
  /** Where units done are no measure of what is left. */
  readonly secondsLeft?: number
}

/** Without a terminal, milliseconds between two lines. */
const plainEveryMillis = 5_000

/**
 * Shows the standings it is given until its scope closes. `report` never waits and is cheap enough to call at every
 * event: what comes too soon after the last line is skipped, except the end of a stage.
 */
export const progress = Effect.fnUntraced(function* (line: StatusLine = statusLine) {
  const started = new Map<string, { readonly millis: number; readonly done: number }>()
  let last = Number.NEGATIVE_INFINITY
  yield* Effect.addFinalizer(() => Effect.sync(line.end))
  return {
    report: (standing: Standing) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (!started.has(standing.stage)) started.set(standing.stage, { millis: now, done: standing.done })
        const since = started.get(standing.stage)!
        const ended = standing.done >= standing.total
        if (!ended && now - last < (line.animated ? 100 : plainEveryMillis)) return
        last = now
        const text = describe(standing, (now - since.millis) / 1000, standing.done - since.done)
        if (line.animated) line.draw(text)
        else line.print(text)
      })
  }
})

/**
 * A standing in one line.
 *
 * @param seconds since the stage began here
 * @param doneHere units done in these seconds; less than `done` when a run was resumed
 */
export const describe = (standing: Standing, seconds: number, doneHere: number): string => {
  const { details = [], stage, done, total, unit, success, tokens } = standing
  const left = standing.secondsLeft ?? (doneHere > 0 ? (seconds / doneHere) * (total - done) : undefined)
  return [
    `${stage}: ${unit} ${done}/${total}`,
    ...(success === undefined
      ? []
      : [`success ${success.map((share) => share.toFixed(2).replace(/^0/, "")).join(" ")}`]),
    ...details,
    ...(tokens === undefined || seconds < 0.5 ? [] : [`${count(tokens / seconds)} tokens/s`]),
    ...(left === undefined || done >= total ? [`${duration(seconds)}`] : [`${duration(left)} left`])
  ].join(" · ")
}

/** 950, 9.5k, 1.2M. */
export const count = (amount: number): string =>
  amount < 1e3 ? amount.toFixed(0) : amount < 1e6 ? `${(amount / 1e3).toFixed(1)}k` : `${(amount / 1e6).toFixed(1)}M`

/** 42 s, 3 min 05 s, 2 h 10 min. */
export const duration = (seconds: number): string => {
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`
}
