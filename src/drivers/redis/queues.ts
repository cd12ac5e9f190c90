/** What is done to a queue as a whole: its figures, looking into it, emptying it, pausing it. */
import { MillraceError, ValidationError } from '../../model/errors.ts'
import type { BrowsedMessage, BrowseOptions, Page, QueueStats } from '../../client/driver.ts'
import type { Caller } from './caller.ts'
import { StoredMessage } from './envelope.ts'
import type { Ferry } from './ferry.ts'
import type { Keys } from './keys.ts'
import type { Reply } from './node-redis.ts'
import type { Requests } from './requests.ts'

/** Messages dropped or moved in one call: the server does nothing else meanwhile. */
const slice = 1_000

export class Queues {
  readonly #caller: Caller
  readonly #keys: Keys
  readonly #requests: Requests
  readonly #ferry: Ferry
  readonly #driver: string

  constructor(setup: { caller: Caller; keys: Keys; requests: Requests; ferry: Ferry; driver: string }) {
    this.#caller = setup.caller
    this.#keys = setup.keys
    this.#requests = setup.requests
    this.#ferry = setup.ferry
    this.#driver = setup.driver
  }

  async stats(queue: string): Promise<QueueStats> {
    let reply = await this.#call('stats', queue, [])
    if (reply[15] === 1) {
      await this.#ferry.run(queue)
      reply = await this.#call('stats', queue, [])
    }
    const owner = String(reply[14])
    if (owner !== '' && owner !== this.#driver) {
      throw new MillraceError('RESOURCE_LOCKED', `The queue ${queue} is another connection's alone`)
    }
    const [ready, unacked, delayed, consumers, oldestMs, paused, ...sums] = reply
      .slice(1, 14)
      .map((value) => Number(value))
    const [published, delivered, acked, retried, deadLettered, expired, dropped] = sums
    return {
      ready: ready ?? 0,
      unacked,
      delayed,
      consumers: consumers ?? 0,
      oldestMs,
      paused: paused === 1,
      published,
      delivered,
      acked,
      retried,
      deadLettered,
      expired,
      dropped,
    }
  }

  async names(): Promise<readonly string[]> {
    const reply = await this.#caller.call({
      key: this.#keys.topology,
      words: ['HKEYS', this.#keys.topology],
      doing: 'list queues',
    })
    const fields = (reply as readonly Reply[]).map((field) => String(field as Buffer))
    return fields
      .filter((field) => field.startsWith('q:'))
      .map((field) => field.slice(2))
      .sort()
  }

  async browse(queue: string, options: BrowseOptions): Promise<Page> {
    const limit = Math.min(Math.max(1, options.limit ?? 50), 1_000)
    const state = options.state ?? 'ready'
    const cursor = options.cursor ?? ''
    const isCursor = state === 'ready' ? /^\d+\.\d+$/ : /^\d+$/
    if (cursor !== '' && !isCursor.test(cursor)) {
      throw new ValidationError('INVALID_OPTION', "browse: cursor must be the 'next' of the page before")
    }
    const reply = await this.#call('browse', queue, [state, String(limit), cursor])
    const messages: BrowsedMessage[] = []
    for (let index = 2; index < reply.length; index += 4) {
      messages.push({
        message: new StoredMessage(queue, reply[index + 2] as Buffer),
        attempt: Number(reply[index + 1]) + 1,
        ...(state === 'delayed' && { dueAtMs: Number(String(reply[index + 3])) }),
      })
    }
    const next = String(reply[1])
    return next === '' ? { messages } : { messages, next }
  }

  async purge(queue: string, state: string): Promise<number> {
    for (let total = 0; ;) {
      const [, dropped, more] = await this.#ask('purge', queue, [state, String(slice)])
      total += Number(dropped)
      if (more !== 1) return total
    }
  }

  /** The server knows no message by its publisher's id: they are looked through. */
  async cancelDelayed(queue: string, messageId: string): Promise<number> {
    let cursor = ''
    const found: string[] = []
    do {
      const reply = await this.#call('browse', queue, ['delayed', String(slice), cursor])
      for (let index = 2; index < reply.length; index += 4) {
        const message = new StoredMessage(queue, reply[index + 2] as Buffer)
        if (message.properties.messageId === messageId) found.push(String(reply[index]))
      }
      cursor = String(reply[1])
    } while (cursor !== '')
    if (found.length === 0) return 0
    const [, gone] = await this.#ask('cancel', queue, found)
    return Number(gone)
  }

  async pause(queue: string, paused: boolean): Promise<void> {
    await this.#call('pause', queue, [paused ? '1' : '0'])
  }

  async move(from: string, to: string, options: { limit?: number; signal?: AbortSignal }): Promise<number> {
    const before = await this.stats(from)
    await this.stats(to)
    if (from === to) return 0
    let left = Math.min(options.limit ?? Infinity, before.ready)
    let total = 0
    while (left > 0) {
      if (options.signal?.aborted === true) {
        throw new MillraceError('ABORTED', 'It was called off by its signal', {
          cause: options.signal.reason,
        })
      }
      const [, sent] = await this.#ask('send', from, [to, String(Math.min(left, slice))])
      if (Number(sent) === 0) break
      const back = await this.#ferry.run(from)
      total += Math.max(0, Number(sent) - back)
      left -= Number(sent)
      // There is no room for more.
      if (back > 0) break
    }
    return total
  }

  async #call(name: string, queue: string, words: readonly string[]): Promise<readonly Reply[]> {
    const doing = `${name} the queue ${queue}`
    return listOf(queue, await this.#caller.call({ name, key: this.#keys.queue(queue), words, doing }))
  }

  /** What must not be done twice. */
  async #ask(name: string, queue: string, words: readonly string[]): Promise<readonly Reply[]> {
    const doing = `${name} the queue ${queue}`
    return listOf(queue, await this.#requests.call({ name, queue, words, doing }))
  }
}

/** @throws MillraceError NOT_FOUND */
function listOf(queue: string, reply: Reply): readonly Reply[] {
  const list = Array.isArray(reply) ? (reply as readonly Reply[]) : [reply]
  if (String(list[0]) !== 'missing') return list
  throw new MillraceError('NOT_FOUND', `There is no queue ${queue}; declare it first`)
}
