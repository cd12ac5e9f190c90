/** Who is handed what, and what it costs the server. */
import assert from 'node:assert/strict'
import { after, describe, mock, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Delivery, Driver } from '../../../src/client/driver.ts'
import { redisDriver } from '../../../src/drivers/redis/redis.ts'
import { brokenKeys } from '../../faults/redis-keys.ts'
import { freePort } from '../../servers/free-port.ts'
import { Proxy } from '../../servers/proxy.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'

const { skip } = await findRedis()
const shared = skip === false ? await RedisServer.start() : undefined
after(() => shared?.close())

let worlds = 0

async function open(prefix: string, port = shared?.port): Promise<Driver> {
  const driver = redisDriver(`redis://127.0.0.1:${port}?prefix=${prefix}`)
  await driver.open()
  return driver
}

async function send(driver: Driver, count: number, ttlMs?: number): Promise<void> {
  const one = {
    exchange: '',
    routingKey: 'q',
    properties: {},
    body: 'x',
    ...(ttlMs !== undefined && { ttlMs }),
  }
  await driver.publish(Array.from({ length: count }, () => one))
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; !(await holds()); waited += 10) {
    assert.ok(waited < 60_000, 'it does not come about')
    await sleep(10)
  }
}

/** Resolves when so many consumers have found the queue `q` empty, and wait to be told. */
async function untilWaiting(server: RedisServer, prefix: string, consumers: number): Promise<void> {
  await until(async () => (await server.command('SCARD', `${prefix}:{q}:waiting`)) === consumers)
}

