/**
 * Who there is and what they may do: users, their permissions in virtual hosts, and on the routing keys of topic
 * exchanges (https://www.rabbitmq.com/docs/access-control).
 *
 * Kept here because it is part of what is declared. Passwords are checked, and requests refused, by the server: a session
 * of the engine may do everything.
 */
import { MillraceError } from '../model/errors.ts'
import type {
  Permission,
  PermissionFacts,
  Setting,
  TopicPermissionFacts,
  UserFacts,
} from '../model/setting.ts'
import type { Kernel } from './kernel.ts'
import { NamePattern } from './name-pattern.ts'
import { tooMany, unknownUser, unknownVhost } from './refusals.ts'

/** A user in a virtual host. */
export interface Grantee {
  readonly user: string
  readonly vhost: string
}

interface Grant<Facts> {
  readonly facts: Facts
  readonly patterns: { readonly [Name in Permission]: NamePattern }
}

/** What a user may do in one virtual host. */
interface Grants {
  grant: Grant<PermissionFacts> | undefined
  /** By exchange. */
  readonly topics: Map<string, Grant<TopicPermissionFacts>>
}

export class AccessControl {
  readonly #kernel: Kernel
  readonly #users = new Map<string, UserFacts>()
  /** By user, by virtual host. */
  readonly #grants = new Map<string, Map<string, Grants>>()
  #grantCount = 0
  #version = 0

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Rises whenever an answer may have changed: who remembers answers may do so until then. */
  get version(): number {
    return this.#version
  }

  get users(): ReadonlyMap<string, UserFacts> {
    return this.#users
  }

