/**
 * Brings messages from one queue to another: dead letters, and what is moved. The two may live on two servers, so each
 * message is fetched, imported under a name that the target remembers, and struck off; whoever dies in between leaves it
 * to the next one, and it comes in once. See lua/5-transfer.lua.
 */
import { MillraceError } from '../../model/errors.ts'
import type { Caller } from './caller.ts'
import { deadProperties, deathsOf } from './dead-letter.ts'
import { encodeContent, StoredMessage } from './envelope.ts'
import type { Keys } from './keys.ts'
import type { Argument, Reply } from './node-redis.ts'
import type { Requests } from './requests.ts'
import type { Routes } from './routes.ts'

/** What a queue says of a message that is to go elsewhere. */
type Transfer =
  | { readonly type: 'move'; readonly to: string }
  | {
      readonly type: 'dead'
      readonly reason: 'rejected' | 'expired' | 'maxlen' | 'delivery_limit'
      readonly attempts: number
      readonly at: number
      readonly to: { readonly exchange: string; readonly routingKey?: string }
      readonly account?: string
      readonly error?: string
    }

/** Late: it was given to us so long ago that others may have brought it. */
type Fate = 'deadLettered' | 'dropped' | 'moved' | 'back' | '' | 'late'

interface Freight {
  readonly queue: string
  /** Of the transfer: under it, it comes in once. */
  readonly name: string
  /** As long as it is given to us. */
  readonly until: string
  /** What was imported, by target. */
  readonly brought: Map<string, string[]>
  readonly transfer: Transfer
  readonly message: StoredMessage
}

const batch = 100
/** For so long nobody else brings what we fetched. */
const leaseMs = 10_000
const doing = 'bring messages from one queue to another'

export class Ferry {
  readonly #caller: Caller
  readonly #keys: Keys
  readonly #requests: Requests
  readonly #routes: Routes
  /** One at a time for each queue. */
  readonly #underWay = new Map<string, Promise<number>>()

  constructor(setup: { caller: Caller; keys: Keys; requests: Requests; routes: Routes }) {
    this.#caller = setup.caller
    this.#keys = setup.keys
    this.#requests = setup.requests
    this.#routes = setup.routes
  }

