/** The connection that comes back by itself (../link.ts), over Redis. */
import { hangUp, Link as AnyLink } from '../link.ts'
import type { LinkHooks as AnyLinkHooks } from '../link.ts'
import type { Connection } from './connection.ts'
import { connectionFailure } from './failure.ts'

export type Link = AnyLink<Connection>
export type LinkHooks = Pick<AnyLinkHooks<Connection>, 'dial' | 'restore' | 'onUp' | 'onDown'>

export function newLink(hooks: LinkHooks): Link {
  return new AnyLink({
    ...hooks,
    restore: async (connection) => {
      try {
        await hooks.restore(connection)
      } catch (error) {
        throw connectionFailure(error as Error)
      }
    },
    listen: (connection, onLost) => connection.onLost((cause) => onLost(connectionFailure(cause))),
    close: (connection) =>
      hangUp(
        () => connection.close(),
        () => connection.destroy(),
      ),
    drop: (connection) => connection.destroy(),
  })
}
