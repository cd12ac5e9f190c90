/** A page of a queue's messages: those in memory from the engine, those paged out from the store. Changes nothing. */
import type { Broker, Queue } from '../broker/broker.ts'
import type { BrowsedMessage, BrowseOptions, Page } from '../client/driver.ts'
import type { Entry } from '../model/entry.ts'
import { ValidationError } from '../model/errors.ts'
import type { Store } from '../store/store.ts'

/** Bytes of records that one read of the disk brings. */
const pageBytes = 4 * 1024 * 1024

/** Where a page begins: in this lane behind this entry, in memory or on disk. */
interface Cursor {
  readonly place: 'memory' | 'disk'
  readonly lane: number
  readonly afterSeq: number
}

/** @throws ValidationError INVALID_OPTION for a cursor that is none */
export async function browseQueue(broker: Broker, queue: Queue, options: BrowseOptions): Promise<Page> {
  const limit = Math.min(Math.max(1, options.limit ?? 50), 1_000)
  const cursor = options.cursor === undefined ? undefined : parse(options.cursor)
  switch (options.state ?? 'ready') {
    case 'ready':
      return browseReady(broker, queue, cursor, limit)
    case 'delayed':
      return browseDelayed(broker, queue, cursor, limit)
    case 'unacked':
      return pageOf(broker.engine.browseUnacked(queue, cursor?.afterSeq ?? 0, limit), limit)
  }
}

async function browseReady(
  broker: Broker,
  queue: Queue,
  from: Cursor | undefined,
  limit: number,
): Promise<Page> {
  const found: Entry[] = []
  let at: Cursor | undefined = from ?? { place: 'memory', lane: queue.maxPriority, afterSeq: 0 }
  while (at !== undefined && found.length < limit) {
    at = await readOn(broker, queue, at, { found, limit })
  }
  return page(found, at)
}

/** Adds what comes next, and says where to go on. */
async function readOn(
  broker: Broker,
  queue: Queue,
  at: Cursor,
  into: { found: Entry[]; limit: number },
): Promise<Cursor | undefined> {
  const left = into.limit - into.found.length
  if (at.place === 'memory') {
    const resident = broker.engine.browseReady(queue, at, left)
    into.found.push(...resident.entries)
    if (resident.next !== undefined) return { place: 'memory', ...resident.next }
    return resident.paged === undefined ? undefined : { place: 'disk', ...resident.paged }
  }
  const { lane, afterSeq } = at
  const request = { queueId: queue.id, lane, afterSeq, limit: left, limitBytes: pageBytes }
  const entries = (await broker.store?.readLane(request)) ?? []
  into.found.push(...entries)
  const last = entries.at(-1)
  if (last !== undefined) return { place: 'disk', lane, afterSeq: last.seq }
  return lane === 0 ? undefined : { place: 'memory', lane: lane - 1, afterSeq: 0 }
}

/**
 * The store has every delayed message that is on record, and keys' owners that are due, which are not held back any more;
 * what it has not is in memory alone.
 */
async function browseDelayed(
  broker: Broker,
  queue: Queue,
  from: Cursor | undefined,
  limit: number,
): Promise<Page> {
  const afterSeq = from?.afterSeq ?? 0
  if (broker.store === undefined || queue.delayed.pagedLength === 0) {
    return delayedPageOf(queue, broker.engine.browseDelayed(queue, afterSeq, limit), limit)
  }
  const stored = await readDelayed(broker.store, queue.id, { afterSeq, limit })
  const transient = broker.engine.browseDelayed(queue, afterSeq, limit).filter((entry) => !entry.stored)
  const merged = [...stored, ...transient].sort((a, b) => a.seq - b.seq).slice(0, limit)
  return delayedPageOf(queue, merged, limit)
}

/** Large ones come in parts. */
async function readDelayed(
  store: Store,
  queueId: number,
  page: { afterSeq: number; limit: number },
): Promise<Entry[]> {
  const found: Entry[] = []
  let { afterSeq } = page
  while (found.length < page.limit) {
    const limit = page.limit - found.length
    const part = await store.readQueue({ queueId, state: 'delayed', afterSeq, limit })
    const last = part.at(-1)
    if (last === undefined) break
    for (const entry of part) found.push(entry)
    afterSeq = last.seq
  }
  return found
}

function delayedPageOf(queue: Queue, entries: readonly Entry[], limit: number): Page {
  const { next } = pageOf(entries, limit)
  const held = entries.filter((entry) => queue.holdsBack(entry))
  const messages = held.map((entry) => ({ ...browsed(entry), dueAtMs: entry.dueAtMs }))
  return next === undefined ? { messages } : { messages, next }
}

function pageOf(entries: readonly Entry[], limit: number): Page {
  const last = entries.at(-1)
  const full = entries.length === limit && last !== undefined
  return page(entries, full ? { place: 'memory', lane: 0, afterSeq: last.seq } : undefined)
}

function page(entries: readonly Entry[], next: Cursor | undefined): Page {
  const messages = entries.map(browsed)
  return next === undefined ? { messages } : { messages, next: `${next.place}.${next.lane}.${next.afterSeq}` }
}

function browsed(entry: Entry): BrowsedMessage {
  const { exchange, routingKey, properties, body } = entry.message
  return {
    message: { exchange, routingKey, properties, body, publishedAtMs: entry.publishedAtMs },
    attempt: entry.deliveryCount + 1,
  }
}

function parse(text: string): Cursor {
  const match = /^(memory|disk)\.(\d+)\.(\d+)$/.exec(text)
  if (match === null) {
    throw new ValidationError('INVALID_OPTION', "browse: cursor must be the 'next' of the page before")
  }
  return { place: match[1] as Cursor['place'], lane: Number(match[2]), afterSeq: Number(match[3]) }
}
