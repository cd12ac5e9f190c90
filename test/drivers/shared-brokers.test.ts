/** Connections of one process that share a broker, opened and closed in any order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Broker } from '../../src/broker/broker.ts'
import { SharedBrokers } from '../../src/drivers/shared-brokers.ts'
import { fileDriver } from '../../src/drivers/file.ts'
import { InProcessDriver } from '../../src/drivers/in-process.ts'
import type { Lease } from '../../src/drivers/in-process.ts'
import { connect } from '../../src/index.ts'
import { storedBroker, turn } from '../broker/harness.ts'
import { Random } from '../std/random.ts'
import { SimulatedDisk } from '../sim/disk.ts'
import { withFolder } from './folder.ts'

/** Opens brokers one after another on one disk, which lets only one at a time have it. */
function counting(): { open: () => Promise<Broker>; opened: Broker[]; disk: SimulatedDisk } {
  const opened: Broker[] = []
  const disk = new SimulatedDisk({ random: new Random(1) })
  const open = async (): Promise<Broker> => {
    const broker = await storedBroker(disk)
    opened.push(broker)
    return broker
  }
  return { open, opened, disk }
}

/** A connection that is not open yet, and somebody else who keeps its broker open. */
async function sharing(): Promise<{ keeper: Lease; driver: InProcessDriver }> {
  const { open } = counting()
  const brokers = new SharedBrokers()
  const keeper = await brokers.acquire('key', open)
  return {
    keeper,
    driver: new InProcessDriver({ name: 'file', acquire: () => brokers.acquire('key', open) }),
  }
}

test('all who ask at once share one broker, which closes with the last of them', async () => {
  const { open, opened } = counting()
  const brokers = new SharedBrokers()
  const leases = await Promise.all([1, 2, 3].map(() => brokers.acquire('key', open)))
  assert.equal(opened.length, 1)
  await leases[0]?.release()
  await leases[0]?.release()
  await leases[1]?.release()
  assert.equal(opened[0]?.state, 'open')
  await leases[2]?.release()
  assert.equal(opened[0]?.state, 'closed')
})

test('who comes while it closes waits, and shares the next one', async () => {
  const { open, opened } = counting()
  const brokers = new SharedBrokers()
  const first = await brokers.acquire('key', open)
  const closing = first.release()
  const [second, third] = await Promise.all([brokers.acquire('key', open), brokers.acquire('key', open)])
  await closing
  assert.equal(opened.length, 2)
  assert.equal(second.broker, third.broker)
  assert.notEqual(second.broker, first.broker)
  await Promise.all([second.release(), third.release()])
})

test('opened and closed in any order, at most one has the folder at a time and none is left open', async () => {
  const { open, opened } = counting()
  const brokers = new SharedBrokers()
  const random = new Random(7)
  const use = async (): Promise<void> => {
    for (let round = 0; round < 20; round += 1) {
      for (let turns = random.below(3); turns > 0; turns -= 1) await turn()
      const lease = await brokers.acquire('key', open)
      assert.equal(lease.broker.state, 'open')
      if (random.below(2) === 0) await turn()
      const released = lease.release()
      if (random.below(2) === 0) await released
    }
  }
  await Promise.all(Array.from({ length: 8 }, use))
  const last = await brokers.acquire('key', open)
  await last.release()
  assert.ok(opened.length > 1)
  assert.ok(opened.every((broker) => broker.state === 'closed'))
})

test('connections of one process to one folder agree on when it is synced', () =>
  withFolder(async (folder) => {
    const url = `file:${folder}/data`
    await using first = await connect(`${url}?sync=os`)
    await assert.rejects(connect(url), { code: 'CONFLICT', message: /sync=os, and not with sync=group/ })
    await using second = await connect(`${url}?sync=os`)
    await Promise.all([first.close(), second.close()])
    await using third = await connect(url)
    await third.queue('q').send(1)
  }))

test('a failed opening fails all who wait for it, and the next tries again', async () => {
  const { open } = counting()
  const brokers = new SharedBrokers()
  let tries = 0
  const flaky = (): Promise<Broker> =>
    (tries += 1) === 1 ? Promise.reject(new Error('no disk yet')) : open()
  const results = await Promise.allSettled([brokers.acquire('key', flaky), brokers.acquire('key', flaky)])
  assert.deepEqual(
    results.map((result) => result.status),
    ['rejected', 'rejected'],
  )
  const lease = await brokers.acquire('key', flaky)
  assert.equal(tries, 2)
  await lease.release()
})

test('a broker that failed lets go of its folder while connections still hold it, and the next is a new one', async () => {
  const { open, opened, disk } = counting()
  const brokers = new SharedBrokers()
  const driver = new InProcessDriver({ name: 'file', acquire: () => brokers.acquire('key', open) })
  await driver.open()
  const downs: Error[] = []
  driver.events.on('down', (error) => downs.push(error))
  let ended: Error | undefined
  await driver.declare({ queues: [{ name: 'q' }] })
  await driver.consume('q', { prefetch: 1, onCancelled: (error) => (ended = error) }, () => undefined)
  disk.faults.push({ operation: 'sync', path: /./, code: 'EIO', times: 1 })
  const message = { exchange: '', routingKey: 'q', properties: {}, body: 'lost' }
  await assert.rejects(driver.publish([message]), { code: 'STORE_FAILED' })
  await turn()
  assert.equal(downs.length, 1)
  assert.equal((ended as (Error & { code: string }) | undefined)?.code, 'STORE_FAILED')
  const next = await brokers.acquire('key', open)
  assert.equal(next.broker.state, 'open')
  assert.equal(opened.length, 2)
  await driver.close()
  assert.equal(next.broker.state, 'open')
  await next.release()
})

