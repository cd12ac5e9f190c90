/**
 * What the promises allow. It is told of every call and every answer, knows nothing of the implementation, and collects
 * each broken promise.
 *
 * A copy is one message in one queue's family: the queue and its dead-letter queue. At any time it is in one place.
 */
export interface Copy {
  readonly family: string
  readonly id: string
  readonly key: string
  readonly lane: number
  /** Published without delay, so that its place among those of its key is that of its publish. */
  readonly ordered: boolean
  /** When it was published, and when that resolved (Infinity: not yet), as numbers of publishes begun until then. */
  readonly publishedAt: number
  promisedAt: number
  /** It has been delivered, dead or alive. */
  seen: boolean
  /** The publish resolved. */
  promised: boolean
  /** Its end was asked for (acked, purged), or is durable. */
  end: 'no' | 'asked' | 'durable'
  /** Not to be delivered before. */
  dueAtMs: number
  /** What of that outlives a crash. */
  durableDueAtMs: number
  /** In a consumer's hands, in this life of the process. */
  held: boolean
  /** Attempts below this are behind it for good. */
  attemptFloor: number
  /** Times it was dead-lettered: what was promised of its attempts before does not count after. */
  deaths: number
  /** Deliveries while draining. */
  drained: number
}

export class Oracle {
  readonly broken: string[] = []
  readonly #copies = new Map<string, Copy>()
  #publishes = 0
  deliveries = 0

  get copies(): number {
    return this.#copies.size
  }

  published(family: string, id: string, options: { dueAtMs: number; key: string; lane: number }): Copy {
    this.#publishes += 1
    const copy: Copy = {
      family,
      id,
      key: options.key,
      lane: options.lane,
      ordered: options.dueAtMs === 0,
      publishedAt: this.#publishes,
      promisedAt: Infinity,
      seen: false,
      promised: false,
      end: 'no',
      dueAtMs: options.dueAtMs,
      durableDueAtMs: options.dueAtMs,
      held: false,
      attemptFloor: 1,
      deaths: 0,
      drained: 0,
    }
    this.#copies.set(`${family}/${id}`, copy)
    return copy
  }

  /** The publish resolved. */
  stored(copy: Copy): void {
    copy.promised = true
    copy.promisedAt = this.#publishes
  }

  /** A delivery came. */
  delivered(
    family: string,
    id: string,
    facts: { attempt: number; nowMs: number; dead: boolean },
  ): Copy | undefined {
    this.deliveries += 1
    const copy = this.#copies.get(`${family}/${id}`)
    if (copy === undefined) {
      this.#breaks(`${family}/${id} was delivered and never published`)
      return undefined
    }
    const name = `${family}/${id}`
    if (copy.end === 'durable') this.#breaks(`${name} was delivered after its end was durable`)
    if (copy.held) this.#breaks(`${name} is in two hands at once`)
    if (!facts.dead && facts.nowMs < copy.dueAtMs) {
      this.#breaks(`${name} was delivered ${copy.dueAtMs - facts.nowMs} ms early`)
    }
    if (!facts.dead && facts.attempt < copy.attemptFloor) {
      this.#breaks(`${name}: attempt ${facts.attempt} after ${copy.attemptFloor} was durable`)
    }
    if (copy.key !== '' && !facts.dead) this.#checkKey(copy)
    copy.seen = true
    copy.held = true
    return copy
  }

  /** The process died: nobody holds anything, and what was asked for may have happened or not. */
  crashed(): void {
    for (const copy of this.#copies.values()) {
      copy.held = false
      copy.dueAtMs = copy.durableDueAtMs
    }
  }

  /** Copies of a family that nobody holds. */
  unheld(family: string): Copy[] {
    return [...this.#copies.values()].filter((copy) => copy.family === family && !copy.held)
  }

  /** Everything that was left has been delivered once: whatever is missing was lost. */
  judge(): void {
    for (const copy of this.#copies.values()) {
      const name = `${copy.family}/${copy.id}`
      if (copy.drained > 1) this.#breaks(`${name} was in ${copy.drained} places at once`)
      if (copy.promised && copy.end === 'no' && copy.drained === 0)
        this.#breaks(`${name} was confirmed and is lost`)
    }
  }

  #checkKey(copy: Copy): void {
    for (const other of this.#copies.values()) {
      if (other !== copy && other.held && other.family === copy.family && other.key === copy.key) {
        this.#breaks(`${copy.family}: ${other.id} and ${copy.id} of key ${copy.key} are handled at once`)
      }
      if (!copy.seen && goesBefore(other, copy) && !hasEnded(other)) {
        this.#breaks(`${copy.family}: ${copy.id} of key ${copy.key} overtook ${other.id}`)
      }
    }
  }

  #breaks(what: string): void {
    this.broken.push(what)
  }
}

/** Both are of one key and lane, and the second was published when the first was stored. */
function goesBefore(first: Copy, second: Copy): boolean {
  return (
    first.ordered &&
    second.ordered &&
    first.family === second.family &&
    first.key === second.key &&
    first.lane === second.lane &&
    first.promisedAt < second.publishedAt
  )
}

/** It does not hold up those behind it (any more). */
function hasEnded(copy: Copy): boolean {
  return copy.end !== 'no' || copy.deaths > 0 || copy.drained > 0
}
