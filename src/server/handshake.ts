/**
 * The beginning of a connection: who it is, what both ends can take, and which virtual host it enters.
 *
 * ```text
 *   start ->  <- start-ok (SASL)   tune ->   <- tune-ok   <- open   open-ok ->
 *   starting ────────────────────> tuning ─────────────> opening ──────────────> done
 * ```
 *
 * It knows no socket: it takes the client's methods and gives the answers, or throws a refusal.
 */
import type { FieldTable } from '../model/field-table.ts'
import { minimumFrameMaxBytes } from '../wire/frame.ts'
import type { Method, MethodOf } from '../wire/method.ts'
import { replyCodes } from '../wire/methods.ts'
import type { Account, Authenticator } from './authenticator.ts'
import type { ServerLimits } from './limits.ts'
import { checkConnectionLimits } from './operator-limits.ts'
import { accessRefused, channelError, commandInvalid, notAllowed } from './refusal.ts'
import type { Refusal } from './refusal.ts'
import { mechanismsFor, readResponse } from './sasl.ts'
import type { Credentials } from './sasl.ts'
import type { Server } from './server.ts'

/** Whose connection it is. */
export interface Peer {
  readonly address: string
  readonly port: number
  /** It is on this machine. */
  readonly loopback: boolean
  /** The common name of a certificate that was verified. */
  readonly certificateName: string | undefined
  /** For people: `127.0.0.1:50312 -> 127.0.0.1:5672`. */
  readonly name: string
}

/** What the client said it can do. */
export interface ClientCapabilities {
  readonly consumerCancelNotify: boolean
  readonly blocked: boolean
  readonly authenticationFailureClose: boolean
}

const noCapabilities: ClientCapabilities = Object.freeze({
  consumerCancelNotify: false,
  blocked: false,
  authenticationFailureClose: false,
})

export interface Tuned {
  readonly channelMax: number
  readonly frameMaxBytes: number
  /** 0 for none. */
  readonly heartbeatSeconds: number
}

export class Handshake {
  readonly #server: Server
  readonly #peer: Peer
  #stage: 'starting' | 'tuning' | 'opening' | 'done'
  #account: Account | undefined
  #capabilities: ClientCapabilities
  #clientProperties: FieldTable
  #tuned: Tuned
  #vhost: string
  #abandoned: boolean

  constructor(server: Server, peer: Peer) {
    this.#server = server
    this.#peer = peer
    this.#stage = 'starting'
    this.#account = undefined
    this.#capabilities = noCapabilities
    this.#clientProperties = {}
    this.#tuned = { channelMax: 0, frameMaxBytes: minimumFrameMaxBytes, heartbeatSeconds: 0 }
    this.#vhost = ''
    this.#abandoned = false
  }

  get stage(): 'starting' | 'tuning' | 'opening' | 'done' {
    return this.#stage
  }

  /** Undefined before the login. */
  get account(): Account | undefined {
    return this.#account
  }

  get capabilities(): ClientCapabilities {
    return this.#capabilities
  }

  get clientProperties(): FieldTable {
    return this.#clientProperties
  }

  get tuned(): Tuned {
    return this.#tuned
  }

  /** '' before connection.open. */
  get vhost(): string {
    return this.#vhost
  }

  /** The peer has gone. */
  abandon(): void {
    this.#abandoned = true
  }

