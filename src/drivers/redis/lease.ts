/** A lease as its holder sees it: it lasts for a time from when its renewal was sent, whatever became of the answer. */

/** `setTimeout` knows no more. */
export const longestTimerMs = 2 ** 31 - 1

export class Lease {
  readonly #onLapsed: () => void
  #timer: NodeJS.Timeout | undefined
  /** Of `performance.now()`. */
  #untilMs = 0

  constructor(onLapsed: () => void) {
    this.#onLapsed = onLapsed
  }

  /** It was renewed. The timer is not set anew each time: when it fires, it looks how long the lease holds by now. */
  holds(sentAtMs: number, ms: number): void {
    this.#untilMs = Math.max(this.#untilMs, sentAtMs + ms)
    if (this.#timer === undefined) this.#watch()
  }

  /** @param nowMs of `performance.now()`: the timer may not have had its turn. */
  isHeld(nowMs: number): boolean {
    return nowMs < this.#untilMs
  }

  /** It is given up; a new one may begin. */
  end(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#untilMs = 0
  }

  #watch(): void {
    const leftMs = Math.ceil(this.#untilMs - performance.now())
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        if (performance.now() < this.#untilMs) return this.#watch()
        this.end()
        this.#onLapsed()
      },
      Math.min(longestTimerMs, Math.max(0, leftMs)),
    )
  }
}
