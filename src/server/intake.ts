/**
 * Whether a connection's socket is read: not while its login is looked at, while its publishes must wait, while its channels
 * have set much aside, or while it takes none of its answers.
 */
import type { Duplex } from 'node:stream'

const bits = { blocked: 1, deferred: 2, flooded: 4, login: 8 } as const

export type PauseReason = keyof typeof bits

/** What a frame set aside costs besides its payload, about. */
const deferredFrameBytes = 64

export class Intake {
  readonly #socket: Duplex
  readonly #deferredLimit: number
  readonly #onResumed: () => void
  #reasons: number
  #deferredBytes: number

  constructor(socket: Duplex, limits: { deferredBytes: number }, onResumed: () => void) {
    this.#socket = socket
    this.#onResumed = onResumed
    this.#deferredLimit = limits.deferredBytes
    this.#reasons = 0
    this.#deferredBytes = 0
  }

  get paused(): boolean {
    return this.#reasons !== 0
  }

  /** False where it was paused for that reason already. */
  pause(reason: PauseReason): boolean {
    const bit = bits[reason]
    if ((this.#reasons & bit) !== 0) return false
    if (this.#reasons === 0) this.#socket.pause()
    this.#reasons |= bit
    return true
  }

  resume(reason: PauseReason): void {
    const bit = bits[reason]
    if ((this.#reasons & bit) === 0) return
    this.#reasons &= ~bit
    if (this.#reasons !== 0) return
    this.#onResumed()
    this.#socket.resume()
  }

  /** So many bytes were set aside. */
  defer(bytes: number): void {
    this.#deferredBytes += bytes + deferredFrameBytes
    if (this.#deferredBytes > this.#deferredLimit) this.pause('deferred')
  }

  /** So many bytes were taken up again. */
  takeUp(bytes: number): void {
    this.#deferredBytes -= bytes + deferredFrameBytes
    if (this.#deferredBytes <= this.#deferredLimit) this.resume('deferred')
  }

  /** Reads whatever comes, until the end. */
  drain(): void {
    this.#reasons = 0
    this.#socket.resume()
  }
}
