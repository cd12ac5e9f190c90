/** What one connection's account may do in its virtual host, remembered until users or permissions change. */
import type { Permission } from '../model/setting.ts'
import type { Account, Authenticator } from './authenticator.ts'
import { accessRefused } from './refusal.ts'

/** Answers remembered at most; then they are asked for anew. */
const maximumAnswers = 1024

export class Access {
  readonly account: Account
  readonly vhost: string
  readonly #authenticator: Authenticator
  readonly #allowed = new Set<string>()
  #version: number
  /** The exchange that was published to last: asked for once a message (benchmark P4). */
  #lastExchange: string | undefined

  constructor(options: { account: Account; vhost: string; authenticator: Authenticator }) {
    this.account = options.account
    this.vhost = options.vhost
    this.#authenticator = options.authenticator
    this.#version = options.authenticator.version
    this.#lastExchange = undefined
  }

  /** Throws ACCESS_REFUSED. */
  checkPublish(exchange: string): void {
    if (this.#lastExchange === exchange && this.#version === this.#authenticator.version) return
    this.checkExchange('write', exchange)
    this.#lastExchange = exchange
  }

  /** Throws ACCESS_REFUSED. */
  checkExchange(permission: Permission, name: string): void {
    this.#check('exchange', permission, name === '' ? 'amq.default' : name)
  }

  /** Throws ACCESS_REFUSED. */
  checkQueue(permission: Permission, name: string): void {
    this.#check('queue', permission, name)
  }

  /** Throws ACCESS_REFUSED. */
  checkTopic(permission: 'write' | 'read', exchange: string, routingKey: string): void {
    const { account } = this
    if (this.#authenticator.mayRoute(account, this.vhost, permission, { exchange, routingKey })) return
    throw accessRefused(
      `${permission} access to topic '${routingKey}' in exchange '${exchange}' in vhost '${this.vhost}' ` +
        `refused for user '${account.name}'`,
    )
  }

  #check(kind: 'queue' | 'exchange', permission: Permission, name: string): void {
    const authenticator = this.#authenticator
    if (this.#version !== authenticator.version || this.#allowed.size >= maximumAnswers) {
      this.#allowed.clear()
      this.#lastExchange = undefined
      this.#version = authenticator.version
    }
    const question = `${permission} ${kind} ${name}`
    if (this.#allowed.has(question)) return
    if (!authenticator.may(this.account, this.vhost, permission, name)) {
      throw accessRefused(
        `${permission} access to ${kind} '${name}' in vhost '${this.vhost}' refused for user '${this.account.name}'`,
      )
    }
    this.#allowed.add(question)
  }
}