  /** Makes a user or changes one. Throws INVALID_ARGUMENT, LIMIT_REACHED. */
  defineUser(user: UserFacts): void {
    this.#kernel.enter()
    if (user.name === '') throw new MillraceError('INVALID_ARGUMENT', 'the name of a user is empty; give one')
    if (!this.#users.has(user.name) && this.#users.size >= this.#kernel.limits.users) {
      throw tooMany('users', this.#kernel.limits.users)
    }
    const { name, passwordHash, hashing, tags } = user
    this.restore({ type: 'user.defined', name, passwordHash, hashing, tags })
    this.#kernel.journal.defined({ type: 'user.defined', name, passwordHash, hashing, tags })
  }

  /** With all that the user was granted; false if there is none. */
  deleteUser(name: string): boolean {
    this.#kernel.enter()
    if (!this.#users.delete(name)) return false
    for (const grants of this.#grants.get(name)?.values() ?? []) this.#grantCount -= sizeOf(grants)
    this.#grants.delete(name)
    this.#kernel.operatorLimits.forgetUser(name)
    this.#version += 1
    const removed = { type: 'user.deleted', name } as const
    this.#kernel.journal.defined(removed)
    this.#kernel.onRemoved(removed)
    return true
  }

  /** Grants or changes what a user may do. Throws NOT_FOUND (user, virtual host), INVALID_ARGUMENT, LIMIT_REACHED. */
  grant(facts: PermissionFacts): void {
    const { vhost, user, configure, write, read } = facts
    this.#checkGrantee(facts, this.permission(facts) === undefined)
    this.#change({ type: 'permission.granted', vhost, user, configure, write, read })
  }

  /** False if there was nothing granted. */
  revoke(whose: Grantee): boolean {
    this.#kernel.enter()
    const grants = this.#find(whose)
    if (grants?.grant === undefined) return false
    grants.grant = undefined
    this.#revoked(whose, grants)
    this.#kernel.journal.defined({ type: 'permission.revoked', vhost: whose.vhost, user: whose.user })
    return true
  }

  /** As `grant`, for the routing keys of one exchange. Without it every key is allowed. */
  grantTopic(facts: TopicPermissionFacts): void {
    const { vhost, user, exchange, write, read } = facts
    this.#checkGrantee(facts, this.#find(facts)?.topics.has(exchange) !== true)
    this.#change({ type: 'topicPermission.granted', vhost, user, exchange, write, read })
  }

  /** False if there was nothing granted. */
  revokeTopic(whose: Grantee & { readonly exchange: string }): boolean {
    this.#kernel.enter()
    const grants = this.#find(whose)
    if (grants?.topics.delete(whose.exchange) !== true) return false
    this.#revoked(whose, grants)
    const { vhost, user, exchange } = whose
    this.#kernel.journal.defined({ type: 'topicPermission.revoked', vhost, user, exchange })
    return true
  }

  permission(whose: Grantee): PermissionFacts | undefined {
    return this.#find(whose)?.grant?.facts
  }

  *permissions(): IterableIterator<PermissionFacts> {
    for (const grants of this.#all()) if (grants.grant !== undefined) yield grants.grant.facts
  }

  *topicPermissions(): IterableIterator<TopicPermissionFacts> {
    for (const grants of this.#all()) for (const topic of grants.topics.values()) yield topic.facts
  }

  /** Whether the user may open a connection there: anything granted will do, were it nothing. */
  mayEnter(whose: Grantee): boolean {
    return this.#find(whose)?.grant !== undefined
  }

  /** Whether the user may do that to the queue or exchange of that name; '' is the default exchange, `amq.default`. */
  allowed(whose: Grantee, permission: Permission, name: string): boolean {
    const grant = this.#find(whose)?.grant
    return grant !== undefined && grant.patterns[permission].matches(name === '' ? 'amq.default' : name)
  }

  /** Whether the user may publish to (write), or bind to (read), a topic exchange with that key. */
  allowedTopic(
    whose: Grantee,
    permission: 'write' | 'read',
    topic: { readonly exchange: string; readonly routingKey: string },
  ): boolean {
    const grant = this.#find(whose)?.topics.get(topic.exchange)
    return grant === undefined || grant.patterns[permission].matches(topic.routingKey)
  }

  /** Applies what is on record. */
  restore(fact: Setting & { type: 'user.defined' | 'permission.granted' | 'topicPermission.granted' }): void {
    this.#version += 1
    if (fact.type === 'user.defined') {
      const { name, passwordHash, hashing, tags } = fact
      this.#users.set(name, { name, passwordHash, hashing, tags: [...tags] })
      return
    }
    const grants = this.#make(fact)
    const before = sizeOf(grants)
    if (fact.type === 'permission.granted') grants.grant = compileGrant(fact)
    else grants.topics.set(fact.exchange, compileTopic(fact))
    this.#grantCount += sizeOf(grants) - before
  }

  /** What was granted in a virtual host that is gone. */
  forgetVhost(vhost: string): void {
    for (const [user, vhosts] of this.#grants) {
      const grants = vhosts.get(vhost)
      if (grants === undefined) continue
      this.#grantCount -= sizeOf(grants)
      vhosts.delete(vhost)
      if (vhosts.size === 0) this.#grants.delete(user)
    }
    this.#version += 1
  }

  /** Everything, as facts. */
  *settings(): IterableIterator<Setting> {
    for (const user of this.#users.values()) yield { type: 'user.defined', ...user }
    for (const facts of this.permissions()) yield { type: 'permission.granted', ...facts }
    for (const facts of this.topicPermissions()) yield { type: 'topicPermission.granted', ...facts }
  }

  #change(fact: Setting & { type: 'permission.granted' | 'topicPermission.granted' }): void {
    this.restore(fact)
    this.#kernel.journal.defined(fact)
  }

  #checkGrantee({ user, vhost }: Grantee, isNew: boolean): void {
    const kernel = this.#kernel
    kernel.enter()
    if (!this.#users.has(user)) throw unknownUser(user)
    if (!kernel.vhosts.has(vhost)) throw unknownVhost(vhost)
    const limit = kernel.limits.permissions
    if (isNew && this.#grantCount >= limit) throw tooMany('permissions', limit)
  }

  #find({ user, vhost }: Grantee): Grants | undefined {
    return this.#grants.get(user)?.get(vhost)
  }

  #make({ user, vhost }: Grantee): Grants {
    let vhosts = this.#grants.get(user)
    if (vhosts === undefined) this.#grants.set(user, (vhosts = new Map<string, Grants>()))
    let grants = vhosts.get(vhost)
    if (grants === undefined) vhosts.set(vhost, (grants = { grant: undefined, topics: new Map() }))
    return grants
  }

  #revoked({ user, vhost }: Grantee, grants: Grants): void {
    this.#grantCount -= 1
    this.#version += 1
    if (sizeOf(grants) > 0) return
    const vhosts = this.#grants.get(user)
    vhosts?.delete(vhost)
    if (vhosts?.size === 0) this.#grants.delete(user)
  }

  *#all(): IterableIterator<Grants> {
    for (const vhosts of this.#grants.values()) yield* vhosts.values()
  }
}

function sizeOf(grants: Grants): number {
  return grants.topics.size + (grants.grant === undefined ? 0 : 1)
}

function compileGrant(fact: PermissionFacts): Grant<PermissionFacts> {
  const { vhost, user, configure, write, read } = fact
  return {
    facts: { vhost, user, configure, write, read },
    patterns: {
      configure: new NamePattern(configure),
      write: new NamePattern(write),
      read: new NamePattern(read),
    },
  }
}

function compileTopic(fact: TopicPermissionFacts): Grant<TopicPermissionFacts> {
  const { vhost, user, exchange, write, read } = fact
  const readPattern = new NamePattern(expand(read, fact))
  return {
    facts: { vhost, user, exchange, write, read },
    patterns: { configure: readPattern, write: new NamePattern(expand(write, fact)), read: readPattern },
  }
}

/** `{username}` and `{vhost}` stand for the user's own. */
function expand(pattern: string, whose: Grantee): string {
  return pattern.replaceAll('{username}', escape(whose.user)).replaceAll('{vhost}', escape(whose.vhost))
}

function escape(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