describe('consumers on Redis', { skip }, () => {
  const server = shared as RedisServer

  test('one of higher priority is handed messages first while it has credit', async () => {
    const prefix = `consumers-${(worlds += 1)}`
    const driver = await open(prefix)
    await driver.declare({ queues: [{ name: 'q' }] })
    const low: Delivery[] = []
    const high: Delivery[] = []
    await driver.consume('q', { prefetch: 100 }, (delivery) => low.push(delivery))
    await driver.consume('q', { prefetch: 3, priority: 5 }, (delivery) => high.push(delivery))
    await untilWaiting(server, prefix, 2)
    await send(driver, 2)
    await until(() => high.length === 2)
    await send(driver, 8)
    await until(() => low.length + high.length === 10)
    assert.deepEqual([low.length, high.length], [7, 3])
    await high[0]?.settle({ type: 'ack' })
    await untilWaiting(server, prefix, 2)
    await send(driver, 1)
    await until(() => high.length === 4)
    assert.deepEqual(await brokenKeys(server, prefix), [])
    await driver.close()
    assert.deepEqual(await brokenKeys(server, prefix), [])
    const requests = (await server.command('KEYS', `${prefix}:{q}:requests:*`)) as string[]
    // Of the publisher: those of consumers that left are gone.
    assert.equal(requests.length, 1)
  })

  test('one of higher priority whose process is gone is not waited for', async () => {
    const prefix = `consumers-${(worlds += 1)}`
    const driver = await open(prefix)
    const proxy = await Proxy.start({ port: server.port })
    const other = await open(prefix, proxy.port)
    await driver.declare({ queues: [{ name: 'q' }] })
    const low: Delivery[] = []
    await driver.consume('q', { prefetch: 100 }, (delivery) => low.push(delivery))
    await other.consume('q', { prefetch: 100, priority: 5 }, () => assert.fail('nobody is there'))
    await untilWaiting(server, prefix, 2)
    proxy.cut()
    await sleep(50)
    await send(driver, 1)
    await until(() => low.length === 1)
    await Promise.all([driver.close(), other.close()])
    await proxy.close()
  })

  test('however many have expired, a call passes over a thousand at most', async () => {
    const prefix = `consumers-${(worlds += 1)}`
    const driver = await open(prefix)
    await driver.declare({ queues: [{ name: 'q' }] })
    await send(driver, 2_500, 1)
    await send(driver, 1)
    await sleep(10)
    const base = `${prefix}:{q}`
    await server.command('FCALL', 'millrace_join', '1', base, 'me.1', '30000', '0', 'me')
    const words = ['me.1', '1', '0', 'me.1', '30000', '1', '0']
    const reply = (await server.command('FCALL', 'millrace_work', '1', base, ...words)) as unknown[]
    assert.equal(reply[3], 0)
    assert.equal((await driver.stats('q')).expired, 1_000)
    const taken: Delivery[] = []
    await driver.consume('q', { prefetch: 1 }, (delivery) => taken.push(delivery))
    await until(() => taken.length === 1)
    assert.equal((await driver.stats('q')).expired, 2_500)
    await driver.close()
  })

  test('in a cluster, where nobody knows who hears at other nodes, a message wakes three at most', async () => {
    const busPort = String(await freePort())
    await using node = await RedisServer.start({
      settings: { 'cluster-enabled': 'yes', 'cluster-port': busPort },
    })
    await node.command('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await until(async () => String(await node.command('CLUSTER', 'INFO')).includes('cluster_state:ok'))
    const driver = redisDriver(`${node.url()}?cluster=yes`)
    await driver.open()
    await driver.declare({ queues: [{ name: 'q' }] })
    for (let index = 0; index < 10; index += 1) {
      const name = `away.${index}`
      await node.command('FCALL', 'millrace_join', '1', 'mq:{q}', name, '30000', '0', 'away')
      await node.command('FCALL', 'millrace_work', '1', 'mq:{q}', name, '1', '0', name, '30000', '1', '0')
    }
    assert.equal(await node.command('SCARD', 'mq:{q}:waiting'), 10)
    await send(driver, 1)
    assert.equal(await node.command('SCARD', 'mq:{q}:waiting'), 7)
    await driver.close()
  })

  test('the oldest of the ready ones may be waiting for its key', async () => {
    const prefix = `consumers-${(worlds += 1)}`
    const driver = await open(prefix)
    await driver.declare({ queues: [{ name: 'q' }] })
    const keyed = { exchange: '', routingKey: 'q', properties: {}, body: 'x', key: 'k' }
    await driver.publish([keyed, keyed])
    let held = 0
    await driver.consume('q', { prefetch: 2 }, () => (held += 1))
    await until(() => held === 1)
    await sleep(110)
    const { ready, oldestMs = 0 } = await driver.stats('q')
    assert.equal(ready, 1)
    assert.ok(oldestMs >= 100, `${oldestMs} ms`)
    assert.equal((await driver.browse('q', {})).messages.length, 1)
    assert.equal(await driver.purge('q'), 1)
    assert.deepEqual(await brokenKeys(server, prefix), [])
    await driver.close()
  })

  test('an idle worker costs next to nothing', async () => {
    await using idle = await RedisServer.start()
    // Its lease is not renewed meanwhile, however long the machine stands still.
    const driver = redisDriver(`${idle.url()}?lease=300000`)
    await driver.open()
    await driver.declare({ queues: [{ name: 'q' }] })
    await driver.consume('q', { prefetch: 10 }, () => undefined)
    await untilWaiting(idle, 'mq', 1)
    await idle.command('CONFIG', 'RESETSTAT')
    await sleep(5_000)
    const stats = String(await idle.command('INFO', 'commandstats'))
    const calls = [...stats.matchAll(/^cmdstat_(?!info|config|hello|client)([^:]+):calls=(\d+)/gm)]
    const said = calls.map(([, name, count]) => `${name}: ${count}`).join(', ')
    assert.ok(calls.reduce((sum, [, , count]) => sum + Number(count), 0) <= 2, said)
    await driver.close()
  })
})

describe('queues that go when nobody uses them', { skip }, () => {
  const server = shared as RedisServer

  /** The hour at which the driver looks after them comes when the test says so; then these are left, and stay. */
  async function swept(
    prefix: string,
    run: (driver: Driver, sweep: (...left: readonly string[]) => Promise<void>) => Promise<void>,
  ) {
    mock.timers.enable({ apis: ['setInterval'] })
    const driver = await open(prefix)
    try {
      await run(driver, async (...left) => {
        mock.timers.tick(20_000)
        const areLeft = async (): Promise<boolean> => (await driver.queues()).join() === left.join()
        await until(areLeft)
        await sleep(300)
        assert.ok(await areLeft(), (await driver.queues()).join())
      })
    } finally {
      mock.timers.reset()
      await driver.close()
    }
  }

  test('one that nobody used for so long is swept away, with its bindings; one that is consumed stays', async () => {
    const prefix = `swept-${(worlds += 1)}`
    await swept(prefix, async (driver, sweep) => {
      await driver.declare({
        exchanges: [{ name: 'events', kind: 'fanout' }],
        queues: [
          { name: 'unused', expiresMs: 200 },
          { name: 'used', expiresMs: 200 },
        ],
        bindings: [{ source: 'events', destination: 'unused', routingKey: '' }],
      })
      await driver.consume('used', { prefetch: 1 }, () => undefined)
      await sleep(250)
      await sweep('used')
      const [result] = await driver.publish([
        { exchange: 'events', routingKey: '', properties: {}, body: 'x', mandatory: true },
      ])
      assert.equal(result?.type, 'unroutable')
      assert.deepEqual(await server.command('KEYS', `${prefix}:{unused}*`), [])
    })
  })

  test('an exclusive one goes when its connection has died, and stays while that lives', async () => {
    const prefix = `swept-${(worlds += 1)}`
    const proxy = await Proxy.start({ port: server.port })
    const owner = await open(prefix, proxy.port)
    await owner.declare({ queues: [{ name: 'mine', exclusive: true }] })
    proxy.cut()
    await swept(prefix, async (driver, sweep) => {
      await driver.declare({ queues: [{ name: 'own', exclusive: true }] })
      await sweep('mine', 'own')
      // A minute later.
      await server.command('ZADD', `${prefix}:expiring`, '1', 'mine', '1', 'own')
      await sweep('own')
    })
    await owner.close()
    await proxy.close()
  })
})
