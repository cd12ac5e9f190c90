/** What users may do: permissions on names and routing keys, and how many connections and channels. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import type { RawClient, Sent } from '../interop/raw-client.ts'
import { serve } from './harness.ts'

const user = 'ada'

async function withAda(t: TestContext, grant: { configure?: string; write?: string; read?: string }) {
  const server = await serve(t, { users: { guest: 'guest', [user]: 'secret' } })
  const { access } = server.broker.broker.engine
  access.grant({ user, vhost: '/', configure: '^$', write: '^$', read: '^$', ...grant })
  const admin = await server.open()
  await admin.call(1, { type: 'queue.declare', queue: 'q' }, 'queue.declare-ok')
  await admin.call(
    1,
    { type: 'exchange.declare', exchange: 'e', exchangeType: 'topic' },
    'exchange.declare-ok',
  )
  const open = () => server.open({ user, password: 'secret' })
  return { server, access, open }
}

async function refusal(client: RawClient): Promise<string> {
  const { replyCode, replyText } = await client.expect(1, 'channel.close')
  assert.equal(replyCode, 403)
  return replyText.replace('ACCESS_REFUSED - ', '')
}

const refused: readonly (readonly [Sent, string])[] = [
  [{ type: 'queue.declare', queue: 'q' }, "configure access to queue 'q'"],
  [{ type: 'queue.delete', queue: 'q' }, "configure access to queue 'q'"],
  [{ type: 'queue.bind', queue: 'q', exchange: 'e' }, "write access to queue 'q'"],
  [{ type: 'queue.purge', queue: 'q' }, "read access to queue 'q'"],
  [{ type: 'basic.get', queue: 'q' }, "read access to queue 'q'"],
  [{ type: 'basic.consume', queue: 'q' }, "read access to queue 'q'"],
  [{ type: 'exchange.declare', exchange: 'e', exchangeType: 'topic' }, "configure access to exchange 'e'"],
  [{ type: 'exchange.delete', exchange: 'e' }, "configure access to exchange 'e'"],
  [{ type: 'exchange.bind', source: 'e', destination: 'e' }, "write access to exchange 'e'"],
]

test('403: without permission nothing is done', async (t) => {
  const { open } = await withAda(t, {})
  for (const [method, text] of refused) {
    const client = await open()
    client.send(1, method)
    assert.equal(await refusal(client), `${text} in vhost '/' refused for user 'ada'`)
  }
  const client = await open()
  client.publish(1, { routingKey: 'q' })
  assert.equal(
    await refusal(client),
    "write access to exchange 'amq.default' in vhost '/' refused for user 'ada'",
  )
})

test('passive declares need no permission', async (t) => {
  const { open } = await withAda(t, {})
  const client = await open()
  await client.call(1, { type: 'queue.declare', queue: 'q', passive: true }, 'queue.declare-ok')
  await client.call(1, { type: 'exchange.declare', exchange: 'e', passive: true }, 'exchange.declare-ok')
})

test('a dead-letter exchange must be written to, an alternate exchange too', async (t) => {
  const { open } = await withAda(t, { configure: '.*', read: '.*', write: '^$' })
  const client = await open()
  client.send(1, { type: 'queue.declare', queue: 'd', arguments: { 'x-dead-letter-exchange': 'e' } })
  assert.match(await refusal(client), /^write access to exchange 'e'/)
  const other = await open()
  const declare = { type: 'exchange.declare', exchange: 'a', exchangeType: 'fanout' } as const
  other.send(1, { ...declare, arguments: { 'alternate-exchange': 'e' } })
  assert.match(await refusal(other), /^write access to exchange 'e'/)
})

test('one that is there is declared again without: nothing new comes of it', async (t) => {
  const { open, server } = await withAda(t, { configure: '.*' })
  const admin = await server.open()
  const queue = { type: 'queue.declare', queue: 'd', arguments: { 'x-dead-letter-exchange': 'e' } } as const
  const exchange = {
    type: 'exchange.declare',
    exchange: 'a',
    exchangeType: 'fanout',
    arguments: { 'alternate-exchange': 'e' },
  } as const
  await admin.call(1, queue, 'queue.declare-ok')
  await admin.call(1, exchange, 'exchange.declare-ok')
  const client = await open()
  await client.call(1, queue, 'queue.declare-ok')
  await client.call(1, exchange, 'exchange.declare-ok')
})

test('what is asked for a queue that the server names is its name', async (t) => {
  const names = '^amq\\.gen-'
  const { open } = await withAda(t, { configure: names, read: names, write: '^e$' })
  const client = await open()
  const declare = { type: 'queue.declare', arguments: { 'x-dead-letter-exchange': 'e' } } as const
  await client.call(1, declare, 'queue.declare-ok')
})

test('a line break in a name opens no door: what is asked for is the name without', async (t) => {
  const { open, access } = await withAda(t, { configure: '^[^eq]', write: '^[^eq]', read: '^[^eq]' })
  const asIs = new Set(['queue.purge', 'basic.get', 'basic.consume'])
  for (const [method, text] of refused.filter(([{ type }]) => !asIs.has(type))) {
    const client = await open()
    const broken = Object.entries(method).map(([field, value]) => [
      field,
      value === 'e' || value === 'q' ? `\n${value}` : value,
    ])
    client.send(1, Object.fromEntries(broken) as Sent)
    assert.equal(await refusal(client), `${text} in vhost '/' refused for user 'ada'`)
  }
  access.grant({ user, vhost: '/', configure: '.*', write: '.*', read: '.*' })
  access.grantTopic({ user, vhost: '/', exchange: 'e', write: '.*', read: '^open\\.' })
  for (const method of [
    { type: 'queue.bind', queue: 'q', exchange: 'e\r\n', routingKey: 'shut.a' },
    { type: 'exchange.bind', source: 'e\n', destination: 'e', routingKey: 'shut.a' },
  ] as const) {
    const client = await open()
    client.send(1, method)
    assert.match(await refusal(client), /^read access to topic 'shut.a' in exchange 'e'/)
  }
})

test('a permission that is taken away holds from the next message on', async (t) => {
  const { open, access } = await withAda(t, { write: '.*' })
  const client = await open()
  await client.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
  client.publish(1, { routingKey: 'q' })
  await client.expect(1, 'basic.ack')
  access.grant({ user, vhost: '/', configure: '', write: '^other$', read: '' })
  client.publish(1, { routingKey: 'q' })
  assert.match(await refusal(client), /^write access/)
})

test('topic permissions: publishing and binding with a routing key', async (t) => {
  const { open, access } = await withAda(t, { configure: '.*', write: '.*', read: '.*' })
  access.grantTopic({ user, vhost: '/', exchange: 'e', write: '^{username}\\.', read: '^open\\.' })
  const client = await open()
  await client.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
  client.publish(1, { exchange: 'e', routingKey: 'ada.news' })
  await client.expect(1, 'basic.ack')
  client.publish(1, { exchange: 'e', routingKey: 'bob.news' })
  assert.equal(
    await refusal(client),
    "write access to topic 'bob.news' in exchange 'e' in vhost '/' refused for user 'ada'",
  )
  const other = await open()
  await other.call(
    1,
    { type: 'queue.bind', queue: 'q', exchange: 'e', routingKey: 'open.a' },
    'queue.bind-ok',
  )
  other.send(1, { type: 'queue.bind', queue: 'q', exchange: 'e', routingKey: 'shut.a' })
  assert.match(await refusal(other), /^read access to topic 'shut.a'/)
})

test('530: more connections or channels than an operator allows', async (t) => {
  const { server, open } = await withAda(t, {})
  const { operatorLimits } = server.broker.broker.engine
  operatorLimits.set({ scope: 'user', name: user, limit: 'max-connections', value: 1 })
  operatorLimits.set({ scope: 'user', name: user, limit: 'max-channels', value: 1 })
  const client = await open()
  await assert.rejects(
    open(),
    /530 NOT_ALLOWED - Connection refused for user 'ada': user connection limit \(1\) is reached/,
  )
  client.send(2, { type: 'channel.open' })
  const { replyCode, replyText } = await client.expect(0, 'connection.close')
  assert.deepEqual(
    [replyCode, replyText],
    [
      530,
      "NOT_ALLOWED - number of channels opened for user 'ada' has reached the maximum allowed user limit of 1",
    ],
  )
  operatorLimits.set({ scope: 'vhost', name: '/', limit: 'max-connections', value: 1 })
  await assert.rejects(
    server.open(),
    /530 NOT_ALLOWED - access to vhost '\/' refused for user 'guest': connection limit \(1\) is reached/,
  )
})

test('a server-named queue is allowed by the patterns that RabbitMQ would allow it by', async (t) => {
  const { open } = await withAda(t, { configure: '^amq\\.gen' })
  const client = await open()
  await client.call(1, { type: 'queue.declare', queue: '' }, 'queue.declare-ok')
})

test('320: an operator ends the connections of a user', async (t) => {
  const { server, open } = await withAda(t, {})
  const [client, other] = [await open(), await server.open()]
  const count = server.broker.server.closeConnections(
    ({ access }) => access?.account.name === user,
    'ada was deleted',
  )
  assert.equal(count, 1)
  const closed = await client.expect(0, 'connection.close')
  assert.deepEqual([closed.replyCode, closed.replyText], [320, 'CONNECTION_FORCED - ada was deleted'])
  await other.call(1, { type: 'basic.qos' }, 'basic.qos-ok')
})

test('320: who is connected as a user that is deleted, or to a virtual host, leaves; nobody else does', async (t) => {
  const { server, access, open } = await withAda(t, { configure: '.*' })
  const { broker } = server.broker
  broker.ensureVhost('v')
  for (const name of ['guest', user])
    access.grant({ user: name, vhost: 'v', configure: '.*', write: '', read: '' })
  const reason = async (client: RawClient) => {
    const { replyCode, replyText } = await client.expect(0, 'connection.close')
    return [replyCode, replyText]
  }
  const inVhost = await server.open({ virtualHost: 'v' })
  const alsoInVhost = await server.open({ user, password: 'secret', virtualHost: 'v' })
  await inVhost.call(1, { type: 'queue.declare', queue: 'own', exclusive: true }, 'queue.declare-ok')
  const [ada, other] = [await open(), await server.open()]
  broker.engine.deleteVhost('v', broker.nowMs())
  const gone = [320, "CONNECTION_FORCED - vhost 'v' is deleted"]
  assert.deepEqual([await reason(inVhost), await reason(alsoInVhost)], [gone, gone])
  // One that is made anew is another.
  broker.ensureVhost('v')
  access.grant({ user: 'guest', vhost: 'v', configure: '.*', write: '', read: '' })
  const again = await server.open({ virtualHost: 'v' })
  await again.call(1, { type: 'queue.declare', queue: 'own' }, 'queue.declare-ok')
  // Who may do less stays.
  access.revoke({ user, vhost: '/' })
  await ada.call(1, { type: 'basic.qos' }, 'basic.qos-ok')
  await ada.call(1, { type: 'queue.declare', queue: 'ada', exclusive: true }, 'channel.close')
  access.deleteUser(user)
  assert.deepEqual(await reason(ada), [320, "CONNECTION_FORCED - user 'ada' is deleted"])
  await assert.rejects(open())
  await other.call(1, { type: 'basic.qos' }, 'basic.qos-ok')
  broker.engine.invariants()
})
