/** What was in somebody's hands when the process died may be what killed it: its delivery is counted before it is handed over. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { persistentPublish } from '../../src/broker/broker.ts'
import { systemClock } from '../../src/broker/clock.ts'
import type { Clock } from '../../src/broker/clock.ts'
import { entryOverheadBytes } from '../../src/model/entry.ts'
import { Message } from '../../src/model/message.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'
import { connectTo, memoryBroker, storedBroker, turn, until } from './harness.ts'

test('an entry from before a crash is handed over only after its delivery is written', async () => {
  let disk = new SimulatedDisk({ random: new Random(1) })
  const first = await storedBroker(disk)
  const before = connectTo(first)
  before.publish('poison')
  await first.whenDurable()
  for (let life = 1; life <= 4; life += 1) {
    disk = disk.crash('process')
    const broker = await storedBroker(disk)
    const { holder, consume } = connectTo(broker)
    let attempt = 0
    let dead: SimulatedDisk | undefined
    holder.onDelivered = (delivery) => {
      // The process dies in the very call in which it is handed over.
      attempt = delivery.attempt
      dead = disk.crash('process')
    }
    consume()
    await until(() => dead !== undefined, 'the delivery')
    assert.equal(attempt, life)
    disk = dead as SimulatedDisk
  }
})

test('an entry of this life waits for no disk', async () => {
  const disk = new SimulatedDisk({ random: new Random(1), stepped: true })
  let opened = false
  const opening = storedBroker(disk).finally(() => (opened = true))
  await until(() => {
    disk.step()
    return opened
  }, 'the opening')
  const broker = await opening
  const { holder, publish, consume } = connectTo(broker)
  consume()
  publish('one')
  await until(() => holder.deliveries.length === 1, 'the delivery, with no step of the disk')
  broker.invariants()
})

test('where the delivery cannot be recorded nobody is handed it', async () => {
  let disk = new SimulatedDisk({ random: new Random(1) })
  const before = await storedBroker(disk)
  connectTo(before).publish('one')
  await before.whenDurable()
  disk = disk.crash('process')
  const broker = await storedBroker(disk)
  await broker.whenDurable()
  const { holder, consume } = connectTo(broker)
  await broker.whenDurable()
  let handed = 0
  holder.onDelivered = () => (handed += 1)
  disk.faults.push({ operation: 'write', path: /./, code: 'EIO', times: Infinity })
  consume()
  await until(() => broker.state === 'failed', 'the failure')
  assert.equal(handed, 0)
  await broker.close()
})

test('a clean restart counts no delivery that was not made', async () => {
  const disk = new SimulatedDisk({ random: new Random(1) })
  const first = await storedBroker(disk)
  connectTo(first).publish('one')
  await first.close()
  const broker = await storedBroker(disk)
  const { holder, consume } = connectTo(broker)
  consume()
  await until(() => holder.deliveries.length === 1, 'the delivery')
  assert.equal(holder.deliveries[0]?.attempt, 1)
  assert.equal(holder.deliveries[0]?.redelivered, false)
  await broker.close()
})

test('statistics reconcile after purge and requeue: ready and unacked are what is there', async () => {
  for (const broker of [memoryBroker(), await storedBroker(new SimulatedDisk({ random: new Random(1) }))]) {
    const { session, holder, publish, consume } = connectTo(broker)
    const queue = broker.engine.vhost('default').queues.get('q')
    assert.ok(queue !== undefined)
    // Their bodies and properties are small beside what keeps them.
    const inMemory = (): number => Math.floor(broker.engine.residentBytes / entryOverheadBytes)
    const counts = (): number[] => [queue.readyMessages, queue.unackedMessages, inMemory()]
    for (let n = 0; n < 10; n += 1) publish(`${n}`.repeat(10))
    consume(4)
    await until(() => holder.deliveries.length === 4, 'the deliveries')
    assert.deepEqual(counts(), [6, 4, 10])
    assert.equal(broker.engine.purge(queue, 'ready'), 6)
    broker.invariants()
    assert.deepEqual(counts(), [0, 4, 4])
    const [first, second, third, fourth] = holder.deliveries
    session.settleRelease(first?.deliveryTag ?? 0, 0, broker.nowMs())
    session.settleRetry(second?.deliveryTag ?? 0, 60_000, broker.nowMs())
    broker.invariants()
    assert.deepEqual(counts(), [1, 2, 4])
    assert.equal(queue.delayed.length, 1)
    session.settleAck(third?.deliveryTag ?? 0)
    session.settleAck(fourth?.deliveryTag ?? 0)
    assert.equal(session.settleAck(fourth?.deliveryTag ?? 0), false)
    broker.wake()
    await until(() => holder.deliveries.length === 5, 'the released one')
    assert.equal(broker.engine.purge(queue, 'all'), 1)
    session.settleAck(holder.deliveries[4]?.deliveryTag ?? 0)
    assert.deepEqual([...counts(), queue.delayed.length], [0, 0, 0, 0])
    const { published, acked } = queue.counters
    assert.deepEqual([published, acked], [10, 3])
    broker.invariants()
    await broker.close()
  }
})

test('a close is in good order, whatever becomes due while it is being stored', async () => {
  const disk = new SimulatedDisk({ random: new Random(1), stepped: true })
  let nowMs = 1_000_000
  const clock: Clock = { ...systemClock(), nowMs: () => nowMs }
  const opening = storedBroker(disk, { clock })
  const first = await stepped(disk, opening)
  const { publish } = connectTo(first)
  const vhost = first.engine.vhost('default')
  for (const delayMs of [0, 10]) {
    const extras = { ...persistentPublish, delayMs }
    vhost.publish(Message.of('', 'q', {}, `after ${delayMs}`), extras, nowMs)
  }
  await stepped(disk, first.whenDurable())
  // A turn is on its way when the close begins.
  publish('last')
  first.wake()
  const closing = first.close()
  nowMs += 1_000
  for (let turns = 0; turns < 5; turns += 1) await turn()
  await stepped(disk, closing)
  const broker = await stepped(disk, storedBroker(disk, { clock }))
  const { holder, consume } = connectTo(broker)
  consume(10)
  await stepped(
    disk,
    until(() => holder.deliveries.length === 3, 'all of them'),
  )
  assert.deepEqual(
    holder.deliveries.map(({ entry, attempt }) => [entry.recovered, attempt]),
    [
      [false, 1],
      [false, 1],
      [false, 1],
    ],
  )
  await stepped(disk, broker.close())
})

/** Steps the disk until the promise is settled. */
async function stepped<T>(disk: SimulatedDisk, promise: Promise<T>): Promise<T> {
  let done = false
  const settle = (): void => {
    done = true
  }
  promise.then(settle, settle)
  await until(() => {
    disk.step()
    return done
  }, 'its end')
  return promise
}
