/**
 * What operators allow a virtual host and a user (https://www.rabbitmq.com/docs/vhosts#limits, /docs/user-limits). Counted when
 * it is asked for, and only where there is a limit: connections come rarely, and most users have none.
 */
import { notAllowed } from './refusal.ts'
import type { Server } from './server.ts'

/** Throws NOT_ALLOWED for a connection too many. */
export function checkConnectionLimits(server: Server, user: string, vhost: string): void {
  const { operatorLimits } = server.broker.engine
  const ofVhost = operatorLimits.value('vhost', vhost, 'max-connections')
  if (ofVhost !== Infinity && count(server, (_, entered) => entered === vhost) >= ofVhost) {
    throw notAllowed(
      `access to vhost '${vhost}' refused for user '${user}': connection limit (${ofVhost}) is reached`,
    )
  }
  const ofUser = operatorLimits.value('user', user, 'max-connections')
  if (ofUser !== Infinity && count(server, (name) => name === user) >= ofUser) {
    throw notAllowed(`Connection refused for user '${user}': user connection limit (${ofUser}) is reached`)
  }
}

/** Throws NOT_ALLOWED for a channel too many. */
export function checkChannelLimit(server: Server, user: string): void {
  const limit = server.broker.engine.operatorLimits.value('user', user, 'max-channels')
  if (limit === Infinity) return
  let channels = 0
  for (const { access, channels: open } of server.connections)
    if (access?.account.name === user) channels += open.size
  if (channels < limit) return
  throw notAllowed(
    `number of channels opened for user '${user}' has reached the maximum allowed user limit of ${limit}`,
  )
}

/** Open connections for which that holds. */
function count(server: Server, holds: (user: string, vhost: string) => boolean): number {
  let connections = 0
  for (const { access, handshake } of server.connections) {
    if (access !== undefined && holds(access.account.name, handshake.vhost)) connections += 1
  }
  return connections
}
