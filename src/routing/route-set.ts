/**
 * The destinations one message goes to, each once, however many bindings lead there.
 *
 * One set is used for message after message. Instead of remembering what it holds, it marks each destination with the
 * number of the route that reached it last: no hash table and no allocation per message (benchmark: topic, 100,000
 * bindings). Alternate exchanges, exchange-to-exchange bindings and CC keys add to the same route.
 */
import { assert } from '../std/assert.ts'

/** What a binding can lead to: a queue or an exchange. */
interface Routable {
  /** The number of the last route that reached it; 0 before the first. Only a RouteSet touches it. */
  routeMark: number
}

/** Counts the routes of all sets together, so that the marks of two sets cannot be confused. */
let lastRoute = 0

export class RouteSet<Destination extends Routable> {
  readonly #destinations: Destination[]
  #size: number
  #route: number

  constructor() {
    this.#destinations = []
    this.#size = 0
    this.#route = 0
    this.begin()
  }

  get size(): number {
    return this.#size
  }

  /** The destination at a place from 0 to size - 1, in the order they were added. */
  at(index: number): Destination {
    assert(index >= 0 && index < this.#size, 'a destination is asked for within the route')
    return this.#destinations[index]!
  }

  /** Begins a new, empty route. */
  begin(): void {
    lastRoute += 1
    this.#route = lastRoute
    this.#size = 0
  }

  /** Adds a destination; false when it is in the route already. */
  add(destination: Destination): boolean {
    if (destination.routeMark === this.#route) return false
    destination.routeMark = this.#route
    this.#destinations[this.#size] = destination
    this.#size += 1
    return true
  }

  /** Lets go of destinations that earlier routes left behind: after one of them was deleted. */
  release(): void {
    this.#destinations.length = this.#size
  }
}
