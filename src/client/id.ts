/**
 * Message ids: UUID version 7 (RFC 9562, section 5.7), sortable by time.
 *
 * One is made for every message sent, so the random half and its text are made once per process and a
 * 42-bit counter keeps ids apart (method 1 and 3 of section 6.2); the time's text is made once per millisecond.
 */
import { randomBytes } from 'node:crypto'

const hex4 = Array.from({ length: 65_536 }, (_, value) => value.toString(16).padStart(4, '0'))

let lastMs = 0
let counter = 0
let prefix = ''
let suffix = ''

/** A new UUIDv7, larger than those made before it in this process. */
export function newId(): string {
  const nowMs = Date.now()
  if (nowMs > lastMs || counter === 0x0fff_ffff) begin(Math.max(nowMs, lastMs + 1))
  counter += 1
  return `${prefix}${hex4[0x7000 | (counter >>> 16)]}-${hex4[0x8000 | ((counter >>> 2) & 0x3fff)]}-${counter & 3}${suffix}`
}

/** A new millisecond: its text, fresh random bits, and the counter at 0. */
function begin(ms: number): void {
  lastMs = ms
  counter = 0
  const text = ms.toString(16).padStart(12, '0')
  prefix = `${text.slice(0, 8)}-${text.slice(8)}-`
  suffix = randomBytes(6).toString('hex').slice(1)
}
