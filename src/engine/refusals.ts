/** The engine's refusals in RabbitMQ's words, which clients and their tests match. */
import { describeResource } from '../model/arguments.ts'
import { MillraceError, UnsupportedError } from '../model/errors.ts'

interface Named {
  readonly name: string
  readonly vhost: string
}

export function notFound(kind: 'queue' | 'exchange', where: Named): MillraceError {
  return new MillraceError('NOT_FOUND', `no ${describeResource(kind, where)}`)
}

export function inUse(kind: 'queue' | 'exchange', where: Named): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', `${describeResource(kind, where)} in use`)
}

export function notEmpty(where: Named): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', `${describeResource('queue', where)} not empty`)
}

export function reserved(kind: 'queue' | 'exchange', name: string): MillraceError {
  return new MillraceError('ACCESS_REFUSED', `${kind} name '${name}' contains reserved prefix 'amq.*'`)
}

export function systemExchange(where: Named): MillraceError {
  const resource = describeResource('exchange', where)
  return new MillraceError('ACCESS_REFUSED', `deletion of system ${resource} not allowed`)
}

export function defaultExchangeRefused(): MillraceError {
  return new MillraceError('ACCESS_REFUSED', 'operation not permitted on the default exchange')
}

export function locked(where: Named): MillraceError {
  return new MillraceError(
    'RESOURCE_LOCKED',
    `cannot obtain exclusive access to locked ${describeResource('queue', where)}. It could be originally ` +
      'declared on another connection or the exclusive property value does not match that of the original declaration.',
  )
}

export function exclusivelyUsed(where: Named): MillraceError {
  return new MillraceError('ACCESS_REFUSED', `${describeResource('queue', where)} in exclusive use`)
}

export function tooMany(what: string, limit: number): MillraceError {
  return new MillraceError('LIMIT_REACHED', `there are ${limit} ${what} already, the most that is allowed`)
}

export function queueLimitReached(where: Named, limit: number): MillraceError {
  return new MillraceError(
    'PRECONDITION_FAILED',
    `cannot declare queue '${where.name}': queue limit in vhost '${where.vhost}' (${limit}) is reached`,
  )
}

export function recoverWithoutRequeue(): UnsupportedError {
  const hint = 'recover with requeue=true'
  return new UnsupportedError({ feature: 'recover without requeue', driver: 'this broker', hint })
}

export function globalQosRefused(where: Named): MillraceError {
  return new MillraceError('UNSUPPORTED', `${describeResource('queue', where)} does not support global qos`)
}

export function getRefused(where: Named): MillraceError {
  return new MillraceError(
    'RESOURCE_LOCKED',
    `cannot obtain access to locked ${describeResource('queue', where)}. basic.get operations are not supported by ` +
      'quorum queues with single active consumer',
  )
}

export function preconditionFailed(message: string): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', message)
}

export function unknownVhost(name: string): MillraceError {
  return new MillraceError('NOT_FOUND', `no vhost '${name}'; declare it first`)
}

export function unknownUser(name: string): MillraceError {
  return new MillraceError('NOT_FOUND', `no user '${name}'; add it first`)
}
