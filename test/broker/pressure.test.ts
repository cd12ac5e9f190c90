/** Publishers wait while memory or the disk is short, consumers go on, and the gate opens again by itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { persistentPublish } from '../../src/broker/broker.ts'
import type { Broker } from '../../src/broker/broker.ts'
import { entryOverheadBytes } from '../../src/model/entry.ts'
import { Message } from '../../src/model/message.ts'
import { encodeProperties } from '../../src/model/properties.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { connectTo, memoryBroker, storedBroker, turn, until } from './harness.ts'

function eventsOf(broker: Broker): string[] {
  const events: string[] = []
  broker.events
    .on('blocked', (reason) => events.push(`blocked: ${reason}`))
    .on('unblocked', () => events.push('unblocked'))
    .on('failed', (error) => events.push(`failed: ${error.message}`))
  return events
}

test('memory: it shuts above the mark and opens when acknowledgements bring it well below', async () => {
  const broker = memoryBroker({ limits: { memoryBytes: 10 * (100 + entryOverheadBytes) } })
  const events = eventsOf(broker)
  const { session, holder, publish, consume } = connectTo(broker)
  for (let n = 0; n < 10; n += 1) publish('x'.repeat(100))
  assert.equal(broker.gate.shut, false)
  publish('x'.repeat(100))
  assert.equal(broker.gate.shut, true)
  let passed = false
  const waiting = broker.gate.wait().then(() => (passed = true))
  consume(100)
  await until(() => holder.deliveries.length === 11, 'the deliveries')
  const ack = async (count: number): Promise<void> => {
    for (const delivery of holder.deliveries.splice(0, count)) session.settleAck(delivery.deliveryTag)
    broker.wake()
    await turn()
    await turn()
    broker.invariants()
  }
  await ack(2)
  assert.equal(passed, false, 'nine are below the mark, but not well below')
  await ack(1)
  await waiting
  assert.deepEqual(events, ['blocked: memory', 'unblocked'])
  await broker.close()
})

test('memory: headers count as bodies do, and so does what keeps a message that has neither', async () => {
  const limits = { memoryBytes: 1_000_000 }
  const headers = encodeProperties({ headers: { note: 'x'.repeat(50_000) } })
  const send = (broker: Broker, propertyBytes: Uint8Array): number => {
    const vhost = broker.ensureVhost('default')
    let sent = 0
    for (; !broker.gate.shut && sent < 10_000; sent += 1) {
      vhost.publish(Message.ofBytes('', 'q', propertyBytes, ''), persistentPublish, broker.nowMs())
      broker.review()
    }
    return sent
  }
  for (const propertyBytes of [headers, Buffer.from([0, 0])]) {
    const broker = memoryBroker({ limits })
    connectTo(broker)
    const entryBytes = propertyBytes.length + entryOverheadBytes
    assert.equal(send(broker, propertyBytes), Math.floor(limits.memoryBytes / entryBytes) + 1)
    broker.invariants()
    await broker.close()
  }
})

test('memory: backlogs on disk hold nobody back, however many queues have one', async () => {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const limits = { memoryBytes: 100_000, windowMessages: 100, windowBytes: 10_000 }
  const broker = await storedBroker(disk, { limits })
  const events = eventsOf(broker)
  const { session, holder, publish, consume } = connectTo(broker)
  const names = Array.from({ length: 50 }, (_, index) => `q${index}`)
  for (const name of names) {
    session.declareQueue(
      { name, durable: true, exclusive: false, autoDelete: false, arguments: {} },
      broker.nowMs(),
    )
  }
  const bodies = Array.from({ length: 30 }, (_, index) => `${index}`.padEnd(100, '.'))
  for (const body of bodies) for (const name of names) publish(body, name)
  assert(broker.engine.residentBytes < limits.memoryBytes)
  assert.deepEqual(events, [])
  broker.invariants()
  await broker.whenDurable()
  holder.onDelivered = ({ deliveryTag }) => {
    session.settleAck(deliveryTag)
    broker.wake()
  }
  for (const name of names) consume(10, name)
  await until(() => holder.deliveries.length === names.length * bodies.length, 'all of them')
  for (const name of names) {
    const queue = broker.engine.vhost('default').queues.get(name)
    const got = holder.deliveries.filter(({ entry }) => entry.queueId === queue?.id)
    assert.deepEqual(
      got.map(({ entry }) => entry.message.body.toString()),
      bodies,
    )
  }
  broker.invariants()
  assert.deepEqual(events, [])
  assert.equal(broker.engine.residentBytes, 0)
  await broker.close()
})

test('memory: one backlog of large bodies on disk holds nobody back, however small the limit', async () => {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const limits = { memoryBytes: 200_000 }
  const broker = await storedBroker(disk, { limits })
  const events = eventsOf(broker)
  const { session, holder, publish, consume } = connectTo(broker)
  const count = 100
  for (let n = 0; n < count; n += 1) publish(`${n}`.padEnd(10_000, '.'))
  assert(broker.engine.residentBytes < limits.memoryBytes / 2)
  await broker.whenDurable()
  holder.onDelivered = ({ deliveryTag }) => {
    session.settleAck(deliveryTag)
    broker.wake()
  }
  consume(1)
  await until(() => holder.deliveries.length === count, 'all of them')
  assert.deepEqual(events, [])
  await broker.close()
})

test('bytes not written: it shuts while the disk is behind and opens when it has caught up', async () => {
  const disk = new SimulatedDisk({ random: new Random(1), stepped: true })
  const opening = storedBroker(disk, { limits: { unwrittenBytes: 10_000 } })
  let broker: Broker | undefined
  void opening.then((opened) => (broker = opened))
  await until(() => {
    disk.step()
    return broker !== undefined
  }, 'the opening')
  const opened = await opening
  const events = eventsOf(opened)
  const { publish } = connectTo(opened)
  for (let n = 0; n < 20; n += 1) publish(`${n}`.padEnd(1_000, '.'))
  await turn()
  assert.equal(opened.gate.shut, true)
  const waiting = opened.gate.wait()
  await until(() => {
    disk.step()
    return !opened.gate.shut
  }, 'room')
  await waiting
  assert.deepEqual(events, ['blocked: unwritten', 'unblocked'])
  const closing = opened.close()
  let closed = false
  void closing.then(() => (closed = true))
  await until(() => {
    disk.step()
    return closed
  }, 'the close')
})

test('disk full: it shuts, consumers go on, and it opens by itself when there is room', async () => {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const limits = { fullRetryMs: 5, freeCheckMs: 5, lowFreeBytes: 1_000 }
  const broker = await storedBroker(disk, { store: { limits } })
  const events = eventsOf(broker)
  const { session, holder, publish, consume } = connectTo(broker)
  publish('before')
  await broker.whenDurable()
  disk.capacityBytes = 0
  publish('held')
  let durable = false
  const sent = broker.whenDurable().then(() => (durable = true))
  await until(() => broker.gate.shut, 'the gate shuts')
  assert.equal(broker.state, 'open')
  consume(10)
  await until(() => holder.deliveries.length === 2, 'consumers go on')
  for (const delivery of holder.deliveries) assert.equal(session.settleAck(delivery.deliveryTag), true)
  broker.wake()
  await turn()
  assert.equal(durable, false)
  disk.capacityBytes = Infinity
  await sent
  await broker.gate.wait()
  assert.deepEqual(events, ['blocked: disk full', 'unblocked'])
  broker.invariants()
  await broker.close()
})