test('an iterator and a worker are told when the store fails, and close ends all the same', async () => {
  const { open, disk } = counting()
  const brokers = new SharedBrokers()
  const { Client } = await import('../../src/index.ts')
  const driver = new InProcessDriver({ name: 'file', acquire: () => brokers.acquire('key', open) })
  const mq = new Client(driver, await driver.open())
  const worker = mq.queue('worked').work(() => undefined)
  const workerError = new Promise<Error>((resolve) => worker.on('error', resolve))
  await worker.ready
  const messages = mq.queue('pulled').consume()
  const next = messages.next()
  await mq.queue('other').send(1)
  disk.faults.push({ operation: 'write', path: /./, code: 'EIO', times: 1 })
  await assert.rejects(mq.queue('other').send(2), { code: 'STORE_FAILED' })
  await assert.rejects(next, { code: 'STORE_FAILED' })
  assert.equal(((await workerError) as Error & { code: string }).code, 'STORE_FAILED')
  await mq.close()
  const again = await brokers.acquire('key', open)
  await again.release()
})

test('many connections come and go on a broker that stays, and leave no listener', async () => {
  const { open } = counting()
  const brokers = new SharedBrokers()
  const keeper = await brokers.acquire('key', open)
  const count = (): number =>
    (['blocked', 'unblocked', 'failed', 'warning'] as const).reduce(
      (sum, name) => sum + keeper.broker.events.listenerCount(name),
      0,
    )
  const before = count()
  for (let round = 0; round < 20; round += 1) {
    const driver = new InProcessDriver({ name: 'file', acquire: () => brokers.acquire('key', open) })
    await driver.open()
    await driver.close()
  }
  assert.equal(count(), before)
  await keeper.release()
})

test('connect that is called off lets go of what it was opening', () =>
  withFolder(async (folder) => {
    const controller = new AbortController()
    const opening = connect(`file:${folder}/data`, { signal: controller.signal })
    setImmediate(() => controller.abort())
    await assert.rejects(opening, { code: 'ABORTED' })
    await assert.rejects(connect(`file:${folder}/data`, { signal: AbortSignal.abort() }), { code: 'ABORTED' })
    const driver = fileDriver(`file:${folder}/data`)
    await driver.open()
    await driver.close()
  }))

test('what the opening found out is told to who listens after connect', () =>
  withFolder(async (folder) => {
    const url = `file:${folder}/data`
    const mq = await connect(url)
    await mq.queue('q').send(1)
    await mq.close()
    const { writeFile } = await import('node:fs/promises')
    await writeFile(`${folder}/data/FORMAT`, 'scratched')
    await using again = await connect(url, { namespace: 'another' })
    const warnings: string[] = []
    again.on('warning', (text) => warnings.push(text))
    await again.queue('q').send(1)
    assert.match(warnings.join(), /FORMAT/)
  }))

test('deliveries can be settled while the connection drains', async () => {
  const { keeper, driver } = await sharing()
  await driver.open()
  await driver.declare({ queues: [{ name: 'q' }] })
  await driver.publish([{ exchange: '', routingKey: 'q', properties: {}, body: 'slow' }])
  let settled: boolean | undefined
  const taken = new Promise<void>((resolve) => {
    void driver.consume('q', { prefetch: 1 }, (delivery) => {
      setTimeout(() => void delivery.settle({ type: 'ack' }).then((held) => (settled = held)), 20)
      resolve()
    })
  })
  await taken
  await driver.close({ drainMs: 60_000 })
  assert.equal(settled, true)
  assert.equal(keeper.broker.engine.vhost('/').queues.get('q')?.readyMessages, 0)
  await keeper.release()
})

test('who connects while publishers wait is told so', async () => {
  const { keeper, driver } = await sharing()
  keeper.broker.gate.set('test', true)
  await driver.open()
  const events: string[] = []
  driver.events.on('blocked', (reason) => events.push(reason)).on('unblocked', () => events.push('open'))
  await turn()
  keeper.broker.gate.set('test', false)
  assert.deepEqual(events, ['test', 'open'])
  await driver.close()
  await keeper.release()
})

test('what waits for room is told CLOSED when its own connection closes, though the broker stays', async () => {
  const { keeper, driver } = await sharing()
  await driver.open()
  await driver.declare({ queues: [{ name: 'q' }] })
  keeper.broker.gate.set('test', true)
  const message = { exchange: '', routingKey: 'q', properties: {}, body: 'held back' }
  const { signal } = new AbortController()
  const sent = [driver.publish([message]), driver.publish([message], { signal })]
  const refused = Promise.all(sent.map((one) => assert.rejects(one, { code: 'CLOSED' })))
  await turn()
  await driver.close()
  await refused
  keeper.broker.gate.set('test', false)
  await turn()
  assert.equal(keeper.broker.engine.vhost('/').queues.get('q')?.depth, 0)
  await keeper.release()
})
