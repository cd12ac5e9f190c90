/** A direct exchange: the routing key of the message is that of the binding (AMQP 0-9-1 section 3.1.3.1). */
import type { Binding } from './binding.ts'
import { KeyMap } from './key-map.ts'
import type { Matcher, RoutedMessage, Routes } from './matcher.ts'

export class DirectMatcher<Destination> implements Matcher<Destination> {
  readonly #keys = new KeyMap<Destination>()

  add(binding: Binding<Destination>): void {
    this.#keys.add(binding)
  }

  remove(binding: Binding<Destination>): void {
    this.#keys.remove(binding)
  }

  match(routingKey: string, _message: RoutedMessage, routes: Routes<Destination>): void {
    this.#keys.match(routingKey, routes)
  }

  invariants(): number {
    return this.#keys.invariants()
  }
}
