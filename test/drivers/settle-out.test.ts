/** What is published with a settlement: all of it together with the settlement, or nothing at all. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Broker } from '../../src/broker/broker.ts'
import { systemClock } from '../../src/broker/clock.ts'
import type { Delivery, Outgoing, QueueSpec } from '../../src/client/driver.ts'
import { InProcessDriver } from '../../src/drivers/in-process.ts'
import { memoryBroker, storedBroker, turn } from '../broker/harness.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { Random } from '../std/random.ts'

interface Bench {
  readonly broker: Broker
  readonly driver: InProcessDriver
  /** A message of the queue `in`, taken. */
  readonly taken: Delivery
}

function to(routingKey: string, more: Partial<Outgoing> = {}): Outgoing {
  return { exchange: '', routingKey, properties: {}, body: 'out', ...more }
}

async function connected(broker: Broker): Promise<InProcessDriver> {
  const lease = { broker, release: () => broker.close() }
  const driver = new InProcessDriver({ name: 'file', acquire: () => Promise.resolve(lease) })
  await driver.open()
  return driver
}

async function bench(broker = memoryBroker(), queues: readonly QueueSpec[] = []): Promise<Bench> {
  const driver = await connected(broker)
  await driver.declare({ queues: [{ name: 'in' }, { name: 'a' }, { name: 'b' }, ...queues] })
  await driver.publish([to('in')])
  const taken = await new Promise<Delivery>((resolve) => {
    void driver.consume('in', { prefetch: 1 }, resolve)
  })
  return { broker, driver, taken }
}

async function ready(driver: InProcessDriver, queue: string): Promise<number> {
  return (await driver.stats(queue)).ready
}

test('it is published, and the message is settled', async () => {
  const { driver, taken } = await bench()
  assert.equal(await taken.settle({ type: 'ack' }, [to('a'), to('b'), to('a'), to('nowhere')]), true)
  assert.deepEqual([await ready(driver, 'a'), await ready(driver, 'b')], [2, 1])
  assert.equal((await driver.stats('in')).unacked, 0)
  assert.equal(await taken.settle({ type: 'ack' }, [to('a')]), false)
  assert.equal(await ready(driver, 'a'), 2)
  await driver.close()
})

const limits = { maximumBodyBytes: 1_000, maximumHeaderBytes: 1_000 }
const refusals: readonly { what: string; out: readonly Outgoing[]; code: string }[] = [
  { what: 'an exchange that is not there', out: [to('a'), to('x', { exchange: 'gone' })], code: 'NOT_FOUND' },
  {
    what: 'mandatory and unroutable',
    out: [to('a'), to('nowhere', { mandatory: true })],
    code: 'UNROUTABLE',
  },
  {
    what: 'a body that is too large',
    out: [to('a'), to('a', { body: 'x'.repeat(1_001) })],
    code: 'MESSAGE_TOO_LARGE',
  },
  {
    what: 'headers that are too large',
    out: [to('a'), to('a', { properties: { headers: { page: 'x'.repeat(1_001) } } })],
    code: 'HEADERS_TOO_LARGE',
  },
  {
    what: 'copies to what is no list',
    out: [to('a'), to('a', { properties: { headers: { CC: 'a' } } })],
    code: 'PRECONDITION_FAILED',
  },
  { what: 'a wrong delay', out: [to('a'), to('a', { delayMs: -1 })], code: 'INVALID_ARGUMENT' },
  { what: 'a full queue', out: [to('a'), to('one'), to('one')], code: 'QUEUE_FULL' },
  { what: 'a queue full of bytes', out: [to('a'), to('bytes'), to('bytes')], code: 'QUEUE_FULL' },
  {
    what: 'one of two queues full',
    out: [to('a'), to('', { exchange: 'both' }), to('one')],
    code: 'QUEUE_FULL',
  },
]
const limited: readonly QueueSpec[] = [
  { name: 'one', maxLength: 1, overflow: 'reject-publish' },
  { name: 'bytes', maxLengthBytes: 5, overflow: 'reject-publish' },
]

for (const { what, out, code } of refusals) {
  test(`${what}: nothing is published, and the message stays to be settled`, async () => {
    const { driver, taken } = await bench(memoryBroker({ limits }), limited)
    const bindings = ['a', 'one'].map((destination) => ({ source: 'both', destination, routingKey: '' }))
    await driver.declare({ exchanges: [{ name: 'both', kind: 'fanout' }], bindings })
    await assert.rejects(taken.settle({ type: 'ack' }, out), { code })
    for (const queue of ['a', 'one', 'bytes']) assert.equal(await ready(driver, queue), 0, queue)
    assert.equal((await driver.stats('in')).unacked, 1)
    assert.equal(await taken.settle({ type: 'ack' }, [to('a'), to('one')]), true)
    assert.deepEqual([await ready(driver, 'a'), await ready(driver, 'one')], [1, 1])
    assert.equal((await driver.stats('in')).unacked, 0)
    await driver.close()
  })
}

test('what drops from its head is never full, nor is one whose message is only delayed', async () => {
  const queues: readonly QueueSpec[] = [...limited, { name: 'head', maxLength: 1 }]
  const { driver, taken } = await bench(memoryBroker(), queues)
  const out = [to('head'), to('head'), to('one'), to('one', { delayMs: 60_000 })]
  assert.equal(await taken.settle({ type: 'ack' }, out), true)
  assert.deepEqual([await ready(driver, 'head'), await ready(driver, 'one')], [1, 1])
  await driver.close()
})

test('headers route it as they do elsewhere', async () => {
  const { driver, taken } = await bench()
  const copied = to('nowhere', { mandatory: true, properties: { headers: { CC: ['a'], BCC: ['b'] } } })
  assert.equal(await taken.settle({ type: 'ack' }, [copied]), true)
  assert.deepEqual([await ready(driver, 'a'), await ready(driver, 'b')], [1, 1])
  await driver.close()
})

test('at a crash all of it is there and the message is gone, or none of it and the message is there', async () => {
  const outcomes = new Set<string>()
  // The dead process is this one: what it waits for must not keep it.
  const clock = { ...systemClock(), keepAlive: () => () => undefined }
  for (let haltAt = 1; haltAt < 60; haltAt += 1) {
    const disk = new SimulatedDisk({ random: new Random(haltAt) })
    const { taken, broker } = await bench(await storedBroker(disk, { clock }))
    await broker.whenDurable()
    disk.haltAt = disk.operations + haltAt
    taken.settle({ type: 'ack' }, [to('a'), to('b'), to('a')]).catch(() => undefined)
    for (let turns = 0; turns < 5; turns += 1) await turn()
    const driver = await connected(await storedBroker(disk.crash('chance')))
    outcomes.add(`${await ready(driver, 'in')} ${await ready(driver, 'a')} ${await ready(driver, 'b')}`)
    await driver.close()
  }
  assert.deepEqual([...outcomes].sort(), ['0 2 1', '1 0 0'])
})
