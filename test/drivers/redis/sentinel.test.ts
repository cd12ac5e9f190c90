/** Replicas: what is confirmed by one survives the primary, and the client finds the next one, by sentinels or by itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { follow, RedisSentinels } from '../../servers/redis-sentinel.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'
import { Clients, codeOf, documentedRights, keepSending, keepWorking, listen, until } from './world.ts'

const { skip } = await findRedis()

test(
  'the primary is killed, the next one is frozen: sentinels name another, and nothing confirmed is lost',
  { skip },
  async () => {
    await using group = await RedisSentinels.start()
    await using clients = new Clients()
    const mq = await clients.connect(`${group.url()}?wait=1&heartbeat=300&lease=3000`)
    const heard = listen(mq)
    const sending = keepSending(mq)
    for (const harm of ['kill', 'freeze'] as const) {
      await until('some are stored', () => sending.stored.size > 20)
      const before = await group.primary()
      await before[harm]()
      await until('another is the primary', async () => (await group.primary()) !== before)
      const { size } = sending.stored
      await until('more are stored', () => sending.stored.size > size + 20)
      if (harm === 'kill') {
        // The one that is frozen next is to leave another behind that has all it had.
        await before.boot()
        await follow(before, await group.primary())
      } else before.thaw()
    }
    await sending.stop()
    const seen = await keepWorking(mq)
    await until('all came', () => [...sending.stored].every((number) => seen.has(number)))
    assert.deepEqual([...sending.codes], [])
    assert.ok(heard.down >= 2)
    assert.equal(heard.lost, 0)
    assert.equal(await codeOf(clients.connect(group.url().replace('mymaster', 'nobody'))), 'NOT_FOUND')
    // Sentinels and servers have users of their own.
    for (const sentinel of group.sentinels) {
      await sentinel.command('ACL', 'SETUSER', 'watcher', 'on', '>seen', '+@all')
    }
    for (const server of group.servers) await server.command(...documentedRights())
    const url = group.url().replace('//', '//app:secret@')
    const watcher = 'sentinel_username=watcher&sentinel_password'
    assert.equal(await codeOf(clients.connect(`${url}/0?${watcher}=seen`)), 'none')
    assert.equal(await codeOf(clients.connect(`${url}/0?${watcher}=wrong`)), 'ACCESS_REFUSED')
    assert.equal(await codeOf(clients.connect(url.replace('secret', 'wrong'))), 'ACCESS_REFUSED')
    await assert.rejects(clients.connect('redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster'), {
      code: 'UNREACHABLE',
      message: /sentinel/,
    })
  },
)

test(
  'a server where a sentinel is meant, and a sentinel where a server is, are told apart: each says what to write',
  { skip },
  async () => {
    await using server = await RedisServer.start()
    await using sentinel = await RedisServer.start({
      sentinel: [`sentinel monitor mymaster 127.0.0.1 ${server.port} 1`],
    })
    await using clients = new Clients()
    const asSentinel = `redis+sentinel://127.0.0.1:${server.port}`
    await assert.rejects(clients.connect(`${asSentinel}/mymaster/3`), {
      code: 'PRECONDITION_FAILED',
      message:
        `127.0.0.1:${server.port} is a Redis, but not a sentinel; to use this server write ` +
        `redis://127.0.0.1:${server.port}/3, or give the addresses of sentinels (their port is 26379 by default)`,
    })
    await assert.rejects(clients.connect(sentinel.url()), {
      code: 'PRECONDITION_FAILED',
      message:
        `redis://127.0.0.1:${sentinel.port} is a sentinel, and keeps no messages; write redis+sentinel://127.0.0.1:${sentinel.port}/NAME ` +
        "with the primary's name ('redis-cli -p 26379 SENTINEL MASTERS' lists them), or the address of a server",
    })
    // One that is none does not hide those that are.
    const both = `${asSentinel},127.0.0.1:${sentinel.port}/mymaster`
    assert.equal(await codeOf(clients.connect(both)), 'none')
  },
)

test(
  'of several servers the primary is found, also when it changes; a replica alone is refused',
  { skip },
  async () => {
    await using first = await RedisServer.start()
    await using second = await RedisServer.start()
    await using clients = new Clients()
    await follow(second, first)
    await assert.rejects(clients.connect(second.url()), {
      code: 'PRECONDITION_FAILED',
      message: new RegExp(`replica of 127.0.0.1:${first.port}`),
    })
    const mq = await clients.connect(`redis://127.0.0.1:${second.port},127.0.0.1:${first.port}?lease=3000`)
    const heard = listen(mq)
    const seen = await keepWorking(mq)
    const sending = keepSending(mq)
    await until('some are stored', () => sending.stored.size > 20)
    // An operator swaps them: connections stay, and writes are READONLY from now on.
    await second.command('REPLICAOF', 'NO', 'ONE')
    await first.command('REPLICAOF', '127.0.0.1', String(second.port))
    const { size } = sending.stored
    await until('it writes to the other', () => sending.stored.size > size + 20)
    await sending.stop()
    const last = Math.max(...sending.stored)
    await until('its worker came along', () => seen.has(last))
    assert.deepEqual([...sending.codes], [])
    assert.ok(heard.down >= 1)
  },
)

test(
  'with wait a send resolves when a replica has it, and waits for one, over a lost connection too',
  { skip },
  async () => {
    await using primary = await RedisServer.start()
    await using replica = await RedisServer.start()
    await using clients = new Clients()
    await follow(replica, primary)
    const mq = await clients.connect(`${primary.url()}?wait=1`)
    const heard = listen(mq)
    const queue = mq.queue<number>('q')
    await queue.send(1)
    replica.freeze()
    let isSent = false
    const sending = queue.send(2).then(() => (isSent = true))
    await until('it says that it waits', () => heard.blocked > heard.unblocked)
    assert.equal((await queue.stats()).ready, 2, 'the primary has it')
    // Made again it finds that it was done before; that does not mean that a replica has it.
    await primary.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await until('it is connected again', () => heard.up === 1)
    await delay(1_500)
    assert.equal(isSent, false)
    replica.thaw()
    await sending
    await until('it says that it goes on', () => heard.unblocked === heard.blocked)
    assert.equal((await queue.stats()).ready, 2)
    // Nobody has two replicas here.
    const strict = await clients.connect(`${primary.url()}?wait=2`)
    assert.equal(await codeOf(strict.queue('q').send(3, { signal: AbortSignal.timeout(1_000) })), 'ABORTED')
  },
)
