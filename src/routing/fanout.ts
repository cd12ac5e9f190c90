/** A fanout exchange: every binding matches, whatever the keys (AMQP 0-9-1 section 3.1.3.2). */
import { assert } from '../std/assert.ts'
import { appendBinding, removeBinding } from './binding.ts'
import type { Binding } from './binding.ts'
import type { Matcher, RoutedMessage, Routes } from './matcher.ts'

export class FanoutMatcher<Destination> implements Matcher<Destination> {
  readonly #bindings: Binding<Destination>[] = []

  add(binding: Binding<Destination>): void {
    appendBinding(this.#bindings, binding)
  }

  remove(binding: Binding<Destination>): void {
    removeBinding(this.#bindings, binding)
  }

  match(_routingKey: string, _message: RoutedMessage, routes: Routes<Destination>): void {
    const bindings = this.#bindings
    for (let index = 0; index < bindings.length; index += 1) routes.add(bindings[index]!.destination)
  }

  invariants(): number {
    for (const [slot, binding] of this.#bindings.entries()) {
      assert(binding.slot === slot, 'a binding stands in its slot')
    }
    return this.#bindings.length
  }
}
