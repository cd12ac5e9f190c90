/**
 * The beginning of a connection: who it is, what both ends can take, and which virtual host it enters. Each step takes the
 * client's method and gives what the connection is to know or answer; a refusal is thrown.
 */
import type { FieldTable } from '../model/field-table.ts'
import { minimumFrameMaxBytes } from '../wire/frame.ts'
import type { MethodOf } from '../wire/method.ts'
import type { Account, Authenticator } from './authenticator.ts'
import type { ServerLimits } from './limits.ts'
import { accessRefused, commandInvalid, notAllowed } from './refusal.ts'
import { mechanismsFor, readResponse } from './sasl.ts'
import type { Credentials } from './sasl.ts'

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

export const noCapabilities: ClientCapabilities = Object.freeze({
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

export function startMethod(peer: Peer, serverProperties: FieldTable): MethodOf<'connection.start'> {
  return {
    type: 'connection.start',
    versionMajor: 0,
    versionMinor: 9,
    serverProperties,
    mechanisms: mechanismsFor(peer.certificateName !== undefined).join(' '),
    locales: 'en_US',
  }
}

export function capabilitiesOf(clientProperties: FieldTable): ClientCapabilities {
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

/** Throws ACCESS_REFUSED with what the log is to say; the peer is told less, see `loginRefused`. */
export function login(
  method: MethodOf<'connection.start-ok'>,
  peer: Peer,
  authenticator: Authenticator,
): Account {
  const { mechanism, response } = method
  const known = mechanismsFor(peer.certificateName !== undefined).find((name) => name === mechanism)
  if (known === undefined) throw commandInvalid(`unknown authentication mechanism '${mechanism}'`)
  const credentials = readResponse(known, response)
  if (credentials === undefined) throw accessRefused(`${mechanism} login refused: malformed response`)
  const account = accountOf(credentials, peer, authenticator)
  if (account === undefined)
    throw accessRefused(`${mechanism} login refused: ${whoOf(credentials, peer)} - invalid credentials`)
  if (!peer.loopback && !authenticator.mayComeFromAfar(account)) {
    throw accessRefused(`user '${account.name}' can only connect via localhost`)
  }
  return account
}

/** What a peer whose login was refused is told: not why. */
export function loginRefused(mechanism: string): Error {
  return accessRefused(
    `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`,
  )
}

export function tuneMethod(limits: ServerLimits): MethodOf<'connection.tune'> {
  return {
    type: 'connection.tune',
    channelMax: limits.channels,
    frameMax: limits.frameBytes,
    heartbeat: limits.heartbeatSeconds,
  }
}

/** Throws NOT_ALLOWED for what goes beyond the offer. */
export function tuned(method: MethodOf<'connection.tune-ok'>, limits: ServerLimits): Tuned {
  const { channelMax, frameMax, heartbeat } = method
  checkNegotiated('frame_max', frameMax, minimumFrameMaxBytes, limits.frameBytes)
  checkNegotiated('channel_max', channelMax, 1, limits.channels)
  return { channelMax, frameMaxBytes: frameMax, heartbeatSeconds: heartbeat }
}

/** Throws NOT_ALLOWED. @param exists whether there is such a virtual host */
export function checkEntry(
  account: Account,
  vhost: string,
  exists: boolean,
  authenticator: Authenticator,
): void {
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

function accountOf(credentials: Credentials, peer: Peer, authenticator: Authenticator): Account | undefined {
  if (credentials.type === 'password') return authenticator.login(credentials.name, credentials.password)
  return peer.certificateName === undefined
    ? undefined
    : authenticator.loginByCertificate(peer.certificateName)
}

function whoOf(credentials: Credentials, peer: Peer): string {
  return `user '${credentials.type === 'password' ? credentials.name : (peer.certificateName ?? '')}'`
}
