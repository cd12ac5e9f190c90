/**
 * All nodes of a cluster as one connection. Each key's node is known from the cluster's map of slots, which is looked at
 * again when a node says that a slot has moved, or is gone.
 *
 * A node that is lost costs its own calls alone: they are made again, by their caller, until its replica has taken over.
 * Only with the node that brings the wake-ups, or with the last one, the whole connection is lost.
 */
import { MillraceError } from '../../model/errors.ts'
import type { Connection } from './connection.ts'
import { dialFailure, mostTelling, NodeLost } from './failure.ts'
import { Gathering } from './gathering.ts'
import { Server, ServerError } from './node-redis.ts'
import type { Address, Argument, Library, Reply } from './node-redis.ts'
import { slotCount, slotOf } from './slots.ts'
import type { RedisSettings } from './url.ts'

const maximumRedirections = 8

export class Cluster implements Connection {
  readonly isCluster = true
  readonly #library: Library
  readonly #settings: RedisSettings
  /** Who may tell of the others: what we were given, and all that there were. */
  #seeds: readonly Address[]
  readonly #servers = new Map<string, Promise<Server>>()
  /** Each slot's node. */
  #owners: readonly (Address | undefined)[] = []
  #onLost: ((cause: Error) => void) | undefined
  #cause: Error | undefined
  #isClosed = false
  readonly #looks = new Gathering(() => this.#look())

  private constructor(library: Library, settings: RedisSettings, seeds: readonly Address[]) {
    this.#library = library
    this.#settings = settings
    this.#seeds = seeds
  }

  /** Rejects with a MillraceError. */
  static async dial(library: Library, settings: RedisSettings, seeds: readonly Address[]): Promise<Cluster> {
    const cluster = new Cluster(library, settings, seeds)
    try {
      await cluster.#look()
    } catch (error) {
      cluster.destroy()
      throw error
    }
    return cluster
  }

  /** Nodes, replicas among them, as the cluster told the last time. */
  get nodes(): readonly Address[] {
    return this.#seeds
  }

  async send(key: string, words: readonly Argument[], confirm = false): Promise<Reply> {
    let address = this.#owners[slotOf(key)]
    let isAsking = false
    for (let redirections = 0; redirections < maximumRedirections; redirections += 1) {
      if (address === undefined) throw this.#unserved()
      const server = await this.#reach(address)
      try {
        const reply = await (isAsking ? server.sendAsking(words) : server.send(words))
        if (confirm) await server.confirm()
        return reply
      } catch (error) {
        if (!(error instanceof ServerError)) throw this.#nodeLost(address, error)
        if (error.kind !== 'MOVED' && error.kind !== 'ASK') throw error
        isAsking = error.kind === 'ASK'
        address = target(error, address)
        if (!isAsking) this.#lookAgain()
      }
    }
    throw new ServerError('TRYAGAIN the nodes do not agree on where a key is')
  }

