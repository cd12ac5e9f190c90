/** What a broker does in one turn of the event loop, and that others have theirs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '../../src/index.ts'
import { Random } from '../std/random.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { connectTo, memoryBroker, storedBroker, turn, until } from './harness.ts'

test('a turn delivers a bounded number, and the rest comes in the next ones', async () => {
  const broker = memoryBroker({ limits: { deliveriesPerTurn: 10 } })
  const { session, holder, publish, consume } = connectTo(broker)
  for (let n = 0; n < 200; n += 1) publish(`${n}`)
  await turn()
  holder.onDelivered = (delivery) => {
    // Each acknowledgement asks for the next delivery, within the turn.
    session.settleAck(delivery.deliveryTag)
    broker.wake()
  }
  consume(5)
  let turns = 0
  let before = 0
  while (holder.deliveries.length < 200) {
    await turn()
    turns += 1
    const delivered = holder.deliveries.length - before
    before = holder.deliveries.length
    assert.ok(delivered <= 20, `${delivered} in one turn`)
    assert.ok(Math.max(...holder.dispatches) <= 10, 'not more at once than a turn may have')
    assert.ok(turns < 100)
    broker.invariants()
  }
  assert.deepEqual(
    holder.deliveries.map((delivery) => delivery.entry.message.body),
    Array.from({ length: 200 }, (_, n) => `${n}`),
  )
  await broker.close()
})

test('what a new limit makes too much is dropped over many turns', async () => {
  const broker = memoryBroker()
  const { session, publish } = connectTo(broker)
  for (let n = 0; n < 20_000; n += 1) publish(`${n}`)
  await turn()
  const policy = { vhost: 'default', name: 'p', operator: false, pattern: '', priority: 0 } as const
  broker.engine.policies.set(
    { ...policy, applyTo: 'queues', definition: { 'max-length': 1 } },
    broker.nowMs(),
  )
  broker.wake()
  let turns = 0
  while (session.queue('q').readyMessages > 1) {
    await turn()
    turns += 1
  }
  assert.ok(turns >= 5, `all of it in ${turns}`)
  await broker.close()
})

test('timers run while sends and handlers loop without pause', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue<number>('q')
  const worker = queue.work(async (job) => {
    await queue.send(job.data + 1)
  })
  await worker.ready
  await queue.sendMany([1, 2, 3])
  let looping = true
  const loop = async (): Promise<void> => {
    while (looping) await queue.send(0)
  }
  const sending = loop()
  // Starved, they would never run, and this test would not end.
  for (let ticks = 0; ticks < 8; ticks += 1) await sleep(5)
  looping = false
  await sending
  await worker.close()
})

test('handlers that only acknowledge let timers run', async () => {
  await using mq = await connect('memory:')
  const queue = mq.queue<number>('q')
  await queue.sendMany(Array.from({ length: 50_000 }, (_, n) => n))
  let acked = 0
  let ackedAtTimer = -1
  setTimeout(() => (ackedAtTimer = acked), 1)
  queue.work(() => (acked += 1), { concurrency: 1 })
  while (acked < 50_000) await turn()
  assert.ok(ackedAtTimer >= 0 && ackedAtTimer < 50_000, `the timer ran after ${ackedAtTimer}`)
})

test('all who ask in one turn share one promise of durability, and the next turn has its own', async () => {
  for (const broker of [memoryBroker(), await storedBroker(new SimulatedDisk({ random: new Random(1) }))]) {
    const { publish } = connectTo(broker)
    await broker.whenDurable()
    publish('one')
    const first = broker.whenDurable()
    publish('two')
    assert.equal(broker.whenDurable(), first)
    await first
    publish('three')
    assert.notEqual(broker.whenDurable(), first)
    await broker.whenDurable()
    broker.invariants()
    await broker.close()
  }
})

test('what is settled in one turn shares one promise', async () => {
  const broker = await storedBroker(new SimulatedDisk({ random: new Random(1) }))
  const { session, holder, publish, consume } = connectTo(broker)
  consume(10)
  publish('one')
  publish('two')
  await until(() => holder.deliveries.length === 2, 'the deliveries')
  const settled = holder.deliveries.map((delivery) => {
    session.settleAck(delivery.deliveryTag)
    return broker.whenSettled()
  })
  assert.equal(settled[0], settled[1])
  assert.equal(await settled[0], true)
  await broker.close()
})
