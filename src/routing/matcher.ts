/** What all kinds of exchange have in common: a way from a message to the bindings that match it. */
import type { FieldTable } from '../model/field-value.ts'
import type { Binding } from './binding.ts'

/** What a matcher may ask of a message besides its routing key; a broker's Message decodes its headers only then. */
export interface RoutedMessage {
  readonly properties: {
    readonly headers?: FieldTable
    readonly correlationId?: string
    readonly messageId?: string
    readonly timestamp?: number
  }
}

/** Takes the destinations of one message, and each of them once, however often it is added: a RouteSet, or a Set. */
export interface Routes<Destination> {
  add(destination: Destination): unknown
}

/** The bindings of one exchange, arranged for matching. */
export interface Matcher<Destination> {
  /** @param binding one that is not there yet */
  add(binding: Binding<Destination>): void
  /** @param binding one that is there */
  remove(binding: Binding<Destination>): void
  /** Adds the destination of every matching binding to the route. */
  match(routingKey: string, message: RoutedMessage, routes: Routes<Destination>): void
  /** Throws when what it keeps is inconsistent; gives how many bindings that is. */
  invariants(): number
}
