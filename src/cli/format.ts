/** Messages and figures as the command line prints them. */
import { isUtf8 } from 'node:buffer'
import type { BrowsedJob } from '../index.ts'
import type { Job } from '../client/job.ts'
import { messageOf } from './exit-code.ts'

/** A message's data for people: a string as it is, anything else as JSON on one line, bytes as text where they are. */
export function dataText(data: unknown): string {
  if (typeof data === 'string') return data
  if (!(data instanceof Uint8Array)) return JSON.stringify(data)
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return isUtf8(bytes) ? bytes.toString('utf8') : `base64:${bytes.toString('base64')}`
}

/** A consumed message for scripts: one JSON object. */
export function jobJson(job: Job): string {
  const { id, data, attempt, headers, exchange, routingKey, sentAt } = job
  return JSON.stringify({ id, data: plain(data), attempt, headers, exchange, routingKey, sentAt })
}

/** A browsed message for scripts: one JSON object. What cannot be read has `unreadable` in place of `data`. */
export function browsedJson(job: BrowsedJob): string {
  const { id, attempt, headers, exchange, routingKey, sentAt, dueAt } = job
  const { data, unreadable } = read(job)
  return JSON.stringify({
    id,
    data: plain(data),
    unreadable,
    attempt,
    headers,
    exchange,
    routingKey,
    sentAt,
    dueAt,
  })
}

/** A browsed message's data on one line; what cannot be read says so. */
export function browsedText(job: BrowsedJob): string {
  const { data, unreadable } = read(job)
  return unreadable === undefined ? dataText(data).replaceAll(/\s*\n\s*/g, ' ') : `(${unreadable})`
}

function read(job: BrowsedJob): { data?: unknown; unreadable?: string } {
  try {
    return { data: job.data }
  } catch (error) {
    return { unreadable: messageOf(error) }
  }
}

/** JSON has no bytes: they become `{ "base64": "…" }`. */
function plain(data: unknown): unknown {
  if (!(data instanceof Uint8Array)) return data
  return { base64: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64') }
}

/** '950ms', '12s', '3m', '5h', '2d': the largest unit that says it. */
export function age(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))}ms`
  if (ms < 120_000) return `${Math.round(ms / 1_000)}s`
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)}m`
  if (ms < 172_800_000) return `${Math.round(ms / 3_600_000)}h`
  return `${Math.round(ms / 86_400_000)}d`
}

/** '1 message', '2,000 messages'. */
export function counted(count: number, thing: string): string {
  return `${count.toLocaleString('en')} ${thing}${count === 1 ? '' : 's'}`
}