  /** The first method. */
  start(): MethodOf<'connection.start'> {
    return startMethod(this.#peer, this.#server.properties)
  }

  /**
   * Takes the client's next step and gives the answer, if it has one; later where a password is hashed. Throws refusals, or
   * rejects with them.
   */
  take(method: Method): Method | undefined | Promise<Method> {
    const { limits, authenticator, broker } = this.#server
    if (method.type === 'connection.start-ok' && this.#stage === 'starting') {
      return this.#login(method)
    }
    if (method.type === 'connection.tune-ok' && this.#stage === 'tuning') {
      this.#tuned = tuned(method, limits)
      this.#stage = 'opening'
      return undefined
    }
    if (method.type === 'connection.open' && this.#stage === 'opening') {
      const vhost = method.virtualHost
      const account = this.#account as Account
      checkEntry(account, vhost, broker.engine.vhosts.has(vhost), authenticator)
      checkConnectionLimits(this.#server, account.name, vhost)
      this.#vhost = vhost
      this.#stage = 'done'
      return { type: 'connection.open-ok' }
    }
    throw channelError(`unexpected method in connection state ${this.#stage}`)
  }

  /** Whether a peer is told of this refusal: RabbitMQ tells few things to somebody it does not know yet. */
  tells(refusal: Refusal): boolean {
    const { replyCode } = refusal
    if (this.#stage === 'starting') {
      return replyCode === replyCodes.ACCESS_REFUSED && this.#capabilities.authenticationFailureClose
    }
    return this.#stage !== 'tuning' || replyCode === replyCodes.NOT_ALLOWED
  }

  #login(method: MethodOf<'connection.start-ok'>): Method | Promise<Method> {
    const { authenticator, limits } = this.#server
    this.#clientProperties = method.clientProperties
    this.#capabilities = capabilitiesOf(method.clientProperties)
    const credentials = credentialsOf(method, this.#peer)
    const found = accountOf(credentials, this.#peer, authenticator, () => !this.#abandoned)
    const proceed = (account: Account | undefined): Method => {
      this.#account = this.#checked(account, credentials, method.mechanism)
      this.#stage = 'tuning'
      return tuneMethod(limits)
    }
    return found instanceof Promise ? found.then(proceed) : proceed(found)
  }

  /** Throws ACCESS_REFUSED. The log is told why, the peer is not. */
  #checked(account: Account | undefined, credentials: Credentials | undefined, mechanism: string): Account {
    const { authenticator, log } = this.#server
    const peer = this.#peer
    const allowed = account !== undefined && (peer.loopback || authenticator.mayComeFromAfar(account))
    if (allowed) return account
    const user = nameIn(credentials, peer)
    const error = account === undefined ? 'invalid credentials' : 'this user can only connect via localhost'
    log.warn('login refused', { peer: peer.name, user, mechanism, error })
    throw loginRefused(mechanism)
  }
}

function startMethod(peer: Peer, serverProperties: FieldTable): MethodOf<'connection.start'> {
  return {
    type: 'connection.start',
    versionMajor: 0,
    versionMinor: 9,
    serverProperties,
    mechanisms: mechanismsFor(peer.certificateName !== undefined).join(' '),
    locales: 'en_US',
  }
}

function capabilitiesOf(clientProperties: FieldTable): ClientCapabilities {
  const said = clientProperties['capabilities']
  const isTable =
    typeof said === 'object' && said !== null && !Array.isArray(said) && !(said instanceof Uint8Array)
  const table = isTable && !(said instanceof Date) ? (said as FieldTable) : {}
  return {
    consumerCancelNotify: table['consumer_cancel_notify'] === true,
    blocked: table['connection.blocked'] === true,
    authenticationFailureClose: table['authentication_failure_close'] === true,
  }
}

/** Undefined for an answer that cannot be read. Throws ProtocolError (503) for a mechanism that was not offered. */
function credentialsOf(method: MethodOf<'connection.start-ok'>, peer: Peer): Credentials | undefined {
  const { mechanism, response } = method
  const known = mechanismsFor(peer.certificateName !== undefined).find((name) => name === mechanism)
  if (known === undefined) throw commandInvalid(`unknown authentication mechanism '${mechanism}'`)
  return readResponse(known, response)
}

/** What a peer whose login was refused is told: not why. */
function loginRefused(mechanism: string): Error {
  return accessRefused(
    `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`,
  )
}

function tuneMethod(limits: ServerLimits): MethodOf<'connection.tune'> {
  return {
    type: 'connection.tune',
    channelMax: limits.channels,
    frameMax: limits.frameBytes,
    heartbeat: limits.heartbeatSeconds,
  }
}

/** Throws NOT_ALLOWED for what goes beyond the offer. */
function tuned(method: MethodOf<'connection.tune-ok'>, limits: ServerLimits): Tuned {
  const { channelMax, frameMax, heartbeat } = method
  checkNegotiated('frame_max', frameMax, minimumFrameMaxBytes, limits.frameBytes)
  checkNegotiated('channel_max', channelMax, 1, limits.channels)
  return { channelMax, frameMaxBytes: frameMax, heartbeatSeconds: heartbeat }
}

/** Throws NOT_ALLOWED. @param exists whether there is such a virtual host */
function checkEntry(account: Account, vhost: string, exists: boolean, authenticator: Authenticator): void {
  if (!exists) throw notAllowed(`vhost ${vhost} not found`)
  if (authenticator.mayEnter(account, vhost)) return
  throw notAllowed(`access to vhost '${vhost}' refused for user '${account.name}'`)
}

/** 0 from a client means no limit, which is more than any offer but 0. */
function checkNegotiated(name: string, value: number, minimum: number, offered: number): void {
  if (value !== 0 && value < minimum) throw tuneRefused(name, value, 'lower', 'minimum', minimum)
  if (offered !== 0 && (value === 0 || value > offered)) {
    throw tuneRefused(name, value, 'higher', 'maximum', offered)
  }
}

function tuneRefused(name: string, value: number, than: string, bound: string, allowed: number): Error {
  const detail = value === 0 ? ' (no limit)' : ''
  return notAllowed(
    `negotiated ${name} = ${value}${detail} is ${than} than the ${bound} allowed value (${allowed})`,
  )
}

function accountOf(
  credentials: Credentials | undefined,
  peer: Peer,
  authenticator: Authenticator,
  wanted: () => boolean,
): Account | undefined | Promise<Account | undefined> {
  if (credentials === undefined) return undefined
  if (credentials.type === 'password')
    return authenticator.login(credentials.name, credentials.password, wanted)
  return peer.certificateName === undefined
    ? undefined
    : authenticator.loginByCertificate(peer.certificateName)
}

function nameIn(credentials: Credentials | undefined, peer: Peer): string {
  return credentials?.type === 'password' ? credentials.name : (peer.certificateName ?? '')
}
