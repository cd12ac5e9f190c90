/**
 * The methods that come with every message, read without making an object: each class here is filled anew by `read` and holds
 * what the last one said. One of each per connection is enough.
 */
import { longAt, longLongAt } from './frame-bytes.ts'
import { methodIds } from './methods.ts'
import { ShortStringCache } from './short-string-cache.ts'
import { undecodable } from './wire-errors.ts'

/** basic.publish, read in place. */
export class PublishReader {
  exchange: string
  routingKey: string
  mandatory: boolean
  immediate: boolean
  readonly #exchanges: ShortStringCache
  readonly #routingKeys: ShortStringCache

  constructor() {
    this.exchange = ''
    this.routingKey = ''
    this.mandatory = false
    this.immediate = false
    this.#exchanges = new ShortStringCache()
    this.#routingKeys = new ShortStringCache()
  }

  /** @param start where class and method number are. Throws ProtocolError (501) where the fields are not as long as the payload. */
  read(buffer: Buffer, start: number, end: number): void {
    const exchangeAt = start + 6
    const keyAt = exchangeAt < end ? exchangeAt + 1 + (buffer[exchangeAt] as number) : end
    const bitsAt = keyAt < end ? keyAt + 1 + (buffer[keyAt] as number) : end
    if (bitsAt + 1 !== end) throw undecodable(methodIds['basic.publish'], buffer.subarray(start + 4, end))
    this.exchange = this.#exchanges.read(buffer, exchangeAt)
    this.routingKey = this.#routingKeys.read(buffer, keyAt)
    const bits = buffer[bitsAt] as number
    this.mandatory = (bits & 1) !== 0
    this.immediate = (bits & 2) !== 0
  }
}

/** basic.ack, basic.nack or basic.reject, read in place. */
export class SettlementReader {
  /** 0 stands for all, with `multiple`. Beyond 2 ** 53 the nearest number. */
  deliveryTag: number
  /** False for basic.reject. */
  multiple: boolean
  /** False for basic.ack. */
  requeue: boolean

  constructor() {
    this.deliveryTag = 0
    this.multiple = false
    this.requeue = false
  }

  /** @param start where class and method number are. Throws ProtocolError (501) where the payload has another length. */
  read(buffer: Buffer, start: number, end: number): void {
    const id = longAt(buffer, start)
    if (end - start !== 13) throw undecodable(id, buffer.subarray(start + 4, end))
    const bits = buffer[start + 12] as number
    const isReject = id === methodIds['basic.reject']
    this.deliveryTag = longLongAt(buffer, start + 4)
    this.multiple = !isReject && (bits & 1) !== 0
    this.requeue = isReject ? (bits & 1) !== 0 : id === methodIds['basic.nack'] && (bits & 2) !== 0
  }
}
