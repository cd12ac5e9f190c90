/**
 * AMQP over WebSocket, for browsers and for networks that let nothing else through: the bytes of a connection as binary messages, as
 * clients for it (such as @cloudamqp/amqp-client) send them to a relay in front of RabbitMQ.
 */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, Server as HttpServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TlsOptions } from 'node:tls'
import { ValidationError } from '../model/errors.ts'
import { peerOf } from './listener.ts'
import { listening, secured } from './listening.ts'
import type { Server } from './server.ts'
import { WebSocketStream } from './websocket-stream.ts'

export interface WebSocketOptions {
  readonly host?: string
  /** 0 for any free one. */
  readonly port: number
  readonly tls?: TlsOptions
  /** Of the pages that may connect, as browsers name them (`https://example.org`); `*` for any. Default none. */
  readonly origins?: readonly string[]
}

/** What the key of a request is answered with: RFC 6455, section 1.3. */
const keySuffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Clients ask for it by this name; one that asks for nothing gets it too. */
const subprotocol = 'amqp'

export class WebSocketListener {
  readonly #http: HttpServer
  readonly #sockets = new Set<Socket>()

  private constructor(http: HttpServer) {
    this.#http = http
  }

  /** Resolves when it listens. Rejects with ADDRESS_UNUSABLE, or INVALID_OPTION. */
  static async open(server: Server, options: WebSocketOptions): Promise<WebSocketListener> {
    const { tls, host = '127.0.0.1', port } = options
    const origins = (options.origins ?? []).map(originOf)
    const settings = {
      requestTimeout: server.limits.handshakeTimeoutMs,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    }
    const http =
      tls === undefined ? createServer(settings) : secured(() => createTlsServer({ ...settings, ...tls }))
    const listener = new WebSocketListener(http)
    http.maxConnections = server.limits.connections
    http.on('connection', (socket: Socket) => listener.#hold(socket))
    http.on('request', (_request, response) => {
      response
        .writeHead(426, { connection: 'close', upgrade: 'websocket' })
        .end('This is AMQP over WebSocket.\n')
    })
    http.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      // Over TLS it is another socket than the one that is held, and Node has just taken its own listeners off.
      socket.on('error', () => undefined)
      const answer = isWelcome(request, origins) ? accept(request) : forbidden
      if (!answer.startsWith(switching)) {
        socket.write(answer)
        // Node's own are half open: a peer that never ends would keep it for ever.
        socket.destroySoon()
        return
      }
      socket.write(answer)
      socket.setNoDelay(true)
      socket.setTimeout(0)
      // A peer that has gone has no address any more: it must not pass for one on this machine.
      if (socket.remoteAddress === undefined) socket.destroy()
      else server.accept(new WebSocketStream(socket, head), peerOf(socket))
    })
    http.listen({ host, port })
    await listening(http, `${host}:${port}`)
    http.on('error', (error) => server.log.error('listener failed', { error: error.message }))
    server.add(listener)
    return listener
  }

  get port(): number {
    const address = this.#http.address()
    return address === null || typeof address === 'string' ? 0 : address.port
  }

  /** Takes nobody new; connections go on. Idempotent. */
  close(): Promise<void> {
    return Promise.resolve(void this.#http.close())
  }

  /** Ends what is left: sockets that never got as far as a connection. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #hold(socket: Socket): void {
    socket.on('error', () => undefined)
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}

const switching = 'HTTP/1.1 101 Switching Protocols\r\n'
const badRequest = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'
const forbidden = 'HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n'

/** As browsers write it. Throws ValidationError INVALID_OPTION. */
function originOf(given: string): string {
  if (given === '*' || given === 'null') return given
  const origin = URL.canParse(given) ? new URL(given).origin : 'null'
  if (origin !== 'null') return origin
  throw new ValidationError(
    'INVALID_OPTION',
    `'${given}' is no origin of a web page: write it like https://shop.example, or * for any`,
  )
}

/**
 * A browser lets any page open a WebSocket to any host, this machine's own ports too, where guest may log in; but it says
 * whose page it is (RFC 6455, section 10.2). Other programs say nothing.
 */
function isWelcome({ headers: { origin } }: IncomingMessage, origins: readonly string[]): boolean {
  return origin === undefined || origins.includes('*') || origins.includes(origin)
}

/** The answer to a request for a WebSocket. */
function accept(request: IncomingMessage): string {
  const { headers } = request
  const key = headers['sec-websocket-key'] ?? ''
  const isSound =
    request.method === 'GET' &&
    headers.upgrade?.toLowerCase() === 'websocket' &&
    headers['sec-websocket-version'] === '13' &&
    /^[A-Za-z0-9+/]{22}==$/.test(key)
  if (!isSound) return badRequest
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  const digest = createHash('sha1')
    .update(key + keySuffix)
    .digest('base64')
  const protocol = offered.includes(subprotocol) ? `Sec-WebSocket-Protocol: ${subprotocol}\r\n` : ''
  return (
    `${switching}Upgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Accept: ${digest}\r\n${protocol}\r\n`
  )
}
