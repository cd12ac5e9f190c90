/**
 * One connection: the handshake, its channels, and how it ends.
 *
 * ```text
 *            protocol header   start-ok          tune-ok          open
 *   greeting ────────────> starting ─────> tuning ─────> opening ─────> running
 *       │ another header       │ refused      │             │              │ connection error, graceful stop: close sent
 *       v                      v              v             v              v
 *     closed <─────────── ending: what is written is sent, then the socket ends        closing ── close-ok ──> ending
 * ```
 *
 * The client's connection.close is answered with close-ok and leads to `ending` too. While closing, everything but close and
 * close-ok is ignored. A connection that lasts too long in a state other than running is destroyed (limits.ts).
 */
import type { Socket } from 'node:net'
import type { FieldTable } from '../model/field-table.ts'
import { ProtocolError } from '../model/errors.ts'
import { FrameReader } from '../wire/frame-reader.ts'
import type { FrameSink } from '../wire/frame-reader.ts'
import { minimumFrameMaxBytes } from '../wire/frame.ts'
import { SettlementReader } from '../wire/message-methods.ts'
import { decodeMethod, methodIdAt } from '../wire/method-codec.ts'
import type { Method, MethodOf } from '../wire/method.ts'
import { methodIds, replyCodes } from '../wire/methods.ts'
import { Access } from './access.ts'
import type { Account } from './authenticator.ts'
import { Channel } from './channel.ts'
import { capabilitiesOf, checkEntry, login, loginRefused, noCapabilities } from './handshake.ts'
import { startMethod, tuneMethod, tuned } from './handshake.ts'
import type { ClientCapabilities, Peer, Tuned } from './handshake.ts'
import { Output } from './output.ts'
import type { OutputOwner } from './output.ts'
import { channelError, notAllowed, refusalOf, replyText, unexpectedFrame } from './refusal.ts'
import type { Refusal } from './refusal.ts'
import type { Server } from './server.ts'
import { ConnectionTimes } from './connection-times.ts'

export type ConnectionState =
  'greeting' | 'starting' | 'tuning' | 'opening' | 'running' | 'closing' | 'ending' | 'closed'

/** Why a socket is not read, as bits. */
const pausedBy = { blocked: 1, deferred: 2, flooded: 4 } as const

/** What a frame set aside costs besides its payload, about. */
const deferredFrameBytes = 64

export class Connection implements FrameSink, OutputOwner {
  readonly server: Server
  readonly id: number
  readonly peer: Peer
  readonly socket: Socket
  readonly output: Output
  /** Shared by its channels: it is filled anew by each method. */
  readonly settlement: SettlementReader
  readonly times: ConnectionTimes
  /** When the input that is being handled came. */
  nowMs: number
  capabilities: ClientCapabilities
  clientProperties: FieldTable
  readonly #reader: FrameReader
  readonly #channels: Map<number, Channel>
  /** The channel of the last frame: frames come in rows. */
  #lastChannel: Channel | undefined
  #state: ConnectionState
  #account: Account | undefined
  #access: Access | undefined
  #vhost: string
  #tuned: Tuned
  #paused: number
  #deferredBytes: number
  /** Since `inputHandled`: something may be delivered, something was published. */
  #changed: boolean
  #published: boolean

  constructor(server: Server, socket: Socket, peer: Peer) {
    const { limits } = server
    this.server = server
    this.id = server.broker.newConnectionId()
    this.peer = peer
    this.socket = socket
    this.output = new Output(socket, this, {
      flusher: server.flusher,
      fullBytes: limits.outputBytes,
      floodedBytes: limits.replyBytes,
    })
    this.settlement = new SettlementReader()
    this.nowMs = server.broker.nowMs()
    this.times = new ConnectionTimes(this, this.nowMs)
    this.capabilities = noCapabilities
    this.clientProperties = {}
    this.#reader = new FrameReader(this, { expectsProtocolHeader: true, frameMaxBytes: minimumFrameMaxBytes })
    this.#channels = new Map()
    this.#lastChannel = undefined
    this.#state = 'greeting'
    this.#account = undefined
    this.#access = undefined
    this.#vhost = ''
    this.#tuned = { channelMax: 0, frameMaxBytes: minimumFrameMaxBytes, heartbeatSeconds: 0 }
    this.#paused = 0
    this.#deferredBytes = 0
    this.#changed = false
    this.#published = false
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (error) => server.log.debug('socket failed', { id: this.id, error: error.message }))
    socket.on('close', () => this.#closed())
  }

