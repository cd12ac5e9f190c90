/**
 * Delays on Millrace's own broker, which holds messages back by itself: exchanges of type `x-delayed-message`, exact to the
 * millisecond. One routes to queues by their names, one to exchanges by a header.
 */
import { FreshBindings } from './delays.ts'
import type { Caller, Delays, Destination } from './delays.ts'
import { delayPrefix } from './envelope.ts'
import type { WireTable } from './field-values.ts'

const toQueues = 'millrace.delay.native.queues'
const toExchanges = 'millrace.delay.native.exchanges'
const exchangeHeader = `${delayPrefix}-exchange`

export class NativeDelays implements Delays {
  readonly native = true
  /** Ten years. */
  readonly maximumMs = 3_650 * 86_400_000
  readonly #caller: Caller
  readonly #bound = new FreshBindings()
  #exchanges: Promise<void> | undefined

  constructor(caller: Caller) {
    this.#caller = caller
  }

  async prepare(
    delayMs: number,
    destination: Destination,
  ): Promise<{ exchange: string; headers: WireTable }> {
    const { type, name } = destination
    await this.#bound.ensure(destination, () => this.#bind(destination))
    const headers: WireTable = { 'x-delay': Math.ceil(delayMs), [`${delayPrefix}-ms`]: Math.ceil(delayMs) }
    if (type === 'exchange') headers[exchangeHeader] = name
    return { exchange: type === 'queue' ? toQueues : toExchanges, headers }
  }

  forget(name: string): void {
    this.#bound.forget(name)
  }

  reset(): void {
    this.#exchanges = undefined
    this.#bound.clear()
  }

  async #bind({ type, name }: Destination): Promise<void> {
    await (this.#exchanges ??= this.#declare())
    await this.#caller.run(`hold messages back for ${name}`, async (channel) => {
      if (type === 'queue') await channel.bindQueue(name, toQueues, name)
      else await channel.bindExchange(name, toExchanges, '', { 'x-match': 'all', [exchangeHeader]: name })
    })
  }

  #declare(): Promise<void> {
    const declaring = this.#caller.run('declare the exchanges of delayed messages', async (channel) => {
      for (const [name, kind] of [
        [toQueues, 'direct'],
        [toExchanges, 'headers'],
      ] as const) {
        await channel.assertExchange(name, 'x-delayed-message', { arguments: { 'x-delayed-type': kind } })
      }
    })
    declaring.catch(() => (this.#exchanges = undefined))
    return declaring
  }
}
