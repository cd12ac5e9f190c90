/**
 * `redis://user:password@host:port/database?setting=value`, as redis-cli and the clients of most languages write it
 * (https://www.iana.org/assignments/uri-schemes/prov/redis), with Millrace's own settings behind.
 */
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { ValidationError } from '../../model/errors.ts'

export interface RedisSettings {
  readonly hostname: string
  readonly port: number
  readonly username: string | undefined
  readonly password: string | undefined
  readonly database: number
  readonly tls: ConnectionOptions | undefined
  /** Before every key; the namespace is part of it. */
  readonly prefix: string
  /** The host is a node of a cluster, by which the others are found. */
  readonly cluster: boolean
  /** A consumer that is not heard of for so long is taken for dead. */
  readonly leaseMs: number
  /** A server that is silent for so long is given up. */
  readonly heartbeatMs: number
  readonly connectTimeoutMs: number
  readonly maximumBodyBytes: number
  /** As operators see it. */
  readonly connectionName: string
}

export interface RedisUrlOptions {
  /** Keeps applications apart. */
  readonly namespace?: string | undefined
  /** Beside what the URL says. */
  readonly tls?: ConnectionOptions | undefined
}

const defaultLeaseMs = 30_000
const defaultHeartbeatMs = 15_000
const defaultConnectTimeoutMs = 10_000
const defaultMaximumBodyBytes = 16 * 1_024 * 1_024

/** @throws ValidationError INVALID_URL, INVALID_NAME (of a namespace) */
export function parseRedisUrl(url: string, options: RedisUrlOptions = {}): RedisSettings {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw invalid(url, "write 'redis://user:password@host:6379/0'")
  }
  const secure = parsed.protocol === 'rediss:'
  if (!secure && parsed.protocol !== 'redis:') throw invalid(url, "it begins with 'redis://' or 'rediss://'")
  if (parsed.hash !== '') throw invalid(url, 'it has no fragment (a # is written %23)')
  const settings = new Settings(url, parsed.searchParams)
  const result: RedisSettings = {
    hostname: parsed.hostname === '' ? 'localhost' : parsed.hostname.replaceAll(/^\[|\]$/g, ''),
    port: parsed.port === '' ? 6379 : Number(parsed.port),
    username: parsed.username === '' ? undefined : decode(url, parsed.username),
    password: parsed.password === '' ? undefined : decode(url, parsed.password),
    database: databaseOf(url, parsed.pathname),
    tls: secure ? { ...settings.tls(), ...options.tls } : undefined,
    prefix: prefixOf(settings.text('prefix') ?? 'mq', options.namespace),
    cluster: settings.oneOf('cluster', ['no', 'yes']) === 'yes',
    leaseMs: settings.integer('lease', defaultLeaseMs, 100),
    heartbeatMs: settings.integer('heartbeat', defaultHeartbeatMs, 100),
    connectTimeoutMs: settings.integer('connection_timeout', defaultConnectTimeoutMs, 1),
    maximumBodyBytes: settings.integer('max_message_size', defaultMaximumBodyBytes, 1),
    connectionName: settings.text('name') ?? `millrace-${process.pid}`,
  }
  settings.assertAllKnown()
  if (result.cluster && result.database !== 0) throw invalid(url, 'a cluster has one database, 0')
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

  integer(name: string, otherwise: number, minimum: number): number {
    const value = this.text(name)
    if (value === undefined) return otherwise
    if (!/^\d{1,10}$/.test(value) || Number(value) < minimum) {
      throw invalid(this.#url, `'${name}' is a whole number from ${minimum} up`)
    }
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
      `it takes no setting '${name}' (but prefix, cluster, lease, heartbeat, connection_timeout, max_message_size, name and, ` +
        'with rediss, cacertfile, certfile, keyfile, verify, server_name_indication)',
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

function databaseOf(url: string, pathname: string): number {
  if (pathname === '' || pathname === '/') return 0
  const text = pathname.slice(1)
  if (!/^\d{1,5}$/.test(text)) throw invalid(url, 'its path is the number of a database')
  return Number(text)
}

/** Braces mark the part of a key that decides on its place in a cluster. */
function prefixOf(prefix: string, namespace: string | undefined): string {
  const whole = namespace === undefined ? prefix : `${prefix}:${namespace}`
  if (prefix !== '' && !/[{}]/.test(whole)) return whole
  throw new ValidationError('INVALID_NAME', `A prefix or namespace in Redis has no braces, unlike '${whole}'`)
}

function decode(url: string, text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid(url, 'a % is written %25')
  }
}

function invalid(url: string, hint: string): ValidationError {
  return new ValidationError('INVALID_URL', `'${withoutPassword(url)}' is no URL of a Redis server: ${hint}`)
}

/** Passwords belong in no log. */
function withoutPassword(url: string): string {
  return url.replace(/^([a-z]+:\/\/[^:@/]*):[^@/]*@/i, '$1:***@')
}
