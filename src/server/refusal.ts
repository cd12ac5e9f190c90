/**
 * From an error to what AMQP tells the peer: reply code, reply text and what is closed. The one table of both directions:
 * codes and scopes of Millrace's errors are in model/errors.ts, the names in front of a text here.
 */
import { MillraceError, ProtocolError } from '../model/errors.ts'
import type { ErrorScope } from '../model/errors.ts'
import { replyCodes } from '../wire/methods.ts'

export interface Refusal {
  readonly replyCode: number
  /** At most 255 bytes, as a short string has. */
  readonly replyText: string
  readonly scope: ErrorScope
  /** Class and method number of the method in question, as `class << 16 | method`; 0 where there is none. */
  readonly methodId: number
  /** Our own mistake, to be logged with its stack. */
  readonly unexpected: boolean
}

const maximumTextBytes = 255

const nameByCode: ReadonlyMap<number, string> = new Map(
  Object.entries(replyCodes).map(([name, code]) => [code, name]),
)

/** @param methodId of the method being handled, where the error does not say it itself */
export function refusalOf(error: unknown, methodId: number): Refusal {
  if (error instanceof MillraceError && error.replyCode !== 0) {
    return {
      replyCode: error.replyCode,
      replyText: replyText(error.replyCode, error.message),
      scope: error.scope,
      methodId: methodIdOf(error, methodId),
      unexpected: error.code === 'INTERNAL',
    }
  }
  const replyCode = replyCodes.INTERNAL_ERROR
  const text = replyText(replyCode, 'the broker failed; its log says how')
  return { replyCode, replyText: text, scope: 'connection', methodId, unexpected: true }
}

/** What ends a connection without its doing. */
export function forced(replyCode: number, message: string): Refusal {
  const text = replyText(replyCode, message)
  return { replyCode, replyText: text, scope: 'connection', methodId: 0, unexpected: false }
}

/** Of a frame that is out of order or no frame only the codec knows whether there was a method. */
function methodIdOf(error: MillraceError, methodId: number): number {
  if (!(error instanceof ProtocolError)) return methodId
  const { replyCode } = error
  const known = replyCode === replyCodes.UNEXPECTED_FRAME || replyCode === replyCodes.FRAME_ERROR
  return known || error.methodId !== 0 ? error.methodId : methodId
}

/** `NOT_FOUND - no queue 'q' in vhost '/'` */
export function replyText(replyCode: number, message: string): string {
  const text = `${nameByCode.get(replyCode) ?? 'INTERNAL_ERROR'} - ${message}`
  if (Buffer.byteLength(text) <= maximumTextBytes) return text
  const ellipsis = '...'
  // What is cut in the middle of a character loses that character.
  const kept = Buffer.from(text)
    .subarray(0, maximumTextBytes - ellipsis.length)
    .toString('utf8')
  return `${kept.replace(/\ufffd+$/, '')}${ellipsis}`
}

// What the server refuses itself, in RabbitMQ's words.

export function notImplemented(message: string): ProtocolError {
  return new ProtocolError(replyCodes.NOT_IMPLEMENTED, message)
}

export function notAllowed(message: string): MillraceError {
  return new MillraceError('NOT_ALLOWED', message)
}

export function channelError(message: string): ProtocolError {
  return new ProtocolError(replyCodes.CHANNEL_ERROR, message)
}

export function unexpectedFrame(message: string): ProtocolError {
  return new ProtocolError(replyCodes.UNEXPECTED_FRAME, message)
}

export function commandInvalid(message: string): ProtocolError {
  return new ProtocolError(replyCodes.COMMAND_INVALID, message)
}

export function preconditionFailed(message: string): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', message)
}

export function accessRefused(message: string): MillraceError {
  return new MillraceError('ACCESS_REFUSED', message)
}
