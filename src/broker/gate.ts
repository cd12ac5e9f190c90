/**
 * Holds publishers back while memory or the disk is short, in the order they came; consumers are not held back, for
 * they are what makes room.
 */
import { assert } from '../std/assert.ts'
import { Deque } from '../std/deque.ts'

export class Gate {
  readonly #reasons = new Set<string>()
  readonly #waiting = new Deque<{ pass: () => void; fail: (error: Error) => void }>()
  readonly #onChange: (reason: string | undefined) => void
  #failure: Error | undefined

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
    if (before === this.shut) return
    // Those who waited come before whoever is told of it and sends at once.
    if (!this.shut) this.#release()
    this.#onChange(this.shut ? reason : undefined)
  }

  /**
   * Resolves when the gate is open; rejects when it failed, or when the signal calls the wait off. With a signal and without,
   * those who wait go on in the order they came.
   */
  wait(signal?: AbortSignal): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (!this.shut) return Promise.resolve()
    return new Promise((resolve, reject) => {
      if (signal === undefined) {
        this.#waiting.push({ pass: resolve, fail: reject })
        return
      }
      const abort = (): void => reject(signal.reason as Error)
      const done = (): void => signal.removeEventListener('abort', abort)
      signal.addEventListener('abort', abort, { once: true })
      this.#waiting.push({ pass: () => (done(), resolve()), fail: (error) => (done(), reject(error)) })
    })
  }

  /** It opens no more: rejects everyone who waits, and who comes later. */
  fail(error: Error): void {
    this.#failure ??= error
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next.fail(error)
  }

  invariants(): void {
    assert(this.shut || this.#waiting.length === 0, 'nobody waits at an open gate')
    assert(this.#failure === undefined || this.#waiting.length === 0, 'nobody waits at a failed gate')
  }

  #release(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next.pass()
  }
}
