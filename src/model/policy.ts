/**
 * What a policy's definition says: checked as RabbitMQ does and in its words, merged with an operator's, and with the
 * arguments of the queue or exchange it is for (https://www.rabbitmq.com/docs/policies).
 *
 * Of two numbers the smaller counts. Otherwise an argument goes before a policy, and an operator's policy before another.
 */
import { overflowOf } from './arguments.ts'
import type { ExchangeSettings, Overflow, QueueSettings } from './arguments.ts'
import { MillraceError } from './errors.ts'
import { checkEncodable } from './field-table.ts'
import { isFieldArray } from './field-value.ts'
import type { FieldTable, FieldValue } from './field-value.ts'
import { isShortString } from './names.ts'

type Check = (value: FieldValue) => boolean

interface Key {
  readonly isValid: Check
  /** What it is called where it is invalid: `"x" is not a valid ...`. */
  readonly called: string
}

const isText: Check = (value) => typeof value === 'string'
const isRoutingKey: Check = (value) => typeof value === 'string' && isShortString(value)
const isFromZero: Check = (value) => (integerOf(value) ?? -1) >= 0
const isAboveZero: Check = (value) => (integerOf(value) ?? 0) >= 1
const anything: Check = () => true

const keys: Readonly<Record<string, Key>> = {
  'alternate-exchange': { isValid: isText, called: 'alternate exchange name' },
  'consumer-timeout': { isValid: isFromZero, called: 'consumer timeout' },
  'dead-letter-exchange': { isValid: isText, called: 'dead letter exchange name' },
  'dead-letter-routing-key': { isValid: isRoutingKey, called: 'dead letter routing key' },
  'dead-letter-strategy': { isValid: oneOf('at-most-once', 'at-least-once'), called: 'dead letter strategy' },
  'delivery-limit': { isValid: isFromZero, called: 'delivery limit' },
  expires: { isValid: isAboveZero, called: 'queue expiry' },
  'max-in-memory-bytes': { isValid: isFromZero, called: 'maximum memory in bytes' },
  'max-in-memory-length': { isValid: isFromZero, called: 'maximum memory in bytes' },
  'max-length': { isValid: isFromZero, called: 'maximum length' },
  'max-length-bytes': { isValid: isFromZero, called: 'maximum length in bytes' },
  'message-ttl': { isValid: isFromZero, called: 'message TTL' },
  overflow: { isValid: oneOf('drop-head', 'reject-publish', 'reject-publish-dlx'), called: 'overflow value' },
  'queue-mode': { isValid: oneOf('default', 'lazy'), called: 'queue-mode value' },
  'queue-version': {
    isValid: (value) => integerOf(value) === 1 || integerOf(value) === 2,
    called: 'queue version',
  },
}

/** What means nothing on one machine; kept, so that definitions of a cluster can be imported and exported. */
const accepted: ReadonlySet<string> = new Set([
  'federation-upstream',
  'federation-upstream-pattern',
  'federation-upstream-set',
  'ha-mode',
  'ha-params',
  'ha-promote-on-failure',
  'ha-promote-on-shutdown',
  'ha-sync-batch-size',
  'ha-sync-mode',
  'initial-cluster-size',
  'max-age',
  'max-segment-size',
  'queue-leader-locator',
  'queue-master-locator',
  'stream-filter-size-bytes',
  'stream-max-segment-size-bytes',
  'target-group-size',
])

const operatorKeys: ReadonlySet<string> = new Set([
  'consumer-timeout',
  'delivery-limit',
  'expires',
  'ha-mode',
  'ha-params',
  'ha-sync-mode',
  'max-in-memory-bytes',
  'max-in-memory-length',
  'max-length',
  'max-length-bytes',
  'message-ttl',
  'overflow',
  'target-group-size',
])

