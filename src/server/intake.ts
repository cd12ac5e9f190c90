/**
 * Whether a connection's socket is read: not while its login is looked at, while its publishes must wait, while its channels have set much aside, or while
 * it takes none of its answers.
 */
import type { Duplex } from 'node:stream'

const bits = { blocked: 1, deferred: 2, flooded: 4, login: 8 } as const

export type PauseReason = keyof typeof bits

/** What a frame set aside costs besides its payload, about. */
const deferredFrameBytes = 64

export class Intake {
  readonly #socket: Duplex
  readonly #deferredLimit: number
  #reasons: number
  #deferredBytes: number

  constructor(socket: Duplex, limits: { deferredBytes: number }) {
    this.#socket = socket
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

  /** True when it is read again by that. */
  resume(reason: PauseReason): boolean {
    const bit = bits[reason]
    if ((this.#reasons & bit) === 0) return false
    this.#reasons &= ~bit
    if (this.#reasons !== 0) return false
    this.#socket.resume()
    return true
  }

  /** So many bytes were set aside. */
  defer(bytes: number): void {
    this.#deferredBytes += bytes + deferredFrameBytes
    if (this.#deferredBytes > this.#deferredLimit) this.pause('deferred')
  }

  /** So many bytes were taken up again; true when it is read again by that. */
  takeUp(bytes: number): boolean {
    this.#deferredBytes -= bytes + deferredFrameBytes
    return this.#deferredBytes <= this.#deferredLimit && this.resume('deferred')
  }

  /** Reads whatever comes, until the end. */
  drain(): void {
    this.#reasons = 0
    this.#socket.resume()
  }
}
