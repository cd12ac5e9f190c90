/** The straight road with a real client: open, declare, publish, confirm, consume, acknowledge. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'amqplib'
import type { ConsumeMessage } from 'amqplib'
import { startBroker } from '../../src/server/index.ts'

test('amqplib: a confirmed message is consumed and acknowledged', async () => {
  await using broker = await startBroker({ port: 0 })
  const connection = await connect(broker.url)
  const channel = await connection.createConfirmChannel()
  await channel.assertQueue('hello', { durable: true })
  channel.sendToQueue('hello', Buffer.from('world'), { persistent: true, headers: { a: 1 } })
  await channel.waitForConfirms()
  const message = await new Promise<ConsumeMessage | null>((resolve, reject) => {
    channel.consume('hello', resolve).catch(reject)
  })
  assert.ok(message)
  assert.equal(message.content.toString(), 'world')
  assert.deepEqual(message.properties.headers, { a: 1 })
  channel.ack(message)
  assert.deepEqual(await channel.checkQueue('hello'), { queue: 'hello', messageCount: 0, consumerCount: 1 })
  await connection.close()
})

test('amqplib: a confirmed message is there when the broker opens its folder again', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-server-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  {
    await using broker = await startBroker({ port: 0, data: folder })
    const connection = await connect(broker.url)
    const channel = await connection.createConfirmChannel()
    await channel.assertQueue('kept', { durable: true })
    channel.sendToQueue('kept', Buffer.from('still here'), { persistent: true })
    await channel.waitForConfirms()
    await connection.close()
  }
  await using broker = await startBroker({ port: 0, data: folder })
  const connection = await connect(broker.url)
  const channel = await connection.createChannel()
  const message = await channel.get('kept')
  assert.ok(message !== false)
  assert.equal(message.content.toString(), 'still here')
  await connection.close()
})
