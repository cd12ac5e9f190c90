/**
 * A consistent hash exchange: each message goes to one destination, the same for the same key, and each destination gets
 * its share by weight (https://github.com/rabbitmq/rabbitmq-server/tree/main/deps/rabbitmq_consistent_hash_exchange).
 *
 * A binding's routing key is its weight: so many buckets are added at the end. The hash of a message's routing key (or of
 * the header or property that the exchange's arguments name) picks a bucket by jump consistent hashing, so that a
 * destination added at the end takes its share from all others, and nothing moves between those
 * (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm").
 */
import { emptyFieldTable, fieldOf } from '../model/field-value.ts'
import type { FieldTable } from '../model/field-value.ts'
import { assert } from '../std/assert.ts'
import { canonical } from './binding.ts'
import type { Binding } from './binding.ts'
import type { Matcher, RoutedMessage, Routes } from './matcher.ts'

export class HashMatcher<Destination> implements Matcher<Destination> {
  readonly #bindings: Binding<Destination>[] = []
  readonly #header: string | undefined
  readonly #property: string | undefined
  /** How many buckets there are up to and with each binding; made again after a change. */
  #ends: number[] | undefined

  /** @param table the exchange's arguments: `hash-header` or `hash-property`, checked */
  constructor(table: FieldTable) {
    this.#header = textOf(table, 'hash-header')
    this.#property = textOf(table, 'hash-property')
  }

  add(binding: Binding<Destination>): void {
    binding.slot = this.#bindings.length
    this.#bindings.push(binding)
    this.#ends = undefined
  }

  /** The order of the others stays: it says which buckets are whose. */
  remove(binding: Binding<Destination>): void {
    assert(this.#bindings[binding.slot] === binding, 'a binding stands in its slot')
    this.#bindings.splice(binding.slot, 1)
    for (let slot = binding.slot; slot < this.#bindings.length; slot += 1) this.#bindings[slot]!.slot = slot
    binding.slot = -1
    this.#ends = undefined
  }

  match(routingKey: string, message: RoutedMessage, routes: Routes<Destination>): void {
    if (this.#bindings.length === 0) return
    const ends = (this.#ends ??= endsOf(this.#bindings))
    const bucket = jump(hashOf(this.#keyOf(routingKey, message)), ends.at(-1)!)
    let low = 0
    let high = ends.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (ends[middle]! > bucket) high = middle
      else low = middle + 1
    }
    routes.add(this.#bindings[low]!.destination)
  }

  invariants(): number {
    for (const [slot, binding] of this.#bindings.entries()) {
      assert(binding.slot === slot, 'a binding stands in its slot')
    }
    return this.#bindings.length
  }

  /** '' where the message does not have what is hashed: all of those go to one destination. */
  #keyOf(routingKey: string, message: RoutedMessage): string {
    if (this.#header !== undefined) {
      const value = fieldOf(message.properties.headers ?? emptyFieldTable, this.#header)
      return value === undefined ? '' : canonical(value)
    }
    if (this.#property === undefined) return routingKey
    const { correlationId, messageId, timestamp } = message.properties
    if (this.#property === 'correlation_id') return correlationId ?? ''
    return this.#property === 'message_id' ? (messageId ?? '') : String(timestamp ?? '')
  }
}

function endsOf(bindings: readonly Binding<unknown>[]): number[] {
  let end = 0
  return bindings.map((binding) => (end += Number(binding.routingKey)))
}

/** FNV-1a, and its bits mixed once more. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  return Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
}

/** The bucket of a hash, from 0: how often it jumps does not depend on how many there are, only how far it may. */
function jump(hash: number, buckets: number): number {
  let state = hash
  let bucket = -1
  for (let next = 0; next < buckets;) {
    bucket = next
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    const chance = (((mixed ^ (mixed >>> 14)) >>> 0) + 1) / 4_294_967_296
    next = Math.floor((bucket + 1) / chance)
  }
  return bucket
}

function textOf(table: FieldTable, name: string): string | undefined {
  const value = fieldOf(table, name)
  return typeof value === 'string' ? value : undefined
}
