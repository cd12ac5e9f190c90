/**
 * Each call of the driver whose reply is lost: the connection goes when the server has done it, and when it has not yet heard of
 * it. Made again, it is done once, and tells what it would have told.
 */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Delivery, Driver, Outgoing, QueueStats } from '../../../src/client/driver.ts'
import { redisDriver } from '../../../src/drivers/redis/redis.ts'
import { brokenKeys } from '../../faults/redis-keys.ts'
import { Proxy } from '../../servers/proxy.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'

const { skip } = await findRedis()
const server = skip === false ? await RedisServer.start() : undefined
after(() => server?.close())

let worlds = 0

/** A driver behind a proxy, with the queues `work` (its dead go to `dead`) and `other`. */
class World {
  readonly prefix = `lost-${(worlds += 1)}`
  #proxy: Proxy | undefined
  #driver: Driver | undefined

  static async make(): Promise<World> {
    const world = new World()
    world.#proxy = await Proxy.start({ port: server?.port ?? 0 })
    world.#driver = redisDriver(`redis://127.0.0.1:${world.#proxy.port}?prefix=${world.prefix}`)
    await world.driver.open()
    const deadLetter = { exchange: '', routingKey: 'dead' }
    await world.driver.declare({
      queues: [{ name: 'work', deadLetter }, { name: 'dead' }, { name: 'other' }],
    })
    return world
  }

  get driver(): Driver {
    return this.#driver as Driver
  }

  get proxy(): Proxy {
    return this.#proxy as Proxy
  }

  async send(count: number, extra: Partial<Outgoing> = {}): Promise<void> {
    const one = { exchange: '', routingKey: 'work', properties: {}, body: 'x', ...extra }
    await this.driver.publish(Array.from({ length: count }, () => one))
  }

  async counts(queue: string): Promise<Partial<QueueStats>> {
    const { ready, unacked, delayed, published, acked, dropped } = await this.driver.stats(queue)
    return { ready, unacked, delayed, published, acked, dropped }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver?.close()
    await this.#proxy?.close()
  }
}

const nothing = { ready: 0, unacked: 0, delayed: 0, published: 0, acked: 0, dropped: 0 }

interface Case {
  /** What is said on the wire when it is cut; absent: `run` cuts it. */
  readonly at?: string
  readonly call: string
  readonly prepare?: (world: World) => Promise<void>
  readonly run: (world: World, before: boolean) => Promise<unknown>
  readonly told: unknown
  readonly work: Partial<QueueStats>
  readonly other?: Partial<QueueStats>
}

