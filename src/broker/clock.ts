/**
 * The broker's only source of time and turns. The simulation supplies its own.
 */
import { performance } from 'node:perf_hooks'

export interface Clock {
  /** Milliseconds since the epoch, never going back while the process lives. */
  nowMs(): number
  /** Calls back once, after so long; returns what calls it off. */
  after(delayMs: number, callback: () => void): () => void
  /** Calls back in a turn of its own, soon, letting input and output through in between. */
  soon(callback: () => void): void
  /** Keeps the process from ending by itself; returns what lets it end. */
  keepAlive(): () => void
}

/** Longest time a timer is set for; longer ones are set again (setTimeout counts in 32 bits). */
const maximumTimerMs = 2_147_483_647

/**
 * Time from the monotonic clock, anchored to the wall clock once: when the wall clock jumps, delays and expiries keep
 * their length.
 */
export function systemClock(): Clock {
  const anchorMs = Date.now() - performance.now()
  return {
    nowMs: () => Math.floor(anchorMs + performance.now()),
    after: (delayMs, callback) => {
      const timer = setTimeout(callback, Math.min(Math.max(0, delayMs), maximumTimerMs))
      return () => clearTimeout(timer)
    },
    soon: (callback) => {
      setImmediate(callback)
    },
    keepAlive: () => {
      const timer = setInterval(() => undefined, maximumTimerMs)
      return () => clearInterval(timer)
    },
  }
}
