/**
 * Holds publishers back while memory or the disk is short, in the order they came; consumers are not held back, for
 * they are what makes room.
 */
import { Deque } from '../std/deque.ts'

export class Gate {
  readonly #reasons = new Set<string>()
  readonly #waiting = new Deque<{ pass: () => void; fail: (error: Error) => void }>()
  readonly #onChange: (reason: string | undefined) => void

  /** @param onChange called with a reason when the gate shuts, without one when it opens */
  constructor(onChange: (reason: string | undefined) => void) {
    this.#onChange = onChange
  }

  get shut(): boolean {
    return this.#reasons.size > 0
  }

  /** Why it is shut, for people. */
  get reason(): string {
    return [...this.#reasons].join(', ')
  }

  /** Shuts or opens it for one reason; it is open when no reason is left. */
  set(reason: string, shut: boolean): void {
    if (shut === this.#reasons.has(reason)) return
    const before = this.shut
    if (shut) this.#reasons.add(reason)
    else this.#reasons.delete(reason)
    if (before !== this.shut) this.#onChange(this.shut ? reason : undefined)
    if (!this.shut) this.#release()
  }

  /** Resolves when the gate is open. */
  wait(): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.push({ pass: resolve, fail: reject }))
  }

  /** Rejects everyone who waits. */
  fail(error: Error): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next.fail(error)
  }

  #release(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next.pass()
  }
}
