/**
 * A binding, and the index of all bindings of one exchange. What makes two bindings the same is their destination, their
 * key and their arguments (and their source, which is the exchange they are in).
 */
import type { FieldTable, FieldValue } from '../model/field-value.ts'
import { isFieldArray } from '../model/field-value.ts'
import { assert } from '../std/assert.ts'

export class Binding<Destination> {
  readonly destination: Destination
  readonly routingKey: string
  readonly arguments: FieldTable
  /** Its place in the list that a matcher keeps it in; the matcher's own. */
  slot: number

  constructor(destination: Destination, routingKey: string, table: FieldTable) {
    this.destination = destination
    this.routingKey = routingKey
    this.arguments = table
    this.slot = -1
  }
}

/** All bindings of one exchange, found by what makes them the same and by their destination. */
export class BindingIndex<Destination> {
  /** Most destinations have one binding, which needs no map of its own. */
  readonly #byDestination = new Map<Destination, Binding<Destination> | Map<string, Binding<Destination>>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  find(destination: Destination, routingKey: string, table: FieldTable): Binding<Destination> | undefined {
    const found = this.#byDestination.get(destination)
    if (found === undefined) return undefined
    const identity = identityOf(routingKey, table)
    if (!(found instanceof Binding)) return found.get(identity)
    return identityOf(found.routingKey, found.arguments) === identity ? found : undefined
  }

  /** @param binding one that is not there yet */
  add(binding: Binding<Destination>): void {
    const found = this.#byDestination.get(binding.destination)
    this.#size += 1
    if (found === undefined) {
      this.#byDestination.set(binding.destination, binding)
      return
    }
    const several =
      found instanceof Binding ? new Map([[identityOf(found.routingKey, found.arguments), found]]) : found
    const identity = identityOf(binding.routingKey, binding.arguments)
    assert(!several.has(identity), 'a binding is indexed once')
    several.set(identity, binding)
    if (several !== found) this.#byDestination.set(binding.destination, several)
  }

  /** @param binding one that is there */
  remove(binding: Binding<Destination>): void {
    const found = this.#byDestination.get(binding.destination)
    assert(found !== undefined, 'a binding that is removed is indexed')
    this.#size -= 1
    if (found instanceof Binding) {
      assert(found === binding, 'the binding that is removed is the one indexed')
      this.#byDestination.delete(binding.destination)
      return
    }
    const removed = found.delete(identityOf(binding.routingKey, binding.arguments))
    assert(removed, 'a binding that is removed is indexed')
    if (found.size === 0) this.#byDestination.delete(binding.destination)
  }

  /** The bindings that lead to one destination. */
  of(destination: Destination): readonly Binding<Destination>[] {
    const found = this.#byDestination.get(destination)
    if (found === undefined) return []
    return found instanceof Binding ? [found] : [...found.values()]
  }

  /** Every binding. The index must not change meanwhile. */
  *all(): IterableIterator<Binding<Destination>> {
    for (const found of this.#byDestination.values()) {
      if (found instanceof Binding) yield found
      else yield* found.values()
    }
  }
}

/** Adds at the end of a matcher's list. */
export function appendBinding<Destination>(
  list: Binding<Destination>[],
  binding: Binding<Destination>,
): void {
  binding.slot = list.length
  list.push(binding)
}

/** Takes out of a matcher's list in constant time: the last one moves into the gap. */
export function removeBinding<Destination>(
  list: Binding<Destination>[],
  binding: Binding<Destination>,
): void {
  assert(list[binding.slot] === binding, 'a binding stands in its slot')
  const last = list.pop()!
  if (last !== binding) {
    list[binding.slot] = last
    last.slot = binding.slot
  }
  binding.slot = -1
}

/** A text that two bindings of one destination share exactly if they are the same. */
function identityOf(routingKey: string, table: FieldTable): string {
  const names = Object.keys(table)
  if (names.length === 0 && !routingKey.startsWith('\0')) return routingKey
  const text = names.length === 0 ? '' : canonicalTable(table)
  return `\0${text.length}:${text}${routingKey}`
}

function canonicalTable(table: FieldTable): string {
  const fields = Object.keys(table)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonical(table[name]!)}`)
  return `{${fields.join(',')}}`
}

/** Equal numbers are the same whatever their width, as everywhere in the broker. */
export function canonical(value: FieldValue): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value !== 'object' || value === null) return String(value)
  if (value instanceof Date) return `T${value.getTime()}`
  if (value instanceof Uint8Array) return `x[${value.join(',')}]`
  if (isFieldArray(value)) return `[${value.map(canonical).join(',')}]`
  return canonicalTable(value)
}
