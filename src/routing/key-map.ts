/** Bindings by routing key, for keys that are compared as a whole. */
import { assert } from '../std/assert.ts'
import { appendBinding, removeBinding } from './binding.ts'
import type { Binding } from './binding.ts'
import type { Routes } from './matcher.ts'

export class KeyMap<Destination> {
  readonly #lists = new Map<string, Binding<Destination>[]>()

  add(binding: Binding<Destination>): void {
    const list = this.#lists.get(binding.routingKey)
    if (list !== undefined) {
      appendBinding(list, binding)
      return
    }
    // A literal has room for exactly one, where the first push onto an empty array makes room for 17.
    binding.slot = 0
    this.#lists.set(binding.routingKey, [binding])
  }

  remove(binding: Binding<Destination>): void {
    const list = this.#lists.get(binding.routingKey)
    assert(list !== undefined, 'a binding that is removed is there')
    removeBinding(list, binding)
    if (list.length === 0) this.#lists.delete(binding.routingKey)
  }

  match(routingKey: string, routes: Routes<Destination>): void {
    const list = this.#lists.get(routingKey)
    if (list === undefined) return
    for (let index = 0; index < list.length; index += 1) routes.add(list[index]!.destination)
  }

  /** Gives the number of bindings. */
  invariants(): number {
    let count = 0
    for (const [routingKey, list] of this.#lists) {
      assert(list.length > 0, 'no routing key is kept without bindings')
      for (const [slot, binding] of list.entries()) {
        assert(
          binding.routingKey === routingKey && binding.slot === slot,
          'a binding stands under its key, in its slot',
        )
      }
      count += list.length
    }
    return count
  }
}
