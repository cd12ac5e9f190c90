/** What is declared, kept by applying one definition after another: what recovery rebuilds from the log. */
import { encodeFieldTable } from '../model/field-table.ts'
import type { BindingFacts, Definition, BrokerExchangeKind } from '../model/record.ts'
import { isSettingChange } from '../model/setting.ts'
import { SettingsState } from './settings-state.ts'

type QueueDeclared = Extract<Definition, { type: 'queue.declared' }>
type ExchangeDeclared = Extract<Definition, { type: 'exchange.declared' }> & {
  readonly kind: BrokerExchangeKind
}
type Bound = Extract<Definition, { type: 'bound' }>
type Deduplicated = Extract<Definition, { type: 'deduplicated' }>

export class DefinitionState {
  readonly #vhosts = new Set<string>()
  readonly #exchanges = new Map<string, ExchangeDeclared>()
  readonly #queues = new Map<number, QueueDeclared>()
  readonly #paused = new Set<number>()
  readonly #bindings = new Map<string, Bound>()
  /** The keys of the bindings at each end, so that what is deleted takes its bindings along. */
  readonly #bindingsOfEnd = new Map<string, Set<string>>()
  readonly #deduplicated = new Map<string, Deduplicated>()
  readonly #settings = new SettingsState()

  hasQueue(queueId: number): boolean {
    return this.#queues.has(queueId)
  }

  queueName(queueId: number): { vhost: string; name: string } | undefined {
    const queue = this.#queues.get(queueId)
    if (queue?.holdsFor === undefined) return queue
    return { vhost: queue.vhost, name: `held back for exchange '${queue.holdsFor}'` }
  }

  apply(definition: Definition): void {
    if (isSettingChange(definition)) {
      this.#settings.apply(definition)
      return
    }
    switch (definition.type) {
      case 'vhost.declared':
        this.#vhosts.add(definition.vhost)
        break
      case 'vhost.deleted':
        this.#deleteVhost(definition.vhost)
        break
      case 'exchange.declared':
        this.#exchanges.set(textKey(definition.vhost, definition.name), definition)
        break
      case 'exchange.deleted':
        this.#exchanges.delete(textKey(definition.vhost, definition.name))
        this.#deleteBindingsOf(endKey(definition.vhost, 'exchange', definition.name))
        break
      case 'queue.declared':
        this.#queues.set(definition.id, definition)
        break
      case 'queue.deleted':
        this.#deleteQueue(definition.id)
        break
      case 'queue.paused':
        if (definition.paused) this.#paused.add(definition.id)
        else this.#paused.delete(definition.id)
        break
      case 'bound':
        this.#bind(definition)
        break
      case 'unbound':
        this.#unbind(bindingKey(definition))
        break
      case 'deduplicated':
        this.#deduplicated.set(textKey(String(definition.queueId), definition.key), definition)
        break
    }
  }

  /** Everything, in an order in which it can be declared again. */
  definitions(): Definition[] {
    const all: Definition[] = []
    for (const vhost of this.#vhosts) all.push({ type: 'vhost.declared', vhost })
    for (const setting of this.#settings.values()) all.push(setting)
    all.push(...this.#exchanges.values(), ...this.#queues.values())
    for (const id of this.#paused)
      if (this.#queues.has(id)) all.push({ type: 'queue.paused', id, paused: true })
    for (const binding of this.#bindings.values()) all.push(binding)
    for (const fact of this.#deduplicated.values()) if (this.#queues.has(fact.queueId)) all.push(fact)
    return all
  }

  #deleteVhost(vhost: string): void {
    this.#vhosts.delete(vhost)
    this.#settings.deleteVhost(vhost)
    for (const [key, exchange] of this.#exchanges) if (exchange.vhost === vhost) this.#exchanges.delete(key)
    for (const queue of this.#queues.values()) if (queue.vhost === vhost) this.#deleteQueue(queue.id)
    for (const [key, binding] of this.#bindings) if (binding.vhost === vhost) this.#unbind(key)
  }

  #deleteQueue(id: number): void {
    const queue = this.#queues.get(id)
    this.#queues.delete(id)
    this.#paused.delete(id)
    if (queue !== undefined) this.#deleteBindingsOf(endKey(queue.vhost, 'queue', queue.name))
  }

  #bind(binding: Bound): void {
    const key = bindingKey(binding)
    this.#bindings.set(key, binding)
    for (const end of endsOf(binding)) {
      const keys = this.#bindingsOfEnd.get(end)
      if (keys === undefined) this.#bindingsOfEnd.set(end, new Set([key]))
      else keys.add(key)
    }
  }

  #unbind(key: string): void {
    const binding = this.#bindings.get(key)
    if (binding === undefined) return
    this.#bindings.delete(key)
    for (const end of endsOf(binding)) {
      const keys = this.#bindingsOfEnd.get(end)
      keys?.delete(key)
      if (keys?.size === 0) this.#bindingsOfEnd.delete(end)
    }
  }

  #deleteBindingsOf(end: string): void {
    for (const key of this.#bindingsOfEnd.get(end) ?? []) this.#unbind(key)
  }
}

function textKey(...parts: readonly string[]): string {
  return parts.join('\0')
}

function endKey(vhost: string, type: 'queue' | 'exchange', name: string): string {
  return textKey(vhost, type, name)
}

function endsOf(binding: BindingFacts): [string, string] {
  return [
    endKey(binding.vhost, 'exchange', binding.source),
    endKey(binding.vhost, binding.destinationType, binding.destination),
  ]
}

function bindingKey(binding: BindingFacts): string {
  const facts = Buffer.from(encodeFieldTable(binding.arguments)).toString('base64')
  return textKey(...endsOf(binding), binding.routingKey, facts)
}
