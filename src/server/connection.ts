/**
 * One connection: the handshake, its channels, and how it ends.
 *
 * ```text
 *            protocol header    handshake.ts: open-ok
 *   greeting ────────────> handshake ────────────> running
 *       │ another header       │ refused              │ connection error, graceful stop: connection.close sent
 *       v                      v                      v
 *     ending <──────────── closing <──────────────────┘
 *       │    close-ok, or it takes too long
 *       v    what is written is sent, then the socket ends
 *     closed
 * ```
 *
 * The client's connection.close is answered with close-ok and leads to `ending` too. While closing, everything but close and
 * close-ok is ignored.
 */
import type { Duplex } from 'node:stream'
import { FrameReader } from '../wire/frame-reader.ts'
import type { FrameSink } from '../wire/frame-reader.ts'
import { minimumFrameMaxBytes } from '../wire/frame.ts'
import { SettlementReader } from '../wire/message-methods.ts'
import { decodeMethod, methodIdAt } from '../wire/method-codec.ts'
import type { Method } from '../wire/method.ts'
import { methodIds } from '../wire/methods.ts'
import { Access } from './access.ts'
import type { Account } from './authenticator.ts'
import { Changes } from './changes.ts'
import { ChannelSet } from './channel-set.ts'
import type { Channel } from './channel.ts'
import { ConnectionTimes } from './connection-times.ts'
import { EarlyFrames } from './early-frames.ts'
import { Handshake } from './handshake.ts'
import type { Peer } from './handshake.ts'
import { Intake } from './intake.ts'
import { Output } from './output.ts'
import type { OutputOwner } from './output.ts'
import { channelError, forced, refusalOf, unexpectedFrame } from './refusal.ts'
import type { Refusal } from './refusal.ts'
import type { Server } from './server.ts'

export type ConnectionState = 'greeting' | 'handshake' | 'running' | 'closing' | 'ending' | 'closed'

const publishId = methodIds['basic.publish']

export class Connection implements FrameSink, OutputOwner {
  readonly server: Server
  readonly id: number
  readonly peer: Peer
  readonly socket: Duplex
  readonly output: Output
  /** Shared by its channels: it is filled anew by each method. */
  readonly settlement: SettlementReader
  readonly times: ConnectionTimes
  readonly handshake: Handshake
  readonly channels: ChannelSet
  readonly changes: Changes
  /** When the input that is being handled came. */
  nowMs: number
  readonly #reader: FrameReader
  readonly #intake: Intake
  #state: ConnectionState
  #access: Access | undefined
  /** While a login is looked at. */
  #early: EarlyFrames | undefined
  #toldBlocked = false

