/** Millrace's own headers of a published message (docs/amqp-extensions.md), read into what the engine is told. */
import type { PublishExtras } from '../broker/broker.ts'
import { MillraceError } from '../model/errors.ts'
import { publishHeader } from '../model/extension.ts'
import type { FieldTable, FieldValue } from '../model/field-value.ts'

/** As of everything that AMQP gives a short string. */
const maximumKeyBytes = 255

/** Throws PRECONDITION_FAILED for values of another type, and keys that are too long; ranges are the engine's concern. */
export function extrasWithHeaders(extras: PublishExtras, headers: FieldTable): PublishExtras {
  const delayMs = whole(headers, publishHeader.delay) ?? extras.delayMs
  const key = shortText(headers, publishHeader.key) ?? extras.key
  const dedupeKey = shortText(headers, publishHeader.dedupe)
  if (dedupeKey === undefined) return { ...extras, delayMs, key }
  const windowMs = whole(headers, publishHeader.dedupeWindow)
  if (windowMs === undefined) throw invalid(publishHeader.dedupeWindow, 'is missing')
  return { ...extras, delayMs, key, dedupe: { key: dedupeKey, windowMs } }
}

/** A whole number from 0, of any of AMQP's types; undefined where it is not there. Throws PRECONDITION_FAILED. */
export function whole(headers: FieldTable, name: string): number | undefined {
  const value = valueOf(headers, name)
  if (value === undefined) return undefined
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number
  throw invalid(name, 'must be a whole number from 0')
}

/** Undefined where it is not there. Throws PRECONDITION_FAILED. */
export function text(headers: FieldTable, name: string): string | undefined {
  const value = valueOf(headers, name)
  if (value === undefined || typeof value === 'string') return value
  throw invalid(name, 'must be a text')
}

/** What a queue remembers must be short. */
function shortText(headers: FieldTable, name: string): string | undefined {
  const value = text(headers, name)
  if (value === undefined || Buffer.byteLength(value) <= maximumKeyBytes) return value
  throw invalid(name, `must be ${maximumKeyBytes} bytes at most`)
}

function valueOf(headers: FieldTable, name: string): FieldValue | undefined {
  return Object.hasOwn(headers, name) ? headers[name] : undefined
}

function invalid(name: string, what: string): MillraceError {
  return new MillraceError('PRECONDITION_FAILED', `invalid header '${name}': it ${what}`)
}
