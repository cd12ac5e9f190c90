/** A topology of the port as declarations of AMQP, with RabbitMQ's arguments. */
import { parseQueueArguments } from '../../model/arguments.ts'
import { UnsupportedError } from '../../model/errors.ts'
import { assertExchangeName, assertQueueName, assertRoutingKey } from '../../model/names.ts'
import type { BindingSpec, ExchangeSpec, QueueSpec, Topology } from '../../client/driver.ts'
import { queueArguments, readArguments } from '../queue-arguments.ts'
import type { Options } from './amqplib.ts'

export type QueueType = 'quorum' | 'classic'

/** A quorum queue has none of these, so a queue that asks for one is a classic one. */
export function queueTypeOf(spec: QueueSpec, usual: QueueType): QueueType {
  const classic =
    spec.exclusive === true ||
    spec.autoDelete === true ||
    spec.durable === false ||
    (spec.maxPriority ?? 0) > 0 ||
    spec.overflow === 'reject-publish-dlx'
  return classic ? 'classic' : usual
}

export function queueOptions(spec: QueueSpec, usual: QueueType): Options.AssertQueue {
  return {
    durable: spec.durable ?? true,
    exclusive: spec.exclusive ?? false,
    autoDelete: spec.autoDelete ?? false,
    arguments: { 'x-queue-type': queueTypeOf(spec, usual), ...queueArguments(spec) },
  }
}

export function exchangeOptions(spec: ExchangeSpec): Options.AssertExchange {
  return {
    durable: spec.durable ?? true,
    autoDelete: spec.autoDelete ?? false,
    ...(spec.alternate !== undefined && { alternateExchange: spec.alternate }),
  }
}

/**
 * What can be said of a topology without asking the server.
 * @throws ValidationError, UnsupportedError
 */
export function checkTopology(topology: Topology, usual: QueueType): void {
  for (const exchange of topology.exchanges ?? []) assertExchangeName(exchange.name)
  for (const queue of topology.queues ?? []) {
    assertQueueName(queue.name)
    readArguments(() => parseQueueArguments(queueArguments(queue), `queue '${queue.name}'`))
    if (queue.deliveryLimit !== undefined && queueTypeOf(queue, usual) === 'classic') {
      throw new UnsupportedError({
        feature: 'a delivery limit on a classic queue',
        driver: 'RabbitMQ',
        hint: 'leave the limit out, or what makes the queue a classic one (priorities, exclusive, not durable)',
      })
    }
  }
  for (const binding of topology.bindings ?? []) assertRoutingKey(binding.routingKey)
}

/** 'the queue emails' */
export function bindingName(binding: BindingSpec): string {
  return `the binding of ${binding.destination} to ${binding.source}`
}