  constructor(server: Server, socket: Duplex, peer: Peer) {
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
    this.handshake = new Handshake(server, peer)
    this.channels = new ChannelSet(this)
    this.changes = new Changes(server.broker)
    this.times = new ConnectionTimes(this, this.nowMs)
    this.#reader = new FrameReader(this, { expectsProtocolHeader: true, frameMaxBytes: minimumFrameMaxBytes })
    // Meanwhile nothing could be heard: that was not the peer's silence.
    this.#intake = new Intake(socket, limits, () => this.times.received(server.broker.nowMs()))
    this.#state = 'greeting'
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (error) => server.log.debug('socket failed', { id: this.id, error: error.message }))
    socket.on('close', () => this.#closed())
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Undefined before connection.open. */
  get access(): Access | undefined {
    return this.#access
  }

  /** Its socket is not read for now. */
  get paused(): boolean {
    return this.#intake.paused
  }

  // --- FrameSink ------------------------------------------------------------------------------------------------

  protocolHeader(bytes: Buffer): void {
    // 0-9 in the words of its own time is spoken like 0-9-1, as RabbitMQ does.
    const version = bytes.toString('latin1')
    if (version === 'AMQP\0\0\x09\x01' || version === 'AMQP\x01\x01\0\x09') {
      this.#state = 'handshake'
      this.#send(this.handshake.start())
      return
    }
    this.server.log.warn('not an AMQP 0-9-1 client', { id: this.id, sent: bytes.toString('hex') })
    this.output.writer.protocolHeader()
    this.#end()
  }

  method(number: number, buffer: Buffer, start: number, end: number): void {
    if (this.#early !== undefined) return this.#early.add('method', number, { buffer, start, end })
    try {
      if (number === 0) {
        this.#method0(decodeMethod(buffer, start, end))
        return
      }
      const channel = this.channels.get(number)
      if (channel !== undefined) channel.method(buffer, start, end)
      else if (!this.#ignores())
        this.channels.open(number, buffer.subarray(start, end)).send({ type: 'channel.open-ok' })
    } catch (error) {
      this.#failed(error, number, methodIdAt(buffer, start))
    }
  }

  header(number: number, buffer: Buffer, start: number, end: number): void {
    if (this.#early !== undefined) return this.#early.add('header', number, { buffer, start, end })
    try {
      this.#contentChannel(number)?.header(buffer, start, end)
    } catch (error) {
      this.#failed(error, number, publishId)
    }
  }

  body(number: number, buffer: Buffer, start: number, end: number, restBytes: number): void {
    if (this.#early !== undefined) return this.#early.add('body', number, { buffer, start, end }, restBytes)
    try {
      this.#contentChannel(number)?.body(buffer, start, end, restBytes)
    } catch (error) {
      this.#failed(error, number, publishId)
    }
  }

  heartbeat(number: number): void {
    if (number !== 0 && !this.#ignores()) {
      this.#failed(unexpectedFrame('type 8, all octets = <<>>'), 0, 0)
    }
  }

  // --- for its channels -----------------------------------------------------------------------------------------

  /** A channel set so many bytes aside. */
  deferred(bytes: number): void {
    this.#intake.defer(bytes)
  }

  /** A channel took so many bytes up again. */
  takenUp(bytes: number): void {
    this.#intake.takeUp(bytes)
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
    const { server } = this
    if (this.changes.tell() && this.#intake.pause('blocked')) server.blocked(this)
    server.confirms.gather()
  }

  // --- OutputOwner ----------------------------------------------------------------------------------------------

  outputFilled(): void {
    this.channels.stop()
  }

  outputFlooded(): void {
    this.#intake.pause('flooded')
  }

  outputDrained(): void {
    this.#intake.resume('flooded')
    this.channels.flow()
    this.server.broker.wake()
  }

  // --- lifecycle ------------------------------------------------------------------------------------------------

  /** Publishers may go on. */
  unblock(): void {
    this.#intake.resume('blocked')
    if (this.#state === 'running' && this.#toldBlocked) this.#send({ type: 'connection.unblocked' })
    this.#toldBlocked = false
  }

  /** Ends it with a reply code: the peer is told, and its deliveries go back. */
  close(reply: { replyCode: number; text: string }): void {
    if (this.#state === 'running') this.#refuse(forced(reply.replyCode, reply.text))
    else if (!this.#ignores()) this.#end()
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

  #contentChannel(number: number): Channel | undefined {
    const channel = this.channels.get(number)
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
    } else if (this.#state === 'handshake') {
      this.#handshake(method)
    } else if (method.type === 'connection.update-secret' && this.#state === 'running') {
      this.#send({ type: 'connection.update-secret-ok' })
    } else {
      throw channelError(`unexpected method in connection state ${this.#state}`)
    }
  }

  #handshake(method: Method): void {
    const { handshake } = this
    const answer = handshake.take(method)
    if (answer instanceof Promise) this.#await(answer)
    else if (answer !== undefined) this.#send(answer)
    if (handshake.stage === 'opening') {
      this.output.writer.frameMaxBytes = handshake.tuned.frameMaxBytes
      this.#reader.frameMaxBytes = handshake.tuned.frameMaxBytes
    } else if (handshake.stage === 'done') {
      this.#opened(handshake.account as Account, handshake.vhost)
    }
  }

  /** A password is being hashed: nothing is read meanwhile, and what came with it waits. */
  #await(answer: Promise<Method>): void {
    const early = new EarlyFrames()
    this.#early = early
    this.#intake.pause('login')
    answer
      .then(
        (method) => this.#state === 'handshake' && this.#send(method),
        (error: unknown) => this.#failed(error, 0, 0),
      )
      .finally(() => {
        this.#early = undefined
        this.nowMs = this.server.broker.nowMs()
        early.replay(this)
        this.inputHandled()
        this.#intake.resume('login')
      })
  }

  #opened(account: Account, vhost: string): void {
    const { authenticator, log } = this.server
    this.#access = new Access({ account, vhost, authenticator })
    this.#state = 'running'
    this.times.opened(this.nowMs)
    log.info('connection opened', { id: this.id, peer: this.peer.name, user: account.name, vhost })
  }

  #failed(error: unknown, number: number, methodId: number): void {
    if (this.#state === 'ending' || this.#state === 'closed') return
    // Who has not logged in is not told which method was wrong.
    const refusal = refusalOf(error, this.handshake.stage === 'starting' ? 0 : methodId)
    if (refusal.unexpected) {
      const stack = error instanceof Error ? error.stack : String(error)
      this.server.log.error('handling a frame failed', { id: this.id, channel: number, stack })
    }
    const channel = refusal.scope === 'channel' ? this.channels.get(number) : undefined
    const event = channel === undefined ? 'connection error' : 'channel error'
    this.server.log.warn(event, { id: this.id, channel: channel?.number, error: refusal.replyText })
    if (channel === undefined) this.#refuse(refusal)
    else channel.fail(refusal)
  }

  /** A connection error. Before the connection is open a peer is told only of what RabbitMQ tells it. */
  #refuse(refusal: Refusal): void {
    if (this.#ignores()) return
    const { replyCode, methodId } = refusal
    const told = this.#state === 'running' || this.handshake.tells(refusal)
    this.#release()
    this.#state = 'closing'
    this.times.closing(told)
    // Nothing that comes costs anything now, and close-ok may be behind it.
    this.#intake.drain()
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

  /** Says that publishers wait, and why. */
  tellBlocked(reason: string): void {
    if (!this.handshake.capabilities.blocked) return
    this.#toldBlocked = true
    this.#send({ type: 'connection.blocked', reason })
  }

  /** Nothing more is read; what was written is sent. */
  #end(): void {
    if (this.#state === 'ending' || this.#state === 'closed') return
    this.#release()
    this.#state = 'ending'
    this.times.closing(true)
    this.#reader.stop()
    this.output.end()
    this.#intake.drain()
  }

  /** Hands back what it holds in the engine. */
  #release(): void {
    const { broker, confirms } = this.server
    // What came before the end is told before it.
    confirms.gather()
    this.channels.abandon()
    if (broker.state === 'open') broker.engine.closeConnection(this.id, broker.nowMs())
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
    this.handshake.abandon()
    this.output.close()
    this.server.forget(this)
  }
}
