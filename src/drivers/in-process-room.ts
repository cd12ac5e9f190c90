/** The publishes of one connection that wait for room at its broker's gate, and how they are refused when it closes. */
import type { Broker } from '../broker/broker.ts'

export class RoomWaits {
  readonly #refusals = new Set<(error: Error) => void>()

  /** Resolves when the gate is open; the process stays until then. Rejects when it is called off, refused or never opens. */
  async wait(broker: Broker, signal: AbortSignal | undefined): Promise<void> {
    const letEnd = broker.clock.keepAlive()
    let refuse: (error: Error) => void = () => undefined
    try {
      await new Promise<void>((resolve, reject) => {
        refuse = reject
        this.#refusals.add(refuse)
        broker.gate.wait(signal).then(resolve, reject)
      })
    } finally {
      this.#refusals.delete(refuse)
      letEnd()
    }
  }

  /** All that wait now: others share the broker, so its gate may stay shut, or open again, without them. */
  refuseAll(error: Error): void {
    for (const refuse of this.#refusals) refuse(error)
  }
}
