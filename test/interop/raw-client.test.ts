/** The codec and its raw client against a real RabbitMQ: what we write it understands, and what it writes we read. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { decodeProperties, encodeProperties } from '../../src/wire/index.ts'
import type { Properties } from '../../src/wire/index.ts'
import { findRabbitMq, RabbitMq } from '../servers/rabbitmq.ts'
import { RawClient } from './raw-client.ts'

const { skip } = await findRabbitMq()

const properties: Required<Properties> = {
  contentType: 'application/json',
  contentEncoding: 'gzip',
  headers: {
    a: 1,
    wide: 2 ** 40,
    list: ['x', null, { deep: true }],
    when: new Date(0),
    bytes: Buffer.of(0, 255),
  },
  deliveryMode: 2,
  priority: 9,
  correlationId: 'correlation',
  replyTo: 'somewhere',
  expiration: '60000',
  messageId: 'grüße',
  timestamp: 1_700_000_000,
  type: 'type',
  userId: 'guest',
  appId: 'app',
  clusterId: 'cluster',
}

describe('the raw client and RabbitMQ', { skip }, () => {
  let server: RabbitMq
  before(async () => {
    server = await RabbitMq.start()
  })
  after(async () => {
    await server.close()
  })

  test('every property and a body over many frames come back as they went', async () => {
    await using client = await RawClient.open({ port: server.port, frameMax: 4096 })
    assert.equal(client.serverProperties['product'], 'RabbitMQ')
    await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
    const { queue } = await client.call(1, { type: 'queue.declare', exclusive: true }, 'queue.declare-ok')
    await client.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
    await client.call(1, { type: 'basic.consume', queue, consumerTag: 'c' }, 'basic.consume-ok')
    for (const size of [0, 1, 4087, 4088, 4089, 100_000]) {
      const body = Buffer.alloc(size, `${size} bytes of body `)
      client.publish(1, { routingKey: queue }, properties, body)
      const [delivery] = await client.deliveries(1, 1)
      assert.equal(delivery?.consumerTag, 'c')
      assert.deepEqual(delivery.body, body)
      const sent = decodeProperties(encodeProperties(properties))
      assert.deepEqual(delivery.properties, sent)
      client.send(1, { type: 'basic.ack', deliveryTag: delivery.deliveryTag })
    }
    await client.expect(1, 'basic.ack')
    await client.close()
  })

  test('a mandatory message that nobody takes comes back before its confirm', async () => {
    await using client = await RawClient.open({ port: server.port })
    await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
    await client.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
    client.publish(1, { routingKey: 'nowhere', mandatory: true }, {}, 'text')
    const returned = await client.next(1)
    assert.deepEqual(returned, {
      type: 'basic.return',
      channel: 1,
      replyCode: 312,
      replyText: 'NO_ROUTE',
      exchange: '',
      routingKey: 'nowhere',
      properties: {},
      body: Buffer.from('text'),
    })
    const confirm = await client.next(1)
    assert.deepEqual(confirm, { type: 'basic.ack', channel: 1, deliveryTag: 1, multiple: false })
  })

  test('an error closes the channel and the next one works', async () => {
    await using client = await RawClient.open({ port: server.port })
    await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
    const closed = await client.call(1, { type: 'queue.declare', queue: 'missing', passive: true })
    assert.equal(closed.type === 'channel.close' && closed.replyCode, 404)
    await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
    await assert.rejects(
      client.call(1, { type: 'queue.purge', queue: 'missing' }, 'queue.purge-ok'),
      /got channel.close 404/,
    )
  })

  test('an error of the connection is told on whatever channel one waits', async () => {
    await using client = await RawClient.open({ port: server.port })
    await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
    const closed = await client.call(1, { type: 'channel.open' })
    assert.equal(closed.type === 'connection.close' && closed.replyCode, 504)
    assert.equal((await client.ended()).type, 'socket closed')
  })

  test('a server that does not speak the protocol asked for says so', async () => {
    await using client = await RawClient.connect({ port: server.port })
    client.sendBytes(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    await client.ended()
    assert.deepEqual(client.refusal, Buffer.from('AMQP\0\0\x09\x01', 'latin1'))
  })
})
