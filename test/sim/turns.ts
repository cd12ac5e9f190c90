/** Time and turns of the event loop, in the simulation's hands: nothing happens unless it is stepped. */
import type { Clock } from '../../src/broker/clock.ts'
import type { Scheduler } from '../../src/store/scheduler.ts'
import type { Random } from '../std/random.ts'

interface Timer {
  readonly atMs: number
  readonly callback: () => void
}

export class Turns implements Clock, Scheduler {
  #nowMs: number
  #turns: (() => void)[] = []
  #timers: Timer[] = []

  constructor(nowMs: number) {
    this.#nowMs = nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  // The broker's `soon` and the store's `endOfTurn` are turns of their own; the store's `soon` is a microtask.

  soon(callback: () => void): void {
    this.#turns.push(callback)
  }

  endOfTurn(callback: () => void): void {
    this.#turns.push(callback)
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  keepAlive(): () => void {
    return () => undefined
  }

  get waiting(): number {
    return this.#turns.length
  }

  /** When the next timer is due; Infinity for never. */
  nextTimerMs(): number {
    return this.#timers.reduce((soonest, timer) => Math.min(soonest, timer.atMs), Infinity)
  }

  /** Runs one turn that waits; its place is drawn, for turns of broker and store come in any order. */
  runOne(random: Random): boolean {
    if (this.#turns.length === 0) return false
    const [callback] = this.#turns.splice(random.below(this.#turns.length), 1)
    callback?.()
    return true
  }

  /** Time passes; what becomes due runs, each in order. */
  advance(ms: number): void {
    this.#nowMs += ms
    for (;;) {
      const due = this.#timers.filter((timer) => timer.atMs <= this.#nowMs)
      if (due.length === 0) return
      const next = due.reduce((first, timer) => (timer.atMs < first.atMs ? timer : first))
      this.#timers = this.#timers.filter((timer) => timer !== next)
      next.callback()
    }
  }

  /** The process is dead: nothing that waited will happen. */
  clear(): void {
    this.#turns = []
    this.#timers = []
  }
}

/** Lets every promise that can settle do so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
