/** A broker over memory or a simulated disk, and a holder that writes down what it is given. */
import { Broker } from '../../src/broker/broker.ts'
import type { BrokerOptions, EngineDelivery, Holder, Session } from '../../src/broker/broker.ts'
import { persistentPublish } from '../../src/broker/broker.ts'
import { Message } from '../../src/model/message.ts'
import { Store } from '../../src/store/store.ts'
import type { StoreOptions } from '../../src/store/store.ts'
import type { SimulatedDisk } from '../sim/disk.ts'

export class RecordingHolder implements Holder {
  readonly deliveries: EngineDelivery[] = []
  /** Delivered in the dispatch that is under way. */
  arrived = 0
  readonly dispatches: number[] = []
  onDelivered: ((delivery: EngineDelivery) => void) | undefined
  broker: Broker | undefined

  deliver(delivery: EngineDelivery): void {
    this.broker?.delivered(delivery.entry)
    this.deliveries.push(delivery)
    this.arrived += 1
  }

  cancelled(): void {
    return
  }

  returned(): void {
    return
  }

  dispatched(): void {
    if (this.arrived === 0) return
    const count = this.arrived
    this.arrived = 0
    this.dispatches.push(count)
    for (const delivery of this.deliveries.slice(-count)) this.onDelivered?.(delivery)
  }
}

export interface Connection {
  readonly broker: Broker
  readonly session: Session
  readonly holder: RecordingHolder
  readonly connectionId: number
  readonly publish: (body: string, queue?: string) => void
  readonly consume: (prefetch?: number, queue?: string) => void
}

let names = 0

export function memoryBroker(options: Partial<BrokerOptions> = {}): Broker {
  return new Broker({ newName: () => `name-${names++}`, ...options })
}

export async function storedBroker(
  disk: SimulatedDisk,
  options: Partial<BrokerOptions> & { readonly store?: StoreOptions } = {},
): Promise<Broker> {
  const storage = await Store.open(disk, { folderId: 'test', ...options.store })
  return memoryBroker({ ...options, storage })
}

/** A connection with one session, and a durable queue `q`. */
export function connectTo(broker: Broker): Connection {
  const vhost = broker.ensureVhost('default')
  const connectionId = broker.newConnectionId()
  const holder = new RecordingHolder()
  holder.broker = broker
  const session = broker.openSession({ vhost: 'default', connectionId, holder })
  const declaration = { name: 'q', durable: true, exclusive: false, autoDelete: false, arguments: {} }
  session.declareQueue(declaration, broker.nowMs())
  return {
    broker,
    session,
    holder,
    connectionId,
    publish: (body, queue = 'q') => {
      const message = Message.of('', queue, { messageId: body.slice(0, 40) }, body)
      vhost.publish(message, persistentPublish, broker.nowMs())
      broker.wake()
      broker.review()
    },
    consume: (prefetch = 1, queue = 'q') => {
      const tag = `consumer-${names++}`
      session.consume({ queue, tag, noAck: false, exclusive: false, arguments: {}, prefetch }, broker.nowMs())
      broker.wake()
    },
  }
}

/** A turn of the event loop, with every promise that can settle in it. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Turns until it holds; fails after many. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  for (let turns = 0; turns < 2_000; turns += 1) {
    if (holds()) return
    await turn()
  }
  throw new Error(`it never came: ${what}`)
}
