/** The answer to a consumer that asked to be let at a queue. */
import { MillraceError } from '../../model/errors.ts'
import type { Reply } from './node-redis.ts'

/**
 * For how long the queue stays when nobody uses it, in ms; 0: for ever.
 * @throws MillraceError NOT_FOUND, ACCESS_REFUSED, RESOURCE_LOCKED
 */
export function joinQueue(queue: string, reply: Reply): number {
  const [verdict, expiresMs] = reply as readonly Reply[]
  switch (String(verdict)) {
    case 'missing':
      throw new MillraceError('NOT_FOUND', `There is no queue ${queue}; declare it first`)
    case 'refused':
      throw new MillraceError(
        'ACCESS_REFUSED',
        `The queue ${queue} has an exclusive consumer, or consumers beside whom none can be exclusive`,
      )
    case 'locked':
      throw new MillraceError('RESOURCE_LOCKED', `The queue ${queue} is another connection's alone`)
    default:
      return Number(expiresMs)
  }
}
