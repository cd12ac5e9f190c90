/** Where clients come in: a TCP port, with TLS or without, or a UNIX socket. The one seam between the server and sockets. */
import { once } from 'node:events'
import { stat, unlink } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import type { Server as NetServer, Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { TlsOptions, TLSSocket } from 'node:tls'
import type { Peer } from './handshake.ts'
import { readProxyHeader } from './proxy-protocol.ts'
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

export class Listener {
  readonly #net: NetServer
  readonly #sockets = new Set<Socket>()
  #closed: Promise<void> | undefined

  private constructor(net: NetServer) {
    this.#net = net
  }

  /** Resolves when it listens. Rejects with what the system said, such as EADDRINUSE. */
  static async open(server: Server, options: ListenOptions): Promise<Listener> {
    const { tls, proxyProtocol = false, backlog = defaultBacklog } = options
    const settings = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }
    const { connections, handshakeTimeoutMs: handshakeTimeout } = server.limits
    const net =
      tls === undefined ? createServer(settings) : createTlsServer({ handshakeTimeout, ...settings, ...tls })
    net.maxConnections = connections
    const listener = new Listener(net)
    net.on('connection', (socket: Socket) => listener.#hold(socket))
    net.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
      if (proxyProtocol) awaitProxyHeader(server, socket)
      else server.accept(socket, peerOf(socket))
    })
    net.on('tlsClientError', (error: Error) => server.log.debug('TLS failed', { error: error.message }))
    if (options.path !== undefined) await removeStaleSocket(options.path)
    net.listen(
      options.path === undefined
        ? { host: options.host ?? '127.0.0.1', port: options.port ?? 0, backlog }
        : { path: options.path, backlog },
    )
    await once(net, 'listening')
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

/** Reads the header that a load balancer sends first, and hands the connection on as that of whom it names. */
function awaitProxyHeader(server: Server, socket: Socket): void {
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
    server.accept(socket, peerOf(socket, header.source))
    socket.unshift(bytes.subarray(header.length))
    socket.resume()
  }
  socket.on('data', read)
  socket.once('close', () => clearTimeout(timer))
}

/** Whose socket it is. @param source who it is for, where a load balancer says so */
export function peerOf(socket: Socket, source?: { address: string; port: number }): Peer {
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
