/** What was seen after a step, free of what two sound brokers may do differently. */
import { createHash } from 'node:crypto'
import type { Arrival, Received } from '../raw-client.ts'
import { decodeTypedProperties } from './typed-properties.ts'
import type { TypedProperties } from './typed-properties.ts'
import { isMarked } from './typed-table.ts'
import type { Typed } from './typed-table.ts'

/** What came on one channel; between the lists there is no order that a broker promises. */
export interface ChannelNews {
  /** Answers and closes, in order. */
  readonly replies: readonly unknown[]
  /** In order. */
  readonly deliveries: readonly unknown[]
  /** In order. */
  readonly returns: readonly unknown[]
  /** Tags of consumers that the server cancelled, sorted. */
  readonly cancels: readonly string[]
  /** Numbers of publishes, sorted: how acks are gathered is free. */
  readonly acked: readonly number[]
  readonly nacked: readonly number[]
  /** Something that a broker must never do. */
  readonly wrong: readonly string[]
}

/** After one step. */
export interface Observation {
  /** By `connection/channel`. */
  readonly channels: Readonly<Record<string, Partial<ChannelNews>>>
  /** Ready messages and consumers of each queue, or why it could not be asked. */
  readonly queues: Readonly<Record<string, string>>
  /** What kept the harness from going on. */
  readonly error?: string
}

/** '' for none. */
export function textOf(observation: Observation | undefined): string {
  return JSON.stringify(observation) ?? ''
}

/** Confirms of a channel: what is still to come. Marks off what the news holds. */
export function confirmsIn(
  news: readonly Arrival[],
  unconfirmed: Set<number>,
): { acked: number[]; nacked: number[]; wrong: string[] } {
  const acked: number[] = []
  const nacked: number[] = []
  const wrong: string[] = []
  for (const arrival of news) {
    if (arrival.type !== 'basic.ack' && arrival.type !== 'basic.nack') continue
    const { deliveryTag, multiple } = arrival
    const tags = multiple ? [...unconfirmed].filter((tag) => tag <= deliveryTag) : [deliveryTag]
    if (!multiple && !unconfirmed.has(deliveryTag))
      wrong.push(`${arrival.type} of ${deliveryTag}, which is none`)
    for (const tag of tags) {
      unconfirmed.delete(tag)
      if (arrival.type === 'basic.ack') acked.push(tag)
      else nacked.push(tag)
    }
  }
  return { acked: acked.sort(ascending), nacked: nacked.sort(ascending), wrong }
}

/** The news of one channel but for its confirms; what is empty is left out. */
export function describeNews(
  news: readonly Arrival[],
  confirms: { acked: number[]; nacked: number[]; wrong: string[] },
): Partial<ChannelNews> {
  // Who hangs up after a close is free.
  const closed = news.some((arrival) => arrival.type.startsWith('connection.close'))
  const lists = {
    replies: news
      .filter((arrival) => !apart.has(arrival.type) && !(closed && arrival.type === 'socket closed'))
      .map(plain),
    deliveries: news.filter((arrival) => arrival.type === 'basic.deliver').map(plain),
    returns: news.filter((arrival) => arrival.type === 'basic.return').map(plain),
    cancels: news.flatMap((arrival) => (arrival.type === 'basic.cancel' ? [arrival.consumerTag] : [])).sort(),
    acked: confirms.acked,
    nacked: confirms.nacked,
    wrong: [...confirms.wrong, ...wrongOrders(news)],
  }
  return Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0))
}

const apart: ReadonlySet<string> = new Set([
  'basic.deliver',
  'basic.return',
  'basic.cancel',
  'basic.ack',
  'basic.nack',
])

/** Orders within one channel that the protocol promises. Of what is returned, only the last confirm is surely not too early. */
function wrongOrders(news: readonly Arrival[]): string[] {
  const wrong: string[] = []
  const returned = news.findLastIndex((arrival) => arrival.type === 'basic.return')
  const confirmed = news.findLastIndex(
    (arrival) => arrival.type === 'basic.ack' || arrival.type === 'basic.nack',
  )
  if (confirmed >= 0 && confirmed < returned) wrong.push('a confirm before the return')
  for (const [index, arrival] of news.entries()) {
    if (arrival.type !== 'basic.consume-ok') continue
    const early = news
      .slice(0, index)
      .some((before) => before.type === 'basic.deliver' && before.consumerTag === arrival.consumerTag)
    if (early) wrong.push('a delivery before the consume-ok')
  }
  return wrong
}

