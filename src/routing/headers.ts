/**
 * A headers exchange: a binding's arguments against the message's headers (AMQP 0-9-1 section 3.1.3.4, and RabbitMQ's
 * `rabbit_exchange_type_headers` where that is vague).
 *
 * The argument `x-match` says whether all of the other arguments must match or any. The plain modes `all` and `any` skip
 * arguments beginning `x-`; `all-with-x` and `any-with-x` compare those too. An argument that is void (null) asks only
 * that there be such a header. With nothing to compare, `all` matches every message and `any` none.
 */
import { headersMatchOf } from '../model/arguments.ts'
import { emptyFieldTable, equalFieldValues } from '../model/field-value.ts'
import type { FieldTable, FieldValue } from '../model/field-value.ts'
import { assert } from '../std/assert.ts'
import type { Binding } from './binding.ts'
import type { Matcher, RoutedMessage, Routes } from './matcher.ts'

/** A binding's arguments, taken apart once instead of for each message. */
interface Pattern<Destination> {
  readonly binding: Binding<Destination>
  readonly wantsAll: boolean
  readonly names: readonly string[]
  readonly values: readonly FieldValue[]
}

export class HeadersMatcher<Destination> implements Matcher<Destination> {
  readonly #patterns: Pattern<Destination>[] = []

  add(binding: Binding<Destination>): void {
    binding.slot = this.#patterns.length
    this.#patterns.push(compile(binding))
  }

  remove(binding: Binding<Destination>): void {
    assert(this.#patterns[binding.slot]?.binding === binding, 'a binding stands in its slot')
    const last = this.#patterns.pop()!
    if (last.binding !== binding) {
      this.#patterns[binding.slot] = last
      last.binding.slot = binding.slot
    }
    binding.slot = -1
  }

  match(_routingKey: string, message: RoutedMessage, routes: Routes<Destination>): void {
    const patterns = this.#patterns
    if (patterns.length === 0) return
    const headers = message.properties.headers ?? emptyFieldTable
    for (let index = 0; index < patterns.length; index += 1) {
      const pattern = patterns[index]!
      if (matches(pattern, headers)) routes.add(pattern.binding.destination)
    }
  }

  invariants(): number {
    for (const [slot, pattern] of this.#patterns.entries()) {
      assert(pattern.binding.slot === slot, 'a binding stands in its slot')
    }
    return this.#patterns.length
  }
}

function compile<Destination>(binding: Binding<Destination>): Pattern<Destination> {
  const mode = headersMatchOf(binding.arguments)
  const plain = mode === 'all' || mode === 'any'
  const names = Object.keys(binding.arguments).filter(
    (name) => name !== 'x-match' && !(plain && name.startsWith('x-')),
  )
  return {
    binding,
    wantsAll: mode === 'all' || mode === 'all-with-x',
    names,
    values: names.map((name) => binding.arguments[name]!),
  }
}

function matches(pattern: Pattern<unknown>, headers: FieldTable): boolean {
  const { names, values, wantsAll } = pattern
  for (let index = 0; index < names.length; index += 1) {
    const name = names[index]!
    const value = values[index]!
    const found = Object.hasOwn(headers, name) && (value === null || equalFieldValues(value, headers[name]!))
    if (found !== wantsAll) return found
  }
  return wantsAll
}
