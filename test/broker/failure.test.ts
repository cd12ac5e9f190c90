/** A store that fails for good, and the end of a broker. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { connectTo, memoryBroker, storedBroker, turn, until } from './harness.ts'

function newDisk(): SimulatedDisk {
  return new SimulatedDisk({ random: new Random(1) })
}

test('a store that fails rejects everyone who waits, and says failed once', async () => {
  for (const operation of ['write', 'sync'] as const) {
    const disk = newDisk()
    const broker = await storedBroker(disk)
    const failures: Error[] = []
    broker.events.on('failed', (error) => failures.push(error))
    const { publish } = connectTo(broker)
    await broker.whenDurable()
    broker.gate.set('test', true)
    const atGate = broker.gate.wait()
    disk.faults.push({ operation, path: /./, code: 'EIO', times: Infinity })
    publish('one')
    const waits = [broker.whenDurable(), broker.whenDurable(), broker.whenSettled(), atGate]
    const results = await Promise.allSettled(waits)
    for (const result of results) {
      assert.equal(result.status, 'rejected')
      assert.equal((result as { reason: { code: string } }).reason.code, 'STORE_FAILED')
    }
    assert.equal(broker.state, 'failed')
    await turn()
    for (const late of [broker.whenDurable(), broker.whenSettled(), broker.gate.wait()]) {
      await assert.rejects(late, { code: 'STORE_FAILED' })
    }
    assert.throws(() => broker.assertOpen(), { code: 'STORE_FAILED' })
    assert.throws(() => broker.ensureVhost('other'), { code: 'STORE_FAILED' })
    assert.equal(failures.length, 1, operation)
    await broker.close()
    assert.equal(failures.length, 1)
    assert.equal(broker.state, 'closed')
  }
})

test('nothing is delivered any more once the store has failed', async () => {
  const disk = newDisk()
  const broker = await storedBroker(disk)
  const { holder, publish, consume } = connectTo(broker)
  await broker.whenDurable()
  disk.faults.push({ operation: 'sync', path: /./, code: 'EIO', times: Infinity })
  publish('one')
  await assert.rejects(broker.whenDurable(), { code: 'STORE_FAILED' })
  consume()
  for (let turns = 0; turns < 5; turns += 1) await turn()
  assert.equal(holder.deliveries.length, 0)
  await broker.close()
})

test('close is one close for all who ask, and rejects those at the gate', async () => {
  for (const broker of [memoryBroker(), await storedBroker(newDisk())]) {
    const { publish } = connectTo(broker)
    publish('one')
    broker.gate.set('test', true)
    const atGate = assert.rejects(broker.gate.wait(), { code: 'CLOSED' })
    const first = broker.close()
    assert.equal(broker.close(), first)
    await first
    assert.equal(broker.close(), first)
    await atGate
    assert.equal(broker.state, 'closed')
    assert.throws(() => broker.assertOpen(), { code: 'CLOSED' })
  }
})

test('close hands back what open sessions hold, and deletes what is exclusive to them', async () => {
  const broker = memoryBroker()
  const { session, holder, publish, consume } = connectTo(broker)
  const own = { name: 'own', durable: false, exclusive: true, autoDelete: false, arguments: {} }
  session.declareQueue(own, broker.nowMs())
  consume()
  publish('one')
  await until(() => holder.deliveries.length === 1, 'the delivery')
  await broker.close()
  const { queues } = broker.engine.vhost('default')
  assert.equal(queues.get('q')?.readyMessages, 1)
  assert.equal(queues.get('q')?.unackedMessages, 0)
  assert.equal(queues.has('own'), false)
  broker.invariants()
})

test('whoever waits for the end of the turn in memory is told when the broker closes, and after', async () => {
  const broker = memoryBroker()
  const waiting = broker.whenDurable()
  await broker.close()
  await waiting
  await broker.whenDurable()
})

test('a close that cannot store what was acknowledged to nobody rejects', async () => {
  const disk = newDisk()
  const broker = await storedBroker(disk)
  const { publish } = connectTo(broker)
  await broker.whenDurable()
  publish('one')
  const sent = assert.rejects(broker.whenDurable(), { code: 'DISK_FULL' })
  disk.capacityBytes = 0
  await assert.rejects(broker.close(), { code: 'DISK_FULL' })
  await sent
  assert.equal(broker.state, 'closed')
})
