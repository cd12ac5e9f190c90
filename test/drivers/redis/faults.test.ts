/** A server that dies, freezes or is full: who sends and who works is told, waits, and goes on by itself. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Proxy } from '../../servers/proxy.ts'
import { follow } from '../../servers/redis-sentinel.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'
import { Clients, codeOf, keepSending, keepWorking, listen, until } from './world.ts'

const { skip } = await findRedis()

/** So short that a test may wait for it, and so long that a server which stands still for a while answers in time. */
const heartbeatMs = 3_000
const usualHeartbeatMs = 15_000

describe('redis: faults', { skip }, () => {
  for (const harm of ['kill', 'stop'] as const) {
    test(`a server that is down for a while (${harm}): all that was stored comes, and nothing is lost`, async () => {
      await using server = await RedisServer.start({ sync: 'always' })
      await using clients = new Clients()
      const mq = await clients.connect(server.url())
      const heard = listen(mq)
      const seen = await keepWorking(mq)
      const sending = keepSending(mq)
      for (let round = 1; round <= 3; round += 1) {
        const { size } = sending.stored
        await until('some are stored', () => sending.stored.size > size + 20)
        await server[harm]()
        await until('it is down', () => heard.down === round)
        await server.boot()
        await until('it is up', () => heard.up === round)
      }
      await sending.stop()
      await until('all came', () => [...sending.stored].every((number) => seen.has(number)))
      // Requests whose answer was lost were made again, and done once.
      assert.deepEqual([...sending.codes], [])
      assert.equal(heard.lost, 0)
      if (harm === 'stop') assert.deepEqual([...new Set(seen.values())], [1])
    })
  }

  test('a server that is stopped in its tracks is noticed by the heartbeat, and nothing is stored twice', async () => {
    await using server = await RedisServer.start({ sync: 'always' })
    await using proxy = await Proxy.start({ port: server.port })
    await using clients = new Clients()
    const mq = await clients.connect(`redis://127.0.0.1:${proxy.port}?heartbeat=${heartbeatMs}`)
    const heard = listen(mq)
    const queue = mq.queue<number>('q')
    await queue.send(1)
    server.freeze()
    const startMs = performance.now()
    const waiting = queue.send(2)
    await until('it is down', () => heard.down === 1)
    assert.ok(performance.now() - startMs < usualHeartbeatMs, 'by the heartbeat that was asked for')
    const { accepted } = proxy
    const fromMs = performance.now()
    await delay(1_000)
    const seconds = Math.ceil((performance.now() - fromMs) / 1_000)
    assert.ok(proxy.accepted - accepted < 6 * seconds, 'it does not spin')
    assert.equal(await codeOf(queue.send(3, { signal: AbortSignal.timeout(50) })), 'ABORTED')
    server.thaw()
    await waiting
    await until('it is up', () => heard.up === 1)
    const data = (await queue.browse()).map((job) => job.data)
    assert.deepEqual(data.slice(0, 2), [1, 2])
    assert.equal(data.filter((number) => number === 2).length, 1)
  })

  test('a server that still reads its data is not there yet: who connects is told, who was connected waits', async () => {
    // It reads for a quarter of a minute, or until it is told to go on.
    const slow = { 'key-load-delay': '5000', 'loading-process-events-interval-bytes': '1024' }
    await using server = await RedisServer.start({ settings: slow })
    await using clients = new Clients()
    const mq = await clients.connect(server.url())
    await mq.queue('q').send('kept')
    await server.command(
      'EVAL',
      "for i = 1, 3000 do redis.call('SET', 'k' .. i, string.rep('x', 100)) end",
      '0',
    )
    await server.command('SAVE')
    await server.kill()
    const booting = server.boot()
    const waiting = mq.queue('q').send('waits')
    let isTold = false
    for (;;) {
      const error = await clients.connect(server.url()).then(
        () => undefined,
        (refusal: unknown) => refusal,
      )
      if (error === undefined) break
      assert.equal((error as { code: string }).code, 'UNREACHABLE')
      if (/not ready yet.*LOADING/.test((error as Error).message)) isTold = true
      if (isTold) await server.command('CONFIG', 'SET', 'key-load-delay', '0')
      await delay(20)
    }
    assert.ok(isTold, 'it was reading when it was asked')
    await booting
    await waiting
    assert.deepEqual(
      (await mq.queue('q').browse()).map((job) => job.data),
      ['kept', 'waits'],
    )
  })

  test('a server out of memory blocks who sends, refuses who declares, and lets workers make room', async () => {
    await using server = await RedisServer.start()
    await using clients = new Clients()
    const mq = await clients.connect(server.url())
    const heard = listen(mq)
    const queue = mq.queue<string>('q')
    await queue.sendMany(Array.from({ length: 64 }, () => 'x'.repeat(64 * 1_024)))
    // Half of the messages: what the server frees by itself meanwhile leaves it full, and workers make room.
    const full = Number(await server.info('used_memory')) - 2 * 1_024 * 1_024
    await server.command('CONFIG', 'SET', 'maxmemory', String(full))
    const waiting = queue.send('waits')
    await until('it is full', () => heard.blocked === 1)
    assert.equal(await codeOf(mq.queue('other').declare()), 'BLOCKED')
    assert.equal(await codeOf(queue.send('no', { signal: AbortSignal.timeout(100) })), 'ABORTED')
    assert.equal((await queue.stats()).ready, 64, 'and it can be looked at')
    const done: string[] = []
    const worker = queue.work((job) => void done.push(job.data), { concurrency: 10 })
    // Scripts are refused as a whole: there somebody has to give it memory.
    if (Number.parseInt(await server.info('redis_version'), 10) < 7) {
      await server.command('CONFIG', 'SET', 'maxmemory', '0')
    }
    await until('all is done', () => done.includes('waits') && done.length >= 65)
    await waiting
    await until('it is free', () => heard.unblocked === heard.blocked)
    await mq.queue('other').declare()
    await worker.close()
  })

  test('a server that has become a replica is not written to, until it is a primary again', async () => {
    await using server = await RedisServer.start()
    await using other = await RedisServer.start()
    await using clients = new Clients()
    const mq = await clients.connect(server.url())
    const heard = listen(mq)
    await mq.queue('q').send('before')
    await follow(server, other)
    const calledOff = new AbortController()
    const waiting = codeOf(mq.queue('q').send('while it is a replica', { signal: calledOff.signal }))
    await until('it is down', () => heard.down === 1)
    await delay(500)
    calledOff.abort()
    assert.equal(await waiting, 'ABORTED')
    assert.equal(heard.up, 0)
    await server.command('REPLICAOF', 'NO', 'ONE')
    await until('it is up', () => heard.up === 1)
    // What it had is gone: it was the other's replica.
    await mq.queue('q').send('after')
    assert.equal(heard.lost, 1)
    assert.ok((await mq.queue('q').stats()).ready >= 1)
  })
})
