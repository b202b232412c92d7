/** How long the event loop of a thread keeps timers, signals and messages waiting. */
import { monitorEventLoopDelay } from "node:perf_hooks"

/** Milliseconds. */
export interface Lag {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export const noLag: Lag = { p50: 0, p99: 0, max: 0 }

/** What is measured is the time between two ticks of a timer, which is this when nothing is late. */
const resolutionMillis = 5

/** Begins to measure; what it returns says what has been found, and goes on. */
export const measureLag = (): (() => Lag) => {
  const delay = monitorEventLoopDelay({ resolution: resolutionMillis })
  delay.enable()
  const late = (nanos: number) => Math.max(0, Math.round((nanos / 1e6 - resolutionMillis) * 100) / 100)
  return () =>
    delay.count === 0
      ? noLag
      : { p50: late(delay.percentile(50)), p99: late(delay.percentile(99)), max: late(delay.max) }
}

/** The largest of each over several threads. */
export const largestLag = (lags: ReadonlyArray<Lag>): Lag =>
  lags.reduce(
    (a, b) => ({ p50: Math.max(a.p50, b.p50), p99: Math.max(a.p99, b.p99), max: Math.max(a.max, b.max) }),
    noLag
  )
