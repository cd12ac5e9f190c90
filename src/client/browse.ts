/** Looking at a queue without touching it. */
import { decodeBody } from './codec.ts'
import type { BrowsedMessage, Driver } from './driver.ts'
import type { FieldTable } from '../model/field-table.ts'
import { isInteger, isOneOf } from './options.ts'
import type { Check } from './options.ts'
import { unlessAborted, waitChecks } from './wait.ts'
import type { WaitOptions } from './wait.ts'

export interface BrowseSettings extends WaitOptions {
  /** Which messages (default 'ready'). */
  readonly state?: 'ready' | 'delayed' | 'unacked' | 'dead'
  /** How many at most, 1 to 1,000,000 (default 50). */
  readonly limit?: number
}

export const browseChecks: Readonly<Record<string, Check>> = {
  state: isOneOf('ready', 'delayed', 'unacked', 'dead'),
  limit: isInteger(1, 1_000_000),
  ...waitChecks,
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
    const options = {
      state,
      limit: Math.min(limit - found.length, pageSize),
      ...(cursor !== undefined && { cursor }),
    }
    const page = await unlessAborted(settings.signal, () => driver.browse(queue, options))
    for (const message of page.messages) found.push(new BrowsedJob(message))
    cursor = page.next
  } while (cursor !== undefined && found.length < limit)
  return found
}
