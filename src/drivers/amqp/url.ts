/**
 * `amqp://user:password@host:port/vhost?setting=value`, as RabbitMQ writes it (https://www.rabbitmq.com/docs/uri-spec).
 * Without a path the virtual host is '/', as everywhere but in the letter of that page.
 */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { ValidationError } from '../../model/errors.ts'

export interface AmqpSettings {
  readonly hostname: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly vhost: string
  readonly tls: ConnectionOptions | undefined
  /** A peer that is silent for two to three of these is given up. */
  readonly heartbeatSeconds: number
  readonly connectTimeoutMs: number
  /** The type of queues that do not ask for another by what they are. */
  readonly queues: 'quorum' | 'classic'
  readonly maximumBodyBytes: number
  /** As operators see it. */
  readonly connectionName: string
}

export interface UrlOptions {
  /** Instead of the URL's virtual host. */
  readonly namespace?: string | undefined
  /** Beside what the URL says. */
  readonly tls?: ConnectionOptions | undefined
}

/** What RabbitMQ takes from 4.0 on unless it is told otherwise; 3.x takes 128 MiB. */
const defaultMaximumBodyBytes = 16 * 1_024 * 1_024
const defaultHeartbeatSeconds = 15
const defaultConnectTimeoutMs = 10_000

/** @throws ValidationError INVALID_URL */
export function parseAmqpUrl(url: string, options: UrlOptions = {}): AmqpSettings {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw invalid(url, "write 'amqp://user:password@host:5672/vhost'")
  }
  const secure = parsed.protocol === 'amqps:'
  if (!secure && parsed.protocol !== 'amqp:') throw invalid(url, "it begins with 'amqp://' or 'amqps://'")
  if (parsed.hash !== '') throw invalid(url, 'it has no fragment (a # is written %23)')
  const settings = new Settings(url, parsed.searchParams)
  const namesUser = parsed.username !== '' || parsed.password !== ''
  const result: AmqpSettings = {
    hostname: parsed.hostname === '' ? 'localhost' : parsed.hostname.replaceAll(/^\[|\]$/g, ''),
    port: parsed.port === '' ? (secure ? 5671 : 5672) : Number(parsed.port),
    username: namesUser ? decode(url, parsed.username) : 'guest',
    password: namesUser ? decode(url, parsed.password) : 'guest',
    vhost: options.namespace ?? vhostOf(url, parsed.pathname),
    tls: secure ? { ...settings.tls(), ...options.tls } : undefined,
    heartbeatSeconds: settings.integer('heartbeat', defaultHeartbeatSeconds),
    connectTimeoutMs: settings.integer('connection_timeout', defaultConnectTimeoutMs),
    queues: settings.oneOf('queues', ['quorum', 'classic']),
    maximumBodyBytes: settings.integer('max_message_size', defaultMaximumBodyBytes),
    connectionName: settings.text('name') ?? `millrace ${process.pid}`,
  }
  settings.assertAllKnown()
  return result
}

/** The query's settings; what is left over is unknown. */
class Settings {
  readonly #url: string
  readonly #left: Map<string, string>

  constructor(url: string, parameters: URLSearchParams) {
    this.#url = url
    this.#left = new Map(parameters)
  }

  text(name: string): string | undefined {
    const value = this.#left.get(name)
    this.#left.delete(name)
    return value
  }

  integer(name: string, otherwise: number): number {
    const value = this.text(name)
    if (value === undefined) return otherwise
    if (!/^\d{1,15}$/.test(value)) throw invalid(this.#url, `'${name}' is a whole number`)
    return Number(value)
  }

  oneOf<const T extends string>(name: string, values: readonly [T, ...T[]]): T {
    const value = this.text(name)
    if (value === undefined) return values[0]
    const known = values.find((candidate) => candidate === value)
    if (known === undefined) throw invalid(this.#url, `'${name}' is ${values.join(' or ')}`)
    return known
  }

  tls(): ConnectionOptions {
    const servername = this.text('server_name_indication')
    return {
      ...this.#file('ca', 'cacertfile'),
      ...this.#file('cert', 'certfile'),
      ...this.#file('key', 'keyfile'),
      ...(this.oneOf('verify', ['verify_peer', 'verify_none']) === 'verify_none' && {
        rejectUnauthorized: false,
      }),
      ...(servername !== undefined && { servername }),
    }
  }

  assertAllKnown(): void {
    const [name] = this.#left.keys()
    if (name === undefined) return
    throw invalid(
      this.#url,
      `it takes no setting '${name}' (but queues, heartbeat, connection_timeout, max_message_size, name and, with amqps, ` +
        'cacertfile, certfile, keyfile, verify, server_name_indication)',
    )
  }

  #file(option: 'ca' | 'cert' | 'key', name: string): ConnectionOptions {
    const path = this.text(name)
    if (path === undefined) return {}
    try {
      return { [option]: readFileSync(path) }
    } catch (error) {
      throw invalid(this.#url, `'${name}' cannot be read (${(error as Error).message})`)
    }
  }
}

function vhostOf(url: string, pathname: string): string {
  if (pathname === '' || pathname === '/') return '/'
  const name = pathname.slice(1)
  if (name.includes('/')) throw invalid(url, 'a / in the name of a virtual host is written %2F')
  return decode(url, name)
}

function decode(url: string, text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(url, 'a % is written %25')
  }
}

function invalid(url: string, hint: string): ValidationError {
  return new ValidationError('INVALID_URL', `'${withoutPassword(url)}' is no URL of an AMQP server: ${hint}`)
}

/** Passwords belong in no log. */
export function withoutPassword(url: string): string {
  return url.replace(/^([a-z]+:\/\/[^:@/]*):[^@/]*@/i, '$1:***@')
}
