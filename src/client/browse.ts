/** Looking at a queue without touching it. */
import { decodeBody } from './codec.ts'
import type { BrowsedMessage, Driver } from './driver.ts'
import type { FieldTable } from '../model/field-table.ts'
import { isInteger, isOneOf, isSignal } from './options.ts'
import type { Check } from './options.ts'
import { abortError } from './outbox.ts'

export interface BrowseSettings {
  /** Which messages (default 'ready'). */
  readonly state?: 'ready' | 'delayed' | 'unacked' | 'dead'
  /** How many at most, 1 to 1,000,000 (default 50). */
  readonly limit?: number
  readonly signal?: AbortSignal
}

export const browseChecks: Readonly<Record<string, Check>> = {
  state: isOneOf('ready', 'delayed', 'unacked', 'dead'),
  limit: isInteger(1, 1_000_000),
  signal: isSignal,
}

const pageSize = 1_000

/** A message that was looked at: it cannot be settled. */
export class BrowsedJob {
  readonly #browsed: BrowsedMessage

  /** @internal */
  constructor(browsed: BrowsedMessage) {
    this.#browsed = browsed
  }

  get id(): string {
    return this.#browsed.message.properties.messageId ?? ''
  }

  /** As JSON, text or bytes; it is not checked against a schema. */
  get data(): unknown {
    return decodeBody(this.#browsed.message)
  }

  /** Of its next delivery, or of this one where it is unacked. */
  get attempt(): number {
    return this.#browsed.attempt
  }

  get headers(): FieldTable {
    return this.#browsed.message.properties.headers ?? {}
  }

  get routingKey(): string {
    return this.#browsed.message.routingKey
  }

  get exchange(): string {
    return this.#browsed.message.exchange
  }

  get sentAt(): Date {
    return new Date(this.#browsed.message.publishedAtMs)
  }

  /** When it becomes ready, where it is delayed. */
  get dueAt(): Date | undefined {
    return this.#browsed.dueAtMs === undefined ? undefined : new Date(this.#browsed.dueAtMs)
  }

  toJSON(): Record<string, unknown> {
    const { id, data, attempt, headers, exchange, routingKey, sentAt, dueAt } = this
    return { id, data, attempt, headers, exchange, routingKey, sentAt, ...(dueAt && { dueAt }) }
  }
}

export async function browse(
  driver: Driver,
  queue: string,
  state: 'ready' | 'delayed' | 'unacked',
  settings: BrowseSettings,
): Promise<BrowsedJob[]> {
  const limit = settings.limit ?? 50
  const found: BrowsedJob[] = []
  let cursor: string | undefined
  do {
    if (settings.signal?.aborted === true) throw abortError(settings.signal)
    const page = await driver.browse(queue, {
      state,
      limit: Math.min(limit - found.length, pageSize),
      ...(cursor !== undefined && { cursor }),
    })
    for (const message of page.messages) found.push(new BrowsedJob(message))
    cursor = page.next
  } while (cursor !== undefined && found.length < limit)
  return found
}
