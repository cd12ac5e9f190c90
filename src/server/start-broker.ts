/**
 * `startBroker()`: the whole broker inside this process, for a program or a test.
 *
 * ```ts
 * import { startBroker } from 'millrace/server'
 *
 * await using broker = await startBroker({ port: 0 })   // no data = memory; port 0 = any free one
 * const connection = await amqplib.connect(broker.url)  // any AMQP 0-9-1 client
 * ```
 */
import { resolve } from 'node:path'
import type { TlsOptions } from 'node:tls'
import type { Broker } from '../broker/broker.ts'
import { ValidationError } from '../model/errors.ts'
import { openBroker } from '../broker/open-broker.ts'
import type { OpenBrokerOptions } from '../broker/open-broker.ts'
import type { ServerLimits } from './limits.ts'
import { isLoopback, Listener } from './listener.ts'
import type { ListenOptions } from './listener.ts'
import type { Log } from './log.ts'
import { Server } from './server.ts'
import { brokerAuthenticator, defaultVhost, defineUser, ensureGuest, guest, isGuestAlone } from './users.ts'
import { version } from './version.ts'
import { WebSocketListener } from './websocket-listener.ts'

export interface BrokerOptions {
  /** The data folder; none for memory only. */
  readonly data?: string
  /** Default 5672 (5671 with TLS); 0 for any free one. */
  readonly port?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  /**
   * Passwords by user name, for users who may do everything: made, or changed, when it starts. Without it those in the data
   * folder are there, and at its first start guest with the password guest, who may come from this machine only.
   */
  readonly users?: Readonly<Record<string, string>>
  /** Users who may come from this machine only; default guest. */
  readonly loopbackUsers?: readonly string[]
  /** Virtual hosts to be there, besides `/`. */
  readonly vhosts?: readonly string[]
  /** Serves TLS on the port, instead of plain AMQP. */
  readonly tls?: TlsOptions
  /** A UNIX socket (a named pipe on Windows) to listen on too. */
  readonly socketPath?: string
  /** AMQP over WebSocket on this port too, 0 for any free one; over TLS where `tls` is given. */
  readonly webSocketPort?: number
  /** Web pages that may use it, by their origin (`https://example.org`), `*` for any; default none, only other programs. */
  readonly webSocketOrigins?: readonly string[]
  /** Connections begin with a PROXY header, version 1 or 2. */
  readonly proxyProtocol?: boolean
  readonly limits?: Partial<ServerLimits>
  readonly engine?: Pick<OpenBrokerOptions, 'store' | 'limits'>
  /** Says nothing by default. */
  readonly log?: Log
}

/** A broker that runs in this process. (The management API, with its `adminUrl`, is not there yet.) */
export interface RunningBroker extends AsyncDisposable {
  /** `amqp://guest:guest@127.0.0.1:43121`, with the first user. */
  readonly url: string
  readonly host: string
  readonly port: number
  readonly socketPath: string | undefined
  /** `ws://127.0.0.1:43122`, where there is one. */
  readonly webSocketUrl: string | undefined
  /** Rejects never; resolves with the error where the store has failed, after which nothing more is promised. */
  readonly failed: Promise<Error>
  /** What an operator should know of the opening: quarantined files, lost messages. */
  readonly warnings: readonly string[]
  readonly server: Server
  readonly broker: Broker
  /** Tells every peer (320), stores everything, lets go of port and folder. Idempotent. */
  close(): Promise<void>
}

const defaultPort = 5672
const defaultTlsPort = 5671

/**
 * Resolves when it listens, with everything recovered.
 *
 * Throws StoreError (DIRECTORY_LOCKED and others of the folder), ValidationError INVALID_OPTION (a host that others reach, and
 * no user but guest; certificates that are none), and MillraceError ADDRESS_UNUSABLE (a port that is taken).
 */
export async function startBroker(options: BrokerOptions = {}): Promise<RunningBroker> {
  const broker = await openBroker({
    ...(options.data !== undefined && { folder: resolve(options.data) }),
    ...options.engine,
  })
  try {
    return await serve(broker, options)
  } catch (error) {
    await broker.close()
    throw error
  }
}

async function serve(broker: Broker, options: BrokerOptions): Promise<RunningBroker> {
  const vhosts = [defaultVhost, ...(options.vhosts ?? [])]
  const made = vhosts.filter((vhost) => !broker.engine.vhosts.has(vhost))
  for (const vhost of vhosts) broker.ensureVhost(vhost)
  const users = Object.entries(options.users ?? {})
  const stored = options.data !== undefined
  for (const [name, password] of users) await defineUser(broker, { name, password, vhosts, stored })
  ensureGuest(broker, { all: vhosts, made })
  refuseOpenDoor(broker, options.host)
  await broker.whenDurable()
  const { limits, log, loopbackUsers } = options
  const server = new Server({
    broker,
    authenticator: brokerAuthenticator(broker, loopbackUsers && new Set(loopbackUsers)),
    version,
    ...(limits !== undefined && { limits }),
    ...(log !== undefined && { log }),
  })
  const { listener, webSocketPort } = await listen(server, options)
  const failed = new Promise<Error>((tell) => broker.events.on('failed', tell))
  let closed: Promise<void> | undefined
  const close = (): Promise<void> => (closed ??= server.close().then(() => broker.close()))
  const [user, password] = users[0] ?? [guest, guest]
  const scheme = options.tls === undefined ? 'amqp' : 'amqps'
  const host = listener.host
  return {
    url: `${scheme}://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${urlHost(host)}:${listener.port}`,
    host,
    port: listener.port,
    socketPath: options.socketPath,
    webSocketUrl:
      webSocketPort === undefined
        ? undefined
        : `${options.tls === undefined ? 'ws' : 'wss'}://${urlHost(host)}:${webSocketPort}`,
    failed,
    warnings: broker.warnings,
    server,
    broker,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Nobody could log in from afar, but everybody knows how to from here: that is a mistake, whoever made it. */
function refuseOpenDoor(broker: Broker, host = '127.0.0.1'): void {
  if (isLoopback(host) || !isGuestAlone(broker)) return
  throw new ValidationError(
    'INVALID_OPTION',
    `there is no user but guest, who may come from this machine only, so nobody could use ${host}: ` +
      'make a user with `millrace add_user NAME --data DIR`, or listen on 127.0.0.1',
  )
}

async function listen(
  server: Server,
  options: BrokerOptions,
): Promise<{ listener: Listener; webSocketPort: number | undefined }> {
  const { host = '127.0.0.1', tls, socketPath, webSocketPort: port, proxyProtocol = false } = options
  const { webSocketOrigins: origins } = options
  if (origins !== undefined && port === undefined) {
    throw new ValidationError('INVALID_OPTION', 'webSocketOrigins needs webSocketPort: give both, or neither')
  }
  const settings: ListenOptions = {
    host,
    port: options.port ?? (tls === undefined ? defaultPort : defaultTlsPort),
    proxyProtocol,
    ...(tls !== undefined && { tls }),
  }
  try {
    const listener = await Listener.open(server, settings)
    if (socketPath !== undefined) await Listener.open(server, { path: socketPath })
    const webSocket =
      port === undefined
        ? undefined
        : await WebSocketListener.open(server, {
            host,
            port,
            ...(tls !== undefined && { tls }),
            ...(origins !== undefined && { origins }),
          })
    return { listener, webSocketPort: webSocket?.port }
  } catch (error) {
    await server.close()
    throw error
  }
}

/** An address that stands for all of this machine's is no address to connect to. */
function urlHost(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1'
  if (address === '::') return '[::1]'
  return address.includes(':') ? `[${address}]` : address
}
