/**
 * What `millrace serve` is told: by its options, by a file (`--config`), or by nobody. The command line beats the file.
 *
 * The file is JSON under the same names:
 *
 * ```json
 * {
 *   "data": "/var/lib/millrace", "host": "0.0.0.0", "port": 5672, "socket": "/run/millrace.sock",
 *   "tls": { "cert": "cert.pem", "key": "key.pem", "ca": "ca.pem" },
 *   "log": { "format": "json", "level": "info" },
 *   "limits": { "connections": 10000 }
 * }
 * ```
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { defaultServerLimits } from '../server/limits.ts'
import type { ServerLimits } from '../server/limits.ts'
import { logLevels } from '../server/log.ts'
import type { LogLevel } from '../server/log.ts'
import { UsageError, messageOf } from './exit-code.ts'

/** As the command line gives them. */
export interface ServeFlags {
  readonly data?: string
  readonly memory?: boolean
  readonly host?: string
  readonly port?: number
  readonly socket?: string
  readonly wsPort?: number
  readonly wsOrigin?: readonly string[]
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly tlsCa?: string
  readonly proxyProtocol?: boolean
  readonly config?: string
  readonly logFormat?: 'text' | 'json'
  readonly logLevel?: LogLevel
}

export interface ServeSettings {
  /** Undefined for memory only. */
  readonly data: string | undefined
  readonly host: string
  /** Undefined for the protocol's own. */
  readonly port: number | undefined
  readonly socket: string | undefined
  /** Of AMQP over WebSocket; undefined for none. */
  readonly wsPort: number | undefined
  /** Of web pages that may use it. */
  readonly wsOrigin: readonly string[] | undefined
  readonly tls: { readonly cert: Buffer; readonly key: Buffer; readonly ca: Buffer | undefined } | undefined
  readonly proxyProtocol: boolean
  readonly logFormat: 'text' | 'json'
  readonly logLevel: LogLevel
  readonly limits: Partial<ServerLimits>
}

/** Where messages are kept when nobody says where. */
export const defaultFolder = './data'

/** Puts both together. Throws UsageError for what cannot be meant. */
export function serveSettings(flags: ServeFlags): ServeSettings {
  const file = flags.config === undefined ? {} : readConfig(flags.config)
  if (file.memory === true && file.data !== undefined) {
    throw new UsageError(`${flags.config}: give 'data' or 'memory', not both`)
  }
  const memory = flags.memory ?? (flags.data === undefined && file.memory === true)
  if (memory && flags.data !== undefined) throw new UsageError('give --data or --memory, not both')
  const wsPort = flags.wsPort ?? file.wsPort
  const wsOrigin = flags.wsOrigin ?? file.wsOrigin
  if (wsOrigin !== undefined && wsPort === undefined) throw new UsageError('--ws-origin needs --ws-port')
  return {
    data: memory ? undefined : (flags.data ?? file.data ?? defaultFolder),
    host: flags.host ?? file.host ?? '127.0.0.1',
    port: flags.port ?? file.port,
    socket: flags.socket ?? file.socket,
    wsPort,
    wsOrigin,
    tls: readTls({
      cert: flags.tlsCert ?? file.tls?.cert,
      key: flags.tlsKey ?? file.tls?.key,
      ca: flags.tlsCa ?? file.tls?.ca,
    }),
    proxyProtocol: flags.proxyProtocol ?? file.proxyProtocol ?? false,
    logFormat: flags.logFormat ?? file.log?.format ?? 'text',
    logLevel: flags.logLevel ?? file.log?.level ?? 'info',
    limits: file.limits ?? {},
  }
}

interface Config {
  readonly data?: string
  readonly memory?: boolean
  readonly host?: string
  readonly port?: number
  readonly socket?: string
  readonly wsPort?: number
  readonly wsOrigin?: readonly string[]
  readonly tls?: { readonly cert?: string; readonly key?: string; readonly ca?: string }
  readonly proxyProtocol?: boolean
  readonly log?: { readonly format?: 'text' | 'json'; readonly level?: LogLevel }
  readonly limits?: Partial<ServerLimits>
}

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string' && value !== ''
const isFlag: Check = (value) => typeof value === 'boolean'
const isCount: Check = (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
const isPort: Check = (value) => isCount(value) && (value as number) <= 65_535

/** What the file may hold, by path. */
const known: Readonly<Record<string, Check>> = {
  data: isText,
  memory: isFlag,
  host: isText,
  port: isPort,
  socket: isText,
  wsPort: isPort,
  wsOrigin: (value) => Array.isArray(value) && value.every(isText),
  'tls.cert': isText,
  'tls.key': isText,
  'tls.ca': isText,
  proxyProtocol: isFlag,
  'log.format': (value) => value === 'text' || value === 'json',
  'log.level': (value) => logLevels.some((level) => level === value),
  ...Object.fromEntries(Object.keys(defaultServerLimits).map((name) => [`limits.${name}`, isCount])),
}

/** Paths in it are relative to the file. */
function readConfig(path: string): Config {
  let config: unknown
  try {
    config = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`cannot read the configuration ${path}: ${messageOf(error)}`, { cause: error })
  }
  if (!isTable(config)) throw new UsageError(`the configuration ${path} is no JSON object`)
  checkConfig(path, config)
  const { data, socket, tls, ...rest } = config as Config
  const at = (name: string | undefined) => (name === undefined ? undefined : resolve(dirname(path), name))
  return {
    ...rest,
    ...(data !== undefined && { data: at(data)! }),
    ...(socket !== undefined && { socket: at(socket)! }),
    ...(tls !== undefined && {
      tls: Object.fromEntries(Object.entries(tls).map(([name, value]) => [name, at(value)])),
    }),
  }
}

function checkConfig(path: string, table: Record<string, unknown>, prefix = ''): void {
  for (const [key, value] of Object.entries(table)) {
    const name = prefix + key
    if (isTable(value) && Object.keys(known).some((other) => other.startsWith(`${name}.`))) {
      checkConfig(path, value, `${name}.`)
    } else if (!Object.hasOwn(known, name)) {
      throw new UsageError(
        `${path}: there is no setting '${name}'; there are ${Object.keys(known).join(', ')}`,
      )
    } else if (!known[name]!(value)) {
      throw new UsageError(`${path}: '${name}' cannot be ${JSON.stringify(value)}`)
    }
  }
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readTls(paths: {
  cert: string | undefined
  key: string | undefined
  ca: string | undefined
}): ServeSettings['tls'] {
  const { cert, key, ca } = paths
  if (cert === undefined && key === undefined) {
    if (ca !== undefined) throw new UsageError('--tls-ca needs --tls-cert and --tls-key')
    return undefined
  }
  if (cert === undefined || key === undefined) throw new UsageError('give --tls-cert and --tls-key together')
  return { cert: readPem(cert), key: readPem(key), ca: ca === undefined ? undefined : readAuthority(ca) }
}

/** Node.js takes anything for an authority, and then nobody's certificate is good. */
function readAuthority(path: string): Buffer {
  const pem = readPem(path)
  if (!isCertificate(pem)) throw new UsageError(`${path} holds no certificate in PEM`)
  return pem
}

function isCertificate(pem: Buffer): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false
  }
}

function readPem(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new UsageError(`cannot read ${path}: ${messageOf(error)}`, { cause: error })
  }
}