  get state(): ConnectionState {
    return this.#state
  }

  get user(): string {
    return this.#account?.name ?? ''
  }

  get vhost(): string {
    return this.#vhost
  }

  get tuned(): Tuned {
    return this.#tuned
  }

  get channels(): ReadonlyMap<number, Channel> {
    return this.#channels
  }

  /** Its socket is not read for now. */
  get paused(): boolean {
    return this.#paused !== 0
  }

  // --- FrameSink ------------------------------------------------------------------------------------------------

  /** @internal */
  protocolHeader(bytes: Buffer): void {
    // 0-9 in the words of its own time is spoken like 0-9-1, as RabbitMQ does.
    const version = bytes.toString('latin1')
    if (version === 'AMQP\0\0\x09\x01' || version === 'AMQP\x01\x01\0\x09') {
      this.#state = 'starting'
      this.#send(startMethod(this.peer, this.server.properties))
      return
    }
    this.server.log.warn('not an AMQP 0-9-1 client', {
      id: this.id,
      peer: this.peer.name,
      sent: bytes.toString('hex'),
    })
    this.output.writer.protocolHeader()
    this.#end()
  }

  /** @internal */
  method(number: number, buffer: Buffer, start: number, end: number): void {
    try {
      if (number === 0) {
        this.#method0(decodeMethod(buffer, start, end))
        return
      }
      const last = this.#lastChannel
      const channel = last?.number === number ? last : this.#channelFor(number, methodIdAt(buffer, start))
      channel?.method(buffer, start, end)
    } catch (error) {
      this.#failed(error, number, methodIdAt(buffer, start))
    }
  }

  /** @internal */
  header(number: number, buffer: Buffer, start: number, end: number): void {
    try {
      this.#contentChannel(number)?.header(buffer, start, end)
    } catch (error) {
      this.#failed(error, number, methodIds['basic.publish'])
    }
  }

  /** @internal */
  body(number: number, buffer: Buffer, start: number, end: number): void {
    try {
      this.#contentChannel(number)?.body(buffer, start, end)
    } catch (error) {
      this.#failed(error, number, methodIds['basic.publish'])
    }
  }

  /** @internal */
  heartbeat(number: number): void {
    if (number !== 0 && !this.#ignores()) {
      this.#failed(unexpectedFrame(`a heartbeat came on channel ${number}`), 0, 0)
    }
  }

  // --- for its channels -----------------------------------------------------------------------------------------

  /** Something may be delivered now. */
  changed(): void {
    this.#changed = true
  }

  /** Something was published. */
  published(): void {
    this.#changed = true
    this.#published = true
  }

