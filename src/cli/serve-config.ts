/**
 * The file of `millrace serve --config`: JSON under the names of the options.
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
import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { checkOptions, isBoolean, isInteger, isObjectOf, isOneOf, isString } from '../client/options.ts'
import type { Check } from '../client/options.ts'
import { defaultServerLimits, limitRange } from '../server/limits.ts'
import type { ServerLimits } from '../server/limits.ts'
import { logLevels } from '../server/log.ts'
import type { LogLevel } from '../server/log.ts'
import { UsageError, messageOf } from './exit-code.ts'

export interface ServeConfig {
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

const isPort = isInteger(0, 65_535)

const isOrigins: Check = (value) =>
  Array.isArray(value) && value.every((origin) => isString(origin, '') === undefined)
    ? undefined
    : 'must be a list of strings, such as ["https://shop.example"]'

const known: Readonly<Record<keyof ServeConfig, Check>> = {
  data: isString,
  memory: isBoolean,
  host: isString,
  port: isPort,
  socket: isString,
  wsPort: isPort,
  wsOrigin: isOrigins,
  tls: isObjectOf({ cert: isString, key: isString, ca: isString }),
  proxyProtocol: isBoolean,
  log: isObjectOf({ format: isOneOf('text', 'json'), level: isOneOf(...logLevels) }),
  limits: isObjectOf(
    Object.fromEntries(
      Object.keys(defaultServerLimits).map((name) => [name, isLimit(name as keyof ServerLimits)]),
    ),
  ),
}

/**
 * Paths in it are relative to the file.
 * @throws UsageError for what is no JSON object, ValidationError INVALID_OPTION for what it may not hold
 */
export function readConfig(path: string): ServeConfig {
  let config: unknown
  try {
    config = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new UsageError(`cannot read the configuration ${path}: ${messageOf(error)}`, { cause: error })
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw new UsageError(`the configuration ${path} is no JSON object`)
  }
  checkOptions(path, config, known)
  const { data, socket, tls, ...rest } = config as ServeConfig
  const at = (name: string) => resolve(dirname(path), name)
  return {
    ...rest,
    ...(data !== undefined && { data: at(data) }),
    ...(socket !== undefined && { socket: at(socket) }),
    ...(tls !== undefined && {
      tls: Object.fromEntries(Object.entries(tls).map(([name, value]) => [name, at(value)])),
    }),
  }
}

function isLimit(name: keyof ServerLimits): Check {
  const [least, most] = limitRange(name)
  if (most !== Infinity) return isInteger(least, most)
  return (value) =>
    Number.isSafeInteger(value) && (value as number) >= least
      ? undefined
      : `must be a whole number from ${least}`
}
