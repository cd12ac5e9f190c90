/** Every bound of the server, by name. What reaches one is refused, waits, or loses its connection; the comment says which. */
import { ValidationError } from '../model/errors.ts'
import { minimumFrameMaxBytes } from '../wire/frame.ts'

/** All of them; docs/server.md has the defaults in a table. */
export interface ServerLimits {
  /** Connections at once over all listeners; one more is closed as soon as it is accepted. */
  readonly connections: number
  /** Channels of one connection, offered in connection.tune (RabbitMQ's default is 2047); 530 beyond what was agreed. */
  readonly channels: number
  /** Largest frame in bytes, offered in connection.tune; 501 beyond what was agreed. From 4096. */
  readonly frameBytes: number
  /** Largest message body in bytes; 406 as in RabbitMQ. */
  readonly messageBytes: number
  /** Bytes of bodies that have come in part, over all connections; 506 for who sends more. */
  readonly partialBytes: number
  /** Seconds between heartbeats, offered in connection.tune; 0 for none. */
  readonly heartbeatSeconds: number
  /** From the first byte to connection.open-ok; then the socket is closed. */
  readonly handshakeTimeoutMs: number
  /** How long connection.close-ok, and the last bytes of a graceful stop, are waited for. */
  readonly closeTimeoutMs: number
  /** How late the socket ends of a peer that was refused before it had logged in, and that is not told why. */
  readonly refusedLoginDelayMs: number
  /** A delivery that is not acknowledged for so long closes its channel with 406; 0 for never (RabbitMQ: 30 minutes). */
  readonly consumerTimeoutMs: number
  /** A peer that takes none of the bytes waiting for it for so long, per `outputBytes` of them, loses its connection. */
  readonly stuckWriteTimeoutMs: number
  /** Bytes waiting for one socket at which deliveries to it stop; they go on when it has drained. */
  readonly outputBytes: number
  /** Bytes of replies, beyond deliveries, waiting for one socket at which it is no longer read. */
  readonly replyBytes: number
  /** Bytes waiting for one socket at which direct replies to it are dropped: they are in no queue where they could wait. */
  readonly directReplyBytes: number
  /** Bytes of frames set aside for channels that wait (for the disk, for a page) at which the socket is no longer read. */
  readonly deferredBytes: number
}

export const defaultServerLimits: ServerLimits = Object.freeze({
  connections: 65_536,
  channels: 2047,
  frameBytes: 131_072,
  messageBytes: 128 * 1024 * 1024,
  partialBytes: 1024 * 1024 * 1024,
  heartbeatSeconds: 60,
  handshakeTimeoutMs: 10_000,
  closeTimeoutMs: 5_000,
  refusedLoginDelayMs: 1_000,
  consumerTimeoutMs: 30 * 60_000,
  stuckWriteTimeoutMs: 60_000,
  outputBytes: 1024 * 1024,
  replyBytes: 4 * 1024 * 1024,
  directReplyBytes: 64 * 1024 * 1024,
  deferredBytes: 256 * 1024,
})

/** Longer ones Node.js takes for one millisecond. */
const longestTimerMs = 2 ** 31 - 1

/** What the protocol's fields and timers hold, and 4096 is the smallest frame that clients must be able to send. */
const ranges: { readonly [Name in keyof ServerLimits]?: readonly [least: number, most: number] } = {
  channels: [0, 65_535],
  frameBytes: [minimumFrameMaxBytes, 4_294_967_295],
  heartbeatSeconds: [0, 65_535],
  handshakeTimeoutMs: [0, longestTimerMs],
  closeTimeoutMs: [0, longestTimerMs],
}

/** Both are allowed. */
export function limitRange(name: keyof ServerLimits): readonly [least: number, most: number] {
  return ranges[name] ?? [0, Infinity]
}

/** The limits of a server. Throws ValidationError INVALID_OPTION for what is none. */
export function serverLimits(given: Partial<ServerLimits> = {}): ServerLimits {
  const limits = { ...defaultServerLimits, ...given }
  for (const [name, value] of Object.entries(limits)) {
    const [least, most] = limitRange(name as keyof ServerLimits)
    // Written so that NaN and what is no number fail.
    if (value >= least && value <= most) continue
    const upTo = most === Infinity ? '' : ` to ${most}`
    throw new ValidationError('INVALID_OPTION', `the limit ${name} goes from ${least}${upTo}, not ${value}`)
  }
  return limits
}
