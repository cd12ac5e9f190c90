/** An exchange: its declaration and its bindings. */
import type { ExchangeSettings } from '../model/arguments.ts'
import type { FieldTable } from '../model/field-value.ts'
import { exchangeUnderPolicy } from '../model/policy.ts'
import type { BrokerExchangeKind } from '../model/record.ts'
import { Router } from '../routing/router.ts'
import type { Kernel } from './kernel.ts'
import type { AppliedPolicies } from './policies.ts'
import type { Queue } from './queue.ts'
import type { VirtualHost } from './virtual-host.ts'

export interface ExchangeDeclaration {
  readonly name: string
  readonly kind: BrokerExchangeKind
  readonly durable: boolean
  readonly autoDelete: boolean
  /** Takes messages from other exchanges only. */
  readonly internal: boolean
  readonly arguments: FieldTable
  readonly settings: ExchangeSettings
}

export class Exchange {
  readonly vhost: VirtualHost
  readonly name: string
  readonly kind: BrokerExchangeKind
  readonly durable: boolean
  readonly autoDelete: boolean
  readonly internal: boolean
  readonly arguments: FieldTable
  /** What its arguments say. */
  readonly ownSettings: ExchangeSettings
  policies: AppliedPolicies | undefined
  /** Takes what this one routes nowhere; by its arguments and policies. */
  alternate: string | undefined
  /** The nameless one: every queue is bound to it by its name. */
  readonly isDefault: boolean
  readonly router: Router<Queue | Exchange>
  /** Where one of type `x-delayed-message` holds its messages back. */
  holding: Queue | undefined
  /** The exchanges with a binding to it. */
  readonly sources: Set<Exchange>
  /** The number of the last route that reached it; a RouteSet's own. */
  routeMark: number

  constructor(kernel: Kernel, vhost: VirtualHost, declaration: ExchangeDeclaration) {
    const { settings, name } = declaration
    const policies = kernel.policies.of({ kind: 'exchange', vhost: vhost.name, name })
    this.vhost = vhost
    this.name = declaration.name
    this.kind = declaration.kind
    this.durable = declaration.durable
    this.autoDelete = declaration.autoDelete
    this.internal = declaration.internal
    this.arguments = declaration.arguments
    this.ownSettings = settings
    this.policies = policies
    this.alternate = (
      policies === undefined ? settings : exchangeUnderPolicy(settings, policies.definition)
    ).alternateExchange
    this.isDefault = declaration.name === ''
    this.router = new Router(settings.routing, declaration.arguments)
    this.holding = undefined
    this.sources = new Set()
    this.routeMark = 0
  }

  /** Every virtual host has it: it is not on record, and counts against no limit. */
  get isPredeclared(): boolean {
    return this.isDefault || this.name.startsWith('amq.')
  }

  /** Its declaration survives a restart. */
  get persistent(): boolean {
    return this.durable
  }
}
