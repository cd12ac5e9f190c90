/** The whole state of what is declared, as facts, and the delivery counts that only memory knows. */
import type { Definition, Snapshot } from '../model/record.ts'
import type { Exchange } from './exchange.ts'
import type { Kernel } from './kernel.ts'
import type { Queue } from './queue.ts'
import { holdingFacts } from './topology.ts'
import { bindingsOf } from './virtual-host.ts'
import type { VirtualHost } from './virtual-host.ts'

export function takeSnapshot(kernel: Kernel): Snapshot {
  const definitions: Definition[] = []
  for (const vhost of kernel.vhosts.values()) definitions.push({ type: 'vhost.declared', vhost: vhost.name })
  for (const part of [kernel.parameters, kernel.access, kernel.operatorLimits, kernel.policies]) {
    definitions.push(...part.settings())
  }
  for (const vhost of kernel.vhosts.values()) defineVhost(vhost, definitions)
  return {
    definitions,
    deliveryCounts: deliveryCounts(kernel),
    nextSeq: kernel.nextSeq,
    nextQueueId: kernel.nextQueueId,
  }
}

function defineVhost(vhost: VirtualHost, into: Definition[]): void {
  const exchanges: Exchange[] = []
  for (const exchange of vhost.exchanges.values()) {
    if (!exchange.persistent) continue
    exchanges.push(exchange)
    if (exchange.isPredeclared) continue
    into.push({
      type: 'exchange.declared',
      vhost: vhost.name,
      name: exchange.name,
      kind: exchange.kind,
      autoDelete: exchange.autoDelete,
      internal: exchange.internal,
      arguments: exchange.arguments,
    })
    if (exchange.holding !== undefined) into.push(holdingFacts(exchange.holding, exchange))
  }
  for (const queue of vhost.queues.values()) if (queue.persistent) defineQueue(queue, into)
  for (const exchange of exchanges) {
    for (const facts of bindingsOf(exchange)) {
      const persistent =
        facts.destinationType === 'queue'
          ? vhost.queues.get(facts.destination)?.persistent
          : vhost.exchanges.get(facts.destination)?.persistent
      if (persistent === true) into.push({ type: 'bound', ...facts })
    }
  }
}

function defineQueue(queue: Queue, into: Definition[]): void {
  into.push({
    type: 'queue.declared',
    id: queue.id,
    vhost: queue.vhost.name,
    name: queue.name,
    autoDelete: queue.autoDelete,
    arguments: queue.arguments,
  })
  if (queue.paused) into.push({ type: 'queue.paused', id: queue.id, paused: true })
  for (const { key, messageId, untilMs } of queue.deduplication?.values() ?? []) {
    into.push({ type: 'deduplicated', queueId: queue.id, key, messageId, untilMs })
  }
}

function deliveryCounts(kernel: Kernel): (readonly [seq: number, count: number])[] {
  const counts: (readonly [number, number])[] = []
  for (const queue of kernel.queues.values()) {
    queue.forEachResident((entry) => {
      if (entry.stored && entry.deliveryCount > 0) counts.push([entry.seq, entry.deliveryCount])
    })
  }
  for (const session of kernel.sessions) {
    session.forEachOutstanding(({ entry, queue }) => {
      if (entry.stored && !queue.deleted) counts.push([entry.seq, entry.deliveryCount + 1])
    })
  }
  return counts
}
