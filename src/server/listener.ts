/** Where clients come in: a TCP port, with TLS or without, or a UNIX socket. The one seam between the server and sockets. */
import { stat, unlink } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Server as NetServer, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Server as TlsServer, TlsOptions, TLSSocket } from 'node:tls'
import type { Peer } from './handshake.ts'
import { listening, secured } from './listening.ts'
import { readProxyHeader } from './proxy-protocol.ts'
import type { ProxyHeader } from './proxy-protocol.ts'
import type { Server } from './server.ts'

export interface ListenOptions {
  readonly host?: string
  /** 0 for any free one. */
  readonly port?: number
  /** Of a UNIX socket (a named pipe on Windows), instead of host and port. */
  readonly path?: string
  /** Certificates and keys; with `requestCert` and `ca` a client's certificate can log in (EXTERNAL). */
  readonly tls?: TlsOptions
  /** Each connection begins with a PROXY header, from a load balancer that alone can reach this port. */
  readonly proxyProtocol?: boolean
  /** Connections that the system holds until they are accepted. */
  readonly backlog?: number
}

const defaultBacklog = 1024

/** Whose connection a load balancer passes on. */
type Source = NonNullable<ProxyHeader['source']>

export class Listener {
  readonly #net: NetServer
  readonly #sockets = new Set<Socket>()
  #closed: Promise<void> | undefined

  private constructor(net: NetServer) {
    this.#net = net
  }

  /** Resolves when it listens. Rejects with ADDRESS_UNUSABLE, or INVALID_OPTION for certificates. */
  static async open(server: Server, options: ListenOptions): Promise<Listener> {
    const { tls, proxyProtocol = false, backlog = defaultBacklog } = options
    const settings = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }
    const { connections, handshakeTimeoutMs: handshakeTimeout } = server.limits
    const secure = tls && secured(() => createTlsServer({ handshakeTimeout, ...settings, ...tls }))
    // A load balancer's header comes in the clear, and TLS behind it.
    const net = secure === undefined || proxyProtocol ? createServer(settings) : secure
    net.maxConnections = connections
    const listener = new Listener(net)
    const isUnix = options.path !== undefined
    const accept = (socket: Socket, source?: Source): void => {
      // A peer that has gone has no address any more, and what it left to be read must not pass for a UNIX socket's.
      if (!isUnix && socket.remoteAddress === undefined) socket.destroy()
      else server.accept(socket, peerOf(socket, source))
    }
    net.on('connection', (socket: Socket) => listener.#hold(socket))
    if (proxyProtocol) {
      const handOn = secure === undefined ? accept : throughTls(secure, accept)
      net.on('connection', (socket: Socket) => awaitProxyHeader(server, socket, handOn))
    } else {
      net.on(secure === undefined ? 'connection' : 'secureConnection', (socket: Socket) => accept(socket))
    }
    secure?.on('tlsClientError', (error) => server.log.debug('TLS failed', { error: error.message }))
    if (options.path !== undefined) await removeStaleSocket(options.path)
    const { path, host = '127.0.0.1', port = 0 } = options
    net.listen(path === undefined ? { host, port, backlog } : { path, backlog })
    await listening(net, path ?? `${host}:${port}`)
    net.on('error', (error) => server.log.error('listener failed', { error: error.message }))
    server.add(listener)
    return listener
  }

  /** 0 for a UNIX socket. */
  get port(): number {
    const address = this.#net.address()
    return address === null || typeof address === 'string' ? 0 : address.port
  }

  get host(): string {
    const address = this.#net.address()
    return address === null || typeof address === 'string' ? '' : address.address
  }

  /** Takes nobody new; connections go on. Idempotent. */
  close(): Promise<void> {
    // Node's callback comes when the last connection has ended, and that is not waited for.
    return (this.#closed ??= Promise.resolve(void this.#net.close()))
  }

  /** Ends what is left: sockets that never got through TLS or to a PROXY header are not known to the server. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #hold(socket: Socket): void {
    socket.on('error', () => undefined)
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}

/** What a broker that was killed has left there; one that somebody listens on stays, and the new listener is refused. */
async function removeStaleSocket(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const found = await stat(path).catch(() => undefined)
  if (found?.isSocket() !== true) return
  const probe = connect(path)
  const refused = await new Promise<boolean>((resolve) => {
    probe.once('connect', () => resolve(false))
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  })
  probe.destroy()
  if (refused) await unlink(path)
}

type HandOn = (socket: Socket, source: Source | undefined) => void

/** Takes a load balancer's connections through TLS, and knows afterwards whose they are. */
function throughTls(secure: TlsServer, accept: HandOn): HandOn {
  /** By the load balancer's end: TLS has a socket of its own, of the same two ends. */
  const passed = new Map<string, { source: Source | undefined }>()
  secure.on('secureConnection', (socket) => {
    const known = passed.get(endOf(socket))
    if (known === undefined) socket.destroy()
    else accept(socket, known.source)
  })
  return (socket, source) => {
    const end = endOf(socket)
    const entry = { source }
    passed.set(end, entry)
    socket.once('close', () => passed.get(end) === entry && passed.delete(end))
    secure.emit('connection', socket)
  }
}

function endOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`
}

/** Reads the header that a load balancer sends first, and hands the connection on as that of whom it names. */
function awaitProxyHeader(server: Server, socket: Socket, handOn: HandOn): void {
  let bytes: Buffer = Buffer.alloc(0)
  const timer = setTimeout(() => socket.destroy(), server.limits.handshakeTimeoutMs)
  const read = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk])
    const header = readProxyHeader(bytes)
    if (header === undefined) return
    socket.off('data', read)
    clearTimeout(timer)
    if (header === 'malformed') {
      server.log.warn('no PROXY header', { peer: peerOf(socket).name })
      socket.destroy()
      return
    }
    socket.pause()
    socket.unshift(bytes.subarray(header.length))
    handOn(socket, header.source)
    // TLS reads by itself.
    if (socket.listenerCount('data') > 0) socket.resume()
  }
  socket.on('data', read)
  socket.once('close', () => clearTimeout(timer))
}

/** Whose socket it is. @param source who it is for, where a load balancer says so */
export function peerOf(socket: Socket, source?: Source): Peer {
  const address = source?.address ?? socket.remoteAddress ?? ''
  const port = source?.port ?? socket.remotePort ?? 0
  const local = socket.localAddress === undefined ? 'unix' : `${socket.localAddress}:${socket.localPort}`
  return {
    address,
    port,
    // A UNIX socket has no addresses.
    loopback: address === '' || isLoopback(address),
    certificateName: certificateNameOf(socket),
    name: `${address === '' ? 'unix' : `${address}:${port}`} -> ${local}`,
  }
}

export function isLoopback(address: string): boolean {
  return (
    address === '::1' ||
    address.startsWith('127.') ||
    address.startsWith('::ffff:127.') ||
    address === 'localhost'
  )
}

/** The common name of a certificate that was asked for and verified. */
function certificateNameOf(socket: Socket): string | undefined {
  if (!('encrypted' in socket)) return undefined
  const secure = socket as TLSSocket
  if (!secure.authorized) return undefined
  const { subject } = secure.getPeerCertificate()
  const name: string | string[] | undefined = subject?.CN
  return Array.isArray(name) ? name[0] : name
}
