/** Publisher confirms: their numbers, their order, and what they promise. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { ConfirmSequence } from '../../src/server/confirms.ts'
import type { RawClient } from '../interop/raw-client.ts'
import { newFolder, serve, textOf } from './harness.ts'

async function confirming(client: RawClient): Promise<void> {
  await client.call(1, { type: 'confirm.select' }, 'confirm.select-ok')
}

/** Which numbers were acked and nacked, in order, until there are so many. */
async function settled(client: RawClient, count: number): Promise<string[]> {
  const outcomes: string[] = []
  let last = 0
  while (outcomes.length < count) {
    const arrival = await client.next(1, 'basic.ack', 'basic.nack')
    if (arrival.type === 'basic.nack') {
      assert.equal(arrival.deliveryTag, last + 1)
      outcomes.push('nack')
      last += 1
    } else if (arrival.type === 'basic.ack') {
      assert.ok(arrival.multiple ? arrival.deliveryTag > last : arrival.deliveryTag === last + 1)
      while (last < arrival.deliveryTag) {
        outcomes.push('ack')
        last += 1
      }
    } else throw new Error(`not ${arrival.type}`)
  }
  return outcomes
}

async function onDisk(t: TestContext) {
  return serve(t, { data: await newFolder() })
}

test('the numbers begin at 1 after select; a burst takes few confirms', async (t) => {
  const client = await (await onDisk(t)).open()
  await client.call(1, { type: 'queue.declare', queue: 'q', durable: true }, 'queue.declare-ok')
  client.publish(1, { routingKey: 'q' }, { deliveryMode: 2 }, 'before')
  await confirming(client)
  for (let count = 0; count < 1000; count += 1) client.writer.content(1, publishTo('q'), properties, 'x')
  client.flush()
  assert.deepEqual(await settled(client, 1000), Array<string>(1000).fill('ack'))
  const confirms = client.received.filter(({ type }) => type === 'basic.ack')
  assert.ok(confirms.length < 100, `${confirms.length} confirms for 1000 messages`)
})

test('what cannot be routed is confirmed too, and comes back before that', async (t) => {
  const client = await (await serve(t)).open()
  await confirming(client)
  client.publish(1, { routingKey: 'nowhere', mandatory: true }, { messageId: 'm' }, 'back')
  const returned = await client.next(1)
  assert.ok(returned.type === 'basic.return')
  assert.deepEqual(
    [returned.replyCode, returned.replyText, returned.routingKey, returned.properties?.messageId],
    [312, 'NO_ROUTE', 'nowhere', 'm'],
  )
  assert.equal(textOf(returned), 'back')
  const ack = await client.next(1)
  assert.ok(ack.type === 'basic.ack' && ack.deliveryTag === 1)
})

test('a full queue that refuses is told by nack, its neighbours by ack', async (t) => {
  const client = await (await onDisk(t)).open()
  const table = { 'x-max-length': 2, 'x-overflow': 'reject-publish' }
  await client.call(
    1,
    { type: 'queue.declare', queue: 'full', durable: true, arguments: table },
    'queue.declare-ok',
  )
  await confirming(client)
  for (const key of ['full', 'full', 'full', 'none', 'full', 'none']) {
    client.writer.content(1, publishTo(key), properties, 'x')
  }
  client.flush()
  assert.deepEqual(await settled(client, 6), ['ack', 'ack', 'nack', 'ack', 'nack', 'ack'])
})

test('each channel has numbers of its own', async (t) => {
  const client = await (await serve(t)).open()
  await client.call(2, { type: 'channel.open' }, 'channel.open-ok')
  for (const channel of [1, 2]) await client.call(channel, { type: 'confirm.select' }, 'confirm.select-ok')
  client.publish(2, { routingKey: 'x' })
  client.publish(1, { routingKey: 'x' })
  for (const channel of [1, 2]) assert.equal((await client.expect(channel, 'basic.ack')).deliveryTag, 1)
})

test('multiple covers only what is settled: all below the first refused', () => {
  const told: string[] = []
  const sequence = new ConfirmSequence({
    confirmed: (through, multiple) => told.push(`ack ${through}${multiple ? ' multiple' : ''}`),
    refused: (number) => told.push(`nack ${number}`),
  })
  for (const refused of [false, false, true, true, false, true, false, false]) sequence.count(refused)
  sequence.settle(5)
  sequence.settle(8)
  sequence.settle(8)
  assert.deepEqual(told, ['ack 2 multiple', 'nack 3', 'nack 4', 'ack 5', 'nack 6', 'ack 8 multiple'])
})

const properties = Buffer.from([0x10, 0x00, 2])

function publishTo(routingKey: string) {
  return { type: 'basic.publish', exchange: '', routingKey, mandatory: false, immediate: false } as const
}
