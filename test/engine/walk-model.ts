/** What the random walk expects: every message as a naive model has it, and the rules of order among them. */
import type { EngineDelivery } from '../../src/engine/delivery.ts'

/** A message as the model has it. */
export interface Item {
  readonly body: string
  readonly lane: number
  readonly key: string
  readonly persistent: boolean
  readonly expiresAtMs: number
  place: 'q' | 'dead'
  /** Its place among those that wait: lower goes first. */
  order: number
  /** Handed out before, or put to the front. */
  front: boolean
  count: number
  dueAtMs: number
  /** Held back on record until then, as the owner of its key; 0 if it is not on record as that. */
  ownsFromMs: number
  held: EngineDelivery | undefined
}

export class WalkModel {
  readonly #items = new Map<string, Item>()
  readonly #owners = new Map<string, Item>()
  #order = 0

  get size(): number {
    return this.#items.size
  }

  all(): IterableIterator<Item> {
    return this.#items.values()
  }

  held(): Item[] {
    return [...this.#items.values()].filter((item) => item.held !== undefined)
  }

  at(place: string): Item[] {
    return [...this.#items.values()].filter((item) => item.place === place)
  }

  get(body: string): Item | undefined {
    return this.#items.get(body)
  }

  publish(message: Pick<Item, 'body' | 'lane' | 'key' | 'persistent' | 'expiresAtMs' | 'dueAtMs'>): void {
    const order = this.next()
    this.#items.set(message.body, {
      ...message,
      place: 'q',
      order,
      front: false,
      count: 0,
      ownsFromMs: 0,
      held: undefined,
    })
  }

  /** The place behind all others. */
  next(): number {
    return (this.#order += 1)
  }

  /** It is gone for good. */
  remove(item: Item): void {
    this.free(item)
    this.#items.delete(item.body)
  }

  /** It comes back as a new entry. */
  renew(item: Item, delayMs: number, nowMs: number): void {
    item.dueAtMs = delayMs > 0 ? nowMs + delayMs : 0
    item.ownsFromMs = item.key === '' ? 0 : nowMs + delayMs
    item.front = item.key !== ''
    item.order = this.next()
  }

  /** It leaves its queue: for the dead-letter queue, or for good. */
  reject(item: Item): void {
    if (item.place === 'q') this.bury(item)
    else this.remove(item)
  }

  /** It goes to the dead-letter queue. */
  bury(item: Item): void {
    this.free(item)
    this.#items.delete(item.body)
    this.#items.set(item.body, {
      ...item,
      place: 'dead',
      order: this.next(),
      front: false,
      count: 0,
      lane: 0,
      expiresAtMs: Infinity,
      dueAtMs: 0,
      ownsFromMs: 0,
    })
  }

  /** The consumers that held these are gone. */
  returned(items: readonly Item[]): void {
    for (const item of items) {
      item.held = undefined
      item.count += 1
      item.front = true
    }
  }

  /** The process died: what was persistent is there, and the owners of keys are those on record. */
  restarted(): void {
    this.#owners.clear()
    for (const item of this.#items.values()) {
      if (!item.persistent) {
        this.#items.delete(item.body)
        continue
      }
      if (item.held !== undefined) item.count += 1
      item.held = undefined
      item.front = false
      if (item.ownsFromMs === 0) continue
      item.dueAtMs = item.ownsFromMs
      this.own(item)
    }
  }

  /** Its key is free for others. */
  free(item: Item): void {
    if (this.owns(item)) this.#owners.delete(ownership(item))
  }

  own(item: Item): void {
    this.#owners.set(ownership(item), item)
  }

  owns(item: Item): boolean {
    return this.#owners.get(ownership(item)) === item
  }

  mayGo(item: Item): boolean {
    const owner = item.key === '' ? undefined : this.#owners.get(ownership(item))
    return owner === undefined || owner === item
  }

  before(a: Item, b: Item): number {
    return b.lane - a.lane || Number(b.front) - Number(a.front) || a.order - b.order
  }
}

function ownership(item: Item): string {
  return `${item.place} ${item.key}`
}
