/**
 * `redis://user:password@host:port/database?setting=value`, as redis-cli and the clients of most languages write it
 * (https://www.iana.org/assignments/uri-schemes/prov/redis), with Millrace's own settings behind. Several hosts are separated by
 * commas. `redis+sentinel://host:26379/name/database` names sentinels, and the primary as they know it.
 */
import type { ConnectionOptions } from 'node:tls'
import { ValidationError } from '../../model/errors.ts'
import { decodePart, invalidUrl, UrlSettings } from '../url-settings.ts'
import type { Address, ServerOptions } from './node-redis.ts'

export interface RedisSettings extends ServerOptions {
  /** Of servers one of which is the primary, of nodes of a cluster, or of sentinels. */
  readonly addresses: readonly Address[]
  /** Where a node that others call by this address is reached. */
  readonly addressMap: (address: Address) => Address
  readonly sentinel: SentinelSettings | undefined
  /** The hosts are nodes of a cluster, by which the others are found. */
  readonly cluster: boolean
  /** Before every key; the namespace is part of it. */
  readonly prefix: string
  /** A consumer that is not heard of for so long is taken for dead. */
  readonly leaseMs: number
  readonly maximumBodyBytes: number
}

export interface SentinelSettings {
  /** The primary's name among the sentinels. */
  readonly primary: string
  readonly username: string | undefined
  readonly password: string | undefined
}

export interface RedisUrlOptions {
  /** Keeps applications apart. */
  readonly namespace?: string | undefined
  /** Beside what the URL says. */
  readonly tls?: ConnectionOptions | undefined
  /** For networks where nodes of a cluster, or a primary, have other addresses than they tell each other. */
  readonly addressMap?: ((address: Address) => Address) | undefined
}

type Invalid = (hint: string) => ValidationError

const defaultLeaseMs = 30_000
const defaultHeartbeatMs = 15_000
const defaultConnectTimeoutMs = 10_000
const defaultMaximumBodyBytes = 16 * 1_024 * 1_024

const protocols = ['redis:', 'rediss:', 'redis+sentinel:', 'rediss+sentinel:']
const settingNames =
  'prefix, cluster, wait, lease, heartbeat, connection_timeout, max_message_size, name, sentinel_username, sentinel_password'

/** @throws ValidationError INVALID_URL, INVALID_NAME (of a namespace) */
export function parseRedisUrl(url: string, options: RedisUrlOptions = {}): RedisSettings {
  const invalid = invalidUrl(url, 'a Redis server')
  const { parsed, hosts } = split(url, invalid)
  const isSentinel = parsed.protocol.endsWith('+sentinel:')
  const settings = new UrlSettings(parsed.searchParams, invalid)
  const path = isSentinel
    ? sentinelPath(parsed.pathname, invalid)
    : { primary: '', database: parsed.pathname }
  const result: RedisSettings = {
    addresses: hosts.map((host) => addressOf(host, isSentinel ? 26_379 : 6_379, invalid)),
    addressMap: options.addressMap ?? ((address) => address),
    username: parsed.username === '' ? undefined : decodePart(parsed.username, invalid),
    password: parsed.password === '' ? undefined : decodePart(parsed.password, invalid),
    database: databaseOf(path.database, invalid),
    tls: parsed.protocol.startsWith('rediss') ? { ...settings.tls(), ...options.tls } : undefined,
    sentinel: isSentinel
      ? {
          primary: path.primary,
          username: settings.text('sentinel_username'),
          password: settings.text('sentinel_password'),
        }
      : undefined,
    prefix: prefixOf(settings.text('prefix') ?? 'mq', options.namespace),
    cluster: settings.oneOf('cluster', ['no', 'yes']) === 'yes',
    replicas: settings.integer('wait', 0),
    leaseMs: settings.integer('lease', defaultLeaseMs, 100),
    heartbeatMs: settings.integer('heartbeat', defaultHeartbeatMs, 100),
    connectTimeoutMs: settings.integer('connection_timeout', defaultConnectTimeoutMs, 1),
    maximumBodyBytes: settings.integer('max_message_size', defaultMaximumBodyBytes, 1),
    connectionName: settings.text('name') ?? `millrace-${process.pid}`,
  }
  settings.assertAllKnown(settingNames)
  if (result.cluster && isSentinel) throw invalid('a cluster has no sentinels; name its nodes with redis://')
  if (result.cluster && result.database !== 0) throw invalid('a cluster has one database, 0')
  return result
}

/** A URL has one host, ours may have several: they are taken out before it is parsed. */
function split(url: string, invalid: Invalid): { parsed: URL; hosts: readonly string[] } {
  const parts = /^([^:/?#]+:\/\/)([^/?#]*@)?([^@/?#]*)(.*)$/s.exec(url)
  if (parts === null) throw invalid("write 'redis://user:password@host:6379/0'")
  const [, scheme = '', user = '', hosts = '', rest = ''] = parts
  let parsed: URL
  try {
    parsed = new URL(`${scheme}${user}localhost${rest}`)
  } catch {
    throw invalid("write 'redis://user:password@host:6379/0'")
  }
  if (!protocols.includes(parsed.protocol)) {
    throw invalid("it begins with 'redis://', 'rediss://', 'redis+sentinel://' or 'rediss+sentinel://'")
  }
  if (parsed.hash !== '') throw invalid('it has no fragment (a # is written %23)')
  return { parsed, hosts: hosts.split(',') }
}

/** 'host', 'host:port', '[::1]:port'; without a name, this machine. */
function addressOf(text: string, defaultPort: number, invalid: Invalid): Address {
  const host = text === '' || text.startsWith(':') ? `localhost${text}` : text
  let parsed: URL
  try {
    parsed = new URL(`redis://${host}`)
  } catch {
    throw invalid(`'${text}' is no host, nor host:port`)
  }
  return {
    host: parsed.hostname.replaceAll(/^\[|\]$/g, ''),
    port: parsed.port === '' ? defaultPort : Number(parsed.port),
  }
}

/** '/name' or '/name/database'. */
function sentinelPath(pathname: string, invalid: Invalid): { primary: string; database: string } {
  const [, name = '', database = '', ...more] = pathname.split('/')
  if (name === '' || more.length > 0) {
    throw invalid("its path is the primary's name, and a database: redis+sentinel://host:26379/mymaster/0")
  }
  return { primary: decodePart(name, invalid), database: `/${database}` }
}

function databaseOf(pathname: string, invalid: Invalid): number {
  if (pathname === '' || pathname === '/') return 0
  const text = pathname.slice(1)
  if (!/^\d{1,5}$/.test(text)) throw invalid('its path is the number of a database')
  return Number(text)
}

/** Braces mark the part of a key that decides on its place in a cluster. */
function prefixOf(prefix: string, namespace: string | undefined): string {
  const whole = namespace === undefined ? prefix : `${prefix}:${namespace}`
  if (prefix === '')
    throw new ValidationError('INVALID_NAME', "The prefix of a Redis URL is not empty: 'mq' is usual")
  if (!/[{}]/.test(whole)) return whole
  throw new ValidationError('INVALID_NAME', `A prefix or namespace in Redis has no braces, unlike '${whole}'`)
}