/** An arrival as plain data, properties with their types. */
function plain(arrival: Arrival): unknown {
  if (arrival.type === 'socket closed') return arrival.type
  const {
    channel: _,
    body,
    properties: _decoded,
    propertyBytes,
    ...method
  } = arrival as Received & {
    channel: number
  }
  if (propertyBytes === undefined) return method
  const decoded = withoutTimes(decodeTypedProperties(propertyBytes))
  return { ...method, properties: decoded, body: shown(Buffer.from(body ?? [])) }
}

/** A large body by its beginning, length and sum. */
function shown(body: Buffer): string {
  if (body.length < 1_000) return body.toString('latin1')
  const sum = createHash('sha1').update(body).digest('hex')
  return `${body.toString('latin1', 0, 20)}… ${body.length} bytes, ${sum}`
}

/** The time of a death is the server's clock. RabbitMQ tells of the last death only since 3.13. */
function withoutTimes(all: TypedProperties): TypedProperties {
  const headers = Object.entries(all.headers ?? {}).filter(([name]) => !name.startsWith('x-last-death-'))
  const properties = all.headers === undefined ? all : { ...all, headers: Object.fromEntries(headers) }
  const deaths = properties.headers?.['x-death']
  if (!Array.isArray(deaths)) return properties
  const timeless = deaths.map((death: Typed) => {
    const time = (death as Record<string, Typed>)['time']
    if (time === undefined || !isMarked(time) || time.$ !== 'T') return death
    return { ...(death as Record<string, Typed>), time: 'T' }
  })
  return { ...properties, headers: { ...properties.headers, 'x-death': timeless } }
}

/** Of an integer in arguments only its value is kept here, so errors cannot say how wide it was. */
const numberTypes =
  /(expected integer, got |unacceptable_type,|invalid type '|field type |of type '|unacceptable_type_in_header,[^,]+,)(?:byte|unsignedbyte|short|unsignedshort|signedint|unsignedint|long)\b/g

const consumerCounts = /,"consumerCount":\d+|, \d+ consumers/g

/** Replaces the names that a server made up by their number, and the sequence's own prefix. */
export class Names {
  readonly #prefix: string
  readonly #countsConsumers: boolean
  readonly #seen = new Map<string, string>()
  /** The last queue name that the server gave. */
  generated = ''
  /** The last address of a requester that the server gave. */
  replyAddress = 'amq.rabbitmq.reply-to.none'

  /** @param countsConsumers whether how many consumers a queue has may be compared */
  constructor(prefix: string, countsConsumers = true) {
    this.#prefix = prefix
    this.#countsConsumers = countsConsumers
  }

  /** From a step's text to what is sent. */
  send(text: string): string {
    if (text === '$gen') return this.generated
    if (text === '$reply') return this.replyAddress
    return text.startsWith('@') ? `${this.#prefix}-${text.slice(1)}` : text
  }

  /** The same in every text of a structure. */
  sendAll<T>(value: T): T {
    if (typeof value === 'string') return this.send(value) as T
    if (Array.isArray(value)) return value.map((item: unknown) => this.sendAll(item)) as T
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, this.sendAll(item)])) as T
  }

  /** From what was seen to what may be compared. */
  compare<T>(value: T): T {
    const seen = JSON.stringify(value).replaceAll(`${this.#prefix}-`, '@')
    const text = this.#countsConsumers ? seen : seen.replaceAll(consumerCounts, '')
    const known = text.replaceAll(
      /amq\.(gen|ctag|rabbitmq\.reply-to)[-.][\w./+=-]{10,}/g,
      (name, kind: string) => {
        let short = this.#seen.get(name)
        if (short === undefined) this.#seen.set(name, (short = `${kind}#${this.#seen.size}`))
        return short
      },
    )
    return JSON.parse(known.replaceAll(numberTypes, '$1integer')) as T
  }
}

function ascending(a: number, b: number): number {
  return a - b
}
