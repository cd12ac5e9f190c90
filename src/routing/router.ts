/**
 * The bindings of one exchange and the way through them. A router knows nothing of its destinations: queues and exchanges,
 * or another program's names for them, do alike.
 */
import { checkBindingArguments, checkBindingKey } from '../model/arguments.ts'
import { emptyFieldTable } from '../model/field-value.ts'
import type { FieldTable } from '../model/field-value.ts'
import type { RoutingKind } from '../model/record.ts'
import { assert } from '../std/assert.ts'
import { Binding, BindingIndex } from './binding.ts'
import { DirectMatcher } from './direct.ts'
import { FanoutMatcher } from './fanout.ts'
import { HashMatcher } from './hash.ts'
import { HeadersMatcher } from './headers.ts'
import type { Matcher, RoutedMessage, Routes } from './matcher.ts'
import { TopicMatcher } from './topic.ts'

export type { Binding } from './binding.ts'
export type { RoutedMessage, Routes } from './matcher.ts'

/** Where a binding leads, and when. */
interface BindingTerms<Destination> {
  readonly destination: Destination
  readonly routingKey: string
  /** For a headers exchange: `x-match` and the headers. */
  readonly arguments?: FieldTable
}

export class Router<Destination> {
  readonly kind: RoutingKind
  readonly #index: BindingIndex<Destination>
  readonly #matcher: Matcher<Destination>

  /** @param table the exchange's arguments, which say what a hash exchange makes its hash of */
  constructor(kind: RoutingKind, table: FieldTable = emptyFieldTable) {
    this.kind = kind
    this.#index = new BindingIndex()
    this.#matcher = createMatcher(kind, table)
  }

  /** How many bindings there are. */
  get size(): number {
    return this.#index.size
  }

  get isEmpty(): boolean {
    return this.#index.size === 0
  }

  /**
   * True when the binding is new; one that is there already changes nothing.
   * Throws MillraceError PRECONDITION_FAILED for arguments that are not allowed.
   */
  bind(terms: BindingTerms<Destination>): boolean {
    const { destination, routingKey } = terms
    const table = terms.arguments ?? emptyFieldTable
    checkBindingKey(this.kind, routingKey)
    checkBindingArguments(this.kind, table)
    if (this.#index.find(destination, routingKey, table) !== undefined) return false
    const binding = new Binding(destination, routingKey, table)
    this.#index.add(binding)
    this.#matcher.add(binding)
    return true
  }

  has(terms: BindingTerms<Destination>): boolean {
    const { destination, routingKey } = terms
    return this.#index.find(destination, routingKey, terms.arguments ?? emptyFieldTable) !== undefined
  }

  /** True when there was such a binding. */
  unbind(terms: BindingTerms<Destination>): boolean {
    const binding = this.#index.find(terms.destination, terms.routingKey, terms.arguments ?? emptyFieldTable)
    if (binding === undefined) return false
    this.#remove(binding)
    return true
  }

  /** Removes every binding to a destination that is about to go, and gives them. */
  unbindAll(destination: Destination): readonly Binding<Destination>[] {
    const bindings = this.#index.of(destination)
    for (const binding of bindings) this.#remove(binding)
    return bindings
  }

  /** Adds every destination that the message goes to, once per matching binding: the routes keep one of each. */
  route(routingKey: string, message: RoutedMessage, routes: Routes<Destination>): void {
    this.#matcher.match(routingKey, message, routes)
  }

  /** Every binding. The router must not change meanwhile. */
  bindings(): IterableIterator<Binding<Destination>> {
    return this.#index.all()
  }

  /** The bindings that lead to one destination. */
  bindingsOf(destination: Destination): readonly Binding<Destination>[] {
    return this.#index.of(destination)
  }

  invariants(): void {
    assert(
      this.#matcher.invariants() === this.#index.size,
      'a matcher holds exactly the bindings that are indexed',
    )
    assert([...this.#index.all()].length === this.#index.size, 'the index counts its bindings')
  }

  #remove(binding: Binding<Destination>): void {
    this.#index.remove(binding)
    this.#matcher.remove(binding)
  }
}

function createMatcher<Destination>(kind: RoutingKind, table: FieldTable): Matcher<Destination> {
  switch (kind) {
    case 'direct':
      return new DirectMatcher()
    case 'fanout':
      return new FanoutMatcher()
    case 'topic':
      return new TopicMatcher()
    case 'headers':
      return new HeadersMatcher()
    case 'x-consistent-hash':
      return new HashMatcher(table)
  }
}
