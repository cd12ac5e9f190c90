/** The connection that comes back by itself (../link.ts), over amqplib. */
import { MillraceError } from '../../model/errors.ts'
import { hangUp, Link as AnyLink } from '../link.ts'
import type { LinkHooks as AnyLinkHooks } from '../link.ts'
import { destroySocket } from './amqplib.ts'
import type { Connection } from './amqplib.ts'

export type Link = AnyLink<Connection>

export interface LinkHooks extends Pick<AnyLinkHooks<Connection>, 'dial' | 'restore' | 'onUp' | 'onDown'> {
  /** The server takes no messages; undefined: it takes them again. */
  readonly onBlocked?: (reason: string | undefined) => void
}

export function newLink({ onBlocked, ...hooks }: LinkHooks): Link {
  return new AnyLink({
    ...hooks,
    listen: (connection, onLost) => {
      let fault: Error | undefined
      connection.on('error', (error) => (fault = error))
      connection.on('close', (error) => {
        destroySocket(connection)
        onLost(connectionLost(error ?? fault))
      })
      connection.on('blocked', (reason) => onBlocked?.(reason))
      connection.on('unblocked', () => onBlocked?.(undefined))
    },
    close: goodbye,
    // Those who wait for its answers are told by its end.
    drop: (connection) => void goodbye(connection),
  })
}

function goodbye(connection: Connection): Promise<void> {
  return hangUp(
    () => connection.close(),
    () => destroySocket(connection),
  )
}

function connectionLost(cause: Error | undefined): MillraceError {
  const said = cause?.message ?? 'it was closed'
  return new MillraceError('CONNECTION_LOST', `The connection to the AMQP server was lost (${said})`, {
    cause,
  })
}
