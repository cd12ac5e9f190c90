/**
 * What an operator sets: users and what they may do, policies, limits, parameters. Each is set and taken away as a whole,
 * under a key that tells it from others of its kind (`settingKey`).
 *
 * Sources: https://www.rabbitmq.com/docs/access-control, /docs/policies, /docs/vhosts#limits, /docs/user-limits,
 * /docs/parameters.
 */
import type { FieldTable } from './field-value.ts'

/** How a password was hashed; the hashing itself is the server's. Those of RabbitMQ are under its names. */
export type HashingAlgorithm = 'scrypt' | 'rabbit_password_hashing_sha256' | 'rabbit_password_hashing_sha512'

export interface UserFacts {
  readonly name: string
  /** Base64, laid out as its algorithm has it; '' for a user who cannot log in with a password. */
  readonly passwordHash: string
  readonly hashing: HashingAlgorithm
  /** `administrator`, `monitoring`, `policymaker`, `management`, `impersonator`, or any text. */
  readonly tags: readonly string[]
}

/** What a permission is for: declaring and deleting, publishing and binding to, consuming and binding from. */
export type Permission = 'configure' | 'write' | 'read'

/** What a user may do in a virtual host: a regular expression for the names of each. */
export interface PermissionFacts {
  readonly vhost: string
  readonly user: string
  readonly configure: string
  readonly write: string
  readonly read: string
}

/** With which routing keys a user may publish to, and bind to, one topic exchange: a regular expression for each. */
export interface TopicPermissionFacts {
  readonly vhost: string
  readonly user: string
  readonly exchange: string
  readonly write: string
  readonly read: string
}

export type PolicyTarget = 'queues' | 'classic_queues' | 'quorum_queues' | 'exchanges' | 'all'

/** Arguments for all queues and exchanges whose name matches. */
export interface PolicyFacts {
  readonly vhost: string
  readonly name: string
  /** An operator's: applies beside the user's policy, and a number only makes smaller. */
  readonly operator: boolean
  /** A regular expression that is found in the names it is for. */
  readonly pattern: string
  readonly applyTo: PolicyTarget
  /** Of those that match, the highest applies. */
  readonly priority: number
  readonly definition: FieldTable
}

/** A limit of a virtual host or of a user; below 0 for none. */
export interface LimitFacts {
  readonly scope: 'vhost' | 'user'
  /** The virtual host's or user's. */
  readonly name: string
  readonly limit: 'max-connections' | 'max-queues' | 'max-channels'
  readonly value: number
}

/** What is kept for somebody else, and means nothing here. */
export interface ParameterFacts {
  /** '' for a global one, which has no component either. */
  readonly vhost: string
  readonly component: string
  readonly name: string
  /** JSON. */
  readonly value: string
}

/** What an operator says of a virtual host. */
export interface VhostFacts {
  readonly vhost: string
  readonly description: string
  readonly tags: readonly string[]
  /** For queues that are declared without `x-queue-type`; '' for classic. */
  readonly defaultQueueType: string
}

export type Setting =
  | ({ readonly type: 'user.defined' } & UserFacts)
  | ({ readonly type: 'permission.granted' } & PermissionFacts)
  | ({ readonly type: 'topicPermission.granted' } & TopicPermissionFacts)
  | ({ readonly type: 'policy.defined' } & PolicyFacts)
  | ({ readonly type: 'limit.set' } & LimitFacts)
  | ({ readonly type: 'parameter.set' } & ParameterFacts)
  | ({ readonly type: 'vhost.described' } & VhostFacts)

export type SettingRemoval =
  /** With the user's permissions and limits. */
  | { readonly type: 'user.deleted'; readonly name: string }
  | ({ readonly type: 'permission.revoked' } & Pick<PermissionFacts, 'vhost' | 'user'>)
  | ({ readonly type: 'topicPermission.revoked' } & Pick<TopicPermissionFacts, 'vhost' | 'user' | 'exchange'>)
  | ({ readonly type: 'policy.deleted' } & Pick<PolicyFacts, 'vhost' | 'name' | 'operator'>)
  | ({ readonly type: 'limit.cleared' } & Pick<LimitFacts, 'scope' | 'name' | 'limit'>)
  | ({ readonly type: 'parameter.cleared' } & Pick<ParameterFacts, 'vhost' | 'component' | 'name'>)

const types: ReadonlySet<string> = new Set<(Setting | SettingRemoval)['type']>([
  'user.defined',
  'user.deleted',
  'permission.granted',
  'permission.revoked',
  'topicPermission.granted',
  'topicPermission.revoked',
  'policy.defined',
  'policy.deleted',
  'limit.set',
  'limit.cleared',
  'parameter.set',
  'parameter.cleared',
  'vhost.described',
])

/** Whether a fact is about a setting. */
export function isSettingChange(fact: { readonly type: string }): fact is Setting | SettingRemoval {
  return types.has(fact.type)
}

/** What tells a setting from all others; the same for its removal. */
export function settingKey(change: Setting | SettingRemoval): string {
  switch (change.type) {
    case 'user.defined':
    case 'user.deleted':
      return keyOf('user', change.name)
    case 'permission.granted':
    case 'permission.revoked':
      return keyOf('permission', change.vhost, change.user)
    case 'topicPermission.granted':
    case 'topicPermission.revoked':
      return keyOf('topicPermission', change.vhost, change.user, change.exchange)
    case 'policy.defined':
    case 'policy.deleted':
      return keyOf(change.operator ? 'operatorPolicy' : 'policy', change.vhost, change.name)
    case 'limit.set':
    case 'limit.cleared':
      return keyOf('limit', change.scope, change.name, change.limit)
    case 'parameter.set':
    case 'parameter.cleared':
      return keyOf('parameter', change.vhost, change.component, change.name)
    case 'vhost.described':
      return keyOf('vhost', change.vhost)
  }
}

/** Whether a setting goes with a virtual host that is deleted. */
export function belongsToVhost(setting: Setting, vhost: string): boolean {
  if (setting.type === 'user.defined') return false
  if (setting.type === 'limit.set') return setting.scope === 'vhost' && setting.name === vhost
  return setting.vhost === vhost
}

/** Whether a setting goes with a user who is deleted. */
export function belongsToUser(setting: Setting, user: string): boolean {
  if (setting.type === 'limit.set') return setting.scope === 'user' && setting.name === user
  return (
    (setting.type === 'permission.granted' || setting.type === 'topicPermission.granted') &&
    setting.user === user
  )
}

function keyOf(...parts: readonly string[]): string {
  return parts.map((part) => `${part.length}:${part}`).join('')
}
