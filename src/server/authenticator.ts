/**
 * Who may come in, and what they may do. The port of the server towards whoever keeps users: the connection asks it once
 * at login and once at open, a channel for each name it sees for the first time.
 */

import type { Permission } from '../model/setting.ts'

/** A user who has logged in. */
export interface Account {
  readonly name: string
  /** May publish under another user's name in the property user-id. */
  readonly impersonator: boolean
}

export interface Authenticator {
  /**
   * The account, or undefined where name or password is wrong; at once where it can be told at once.
   *
   * @param wanted whether the peer is still there, asked before anything is done that takes long
   */
  login(
    name: string,
    password: string,
    wanted: () => boolean,
  ): Account | undefined | Promise<Account | undefined>
  /** The account of a peer that its certificate names (SASL EXTERNAL), or undefined. */
  loginByCertificate(commonName: string): Account | undefined
  /** Whether this account may log in from another machine. */
  mayComeFromAfar(account: Account): boolean
  /** Whether the account may enter the virtual host. */
  mayEnter(account: Account, vhost: string): boolean
  may(account: Account, vhost: string, permission: Permission, name: string): boolean
  /** Topic permission: publishing to or binding a topic exchange with that routing key. */
  mayRoute(account: Account, vhost: string, permission: 'write' | 'read', topic: TopicUse): boolean
  /** Changes when an answer may have changed, so that channels may remember answers until then. */
  readonly version: number
}

export interface TopicUse {
  readonly exchange: string
  readonly routingKey: string
}
