/** Direct reply-to. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RawClient } from '../interop/raw-client.ts'
import { serve, textOf } from './harness.ts'

const pseudo = 'amq.rabbitmq.reply-to'

/** A client whose requests carry an address, and one request of it as the server got it. */
async function request(requester: RawClient, server: RawClient): Promise<string> {
  await server.call(1, { type: 'queue.declare', queue: 'rpc' }, 'queue.declare-ok')
  await requester.call(
    1,
    { type: 'basic.consume', queue: pseudo, noAck: true, consumerTag: 'r' },
    'basic.consume-ok',
  )
  requester.publish(1, { routingKey: 'rpc' }, { replyTo: pseudo, correlationId: 'c', messageId: 'm' }, 'ask')
  await server.call(1, { type: 'basic.consume', queue: 'rpc', noAck: true }, 'basic.consume-ok')
  const asked = await server.expect(1, 'basic.deliver')
  assert.deepEqual({ ...asked.properties, replyTo: '' }, { replyTo: '', correlationId: 'c', messageId: 'm' })
  return String(asked.properties?.replyTo)
}

test('a reply goes straight to the channel that asked', async (t) => {
  const server = await serve(t)
  const [requester, replier] = [await server.open(), await server.open()]
  const address = await request(requester, replier)
  assert.match(address, /^amq\.rabbitmq\.reply-to\.[\w-]+$/)
  await replier.call(1, { type: 'queue.declare', queue: address, passive: true }, 'queue.declare-ok')
  replier.publish(1, { routingKey: address, mandatory: true }, { correlationId: 'c' }, 'answer')
  const reply = await requester.expect(1, 'basic.deliver')
  assert.equal(textOf(reply), 'answer')
  assert.deepEqual(
    [reply.consumerTag, reply.exchange, reply.routingKey, reply.redelivered, reply.properties?.correlationId],
    ['r', '', address, false, 'c'],
  )
})

test('when the one who asked is gone, a mandatory reply comes back, and the address is not found', async (t) => {
  const server = await serve(t)
  const [requester, replier] = [await server.open(), await server.open()]
  const address = await request(requester, replier)
  await requester.call(1, { type: 'basic.cancel', consumerTag: 'r' }, 'basic.cancel-ok')
  replier.publish(1, { routingKey: address }, {}, 'dropped')
  replier.publish(1, { routingKey: address, mandatory: true }, {}, 'late')
  assert.equal(textOf(await replier.expect(1, 'basic.return')), 'late')
  replier.send(1, { type: 'queue.declare', queue: address, passive: true })
  assert.equal((await replier.expect(1, 'channel.close')).replyCode, 404)
})

test('many large replies at once all arrive, up to a limit of what waits for the one who asked', async (t) => {
  const server = await serve(t, { limits: { directReplyBytes: 40_000_000 } })
  const [requester, replier] = [await server.open(), await server.open()]
  const address = await request(requester, replier)
  requester.socket.pause()
  const body = Buffer.alloc(1_000_000)
  const replies = (count: number) => {
    for (let index = 0; index < count; index += 1) replier.publish(1, { routingKey: address }, {}, body)
    return replier.call(1, { type: 'basic.qos' }, 'basic.qos-ok')
  }
  await replies(30)
  requester.socket.resume()
  await requester.deliveries(1, 30)
  requester.socket.pause()
  await replies(100)
  const [connection] = server.broker.server.connections
  assert.ok(connection!.output.pendingBytes < 42_000_000)
})

test('406: a reply consumer that wants to acknowledge, a second one, a request without one', async (t) => {
  const server = await serve(t)
  const consume = { type: 'basic.consume', queue: pseudo } as const
  const acknowledging = await server.open()
  acknowledging.send(1, consume)
  assert.equal(
    (await acknowledging.expect(1, 'channel.close')).replyText,
    'PRECONDITION_FAILED - reply consumer cannot acknowledge',
  )
  const twice = await server.open()
  await twice.call(1, { ...consume, noAck: true }, 'basic.consume-ok')
  twice.send(1, { ...consume, noAck: true })
  assert.equal(
    (await twice.expect(1, 'channel.close')).replyText,
    'PRECONDITION_FAILED - reply consumer already set',
  )
  const without = await server.open()
  without.publish(1, { routingKey: 'rpc' }, { replyTo: pseudo })
  assert.equal(
    (await without.expect(1, 'channel.close')).replyText,
    'PRECONDITION_FAILED - fast reply consumer does not exist',
  )
})