  async everywhere(words: readonly Argument[]): Promise<readonly Reply[]> {
    const primaries = new Map<string, Address>()
    for (const owner of this.#owners) if (owner !== undefined) primaries.set(nameOf(owner), owner)
    const results = await Promise.allSettled(
      [...primaries.values()].map(async (address) => (await this.#reach(address)).send(words)),
    )
    const replies = results.filter((result) => result.status === 'fulfilled').map(({ value }) => value)
    const failures = results
      .filter((result) => result.status === 'rejected')
      .map(({ reason }) => reason as Error)
    const refusal = failures.find((failure) => failure instanceof ServerError)
    if (refusal !== undefined) throw refusal
    if (replies.length === 0) throw failures[0] ?? this.#unserved()
    return replies
  }

  /** A cluster passes on to all nodes what is published on any of them. */
  async subscribe(channel: string, listener: (message: string) => void): Promise<void> {
    const owner = this.#owners.find((address) => address !== undefined)
    if (owner === undefined) throw this.#unserved()
    const server = await this.#reach(owner)
    server.onLost((cause) => this.#lost(cause))
    await server.subscribe(channel, listener)
  }

  onLost(listener: (cause: Error) => void): void {
    this.#onLost = listener
    if (this.#cause !== undefined) listener(this.#cause)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled([...this.#servers.values()].map(async (server) => (await server).close()))
  }

  destroy(): void {
    this.#isClosed = true
    for (const server of this.#servers.values()) server.then((there) => there.destroy(), nothing)
    this.#servers.clear()
  }

  /** The connection to a node, made where there is none. Rejects with NodeLost. */
  async #reach(address: Address): Promise<Server> {
    try {
      return await this.#server(address)
    } catch (error) {
      throw this.#nodeLost(address, error)
    }
  }

  #server(address: Address): Promise<Server> {
    const name = nameOf(address)
    const there = this.#servers.get(name)
    if (there !== undefined) return there
    if (this.#isClosed) return Promise.reject(new Error('the connection is closed'))
    const dialled = Server.dial(this.#library, this.#settings.addressMap(address), this.#settings)
    this.#servers.set(name, dialled)
    const forget = (): void => {
      if (this.#servers.get(name) === dialled) this.#servers.delete(name)
    }
    dialled.then((server) => {
      if (this.#isClosed) server.destroy()
      else server.onLost(forget)
    }, forget)
    return dialled
  }

  #lookAgain(): void {
    if (!this.#isClosed) this.#looks.join().catch(nothing)
  }

  /** Asks the nodes, one after the other, who serves which slots. @throws MillraceError where none of them tells */
  async #look(): Promise<void> {
    const failures: MillraceError[] = []
    // Those that we are connected to answer at once.
    const isNew = (address: Address): number => (this.#servers.has(nameOf(address)) ? 0 : 1)
    for (const address of this.#seeds.toSorted((a, b) => isNew(a) - isNew(b))) {
      try {
        const server = await this.#server(address)
        this.#learn((await server.send(['CLUSTER', 'SLOTS'])) as readonly Reply[], address)
        return
      } catch (error) {
        failures.push(isNoCluster(error, address) ?? dialFailure(error, `redis://${nameOf(address)}`))
      }
    }
    const failure = mostTelling(failures)
    this.#lost(failure)
    throw failure
  }

  /** @param ranges first and last slot, the primary, its replicas; of each node host, port and more */
  #learn(ranges: readonly Reply[], teller: Address): void {
    const owners: (Address | undefined)[] = Array.from({ length: slotCount })
    const nodes = new Map<string, Address>()
    for (const range of ranges) {
      const [first, last, ...servers] = range as readonly Reply[]
      const addresses = servers.map((server) => addressOf(server as readonly Reply[], teller))
      for (const address of addresses) nodes.set(nameOf(address), address)
      owners.fill(addresses[0], Number(first), Number(last) + 1)
    }
    this.#owners = owners
    const given = this.#settings.addresses.filter((address) => !nodes.has(nameOf(address)))
    this.#seeds = [...nodes.values(), ...given]
    for (const [name, server] of this.#servers) if (!nodes.has(name)) this.#leave(name, server)
  }

  /** A node that is none any more, or that goes by another name. */
  #leave(name: string, server: Promise<Server>): void {
    this.#servers.delete(name)
    server.then((there) => there.close()).catch(nothing)
  }

  #nodeLost(address: Address, cause: unknown): NodeLost {
    this.#lookAgain()
    const said = cause instanceof Error ? cause.message : String(cause)
    return new NodeLost(`The node ${nameOf(address)} does not answer (${said})`, { cause })
  }

  #unserved(): ServerError {
    this.#lookAgain()
    return new ServerError('CLUSTERDOWN no node serves this slot')
  }

  #lost(cause: Error): void {
    if (this.#isClosed) return
    this.#cause = cause
    this.destroy()
    this.#onLost?.(cause)
  }
}

function nameOf({ host, port }: Address): string {
  return `${host}:${port}`
}

/** 'MOVED 3999 127.0.0.1:6381'; without a host it is that of who said so. */
function target(error: ServerError, teller: Address): Address {
  const where = error.message.slice(error.message.lastIndexOf(' ') + 1)
  const colon = where.lastIndexOf(':')
  return { host: where.slice(0, colon) || teller.host, port: Number(where.slice(colon + 1)) }
}

/** Where a node does not know by what name others reach it, the one who told of it does. */
function addressOf([host, port]: readonly Reply[], teller: Address): Address {
  const name = host === null ? '' : String(host)
  return { host: name === '' || name === '?' ? teller.host : name, port: Number(port) }
}

function isNoCluster(error: unknown, address: Address): MillraceError | undefined {
  if (!(error instanceof ServerError) || !/cluster support disabled/.test(error.message)) return undefined
  return new MillraceError(
    'PRECONDITION_FAILED',
    `redis://${nameOf(address)} is no node of a cluster; leave ?cluster=yes out`,
    { cause: error },
  )
}

function nothing(): void {
  // Who waits for it is told.
}
