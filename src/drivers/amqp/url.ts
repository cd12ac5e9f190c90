/**
 * `amqp://user:password@host:port/vhost?setting=value`, as RabbitMQ writes it (https://www.rabbitmq.com/docs/uri-spec).
 * Without a path the virtual host is '/', as everywhere but in the letter of that page.
 */
import type { ConnectionOptions } from 'node:tls'
import type { ValidationError } from '../../model/errors.ts'
import { decodePart, invalidUrl, UrlSettings } from '../url-settings.ts'

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
  const invalid = invalidUrl(url, 'an AMQP server')
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw invalid("write 'amqp://user:password@host:5672/vhost'")
  }
  const secure = parsed.protocol === 'amqps:'
  if (!secure && parsed.protocol !== 'amqp:') throw invalid("it begins with 'amqp://' or 'amqps://'")
  if (parsed.hash !== '') throw invalid('it has no fragment (a # is written %23)')
  const settings = new UrlSettings(parsed.searchParams, invalid)
  const namesUser = parsed.username !== '' || parsed.password !== ''
  const result: AmqpSettings = {
    hostname: parsed.hostname === '' ? 'localhost' : parsed.hostname.replaceAll(/^\[|\]$/g, ''),
    port: parsed.port === '' ? (secure ? 5671 : 5672) : Number(parsed.port),
    username: namesUser ? decodePart(parsed.username, invalid) : 'guest',
    password: namesUser ? decodePart(parsed.password, invalid) : 'guest',
    vhost: options.namespace ?? vhostOf(parsed.pathname, invalid),
    tls: secure ? { ...settings.tls(), ...options.tls } : undefined,
    heartbeatSeconds: settings.integer('heartbeat', defaultHeartbeatSeconds),
    connectTimeoutMs: settings.integer('connection_timeout', defaultConnectTimeoutMs),
    queues: settings.oneOf('queues', ['quorum', 'classic']),
    maximumBodyBytes: settings.integer('max_message_size', defaultMaximumBodyBytes),
    connectionName: settings.text('name') ?? `millrace ${process.pid}`,
  }
  settings.assertAllKnown('queues, heartbeat, connection_timeout, max_message_size, name')
  return result
}

function vhostOf(pathname: string, invalid: (hint: string) => ValidationError): string {
  if (pathname === '' || pathname === '/') return '/'
  const name = pathname.slice(1)
  if (name.includes('/')) throw invalid('a / in the name of a virtual host is written %2F')
  return decodePart(name, invalid)
}
