/** What each error is caused by, and what the peer is told (amqp.md, "Errors"). */
import type { RawClient, Sent } from '../interop/raw-client.ts'
import type { TestServer } from './harness.ts'

export interface Case {
  readonly name: string
  /** Methods that are answered; the last one of them is the one refused, on channel 1. */
  readonly methods: readonly Sent[]
  /** Another way to do it. */
  readonly act?: (client: RawClient, server: TestServer) => Promise<void> | void
  readonly closes: 'channel' | 'connection'
  readonly code: number
  readonly text: RegExp | string
}

const queue: Sent = { type: 'queue.declare', queue: 'q' }

const quorumQueue: Sent = {
  type: 'queue.declare',
  queue: 'q',
  durable: true,
  arguments: { 'x-queue-type': 'quorum' },
}

export const cases: readonly Case[] = [
  {
    name: 'deleting a quorum queue if it is unused',
    methods: [quorumQueue, { type: 'queue.delete', queue: 'q', ifUnused: true, ifEmpty: true }],
    closes: 'connection',
    code: 540,
    text: "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete operations with if-unused flag set are not supported by quorum queues",
  },
  {
    name: 'deleting a quorum queue if it is empty',
    methods: [quorumQueue, { type: 'queue.delete', queue: '', ifEmpty: true }],
    closes: 'connection',
    code: 540,
    text: "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost '/'. queue.delete operations with if-empty flag set are not supported by quorum queues",
  },
  {
    name: 'a queue that is not there',
    methods: [{ type: 'queue.declare', queue: 'x', passive: true }],
    closes: 'channel',
    code: 404,
    text: "NOT_FOUND - no queue 'x' in vhost '/'",
  },
  {
    name: 'no queue declared before on the channel',
    methods: [{ type: 'basic.consume', queue: '' }],
    closes: 'channel',
    code: 404,
    text: 'NOT_FOUND - no previously declared queue',
  },
  {
    name: 'another declaration',
    methods: [
      { ...queue, durable: true },
      { ...queue, durable: false },
    ],
    closes: 'channel',
    code: 406,
    text: "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
  },
  {
    name: 'an exclusive flag that does not match',
    methods: [queue, { ...queue, exclusive: true }],
    closes: 'channel',
    code: 405,
    text: /^RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '\/'\. It could be originally declared on/,
  },
  {
    name: 'a reserved queue name',
    methods: [{ type: 'queue.declare', queue: 'amq.mine' }],
    closes: 'channel',
    code: 403,
    text: "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
  },
  {
    name: 'a reserved exchange name',
    methods: [{ type: 'exchange.declare', exchange: 'amq.mine', exchangeType: 'direct' }],
    closes: 'channel',
    code: 403,
    text: "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
  },
  {
    name: 'binding to the default exchange',
    methods: [queue, { type: 'queue.bind', queue: 'q', exchange: '', routingKey: 'k' }],
    closes: 'channel',
    code: 403,
    text: 'ACCESS_REFUSED - operation not permitted on the default exchange',
  },
  {
    name: 'declaring the default exchange',
    methods: [{ type: 'exchange.declare', exchange: '', exchangeType: 'direct' }],
    closes: 'channel',
    code: 403,
    text: 'ACCESS_REFUSED - operation not permitted on the default exchange',
  },
  {
    name: 'deleting the default exchange',
    methods: [{ type: 'exchange.delete', exchange: '' }],
    closes: 'channel',
    code: 403,
    text: 'ACCESS_REFUSED - operation not permitted on the default exchange',
  },
  {
    name: 'deleting an exchange in use, if-unused',
    methods: [
      queue,
      { type: 'exchange.declare', exchange: 'e', exchangeType: 'direct' },
      { type: 'queue.bind', queue: 'q', exchange: 'e', routingKey: 'k' },
      { type: 'exchange.delete', exchange: 'e', ifUnused: true },
    ],
    closes: 'channel',
    code: 406,
    text: "PRECONDITION_FAILED - exchange 'e' in vhost '/' in use",
  },
  {
    name: 'an argument of the wrong type',
    methods: [{ ...queue, arguments: { 'x-message-ttl': 'soon' } }],
    closes: 'channel',
    code: 406,
    text: /^PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'q' in vhost '\/': "expected integer, got longstr"$/,
  },
  {
    name: 'an exchange of no known type',
    methods: [{ type: 'exchange.declare', exchange: 'e', exchangeType: 'nonsense' }],
    closes: 'channel',
    code: 406,
    text: /^PRECONDITION_FAILED - .* exchange type 'nonsense'$/,
  },
  {
    name: 'binding to an exchange that is not there',
    methods: [queue, { type: 'queue.bind', queue: 'q', exchange: 'x', routingKey: 'k' }],
    closes: 'channel',
    code: 404,
    text: "NOT_FOUND - no exchange 'x' in vhost '/'",
  },
  {
    name: 'deleting a queue that is not empty, if-empty',
    methods: [queue],
    act: (client) => {
      client.publish(1, { routingKey: 'q' })
      client.send(1, { type: 'queue.delete', queue: 'q', ifEmpty: true })
    },
    closes: 'channel',
    code: 406,
    text: "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty",
  },
  {
    name: 'deleting a queue in use, if-unused',
    methods: [
      queue,
      { type: 'basic.consume', queue: 'q' },
      { type: 'queue.delete', queue: 'q', ifUnused: true },
    ],
    closes: 'channel',
    code: 406,
    text: "PRECONDITION_FAILED - queue 'q' in vhost '/' in use",
  },
  {
    name: 'publishing to an exchange that is not there',
    methods: [],
    act: (client) => client.publish(1, { exchange: 'x' }),
    closes: 'channel',
    code: 404,
    text: "NOT_FOUND - no exchange 'x' in vhost '/'",
  },
  {
    name: 'publishing to an internal exchange',
    methods: [{ type: 'exchange.declare', exchange: 'inner', exchangeType: 'fanout', internal: true }],
    act: (client) => client.publish(1, { exchange: 'inner' }),
    closes: 'channel',
    code: 403,
    text: "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost '/'",
  },
  {
    name: 'an expiration that is no number',
    methods: [],
    act: (client) => client.publish(1, { routingKey: 'q' }, { expiration: '5s' }),
    closes: 'channel',
    code: 406,
    text: `PRECONDITION_FAILED - invalid expiration '5s': {leftover_string,"s"}`,
  },
  {
    name: 'an expiration below 0',
    methods: [],
    act: (client) => client.publish(1, { routingKey: 'q' }, { expiration: '-1' }),
    closes: 'channel',
    code: 406,
    text: "PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1}",
  },
  {
    name: "another user's name on a message",
    methods: [],
    act: (client) => client.publish(1, { routingKey: 'q' }, { userId: 'ada' }),
    closes: 'channel',
    code: 406,
    text: "PRECONDITION_FAILED - user_id property set to 'ada' but authenticated user was 'guest'",
  },
  {
    name: 'CC that is no array',
    methods: [],
    act: (client) => client.publish(1, { routingKey: 'q' }, { headers: { CC: 'a' } }),
    closes: 'channel',
    code: 406,
    text: /^PRECONDITION_FAILED - .*CC/,
  },
  {
    name: 'a delivery tag that is not outstanding',
    methods: [],
    act: (client) => client.send(1, { type: 'basic.ack', deliveryTag: 1 }),
    closes: 'channel',
    code: 406,
    text: 'PRECONDITION_FAILED - unknown delivery tag 1',
  },
  {
    name: 'an exclusive consumer beside another',
    methods: [
      queue,
      { type: 'basic.consume', queue: 'q' },
      { type: 'basic.consume', queue: 'q', exclusive: true },
    ],
    closes: 'channel',
    code: 403,
    text: "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use",
  },
  {
    name: 'confirm after tx',
    methods: [{ type: 'tx.select' }, { type: 'confirm.select' }],
    closes: 'channel',
    code: 406,
    text: 'PRECONDITION_FAILED - cannot switch from tx to confirm mode',
  },
  {
    name: 'tx after confirm',
    methods: [{ type: 'confirm.select' }, { type: 'tx.select' }],
    closes: 'channel',
    code: 406,
    text: 'PRECONDITION_FAILED - cannot switch from confirm to tx mode',
  },
  {
    name: 'commit without select',
    methods: [{ type: 'tx.commit' }],
    closes: 'channel',
    code: 406,
    text: 'PRECONDITION_FAILED - channel is not transactional',
  },
  {
    name: 'a consumer tag twice',
    methods: [
      queue,
      { type: 'basic.consume', queue: 'q', consumerTag: 't' },
      { type: 'basic.consume', queue: 'q', consumerTag: 't' },
    ],
    closes: 'connection',
    code: 530,
    text: "NOT_ALLOWED - attempt to reuse consumer tag 't'",
  },
  {
    name: 'immediate',
    methods: [],
    act: (client) => client.publish(1, { routingKey: 'q', immediate: true }),
    closes: 'connection',
    code: 540,
    text: 'NOT_IMPLEMENTED - immediate=true',
  },
  {
    name: 'a prefetch by bytes',
    methods: [{ type: 'basic.qos', prefetchSize: 10 }],
    closes: 'connection',
    code: 540,
    text: 'NOT_IMPLEMENTED - prefetch_size!=0 (10)',
  },
  {
    name: 'stopping the flow',
    methods: [{ type: 'channel.flow', active: false }],
    closes: 'connection',
    code: 540,
    text: 'NOT_IMPLEMENTED - active=false',
  },
  {
    name: 'recover without requeue',
    methods: [{ type: 'basic.recover', requeue: false }],
    closes: 'connection',
    code: 540,
    text: 'NOT_IMPLEMENTED - requeue=false',
  },
  {
    name: 'a channel opened twice',
    methods: [{ type: 'channel.open' }],
    closes: 'connection',
    code: 504,
    text: "CHANNEL_ERROR - second 'channel.open' seen",
  },
  {
    name: 'a method on a channel that is not open',
    methods: [],
    act: (client) => client.send(2, queue),
    closes: 'connection',
    code: 504,
    text: "CHANNEL_ERROR - expected 'channel.open'",
  },
  {
    name: 'a method where content is due',
    methods: [],
    act: (client) => {
      client.send(1, { type: 'basic.publish', exchange: '', routingKey: 'q' })
      client.send(1, queue)
    },
    closes: 'connection',
    code: 505,
    text: /^UNEXPECTED_FRAME - /,
  },
  {
    name: 'content without a method',
    methods: [],
    act: (client) => client.sendFrame(3, 1, Buffer.from('x')),
    closes: 'connection',
    code: 505,
    text: /^UNEXPECTED_FRAME - /,
  },
  {
    name: 'a heartbeat on a channel',
    methods: [],
    act: (client) => client.sendFrame(8, 1, Buffer.alloc(0)),
    closes: 'connection',
    code: 505,
    text: /^UNEXPECTED_FRAME - /,
  },
  {
    name: 'a method that does not exist',
    methods: [],
    act: (client) => client.sendFrame(1, 1, Buffer.from([0, 60, 0, 200])),
    closes: 'connection',
    code: 503,
    text: /^COMMAND_INVALID - /,
  },
  {
    name: "a server's method from a client",
    methods: [{ type: 'basic.qos-ok' }],
    closes: 'connection',
    code: 503,
    text: 'COMMAND_INVALID - unimplemented method',
  },
  {
    name: 'a frame that ends wrongly',
    methods: [],
    act: (client) => client.sendBytes(Buffer.from([1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 10, 0])),
    closes: 'connection',
    code: 501,
    text: /^FRAME_ERROR - /,
  },
  {
    name: 'a frame that is too large',
    methods: [],
    act: (client) => client.sendBytes(Buffer.from([3, 0, 1, 0x7f, 0xff, 0xff, 0xff])),
    closes: 'connection',
    code: 501,
    text: /^FRAME_ERROR - /,
  },
  {
    name: 'a handshake method on an open connection',
    methods: [],
    act: (client) => client.send(0, { type: 'connection.open', virtualHost: '/' }),
    closes: 'connection',
    code: 504,
    text: /^CHANNEL_ERROR - unexpected method in connection state running/,
  },
]
