/**
 * The consumer timeout (https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout): a delivery that is not acknowledged for
 * too long closes its channel, so that a consumer that hangs does not hold messages for ever.
 *
 * A queue may have a timeout of its own, which counts while its delivery is the channel's oldest.
 *
 * No time is kept per delivery. At each check the channel's next delivery tag is noted: what has a lower tag is at least that
 * old.
 */
import type { Channel } from './channel.ts'
import { preconditionFailed, refusalOf } from './refusal.ts'

interface Mark {
  readonly atMs: number
  /** Deliveries with lower tags had been made by then. */
  readonly nextDeliveryTag: number
}

export class ConsumerTimeout {
  #marks: Mark[] = []

  /** @param defaultMs for queues whose arguments and policies say nothing of it */
  check(channel: Channel, nowMs: number, defaultMs: number): void {
    const { unacked, nextDeliveryTag } = channel.session
    const oldestTag = unacked.oldestTag
    if (oldestTag === 0) {
      this.#marks = []
      return
    }
    this.#marks = this.#marks.filter((mark) => mark.nextDeliveryTag > oldestTag)
    const first = this.#marks[0]
    const timeoutMs = unacked.get(oldestTag)?.queue.settings.consumerTimeoutMs ?? defaultMs
    if (first !== undefined && nowMs - first.atMs >= timeoutMs) {
      const message =
        `delivery acknowledgement on channel ${channel.number} timed out. Timeout value used: ${timeoutMs} ms. ` +
        'This timeout value can be configured, see consumers doc guide to learn more'
      channel.fail(refusalOf(preconditionFailed(message), 0))
      return
    }
    if (this.#marks.at(-1)?.nextDeliveryTag !== nextDeliveryTag)
      this.#marks.push({ atMs: nowMs, nextDeliveryTag })
  }
}
