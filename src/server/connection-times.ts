/**
 * What time does to one connection: the handshake takes too long, heartbeats are sent and awaited, a peer takes nothing of
 * what is written for it, close-ok does not come, a delivery is held too long. All of it is looked at when the server's timer
 * wheel comes by.
 */
import type { Connection } from './connection.ts'
import type { WheelTask } from './timer-wheel.ts'

/** How often a connection without heartbeats is looked at. */
const idleLookMs = 15_000

/** A look that comes so much later than asked for says that nobody was looked at or listened to. */
const standstillMs = 1_000

/** A peer may miss one heartbeat; after two the connection is dead (section 4.2.7). */
const missedHeartbeats = 2

export class ConnectionTimes implements WheelTask {
  slot = -1
  readonly openedAtMs: number
  readonly #connection: Connection
  #receivedAtMs: number
  /** When it is to be looked at again, while it runs. */
  #lookAtMs = 0
  /** When the state that it is in must have ended; Infinity for running. */
  #deadlineMs: number
  #stuckSinceMs = 0
  #lastWrites = -1
  #timeoutsLookedAtMs = 0

  constructor(connection: Connection, nowMs: number) {
    const { limits, wheel } = connection.server
    this.#connection = connection
    this.openedAtMs = nowMs
    this.#receivedAtMs = nowMs
    this.#deadlineMs = nowMs + limits.handshakeTimeoutMs
    wheel.add(this, this.#deadlineMs)
  }

  received(nowMs: number): void {
    this.#receivedAtMs = nowMs
  }

  /** The handshake is over. */
  opened(nowMs: number): void {
    this.#deadlineMs = Infinity
    this.#timeoutsLookedAtMs = nowMs
    this.#lookAtMs = nowMs + this.#lookMs()
    this.#connection.server.wheel.add(this, this.#lookAtMs)
  }

  /** The end has begun. @param told the peer has been told, or has said so itself */
  closing(told: boolean): void {
    const { broker, limits, wheel } = this.#connection.server
    this.#deadlineMs = broker.nowMs() + (told ? limits.closeTimeoutMs : limits.refusedLoginDelayMs)
    wheel.add(this, this.#deadlineMs)
  }

  due(nowMs: number): number {
    const connection = this.#connection
    if (connection.state === 'closed') return Infinity
    if (nowMs >= this.#deadlineMs) return this.#late()
    if (this.#deadlineMs !== Infinity) return this.#deadlineMs
    const lateMs = nowMs - this.#lookAtMs
    this.#lookAtMs = nowMs + this.#lookMs()
    const { heartbeatSeconds } = connection.handshake.tuned
    if (heartbeatSeconds > 0) {
      // A socket that is not read hears nothing.
      const deadMs = missedHeartbeats * heartbeatSeconds * 1000
      if (!connection.paused && nowMs - this.#receivedAtMs > deadMs) {
        // This process stood still, and what came meanwhile is not read yet: timers go before sockets.
        if (lateMs > standstillMs) return (this.#lookAtMs = nowMs + standstillMs)
        return this.#destroy('missed heartbeats', { heartbeatSeconds })
      }
      // Whatever else was said: some clients take one interval without a byte for the end, instead of two.
      connection.output.heartbeat()
    }
    if (this.#isStuck(nowMs)) return this.#destroy('the peer does not read')
    this.#lookAtConsumers(nowMs)
    return this.#lookAtMs
  }

  #lookMs(): number {
    const { heartbeatSeconds } = this.#connection.handshake.tuned
    return heartbeatSeconds === 0 ? idleLookMs : Math.min(idleLookMs, heartbeatSeconds * 500)
  }

  #isStuck(nowMs: number): boolean {
    const { writes, waitingBytes } = this.#connection.output.progress()
    if (waitingBytes === 0 || writes !== this.#lastWrites) {
      this.#lastWrites = writes
      this.#stuckSinceMs = nowMs
      return false
    }
    const { stuckWriteTimeoutMs, outputBytes } = this.#connection.server.limits
    // All that waits goes to the system in one write, of whose progress nothing is seen: a large message has more time.
    const timeoutMs = stuckWriteTimeoutMs * Math.max(1, waitingBytes / outputBytes)
    return nowMs - this.#stuckSinceMs >= timeoutMs
  }

  #lookAtConsumers(nowMs: number): void {
    const { consumerTimeoutMs } = this.#connection.server.limits
    // Where there is none, a queue may still have one of its own.
    const defaultMs = consumerTimeoutMs === 0 ? Infinity : consumerTimeoutMs
    if (nowMs - this.#timeoutsLookedAtMs < Math.min(defaultMs / 30, idleLookMs)) return
    this.#timeoutsLookedAtMs = nowMs
    for (const channel of this.#connection.channels.values()) channel.checkConsumerTimeout(nowMs, defaultMs)
    this.#connection.inputHandled()
  }

  #late(): number {
    const { state, handshake } = this.#connection
    if (state === 'greeting' || state === 'handshake') {
      return this.#destroy('the handshake took too long', { stage: handshake.stage })
    }
    this.#connection.destroy()
    return Infinity
  }

  #destroy(why: string, fields: Record<string, string | number> = {}): number {
    const { id, peer, server } = this.#connection
    server.log.warn('connection ended', { id, peer: peer.name, why, ...fields })
    this.#connection.destroy()
    return Infinity
  }
}
