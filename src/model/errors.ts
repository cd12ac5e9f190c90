/**
 * Every error Millrace throws, in one catalogue.
 *
 * A caller branches on `code` (stable across releases) or on the class; the message says what happened and what
 * to do about it. Errors that an AMQP peer must be told of also carry the reply code and what they close.
 */

/** What an AMQP protocol error closes: the channel it happened on, or the whole connection. */
export type ErrorScope = 'channel' | 'connection'

/**
 * The stable codes. `reply` is the AMQP 0-9-1 reply code (section 1.2 "constants" of the protocol's reference)
 * that an AMQP peer sees.
 */
const catalogue = {
  INVALID_URL: { reply: 0, scope: 'connection' },
  UNKNOWN_SCHEME: { reply: 0, scope: 'connection' },
  INVALID_OPTION: { reply: 406, scope: 'channel' },
  INVALID_NAME: { reply: 406, scope: 'channel' },
  INVALID_ARGUMENT: { reply: 406, scope: 'channel' },
  UNSERIALIZABLE: { reply: 0, scope: 'channel' },
  SCHEMA_MISMATCH: { reply: 0, scope: 'channel' },
  MESSAGE_TOO_LARGE: { reply: 311, scope: 'channel' },
  HEADERS_TOO_LARGE: { reply: 501, scope: 'connection' },
  ACCESS_REFUSED: { reply: 403, scope: 'channel' },
  NOT_FOUND: { reply: 404, scope: 'channel' },
  RESOURCE_LOCKED: { reply: 405, scope: 'channel' },
  CONFLICT: { reply: 406, scope: 'channel' },
  PRECONDITION_FAILED: { reply: 406, scope: 'channel' },
  NOT_ALLOWED: { reply: 530, scope: 'connection' },
  UNSUPPORTED: { reply: 540, scope: 'connection' },
  UNROUTABLE: { reply: 312, scope: 'channel' },
  QUEUE_FULL: { reply: 0, scope: 'channel' },
  LIMIT_REACHED: { reply: 506, scope: 'connection' },
  BLOCKED: { reply: 0, scope: 'connection' },
  UNREACHABLE: { reply: 0, scope: 'connection' },
  CONNECTION_LOST: { reply: 320, scope: 'connection' },
  MISSING_PACKAGE: { reply: 0, scope: 'connection' },
  CLOSED: { reply: 504, scope: 'channel' },
  ABORTED: { reply: 0, scope: 'channel' },
  TIMEOUT: { reply: 0, scope: 'channel' },
  PROTOCOL_ERROR: { reply: 501, scope: 'connection' },
  REMOTE_ERROR: { reply: 0, scope: 'channel' },
  HANDLER_FAILED: { reply: 0, scope: 'channel' },
  ADDRESS_UNUSABLE: { reply: 0, scope: 'connection' },
  DIRECTORY_LOCKED: { reply: 0, scope: 'connection' },
  DIRECTORY_UNUSABLE: { reply: 0, scope: 'connection' },
  FORMAT_TOO_NEW: { reply: 0, scope: 'connection' },
  DISK_FULL: { reply: 0, scope: 'connection' },
  STORE_FAILED: { reply: 541, scope: 'connection' },
  INTERNAL: { reply: 541, scope: 'connection' },
} as const satisfies Record<string, { reply: number; scope: ErrorScope }>

/** The stable code of a {@link MillraceError}. */
export type ErrorCode = keyof typeof catalogue

/** Any error that Millrace throws or rejects with on purpose. */
export class MillraceError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }

  /** The AMQP 0-9-1 reply code, or 0 where AMQP has none. */
  get replyCode(): number {
    return catalogue[this.code].reply
  }

  /** What an AMQP server closes when a peer causes this error. */
  get scope(): ErrorScope {
    return catalogue[this.code].scope
  }
}

/** Bad input at the call: nothing was stored. Codes `INVALID_*`, `UNSERIALIZABLE`, `SCHEMA_MISMATCH`, `*_TOO_LARGE`. */
export class ValidationError extends MillraceError {}

/** Two declarations of one queue or exchange disagree. Code `CONFLICT`. */
export class ConflictError extends MillraceError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('CONFLICT', message, options)
  }
}

/** The engine cannot do what was asked; it names the feature, the engine and the way out. Code `UNSUPPORTED`. */
export class UnsupportedError extends MillraceError {
  readonly feature: string
  readonly driver: string
  readonly hint: string

  constructor(what: { feature: string; driver: string; hint: string }) {
    super('UNSUPPORTED', `${what.driver} does not support ${what.feature}: ${what.hint}`)
    this.feature = what.feature
    this.driver = what.driver
    this.hint = what.hint
  }
}

/** The connection, worker or queue handle is closed. Code `CLOSED`. */
export class ClosedError extends MillraceError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('CLOSED', message, options)
  }
}

/** Nothing came within the time allowed. Code `TIMEOUT`. */
export class TimeoutError extends MillraceError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('TIMEOUT', message, options)
  }
}

/** The replying side of a request failed; `message` is what it said. Code `REMOTE_ERROR`. */
export class RemoteError extends MillraceError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('REMOTE_ERROR', message, options)
  }
}

/**
 * What the peer sent is not AMQP, or not what the protocol allows here; the connection ends. Code `PROTOCOL_ERROR`, with a reply
 * code of its own: 501 frame error, 502 syntax error, 503 command invalid, 504 channel error, 505 unexpected frame, 540 not
 * implemented.
 */
export class ProtocolError extends MillraceError {
  /** Class and method number of the method in question, as `class << 16 | method`; 0 where there is none. */
  readonly methodId: number
  readonly #replyCode: number

  constructor(replyCode: number, message: string, methodId = 0) {
    super('PROTOCOL_ERROR', message)
    this.methodId = methodId
    this.#replyCode = replyCode
  }

  override get replyCode(): number {
    return this.#replyCode
  }
}

/** The data folder or its disk refuses: codes `DIRECTORY_*`, `FORMAT_TOO_NEW`, `DISK_FULL`, `STORE_FAILED`. */
export class StoreError extends MillraceError {}
