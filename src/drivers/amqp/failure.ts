/** What amqplib and the server say of a failure, as Millrace's own errors. */
import { ConflictError, MillraceError, UnsupportedError } from '../../model/errors.ts'
import type { ErrorCode } from '../../model/errors.ts'
import { untrusted } from '../untrusted.ts'

/** By the reply codes of AMQP 0-9-1 (section 1.2). */
const codes: Readonly<Record<number, ErrorCode>> = {
  311: 'MESSAGE_TOO_LARGE',
  320: 'CONNECTION_LOST',
  403: 'ACCESS_REFUSED',
  404: 'NOT_FOUND',
  405: 'RESOURCE_LOCKED',
  406: 'PRECONDITION_FAILED',
  506: 'LIMIT_REACHED',
  530: 'NOT_ALLOWED',
}

/** The server's reply code, or undefined where the failure is not one it told. */
export function replyCodeOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error && typeof error.code === 'number') return error.code
  const told = /(?:closed|terminated|failed)[^\d]*(\d{3}) \(/i.exec(error.message)
  return told === null ? undefined : Number(told[1])
}

/** @param doing what failed, for messages: 'declare the queue emails' */
export function asMillraceError(error: unknown, doing: string): Error {
  if (error instanceof MillraceError) return error
  const reply = replyCodeOf(error)
  const said = error instanceof Error ? error.message : String(error)
  if (reply === 406 && /inequivalent|exclusive (?:property|owner)/i.test(said)) {
    return new ConflictError(
      `Could not ${doing}: it exists with other settings (${said}); declare it with the same options everywhere, ` +
        'or delete it first',
      { cause: error },
    )
  }
  if (reply === 540) {
    return new UnsupportedError({ feature: doing, driver: 'The AMQP server', hint: said })
  }
  const missing = reply === 404 ? /no (queue|exchange) '(.*)' in vhost/s.exec(said) : null
  if (missing !== null) {
    const [, kind, name] = missing
    return new MillraceError('NOT_FOUND', `There is no ${kind} ${name}; declare it first`, { cause: error })
  }
  const code = reply === undefined ? 'CONNECTION_LOST' : (codes[reply] ?? 'INTERNAL')
  return new MillraceError(code, `Could not ${doing}: ${said}`, { cause: error })
}

/** What amqplib throws where something is said on a channel that has just closed. */
export function isClosedChannel(error: unknown): boolean {
  return error instanceof Error && error.name === 'IllegalOperationError'
}

/** It belongs to the connection before, of which the server does not know yet that it is gone: connecting again helps. */
export function stillHeld(what: string, cause: Error): MillraceError {
  return new MillraceError('CONNECTION_LOST', `${what} is still held by the connection before`, { cause })
}

/** The connection, not what was asked for: trying again may help. */
export function isConnectionLoss(error: unknown): boolean {
  return error instanceof MillraceError && error.code === 'CONNECTION_LOST'
}

/** Why no connection was made. */
export function dialFailure(error: unknown, where: string, vhost: string): MillraceError {
  if (error instanceof MillraceError) return error
  const said = error instanceof Error && error.message !== '' ? error.message : describeSystemError(error)
  const reply = replyCodeOf(error)
  if (reply === 403) {
    return new MillraceError(
      'ACCESS_REFUSED',
      `${where} refused the user or its password; check both, and that the user may use this host (${said})`,
      { cause: error },
    )
  }
  // Of a refusal so late amqplib keeps the reason to itself.
  if (reply === 530 || /Expected ConnectionOpenOk; got <ConnectionClose/.test(said)) {
    return new MillraceError(
      'NOT_ALLOWED',
      `${where} does not let this user into a virtual host '${vhost}'; an operator makes one with ` +
        "'rabbitmqctl add_vhost' and lets the user in with 'rabbitmqctl set_permissions', " +
        "on Millrace's broker both with 'millrace add_user --vhost'",
      { cause: error },
    )
  }
  const distrust = untrusted(error, where)
  if (distrust !== undefined) return distrust
  return new MillraceError(
    'UNREACHABLE',
    `No AMQP server answers at ${where} (${said.trim()}); is it running${where.startsWith('amqps:') ? ', and does it speak TLS' : ''}?`,
    {
      cause: error,
    },
  )
}

/** Node's AggregateError of several addresses has no message of its own. */
function describeSystemError(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(String).join(', ')
  return String(error)
}
