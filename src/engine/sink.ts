/** Effects to whoever holds a session. A sink takes what it is given; it must not call the engine from inside. */
import type { Message } from '../model/message.ts'
import type { EngineDelivery } from './delivery.ts'

export interface SessionSink {
  /** From inside `Engine.dispatch`. */
  deliver(delivery: EngineDelivery): void
  /** From inside `Engine.dispatch`: the consumer was ended from outside, since its queue was deleted. */
  cancelled(consumerTag: string): void
  /** From inside `Session.publish` and `txCommit`, before they return: basic.return. */
  returned(message: Message, replyCode: number, replyText: string): void
}
