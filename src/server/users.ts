/** The authenticator over the users that the engine keeps, and the making of users. */
import type { Broker } from '../broker/broker.ts'
import type { Account, Authenticator } from './authenticator.ts'
import { hashPassword, hashQuickly, PasswordChecker } from './passwords.ts'

/** The one user there is before others are made: may do everything, from this machine only. */
export const guest = 'guest'

/** The virtual host that is always there. */
export const defaultVhost = '/'

const everything = { configure: '.*', write: '.*', read: '.*' } as const

/** Logins against the users of that broker. @param loopbackUsers who may log in from this machine only */
export function brokerAuthenticator(
  broker: Broker,
  loopbackUsers: ReadonlySet<string> = new Set([guest]),
): Authenticator {
  const { access } = broker.engine
  const passwords = new PasswordChecker()
  const accountOf = (name: string): Account | undefined => {
    const user = access.users.get(name)
    return user && { name, impersonator: user.tags.includes('impersonator') }
  }
  let hashing = { version: -1, slowly: false }
  // Whether a wrong password takes its time. Looked for anew only when users have changed.
  const hashes = (): boolean => {
    const { version } = access
    if (hashing.version !== version)
      hashing = { version, slowly: [...access.users.values()].some((user) => user.hashing === 'scrypt') }
    return hashing.slowly
  }
  return {
    get version() {
      return access.version
    },
    login: (name, password, wanted) => {
      const user = access.users.get(name)
      if (user === undefined) return password !== '' && hashes() ? passwords.delay() : undefined
      const right = passwords.check(user, password, wanted)
      if (typeof right === 'boolean') return right ? accountOf(name) : undefined
      return right.then((yes) => (yes ? accountOf(name) : undefined))
    },
    loginByCertificate: accountOf,
    mayComeFromAfar: (account) => !loopbackUsers.has(account.name),
    mayEnter: (account, vhost) => access.mayEnter({ user: account.name, vhost }),
    may: (account, vhost, permission, name) =>
      access.allowed({ user: account.name, vhost }, permission, name),
    mayRoute: (account, vhost, permission, topic) =>
      access.allowedTopic({ user: account.name, vhost }, permission, topic),
  }
}

/**
 * The first start: guest, who may do everything. Later, while guest is the only user, it may use the virtual hosts that this
 * start made; where there are others, nothing is given to anybody.
 */
export function ensureGuest(
  broker: Broker,
  vhosts: { all: readonly string[]; made: readonly string[] },
): void {
  const { access } = broker.engine
  const first = access.users.size === 0
  if (!first && !isGuestAlone(broker)) return
  // Everybody knows that password: nothing is lost by a quick hash, and a start takes milliseconds.
  if (first) access.defineUser({ name: guest, ...hashQuickly(guest), tags: ['administrator'] })
  for (const vhost of first ? vhosts.all : vhosts.made) access.grant({ user: guest, vhost, ...everything })
}

/** Makes or changes a user who may do everything in those virtual hosts. @param stored the password goes to a disk */
export async function defineUser(
  broker: Broker,
  user: { name: string; password: string; vhosts: readonly string[]; stored: boolean },
): Promise<void> {
  const { name, password, vhosts, stored } = user
  const { access } = broker.engine
  const kept = stored ? await hashPassword(password) : hashQuickly(password)
  access.defineUser({ name, ...kept, tags: ['administrator'] })
  for (const vhost of vhosts) access.grant({ user: name, vhost, ...everything })
}

/** Whether guest, with the password that everybody knows, is the only one who can log in. */
export function isGuestAlone(broker: Broker): boolean {
  const { users } = broker.engine.access
  const user = users.get(guest)
  return users.size === 1 && user !== undefined && new PasswordChecker().check(user, guest) === true
}
