/**
 * A progress bar on the error stream, where that is a terminal, for work that takes longer than a moment. It is ours, for
 * forty lines weigh less than the six packages that the usual library brings.
 */
import type { Terminal } from './terminal.ts'

const width = 28
/** Work that is done sooner shows no bar. */
const patienceMs = 300
const refreshMs = 100

export class Progress {
  readonly #terminal: Terminal
  readonly #title: string
  readonly #total: number | undefined
  readonly #startedMs = Date.now()
  #done = 0
  #drawnMs = 0

  /** @param total how much there is to do, where that is known */
  constructor(terminal: Terminal, title: string, total?: number) {
    this.#terminal = terminal
    this.#title = title
    this.#total = total
  }

  get done(): number {
    return this.#done
  }

  advance(count: number): void {
    this.#done += count
    const nowMs = Date.now()
    if (!this.#terminal.errorsIsTerminal || nowMs - this.#startedMs < patienceMs) return
    if (nowMs - this.#drawnMs < refreshMs) return
    this.#drawnMs = nowMs
    this.#terminal.writeNote(`\r${this.#line(nowMs)}\u001b[K`)
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#drawnMs > 0) this.#terminal.writeNote('\r\u001b[K')
  }

  #line(nowMs: number): string {
    const perSecond = Math.round((this.#done * 1_000) / Math.max(1, nowMs - this.#startedMs))
    const figures = `${this.#done.toLocaleString('en')} at ${perSecond.toLocaleString('en')}/s`
    if (this.#total === undefined || this.#total === 0) return `${this.#title} ${figures}`
    const part = Math.min(1, this.#done / this.#total)
    const bar = '█'.repeat(Math.round(part * width)).padEnd(width, '░')
    return `${this.#title} ${bar} ${Math.round(part * 100)}% ${figures}`
  }
}