  /** Brings all that waits in the queue to go elsewhere, by now at least; how many it put back, for want of room. */
  run(queue: string): Promise<number> {
    const before: Promise<unknown> = this.#underWay.get(queue) ?? Promise.resolve()
    const running = before.catch(() => undefined).then(() => this.#run(queue))
    this.#underWay.set(queue, running)
    running
      .catch(() => undefined)
      .finally(() => {
        if (this.#underWay.get(queue) === running) this.#underWay.delete(queue)
      })
    return running
  }

  /** Now, and once more when what others are bringing is given to whoever comes: they may have died. */
  comeBy(queue: string, waitMs: number): void {
    this.run(queue).catch(() => undefined)
    if (waitMs === 0) return
    const again = (): void => void this.run(queue).catch(() => undefined)
    setTimeout(again, Math.min(waitMs, leaseMs) + 1).unref()
  }

  async #run(queue: string): Promise<number> {
    for (let back = 0; ;) {
      const reply = (await this.#ask('fetch', queue, [String(batch), String(leaseMs)])) as readonly Reply[]
      if (String(reply[0]) === 'missing' || reply.length <= 3) return back
      const [born, until] = [String(reply[1]), String(reply[2])]
      const struck: Argument[] = []
      const brought = new Map<string, string[]>()
      for (let index = 3; index < reply.length; index += 3) {
        const id = String(reply[index])
        const transfer = JSON.parse(String(reply[index + 1])) as Transfer
        const message = new StoredMessage(queue, reply[index + 2] as Buffer)
        const name = `${queue}/${born}/${id}`
        const fate = await this.#bring({ queue, name, until, brought, transfer, message })
        if (fate === 'late') continue
        struck.push(id, fate)
        if (fate === 'back') back += 1
      }
      await this.#ask('strike', queue, [born, until, ...struck])
      await this.#forget(brought)
    }
  }

  /** Targets need not remember for a day what nobody brings any more. */
  async #forget(brought: ReadonlyMap<string, readonly string[]>): Promise<void> {
    for (const [target, names] of brought) {
      await this.#caller.call({ name: 'brought', key: this.#keys.queue(target), words: names, doing })
    }
  }

  async #bring(one: Freight): Promise<Fate> {
    const { queue, transfer, message } = one
    if (transfer.type === 'move') {
      const result = await this.#import(transfer.to, {
        ...one,
        content: moved(message, queue, transfer.to),
        expiresAtMs: message.expiresAtMs ?? 0,
        kind: 'move',
      })
      if (result === 'late') return 'late'
      return result === 'stored' ? 'moved' : 'back'
    }
    const { exchange, routingKey = message.routingKey } = transfer.to
    const properties = deadProperties(message, {
      queue,
      reason: transfer.reason,
      atMs: transfer.at,
      attempts: transfer.attempts,
      account:
        transfer.account === undefined
          ? undefined
          : { reason: transfer.account, error: transfer.error ?? '' },
    })
    const letter = { exchange, routingKey, properties, body: message.body }
    const targets = await this.#targets(letter, queue, transfer.reason)
    let isStored = false
    for (const target of targets) {
      const content = lettered(target, letter, message)
      // As everywhere, the dead live as long as their new queue lets them.
      const result = await this.#import(target, { ...one, content, expiresAtMs: 0, kind: 'dead' })
      if (result === 'late') return 'late'
      isStored ||= result === 'stored'
    }
    if (transfer.reason === 'expired') return ''
    return isStored ? 'deadLettered' : 'dropped'
  }

  /** Without those it would reach over and over with nobody having rejected it. */
  async #targets(
    letter: {
      exchange: string
      routingKey: string
      properties: { headers?: Parameters<typeof deathsOf>[0] }
    },
    queue: string,
    reason: string,
  ): Promise<readonly string[]> {
    const { exchange, routingKey } = letter
    const targets =
      exchange === ''
        ? [routingKey]
        : [...((await this.#routes.current()).route(exchange, routingKey, letter) ?? [])]
    if (reason === 'rejected') return targets
    const deaths = deathsOf(letter.properties.headers ?? {})
    return targets.filter((target) => {
      const last = deaths.findIndex((death) => death['queue'] === target)
      if (last < 0) return target !== queue || reason === 'rejected'
      return !deaths.slice(0, last + 1).every((death) => death['reason'] !== 'rejected')
    })
  }

  async #import(
    target: string,
    one: Freight & { content: string | Buffer; expiresAtMs: number; kind: 'move' | 'dead' },
  ): Promise<string> {
    const { name, until, brought, message, content, expiresAtMs, kind } = one
    const options = `${message.priority}  0 0 ${Buffer.byteLength(message.key)} 0\n${message.key}`
    const reply = await this.#caller.call({
      name: 'import',
      key: this.#keys.queue(target),
      words: [name, options, content, String(message.publishedAtMs), String(expiresAtMs), kind, until],
      patient: true,
      // It is struck off its queue next, which may be on another server.
      confirm: true,
      doing,
    })
    const names = brought.get(target)
    if (names === undefined) brought.set(target, [name])
    else names.push(name)
    return String(reply)
  }

  #ask(name: string, queue: string, words: readonly Argument[]): Promise<Reply> {
    return this.#requests.call({ name, queue, words, doing })
  }
}

/** Addressed as it was: of a message that was sent to its queue, the routing key is the queue's name. */
function moved(message: StoredMessage, from: string, to: string): string | Buffer {
  if (message.routingKey !== from || message.exchange !== '') {
    const { exchange, routingKey, properties, body } = message
    return encodeContent(to, { exchange, routingKey, properties, body })
  }
  return message.content
}

/** Headers have a limit, and what its publisher put there may leave no room: then the letter does not tell of its death. */
function lettered(
  target: string,
  letter: Parameters<typeof encodeContent>[1],
  message: StoredMessage,
): string | Buffer {
  try {
    return encodeContent(target, letter)
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    return encodeContent(target, { ...letter, properties: message.properties })
  }
}