/** Throws MillraceError INVALID_ARGUMENT. @param operator whether the policy is an operator's, which may say less */
export function checkPolicyDefinition(definition: FieldTable, operator: boolean): void {
  const names = Object.keys(definition)
  if (names.length === 0) throw invalid('no policy provided')
  for (const name of names) {
    const key = Object.hasOwn(keys, name) ? keys[name] : accepted.has(name) ? other : undefined
    const value = definition[name]!
    if (key === undefined || (operator && !operatorKeys.has(name))) {
      throw invalid(`[{${print(name)},${print(value)}}] are not recognised policy settings`)
    }
    if (!key.isValid(value)) throw invalid(`${print(value)} is not a valid ${key.called}`)
  }
  checkEncodable(definition)
}

const other: Key = { isValid: anything, called: '' }

/** What both say together. */
export function mergePolicies(policy: FieldTable, operatorPolicy: FieldTable): FieldTable {
  const merged: Record<string, FieldValue> = { ...policy }
  for (const [name, value] of Object.entries(operatorPolicy)) {
    const own = Object.hasOwn(policy, name) ? integerOf(policy[name]!) : undefined
    const operators = integerOf(value)
    merged[name] = own !== undefined && operators !== undefined ? Math.min(own, operators) : value
  }
  return merged
}

/**
 * A queue's settings under a policy.
 * @param settings what its arguments say
 * @param declared the arguments themselves
 */
export function underPolicy(
  settings: QueueSettings,
  declared: FieldTable,
  policy: FieldTable,
): QueueSettings {
  const smaller = (own: number, name: string): number => Math.min(own, numberOf(policy, name) ?? Infinity)
  const overflow = textOf(policy, 'overflow') as Overflow | undefined
  // The argument counts for a classic queue, the policy for a quorum queue: so it is in RabbitMQ.
  const keepsOverflow = settings.type === 'classic' && Object.hasOwn(declared, 'x-overflow')
  return {
    ...settings,
    messageTtlMs: smaller(settings.messageTtlMs, 'message-ttl'),
    expiresMs: smaller(settings.expiresMs, 'expires'),
    maxLength: smaller(settings.maxLength, 'max-length'),
    maxLengthBytes: smaller(settings.maxLengthBytes, 'max-length-bytes'),
    deliveryLimit: smaller(settings.deliveryLimit, 'delivery-limit'),
    consumerTimeoutMs: settings.consumerTimeoutMs ?? numberOf(policy, 'consumer-timeout'),
    overflow: keepsOverflow ? settings.overflow : overflowOf(settings.type, overflow ?? settings.overflow),
    deadLetterExchange: settings.deadLetterExchange ?? textOf(policy, 'dead-letter-exchange'),
    deadLetterRoutingKey: settings.deadLetterRoutingKey ?? textOf(policy, 'dead-letter-routing-key'),
  }
}

/** An exchange's settings under a policy. */
export function exchangeUnderPolicy(settings: ExchangeSettings, policy: FieldTable): ExchangeSettings {
  return {
    ...settings,
    alternateExchange: settings.alternateExchange ?? textOf(policy, 'alternate-exchange'),
  }
}

function numberOf(policy: FieldTable, name: string): number | undefined {
  return Object.hasOwn(policy, name) ? integerOf(policy[name]!) : undefined
}

function textOf(policy: FieldTable, name: string): string | undefined {
  const value = Object.hasOwn(policy, name) ? policy[name] : undefined
  return typeof value === 'string' ? value : undefined
}

function integerOf(value: FieldValue): number | undefined {
  if (typeof value === 'bigint') return Number(value)
  return typeof value === 'number' && Number.isInteger(value) ? value : undefined
}

function oneOf(...choices: readonly string[]): Check {
  return (value) => typeof value === 'string' && choices.includes(value)
}

/** As RabbitMQ shows a term. */
function print(value: FieldValue): string {
  if (typeof value === 'string') return `<<"${value}">>`
  if (isFieldArray(value)) return `[${value.map(print).join(',')}]`
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function invalid(why: string): MillraceError {
  return new MillraceError('INVALID_ARGUMENT', `Validation failed\n\n${why}\n`)
}
