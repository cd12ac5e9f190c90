/** What happens to a broker, as events of a connection to it. */
import type { Broker } from '../broker/broker.ts'
import type { DriverEventMap } from '../client/driver.ts'
import type { Emitter } from '../std/emitter.ts'

/** Passes them on until the returned function is called; the state it finds too, once whoever opens had the chance to listen. */
export function relayEvents(
  broker: Broker,
  events: Emitter<DriverEventMap & Record<string, unknown[]>>,
  failed: (error: Error) => void,
): () => void {
  const blocked = (reason: string): boolean => events.emit('blocked', reason)
  const unblocked = (): boolean => events.emit('unblocked')
  const warning = (message: string): boolean => events.emit('warning', message)
  broker.events.on('blocked', blocked).on('unblocked', unblocked).on('failed', failed).on('warning', warning)
  let listening = true
  const wasShut = broker.gate.shut
  broker.clock.soon(() => {
    if (!listening) return
    for (const message of broker.warnings) warning(message)
    if (wasShut && broker.gate.shut) blocked(broker.gate.reason)
  })
  return () => {
    listening = false
    broker.events
      .off('blocked', blocked)
      .off('unblocked', unblocked)
      .off('failed', failed)
      .off('warning', warning)
  }
}
