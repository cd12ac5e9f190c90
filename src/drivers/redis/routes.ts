/**
 * Where messages go: the exchanges and bindings of the namespace, kept here and followed here. Each time something is
 * published to an exchange, the version on the server is looked at first, so that whoever publishes after a binding was
 * made or removed goes by it. Messages published in one turn share the look.
 */
import { Router } from '../../routing/router.ts'
import type { RoutedMessage } from '../../routing/router.ts'
import type { ExchangeKind } from '../../model/record.ts'
import type { Caller } from './caller.ts'
import type { Reply } from './node-redis.ts'
import { tableFromJson } from './tagged-json.ts'

interface Exchange {
  readonly router: Router<Destination>
  readonly alternate: string | undefined
}

interface Destination {
  readonly type: 'queue' | 'exchange'
  readonly name: string
}

export class RouteTable {
  readonly version: string
  readonly #exchanges = new Map<string, Exchange>()
  /** One object for each destination: routers know them by identity. */
  readonly #destinations = new Map<string, Destination>()

  /** @param topology the hash as it is on the server */
  constructor(version: string, topology: ReadonlyMap<string, string>) {
    this.version = version
    for (const [field, text] of topology) {
      if (!field.startsWith('e:')) continue
      const { kind, alternate } = JSON.parse(text) as { kind: ExchangeKind; alternate?: string }
      this.#exchanges.set(field.slice(2), { router: new Router(kind), alternate })
    }
    for (const field of topology.keys()) if (field.startsWith('b:')) this.#bind(field.slice(2))
  }

  /** The queues, or undefined where there is no such exchange. */
  route(exchange: string, routingKey: string, message: RoutedMessage): ReadonlySet<string> | undefined {
    if (!this.#exchanges.has(exchange)) return undefined
    const queues = new Set<string>()
    const visited = new Set<string>([exchange])
    for (const name of visited) {
      const found = this.#exchanges.get(name)
      if (found === undefined) continue
      const destinations = new Set<Destination>()
      found.router.route(routingKey, message, destinations)
      for (const { type, name: target } of destinations) (type === 'queue' ? queues : visited).add(target)
      if (destinations.size === 0 && found.alternate !== undefined) visited.add(found.alternate)
    }
    return queues
  }

  #bind(text: string): void {
    const [source, type, name, routingKey, table] = JSON.parse(text) as [
      string,
      Destination['type'],
      string,
      string,
      Record<string, unknown>,
    ]
    const key = `${type} ${name}`
    const destination = this.#destinations.get(key) ?? { type, name }
    this.#destinations.set(key, destination)
    this.#exchanges.get(source)?.router.bind({ destination, routingKey, arguments: tableFromJson(table) })
  }
}

export class Routes {
  readonly #caller: Caller
  readonly #key: string
  #table = new RouteTable('', new Map())
  #coming: Promise<RouteTable> | undefined

  constructor(caller: Caller, key: string) {
    this.#caller = caller
    this.#key = key
  }

  /** As they are on the server now, or later. */
  current(): Promise<RouteTable> {
    return (this.#coming ??= Promise.resolve().then(() => {
      this.#coming = undefined
      return this.#look()
    }))
  }

  async #look(): Promise<RouteTable> {
    const doing = 'look at the bindings'
    const version = await this.#caller.call({ key: this.#key, words: ['HGET', this.#key, 'version'], doing })
    if (version !== null && String(version) === this.#table.version) return this.#table
    const all = await this.#caller.call({ key: this.#key, words: ['HGETALL', this.#key], doing })
    const topology = asMap(all)
    this.#table = new RouteTable(topology.get('version') ?? '', topology)
    return this.#table
  }
}

/** A hash as the client gives it: a map, an object or a list, by the protocol's version. */
export function asMap(reply: Reply): Map<string, string> {
  const value: unknown = reply
  if (value instanceof Map) return new Map([...value].map(([name, text]) => [String(name), String(text)]))
  if (Array.isArray(value)) {
    const map = new Map<string, string>()
    for (let index = 0; index < value.length; index += 2)
      map.set(String(value[index]), String(value[index + 1]))
    return map
  }
  return new Map(Object.entries(value as object).map(([name, text]) => [name, String(text)]))
}