  /** A channel set so many bytes aside, or took them up. */
  deferred(bytes: number): void {
    this.#deferredBytes += bytes + (bytes < 0 ? -deferredFrameBytes : deferredFrameBytes)
    if (this.#deferredBytes > this.server.limits.deferredBytes) this.#pause(pausedBy.deferred)
    else this.#resume(pausedBy.deferred)
  }

  /** Runs what a channel has waited for; what it throws is refused like what comes from a socket. */
  guard(channel: Channel, task: () => void, methodId = 0): void {
    this.nowMs = this.server.broker.nowMs()
    try {
      task()
    } catch (error) {
      this.#failed(error, channel.number, methodId)
    }
  }

  /** A chunk of input was handled: tells the broker once what the frames in it have changed. */
  inputHandled(): void {
    const { broker, confirms } = this.server
    if (this.#published) {
      this.#published = false
      broker.review()
      if (broker.gate.shut) this.#block()
    }
    if (this.#changed) {
      this.#changed = false
      broker.wake()
    }
    confirms.gather()
  }

  forget(channel: Channel): void {
    if (this.#channels.get(channel.number) === channel) this.#channels.delete(channel.number)
    if (this.#lastChannel === channel) this.#lastChannel = undefined
  }

  // --- OutputOwner ----------------------------------------------------------------------------------------------

  /** @internal From inside a dispatch too, so the engine is not called: it sees the flag when it comes to the next delivery. */
  outputFilled(): void {
    for (const channel of this.#channels.values()) channel.session.flowing = false
  }

  /** @internal */
  outputFlooded(): void {
    this.#pause(pausedBy.flooded)
  }

  /** @internal */
  outputDrained(): void {
    this.#resume(pausedBy.flooded)
    for (const channel of this.#channels.values()) {
      if (channel.state === 'open') channel.session.setFlow(true)
    }
    this.server.broker.wake()
  }

  // --- lifecycle ------------------------------------------------------------------------------------------------

  /** Publishers may go on. */
  unblock(): void {
    this.#resume(pausedBy.blocked)
    if (this.#state === 'running' && this.capabilities.blocked) this.#send({ type: 'connection.unblocked' })
  }

  /** Ends it with a reply code: the peer is told, and its deliveries go back. */
  close(reply: { replyCode: number; text: string }): void {
    if (this.#state === 'running') {
      const { replyCode, text } = reply
      this.#refuse({
        replyCode,
        replyText: replyText(replyCode, text),
        scope: 'connection',
        methodId: 0,
        unexpected: false,
      })
    } else if (!this.#ignores()) {
      this.#end()
    }
  }

  /** Ends it at once. */
  destroy(): void {
    this.output.close()
    this.socket.destroy()
  }

  #received(chunk: Buffer): void {
    this.nowMs = this.server.broker.nowMs()
    this.times.received(this.nowMs)
    try {
      this.#reader.push(chunk)
    } catch (error) {
      // The frames are lost track of: nothing more is read.
      this.#failed(error, 0, 0)
      if (this.#state === 'closing') this.#end()
    }
    this.inputHandled()
  }

  /** Nothing that comes is looked at any more, but for the end itself. */
  #ignores(): boolean {
    return this.#state === 'closing' || this.#state === 'ending' || this.#state === 'closed'
  }

  #channelFor(number: number, methodId: number): Channel | undefined {
    const channel = this.#channels.get(number)
    if (channel !== undefined) return (this.#lastChannel = channel)
    if (this.#ignores()) return undefined
    if (this.#state !== 'running')
      throw unexpectedFrame(`a method came on channel ${number} before connection.open`)
    const { channelMax } = this.#tuned
    if (channelMax !== 0 && this.#channels.size >= channelMax) {
      const count = this.#channels.size
      throw notAllowed(
        `number of channels opened (${count}) has reached the negotiated channel_max (${channelMax})`,
      )
    }
    if (methodId !== methodIds['channel.open']) throw channelError("expected 'channel.open'")
    const opened = new Channel(this, number, this.#access as Access, this.#vhost)
    this.#channels.set(number, opened)
    opened.send({ type: 'channel.open-ok' })
    return undefined
  }

  #contentChannel(number: number): Channel | undefined {
    const last = this.#lastChannel
    if (last?.number === number) return last
    const channel = this.#channels.get(number)
    if (channel !== undefined || this.#ignores()) return channel
    throw unexpectedFrame('expected method frame, got non method frame instead')
  }

  #method0(method: Method): void {
    if (method.type === 'connection.close' && this.#state !== 'greeting') {
      this.#release()
      this.#send({ type: 'connection.close-ok' })
      this.#end()
    } else if (this.#ignores()) {
      if (method.type === 'connection.close-ok') this.#end()
    } else if (method.type === 'connection.start-ok' && this.#state === 'starting') {
      this.#startOk(method)
    } else if (method.type === 'connection.tune-ok' && this.#state === 'tuning') {
      this.#tuned = tuned(method, this.server.limits)
      this.output.writer.frameMaxBytes = this.#tuned.frameMaxBytes
      this.#reader.frameMaxBytes = this.#tuned.frameMaxBytes
      this.#state = 'opening'
    } else if (method.type === 'connection.open' && this.#state === 'opening') {
      this.#open(method.virtualHost)
    } else if (method.type === 'connection.update-secret' && this.#state === 'running') {
      this.#send({ type: 'connection.update-secret-ok' })
    } else {
      throw channelError(`unexpected method in connection state ${this.#state}`)
    }
  }

  #startOk(method: MethodOf<'connection.start-ok'>): void {
    const { server, peer } = this
    this.clientProperties = method.clientProperties
    this.capabilities = capabilitiesOf(method.clientProperties)
    try {
      this.#account = login(method, peer, server.authenticator)
    } catch (error) {
      if (error instanceof ProtocolError) throw error
      server.log.warn('login refused', { id: this.id, peer: peer.name, error: (error as Error).message })
      throw loginRefused(method.mechanism)
    }
    this.#state = 'tuning'
    this.#send(tuneMethod(server.limits))
  }

  #open(vhost: string): void {
    const { server } = this
    const account = this.#account as Account
    checkEntry(account, vhost, server.broker.engine.vhosts.has(vhost), server.authenticator)
    this.#vhost = vhost
    this.#access = new Access({ account, vhost, authenticator: server.authenticator })
    this.#state = 'running'
    this.#send({ type: 'connection.open-ok' })
    this.times.opened(this.nowMs)
    server.log.info('connection opened', { id: this.id, peer: this.peer.name, user: account.name, vhost })
  }

  #failed(error: unknown, number: number, methodId: number): void {
    if (this.#state === 'ending' || this.#state === 'closed') return
    const refusal = refusalOf(error, methodId)
    if (refusal.unexpected) {
      const stack = error instanceof Error ? error.stack : String(error)
      this.server.log.error('handling a frame failed', { id: this.id, channel: number, stack })
    }
    const channel = this.#channels.get(number)
    if (refusal.scope === 'channel' && channel !== undefined) {
      this.#tell('channel closed', refusal, number)
      channel.fail(refusal)
    } else {
      this.#tell('connection closed', refusal, number)
      this.#refuse(refusal)
    }
  }

  #tell(event: string, refusal: Refusal, channel: number): void {
    this.server.log.warn(event, {
      id: this.id,
      channel: channel === 0 ? undefined : channel,
      error: refusal.replyText,
    })
  }

  /** A connection error. Before the connection is open a peer is told only of what RabbitMQ tells it. */
  #refuse(refusal: Refusal): void {
    if (this.#ignores()) return
    const { replyCode, methodId } = refusal
    const told =
      this.#state === 'running' ||
      this.#state === 'opening' ||
      (this.#state === 'tuning' && replyCode === replyCodes.NOT_ALLOWED) ||
      (this.#state === 'starting' &&
        replyCode === replyCodes.ACCESS_REFUSED &&
        this.capabilities.authenticationFailureClose)
    this.#release()
    this.#state = 'closing'
    this.times.closing(this.nowMs, told)
    if (!told) {
      this.#reader.stop()
      return
    }
    this.#send({
      type: 'connection.close',
      replyCode,
      replyText: refusal.replyText,
      classId: methodId >>> 16,
      methodId: methodId & 0xffff,
    })
  }