const cases: readonly Case[] = [
  {
    call: 'publish',
    at: 'millrace_publish',
    run: ({ driver }) =>
      driver.publish([
        { exchange: '', routingKey: 'work', properties: {}, body: '1' },
        { exchange: '', routingKey: 'work', properties: {}, body: '2' },
      ]),
    told: [{ type: 'stored' }, { type: 'stored' }],
    work: { ...nothing, ready: 2, published: 2 },
  },
  {
    call: 'publish, de-duplicated',
    at: 'millrace_publish',
    run: ({ driver }) =>
      driver.publish([
        {
          exchange: '',
          routingKey: 'work',
          properties: { messageId: 'a' },
          body: '1',
          dedupe: { key: 'k', windowMs: 60_000 },
        },
      ]),
    told: [{ type: 'stored' }],
    work: { ...nothing, ready: 1, published: 1 },
  },
  {
    call: 'claim',
    at: 'millrace_work',
    prepare: (world) => world.send(3),
    run: async ({ driver }) => {
      const taken: Delivery[] = []
      await driver.consume('work', { prefetch: 3 }, (delivery) => taken.push(delivery))
      for (let waited = 0; taken.length < 3 && waited < 60_000; waited += 10) await sleep(10)
      await sleep(100)
      return taken.map(({ attempt }) => attempt)
    },
    told: [1, 1, 1],
    work: { ...nothing, unacked: 3, published: 3 },
  },
  ...(['ack', 'retry', 'release', 'dead'] as const).map((type): Case => {
    const outcome = { ack: { type: 'ack' }, retry: { type: 'retry', delayMs: 60_000 } } as const
    const others = {
      release: { type: 'release', delayMs: 60_000 },
      dead: { type: 'dead', reason: 'no' },
    } as const
    const work = {
      ack: { ...nothing, published: 1, acked: 1 },
      dead: { ...nothing, published: 1 },
      retry: { ...nothing, published: 1, delayed: 1 },
      release: { ...nothing, published: 1, delayed: 1 },
    }
    return {
      call: `settle: ${type}`,
      prepare: (world) => world.send(1),
      run: async ({ driver, proxy }, before) => {
        const delivery = await takeOne(driver)
        // It goes with the next request of its consumer.
        void proxy.cutAt('millrace_work', { before })
        return delivery.settle({ ...outcome, ...others }[type])
      },
      told: true,
      work: work[type],
    }
  }),
  ...(['fetch', 'import', 'strike'] as const).map((step): Case => ({
    call: `dead-letter, at ${step}`,
    at: `millrace_${step}`,
    prepare: (world) => world.send(1),
    run: async (world) => {
      const delivery = await takeOne(world.driver)
      await delivery.settle({ type: 'dead', reason: 'no' })
      return (await world.driver.stats('dead')).ready
    },
    told: 1,
    work: { ...nothing, published: 1 },
  })),
  ...(['send', 'fetch', 'import', 'strike'] as const).map((step): Case => ({
    call: `move, at ${step}`,
    at: `millrace_${step}`,
    prepare: (world) => world.send(20),
    run: ({ driver }) => driver.move('work', 'other', { limit: 5 }),
    told: 5,
    work: { ...nothing, ready: 15, published: 15 },
    other: { ...nothing, ready: 5, published: 5 },
  })),
  {
    call: 'purge',
    at: 'millrace_purge',
    prepare: (world) => world.send(1_500),
    run: ({ driver }) => driver.purge('work'),
    told: 1_500,
    work: { ...nothing, published: 1_500, dropped: 1_500 },
  },
  {
    call: 'cancel of a delayed message',
    at: 'millrace_cancel',
    prepare: (world) => world.send(1, { delayMs: 60_000, properties: { messageId: 'a' } }),
    run: ({ driver }) => driver.cancelDelayed('work', 'a'),
    told: 1,
    work: { ...nothing, published: 1, dropped: 1 },
  },
  {
    call: 'declare',
    at: 'millrace_declare',
    run: async ({ driver }) => {
      await driver.declare({ queues: [{ name: 'new' }] })
      return (await driver.queues()).join()
    },
    told: 'dead,new,other,work',
    work: nothing,
  },
  {
    call: 'declare, at create',
    at: 'millrace_create',
    run: async ({ driver }) => {
      await driver.declare({ queues: [{ name: 'new' }] })
      return (await driver.stats('new')).ready
    },
    told: 0,
    work: nothing,
  },
  {
    call: 'bind',
    at: 'millrace_declare',
    prepare: ({ driver }) => driver.declare({ exchanges: [{ name: 'events', kind: 'fanout' }] }),
    run: async ({ driver }) => {
      await driver.declare({ bindings: [{ source: 'events', destination: 'work', routingKey: '' }] })
      return driver.publish([{ exchange: 'events', routingKey: '', properties: {}, body: '1' }])
    },
    told: [{ type: 'stored' }],
    work: { ...nothing, ready: 1, published: 1 },
  },
  {
    call: 'delete',
    at: 'millrace_delete',
    run: async ({ driver }) => {
      await driver.undeclare({ queues: [{ name: 'other' }] })
      return (await driver.queues()).join()
    },
    told: 'dead,work',
    work: nothing,
  },
]

async function takeOne(driver: Driver): Promise<Delivery> {
  return new Promise((taken, failed) => {
    driver.consume('work', { prefetch: 1 }, taken).catch(failed)
  })
}

test('a send to one of very many queues is done once too', { skip }, async () => {
  await using world = await World.make()
  const { driver, proxy } = world
  const to = (routingKey: string): Outgoing => ({ exchange: '', routingKey, properties: {}, body: 'x' })
  await driver.publish(Array.from({ length: 1_100 }, (_, index) => to(`nowhere-${index}`)))
  for (let count = 1; count <= 3; count += 1) {
    const cut = proxy.cutAt('millrace_publish')
    assert.deepEqual(await driver.publish([to('work')]), [{ type: 'stored' }])
    await cut
    assert.equal((await driver.stats('work')).ready, count)
  }
})

describe('a call whose connection goes is made again, and done once', { skip }, () => {
  for (const { call, at, prepare, run, told, work, other } of cases) {
    for (const before of [false, true]) {
      test(`${call}: cut ${before ? 'before the server heard of it' : 'when the server had done it'}`, async () => {
        await using world = await World.make()
        await prepare?.(world)
        const accepted = world.proxy.accepted
        if (at !== undefined) void world.proxy.cutAt(at, { before })
        assert.deepEqual(await run(world, before), told)
        assert.ok(world.proxy.accepted > accepted, 'nothing was cut')
        assert.deepEqual(await world.counts('work'), work)
        if (other !== undefined) assert.deepEqual(await world.counts('other'), other)
        assert.deepEqual(await brokenKeys(server as RedisServer, world.prefix), [])
      })
    }
  }
})
