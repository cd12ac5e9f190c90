/** Restoring: what a store recovered becomes the engine's state again. Of entries only their counts: nothing is in memory. */
import { describeResource, parseQueueArguments } from '../model/arguments.ts'
import type { QueueId } from '../model/entry.ts'
import type { BindingFacts, Definition, RecoveredQueue } from '../model/record.ts'
import { isSettingChange } from '../model/setting.ts'
import type { Kernel } from './kernel.ts'
import { Queue } from './queue.ts'
import { restoreSetting } from './restore-setting.ts'
import { addQueue, bind, declareExchange, deleteExchange, holdFor, removeQueue, unbind } from './topology.ts'
import type { VirtualHost } from './virtual-host.ts'

/** What restoring needs of the engine. */
export interface Restoring {
  readonly kernel: Kernel
  readonly vhosts: ReadonlyMap<string, VirtualHost>
  declareVhost(name: string): void
  deleteVhost(name: string): void
}

/** Applies one fact; facts about what is gone change nothing. */
export function restoreDefinition(into: Restoring, fact: Definition): void {
  const { kernel } = into
  if (isSettingChange(fact)) return restoreSetting(kernel, fact)
  switch (fact.type) {
    case 'vhost.declared':
      return into.declareVhost(fact.vhost)
    case 'vhost.deleted':
      return into.deleteVhost(fact.vhost)
    case 'exchange.declared': {
      const vhost = into.vhosts.get(fact.vhost)
      if (vhost !== undefined) declareExchange(kernel, vhost, { ...fact, durable: true })
      return
    }
    case 'exchange.deleted': {
      const vhost = into.vhosts.get(fact.vhost)
      if (vhost !== undefined) deleteExchange(kernel, vhost, fact.name, { ifUnused: false })
      return
    }
    case 'queue.declared':
      return restoreQueue(into, fact)
    case 'queue.deleted': {
      const queue = kernel.queues.get(fact.id)
      if (queue !== undefined) removeQueue(kernel, queue)
      return
    }
    case 'queue.paused': {
      const queue = kernel.queues.get(fact.id)
      if (queue !== undefined) queue.paused = fact.paused
      return
    }
    case 'bound':
      return restoreBinding(into, fact, bind)
    case 'unbound':
      return restoreBinding(into, fact, unbind)
    case 'deduplicated': {
      kernel.queues.get(fact.queueId)?.rememberKey(fact)
      return
    }
  }
}

/** Counts the entries that were found of a queue; false if it is not there, because its declaration was lost (damage). */
export function restoreEntries(kernel: Kernel, found: RecoveredQueue): boolean {
  const queue = kernel.queues.get(found.queueId)
  if (queue === undefined) return false
  for (const { lane, count, bodyBytes } of found.lanes) {
    if (count === 0) continue
    queue.lanes.at(lane).restore(count, bodyBytes)
    queue.readyMessages += count
    queue.readyBytes += bodyBytes
    // The heads may have a time to live that nobody knows of yet, of the queue or their own: have them read.
    queue.expectExpiry(0)
  }
  const { seqs, dueAtMs, bodyBytes } = found.delayed
  if (seqs.length > 0) {
    queue.delayed.restore(seqs, dueAtMs, bodyBytes)
    kernel.schedule(queue, queue.delayed.nextDueMs())
  }
  for (const { seq, key } of found.heldKeys) queue.restoreKey(key, seq)
  if (queue.limited && queue.isOverLimit) kernel.markOverflowing(queue)
  return true
}

/** The entries of a queue that is not there are of no use to anybody: they are taken off the record. */
export function dropHomeless(kernel: Kernel, found: RecoveredQueue): void {
  const { queueId, lanes, delayed } = found
  kernel.counters.lostEntries += lanes.reduce((sum, { count }) => sum + count, delayed.seqs.length)
  kernel.journal.purged({ queueId, throughSeq: kernel.nextSeq - 1, state: 'all', survivors: [] })
}

function restoreQueue(into: Restoring, fact: Definition & { type: 'queue.declared' }): void {
  const { kernel } = into
  const vhost = into.vhosts.get(fact.vhost)
  if (vhost === undefined) return
  const { id, name, autoDelete, arguments: table } = fact
  if (fact.holdsFor !== undefined) return restoreHolding(kernel, vhost, fact.holdsFor, id)
  if (!makeWay(kernel, vhost.queues.get(name), id)) return
  const settings = parseQueueArguments(table, describeResource('queue', { name, vhost: vhost.name }))
  const declaration = { name, durable: true, autoDelete, arguments: table, settings, ownerConnectionId: 0 }
  // Used last at a time that nobody knows: its `x-expires` begins with the first advance.
  const queue = new Queue(kernel, vhost, id, declaration, -1)
  addQueue(kernel, queue)
  if (queue.settings.expiresMs !== Infinity) kernel.schedule(queue, 0)
  if (id >= kernel.nextQueueId) kernel.nextQueueId = id + 1
}

function restoreHolding(kernel: Kernel, vhost: VirtualHost, exchangeName: string, id: QueueId): void {
  const exchange = vhost.exchanges.get(exchangeName)
  if (exchange?.kind !== 'x-delayed-message' || !makeWay(kernel, exchange.holding, id)) return
  holdFor(kernel, exchange, id)
  if (id >= kernel.nextQueueId) kernel.nextQueueId = id + 1
}

/** Of two queues in one place the later counts: the first one's deletion was lost (damage). False if it is there already. */
function makeWay(kernel: Kernel, there: Queue | undefined, id: QueueId): boolean {
  if (there?.id === id) return false
  if (there !== undefined) removeQueue(kernel, there)
  return true
}

/** An exchange whose place for what it holds back is not on record (damage) gets a new one. */
export function mendHoldings(kernel: Kernel): void {
  for (const vhost of kernel.vhosts.values()) {
    for (const exchange of vhost.exchanges.values()) {
      if (exchange.kind !== 'x-delayed-message' || exchange.holding !== undefined) continue
      holdFor(kernel, exchange, kernel.nextQueueId)
      kernel.nextQueueId += 1
    }
  }
}

function restoreBinding(into: Restoring, facts: BindingFacts, change: typeof bind): void {
  const vhost = into.vhosts.get(facts.vhost)
  if (vhost === undefined || !vhost.exchanges.has(facts.source)) return
  const destinations = facts.destinationType === 'queue' ? vhost.queues : vhost.exchanges
  const destination = destinations.get(facts.destination)
  if (destination === undefined) return
  change(into.kernel, vhost, {
    source: facts.source,
    destination,
    routingKey: facts.routingKey,
    arguments: facts.arguments,
  })
}
