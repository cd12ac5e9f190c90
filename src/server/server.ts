/**
 * The AMQP 0-9-1 server over one broker: its listeners, its connections, and what they share.
 *
 *   open -> closing (nobody new; confirms go out, peers are told 320) -> closed
 */
import type { Duplex } from 'node:stream'
import type { Broker } from '../broker/broker.ts'
import type { FieldTable } from '../model/field-table.ts'
import type { Removed } from '../model/record.ts'
import { replyCodes } from '../wire/methods.ts'
import type { Authenticator } from './authenticator.ts'
import { Confirms } from './confirms.ts'
import { Connection } from './connection.ts'
import { ReplyAddresses } from './direct-reply-to.ts'
import type { Peer } from './handshake.ts'
import { serverLimits } from './limits.ts'
import type { ServerLimits } from './limits.ts'
import { silentLog } from './log.ts'
import type { Log } from './log.ts'
import { Flusher } from './output.ts'
import { PartialContents } from './partial-contents.ts'
import { serverProperties } from './server-properties.ts'
import { TimerWheel } from './timer-wheel.ts'

export interface ServerOptions {
  readonly broker: Broker
  readonly authenticator: Authenticator
  readonly limits?: Partial<ServerLimits>
  readonly log?: Log
  /** Of this package, for connection.start. */
  readonly version: string
}

/** Where clients come in. */
export interface Entrance {
  /** Takes nobody new; connections go on. */
  close(): Promise<void>
  /** Ends what never became a connection. */
  destroy(): void
}

/** How exact timeouts and heartbeats are. */
const tickMs = 250

export class Server {
  readonly broker: Broker
  readonly authenticator: Authenticator
  readonly limits: ServerLimits
  readonly log: Log
  readonly properties: FieldTable
  readonly confirms: Confirms
  readonly replyAddresses = new ReplyAddresses()
  readonly flusher = new Flusher()
  readonly wheel: TimerWheel
  readonly partial: PartialContents
  readonly #connections = new Set<Connection>()
  /** Publishers that wait for the gate. */
  readonly #blocked = new Set<Connection>()
  readonly #listeners: Entrance[] = []
  #closed: Promise<void> | undefined
  #allGone: (() => void) | undefined

  constructor(options: ServerOptions) {
    this.broker = options.broker
    this.authenticator = options.authenticator
    this.limits = serverLimits(options.limits)
    this.log = options.log ?? silentLog
    this.properties = serverProperties({ version: options.version, clusterName: 'millrace' })
    this.confirms = new Confirms(options.broker)
    this.partial = new PartialContents(this.limits.partialBytes)
    this.wheel = new TimerWheel(tickMs, () => options.broker.nowMs())
    options.broker.events.on('unblocked', () => this.#unblock())
    options.broker.events.on('failed', (error) => this.#failed(error))
    options.broker.events.on('removed', (removed) => this.#removed(removed))
  }

  get connections(): ReadonlySet<Connection> {
    return this.#connections
  }

  /** Closes it with the server. */
  add(listener: Entrance): void {
    this.#listeners.push(listener)
  }

  /** A listener has a new connection. */
  accept(socket: Duplex, peer: Peer): void {
    const open = this.#closed === undefined && this.broker.state === 'open'
    if (!open || this.#connections.size >= this.limits.connections) {
      this.log.warn('connection refused', { peer: peer.name, connections: this.#connections.size })
      socket.destroy()
      return
    }
    this.#connections.add(new Connection(this, socket, peer))
  }

  /** @internal */
  forget(connection: Connection): void {
    this.#connections.delete(connection)
    this.#blocked.delete(connection)
    this.wheel.remove(connection.times)
    if (this.#connections.size === 0) this.#allGone?.()
  }

  /** @internal A connection published while the gate is shut; it is not read until the gate opens. */
  blocked(connection: Connection): void {
    this.#blocked.add(connection)
    const reason = blockedReason(this.broker.gate.reason)
    if (reason !== undefined) connection.tellBlocked(reason)
  }

  /** Ends the connections for which that holds (320), and says how many they were: an operator closes them, a user is gone. */
  closeConnections(holds: (connection: Connection) => boolean, text: string): number {
    let count = 0
    for (const connection of this.#connections) {
      if (!holds(connection)) continue
      connection.close({ replyCode: replyCodes.CONNECTION_FORCED, text })
      count += 1
    }
    return count
  }

  /** Stops listening, sends what is confirmed, tells every peer, waits for them a while. Idempotent. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()))
    if (this.broker.state === 'open' && !this.broker.gate.shut) {
      await this.#waitAWhile(this.broker.whenDurable().catch(() => undefined))
    }
    const text = "broker forced connection closure with reason 'shutdown'"
    for (const connection of this.#connections)
      connection.close({ replyCode: replyCodes.CONNECTION_FORCED, text })
    if (this.#connections.size > 0)
      await this.#waitAWhile(new Promise<void>((resolve) => (this.#allGone = resolve)))
    for (const connection of this.#connections) connection.destroy()
    for (const listener of this.#listeners) listener.destroy()
    this.wheel.close()
  }

  async #waitAWhile(until: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, this.limits.closeTimeoutMs)))
    await Promise.race([late, until])
    clearTimeout(timer)
  }

  #unblock(): void {
    for (const connection of this.#blocked) connection.unblock()
    this.#blocked.clear()
  }

  /** As RabbitMQ does it; who only lost a permission stays, and is refused. */
  #removed(removed: Removed): void {
    if (removed.type === 'vhost.deleted') {
      const { vhost } = removed
      this.closeConnections(({ handshake }) => handshake.vhost === vhost, `vhost '${vhost}' is deleted`)
    } else {
      const { name } = removed
      this.closeConnections(({ handshake }) => handshake.account?.name === name, `user '${name}' is deleted`)
    }
  }

  /** The disk refused: what was not confirmed is not stored, and nothing more is promised. */
  #failed(error: Error): void {
    this.log.error('the store failed', { error: error.message })
    const text = 'the store failed; what was not confirmed may be lost'
    for (const connection of this.#connections)
      connection.close({ replyCode: replyCodes.INTERNAL_ERROR, text })
  }
}

/** RabbitMQ's words. A log that is being written is no alarm: it passes in milliseconds. */
function blockedReason(reason: string): string | undefined {
  if (reason.includes('memory')) return 'low on memory'
  return reason.includes('disk') ? 'low on disk' : undefined
}