  #send(method: Method): void {
    this.output.writer.method(0, method)
    this.output.touch()
  }

  #block(): void {
    if ((this.#paused & pausedBy.blocked) !== 0) return
    this.#pause(pausedBy.blocked)
    this.server.blocked(this)
  }

  /** Says that publishers wait, and why. */
  tellBlocked(reason: string): void {
    if (this.capabilities.blocked) this.#send({ type: 'connection.blocked', reason })
  }

  #pause(reason: number): void {
    if (this.#paused === 0) this.socket.pause()
    this.#paused |= reason
  }

  #resume(reason: number): void {
    if ((this.#paused & reason) === 0) return
    this.#paused &= ~reason
    if (this.#paused !== 0) return
    this.times.received(this.server.broker.nowMs())
    this.socket.resume()
  }

  /** Nothing more is read; what was written is sent. */
  #end(): void {
    if (this.#state === 'ending' || this.#state === 'closed') return
    this.#release()
    this.#state = 'ending'
    this.times.closing(this.nowMs, true)
    this.#reader.stop()
    this.output.end()
    this.#paused = 0
    this.socket.resume()
  }

  /** Hands back what it holds in the engine. */
  #release(): void {
    const { broker } = this.server
    for (const channel of this.#channels.values()) channel.abandon()
    this.#channels.clear()
    this.#lastChannel = undefined
    if (broker.state === 'open') broker.engine.closeConnection(this.id, broker.nowMs())
    this.#changed = false
    broker.wake()
  }

  #closed(): void {
    if (this.#state === 'closed') return
    if (this.#state !== 'ending' && this.#state !== 'closing') this.#release()
    const { log } = this.server
    const seconds = Math.round((this.server.broker.nowMs() - this.times.openedAtMs) / 1000)
    if (this.#access !== undefined)
      log.info('connection closed', { id: this.id, peer: this.peer.name, seconds })
    this.#state = 'closed'
    this.output.close()
    this.server.forget(this)
  }
}
