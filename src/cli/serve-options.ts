/** What `millrace serve` is told: by its options, by a file (`--config`), or by nobody. The command line beats the file. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ServerLimits } from '../server/limits.ts'
import type { LogLevel } from '../server/log.ts'
import { UsageError, messageOf } from './exit-code.ts'
import { readConfig } from './serve-config.ts'

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
  if (wsOrigin !== undefined && wsPort === undefined) {
    throw new UsageError('--ws-origin needs --ws-port (wsOrigin and wsPort in the configuration)')
  }
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

const inConfig = '(tls.cert and tls.key in the configuration)'

function readTls(paths: {
  cert: string | undefined
  key: string | undefined
  ca: string | undefined
}): ServeSettings['tls'] {
  const { cert, key, ca } = paths
  if (cert === undefined && key === undefined) {
    if (ca !== undefined) throw new UsageError(`--tls-ca needs --tls-cert and --tls-key ${inConfig}`)
    return undefined
  }
  if (cert === undefined || key === undefined) {
    throw new UsageError(`give --tls-cert and --tls-key together ${inConfig}`)
  }
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
