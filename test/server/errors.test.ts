/** Each error that clients depend on: its code, its text, and what it closes (amqp.md, "Errors"). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cases } from './error-cases.ts'
import { serve, textOf } from './harness.ts'

for (const { name, methods, act, closes, code, text } of cases) {
  test(`${code}, closing the ${closes}: ${name}`, async (t) => {
    const server = await serve(t)
    const client = await server.open()
    const answered = act === undefined ? methods.slice(0, -1) : methods
    for (const method of answered) {
      const answer = await client.call(1, method)
      assert.ok(answer.type.endsWith('-ok'), `${method.type} was answered with ${JSON.stringify(answer)}`)
    }
    if (act === undefined) client.send(1, methods.at(-1)!)
    else await act(client, server)
    const closed = await client.expect(closes === 'channel' ? 1 : 0, `${closes}.close`)
    assert.equal(closed.replyCode, code)
    if (typeof text === 'string') assert.equal(closed.replyText, text)
    else assert.match(closed.replyText, text)
    if (closes === 'connection') await client.ended()
    else await client.call(2, { type: 'channel.open' }, 'channel.open-ok')
  })
}

test('405: a queue that another connection has exclusively', async (t) => {
  const server = await serve(t)
  const owner = await server.open()
  await owner.call(1, { type: 'queue.declare', queue: 'mine', exclusive: true }, 'queue.declare-ok')
  for (const method of [
    { type: 'queue.declare', queue: 'mine', exclusive: true },
    { type: 'queue.declare', queue: 'mine', passive: true },
    { type: 'basic.consume', queue: 'mine' },
    { type: 'basic.get', queue: 'mine' },
    { type: 'queue.purge', queue: 'mine' },
    { type: 'queue.delete', queue: 'mine' },
  ] as const) {
    const other = await server.open()
    const answer = await other.call(1, method)
    assert.equal(answer.type === 'channel.close' && answer.replyCode, 405, method.type)
  }
})

test('530: more channels than were agreed', async (t) => {
  const server = await serve(t)
  const client = await server.open({ channelMax: 1 })
  client.send(2, { type: 'channel.open' })
  const closed = await client.expect(0, 'connection.close')
  assert.equal(closed.replyCode, 530)
  assert.equal(
    closed.replyText,
    'NOT_ALLOWED - number of channels opened (1) has reached the negotiated channel_max (1)',
  )
})

test('the close names the method that was wrong', async (t) => {
  const server = await serve(t)
  const client = await server.open()
  client.send(1, { type: 'queue.bind', queue: 'q', exchange: 'x' })
  const { classId, methodId } = await client.expect(1, 'channel.close')
  assert.deepEqual({ classId, methodId }, { classId: 50, methodId: 20 })
})

test('after a channel error everything on that channel is ignored until close-ok; then it can be opened again', async (t) => {
  const server = await serve(t)
  const client = await server.open({ answersClose: false })
  client.send(1, { type: 'queue.declare', queue: 'nope', passive: true })
  client.send(1, { type: 'queue.declare', queue: 'made' })
  client.publish(1, { routingKey: 'made' }, {}, 'ignored')
  await client.expect(1, 'channel.close')
  client.send(1, { type: 'queue.declare', queue: 'made' })
  client.send(1, { type: 'channel.close-ok' })
  await client.call(1, { type: 'channel.open' }, 'channel.open-ok')
  client.send(1, { type: 'queue.declare', queue: 'made', passive: true })
  const closed = await client.expect(1, 'channel.close')
  assert.equal(closed.replyCode, 404)
})

test('a channel error hands back what the channel held, redelivered and in its place', async (t) => {
  const server = await serve(t)
  const client = await server.open()
  await client.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  for (const body of ['a', 'b', 'c']) client.publish(1, { routingKey: 'q' }, {}, body)
  await client.call(1, { type: 'basic.consume', queue: 'q' }, 'basic.consume-ok')
  await client.deliveries(1, 3)
  client.send(1, { type: 'basic.ack', deliveryTag: 9 })
  await client.expect(1, 'channel.close')
  await client.call(2, { type: 'channel.open' }, 'channel.open-ok')
  await client.call(2, { type: 'basic.consume', queue: 'q' }, 'basic.consume-ok')
  const again = await client.deliveries(2, 3)
  assert.deepEqual(
    again.map((delivery) => [textOf(delivery), delivery.redelivered]),
    [
      ['a', true],
      ['b', true],
      ['c', true],
    ],
  )
})
