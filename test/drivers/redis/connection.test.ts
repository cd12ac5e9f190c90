/** Who is let in, to what kind of server, and what is said to the others. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from '../../../src/index.ts'
import type { Client } from '../../../src/index.ts'
import { Proxy } from '../../servers/proxy.ts'
import { findRedis, RedisServer } from '../../servers/redis.ts'
import { Clients, codeOf, documentedRights, until } from './world.ts'

const { skip } = await findRedis()
let server: RedisServer
before(async () => {
  if (skip === false) server = await RedisServer.start()
})
after(() => server?.close())

/** What an application does with queues and exchanges, all of it. */
async function useEverything(mq: Client): Promise<void> {
  const queue = mq.queue<string>('jobs', { attempts: 2, backoff: { type: 'fixed', delay: 20 } })
  const events = mq.exchange<string>('events', 'topic')
  await queue.bind(events, 'job.#')
  const done: string[] = []
  const worker = queue.work((job) => {
    if (job.data === 'bad') throw new Error('bad')
    done.push(job.data)
  })
  await queue.sendMany(['now', 'bad'])
  await queue.send('once', { dedupe: { key: 'k', window: '1m' } })
  await queue.send('once', { dedupe: { key: 'k', window: '1m' } })
  await queue.send('later', { delay: 100 })
  await events.publish('job.new', 'routed')
  await until('all is done', () => done.length === 4)
  assert.deepEqual(done.sort(), ['later', 'now', 'once', 'routed'])
  await until('the bad one is dead', async () => (await queue.stats()).dead === 1)
  assert.deepEqual(
    (await queue.dead.browse()).map((job) => job.data),
    ['bad'],
  )
  await worker.close()
  await queue.dead.purge()
  await queue.pause()
  await queue.resume()
  mq.reply<{ a: number }>('double', (message) => 2 * message.data.a)
  assert.equal(await mq.request<number>('double', { a: 21 }, { timeout: '10s' }), 42)
  await queue.delete()
}

describe('redis: who is let in', { skip }, () => {
  test('a user with the rights that docs/redis.md gives it can do everything', async () => {
    await server.command(...documentedRights())
    await using clients = new Clients()
    await useEverything(await clients.connect(`redis://app:secret@127.0.0.1:${server.port}`))
    // And nothing else.
    assert.equal(
      await codeOf(clients.connect(`redis://app:secret@127.0.0.1:${server.port}?prefix=x`)),
      'ACCESS_REFUSED',
    )
  })

  test('a wrong user, a wrong password and too few rights are ACCESS_REFUSED', async () => {
    await server.command('ACL', 'SETUSER', 'poor', 'on', '>secret', '+ping', '+hello')
    await server.command(
      'ACL',
      'SETUSER',
      'mute',
      'on',
      '>secret',
      '~mq:*',
      'resetchannels',
      '&mq:*',
      '+@all',
      '-@scripting',
    )
    await using clients = new Clients()
    for (const who of ['nobody:secret', 'poor:wrong', 'poor:secret']) {
      const code = await codeOf(clients.connect(`redis://${who}@127.0.0.1:${server.port}`))
      assert.equal(code, 'ACCESS_REFUSED', who)
    }
    await server.command('ACL', 'SETUSER', 'default', 'resetpass', '>alone')
    assert.equal(await codeOf(clients.connect(server.url())), 'ACCESS_REFUSED')
    assert.equal(await codeOf(clients.connect(`redis://:alone@127.0.0.1:${server.port}`)), 'none')
    await server.command('ACL', 'SETUSER', 'default', 'nopass')
    await assert.rejects(connect(`redis://mute:secret@127.0.0.1:${server.port}`), {
      code: 'ACCESS_REFUSED',
      message: /docs\/redis\.md/,
    })
  })

  test('a password that is changed: what waits is refused, the driver tries on, and does not spin', async () => {
    await using proxy = await Proxy.start({ port: server.port })
    await using clients = new Clients()
    const change = (password: string): Promise<unknown> =>
      server.command('ACL', 'SETUSER', 'rotated', 'reset', 'on', `>${password}`, '~*', '&*', '+@all')
    await change('first')
    const mq = await clients.connect(`redis://rotated:first@127.0.0.1:${proxy.port}?prefix=rotated`)
    await mq.queue('q').send('before')
    await change('second')
    await server.command('CLIENT', 'KILL', 'USER', 'rotated')
    await until('it is refused', async () => (await codeOf(mq.queue('q').send('x'))) === 'ACCESS_REFUSED')
    const { accepted } = proxy
    const fromMs = performance.now()
    await delay(500)
    const tookMs = performance.now() - fromMs
    const tries = proxy.accepted - accepted
    assert.ok(tries <= 4 * Math.ceil(tookMs / 500), `${tries} tries in ${tookMs} ms`)
    await change('first')
    await until('it is back', async () => (await codeOf(mq.queue('q').send('x'))) === 'none')
  })

  test('what was not settled because the user was refused comes again', async () => {
    await using clients = new Clients()
    const allow = (...words: string[]): Promise<unknown> =>
      server.command('ACL', 'SETUSER', 'barred', 'reset', 'on', '>secret', '~*', '&*', '+@all', ...words)
    await allow()
    const mq = await clients.connect(
      `redis://barred:secret@127.0.0.1:${server.port}?prefix=barred&lease=3000`,
    )
    const queue = mq.queue<string>('q')
    await queue.send('x')
    let handled = 0
    let refused = 0
    const worker = queue.work(async () => {
      handled += 1
      if (handled === 1) await allow('-fcall')
    })
    worker.on('error', (error) => {
      refused += Number((error as { code?: string }).code === 'ACCESS_REFUSED')
    })
    await until('it is refused', () => refused > 0)
    await allow()
    await until('it is done', async () => (await queue.stats().catch(() => undefined))?.acked === 1)
    assert.equal(handled, 2)
  })

  test('databases, prefixes and namespaces keep queues apart', async () => {
    await using clients = new Clients()
    const places = await Promise.all([
      clients.connect(`${server.url()}/0?prefix=apart`),
      clients.connect(`${server.url()}/3?prefix=apart`),
      clients.connect(`${server.url()}/0?prefix=apart2`),
      clients.connect(`${server.url()}/0?prefix=apart`, { namespace: 'a' }),
    ])
    for (const [index, mq] of places.entries()) await mq.queue<number>('q').send(index)
    for (const [index, mq] of places.entries()) {
      assert.deepEqual(
        (await mq.queue<number>('q').browse()).map((job) => job.data),
        [index],
      )
      assert.deepEqual(await mq.queues(), ['q', 'q.dead'])
    }
    assert.equal(await codeOf(clients.connect(`${server.url()}/9999`)), 'NOT_ALLOWED')
  })
})

describe('redis: what kind of server', { skip }, () => {
  test('where nobody listens, or somebody else, it is UNREACHABLE, and in time', async () => {
    await assert.rejects(connect('redis://127.0.0.1:1'), { code: 'UNREACHABLE', message: /is it running\?$/ })
    assert.equal(await codeOf(connect('redis://127.0.0.1:1', { signal: AbortSignal.abort() })), 'ABORTED')
    const http = await listening((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    const silent = await listening(() => undefined)
    const shut = await listening((socket) => socket.destroy())
    for (const { url } of [http, silent, shut]) {
      const startMs = performance.now()
      const message = /is it running, and is what listens there a Redis\?/
      await assert.rejects(connect(`${url}?connection_timeout=300`), { code: 'UNREACHABLE', message })
      assert.ok(performance.now() - startMs < 9_000, 'sooner than the usual ten seconds')
    }
    // The next of several is tried.
    const mq = await connect(`redis://127.0.0.1:1,127.0.0.1:${server.port}?prefix=next`)
    await mq.close()
    for (const { close } of [http, silent, shut]) close()
  })

  test('a server that throws keys away, and one that is no node of a cluster, are refused', async () => {
    await server.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
    await assert.rejects(connect(server.url()), { code: 'PRECONDITION_FAILED', message: /noeviction/ })
    await server.command('CONFIG', 'SET', 'maxmemory-policy', 'noeviction')
    await assert.rejects(connect(`${server.url()}?cluster=yes`), {
      code: 'PRECONDITION_FAILED',
      message: /cluster=yes/,
    })
  })

  test('without an append-only file there is a warning, which who has just connected hears', async () => {
    const warnings: string[] = []
    await using clients = new Clients()
    const mq = await clients.connect(server.url())
    mq.on('warning', (warning) => warnings.push(warning))
    await mq.queues()
    assert.equal(warnings.length, 1)
    assert.match(warnings[0] ?? '', /appendonly yes/)
    assert.equal(mq.capabilities.durable, false)
    await using safe = await RedisServer.start({ sync: 'everysec' })
    const other = await clients.connect(safe.url())
    other.on('warning', (warning) => warnings.push(warning))
    await other.queues()
    assert.equal(warnings.length, 1)
    assert.equal(other.capabilities.durable, true)
  })

  test('functions that are flushed while they are used are loaded again', async (t) => {
    if (Number.parseInt(await server.info('redis_version'), 10) < 7)
      return t.skip('this Redis has no functions')
    await using clients = new Clients()
    const mq = await clients.connect(`${server.url()}?prefix=flushed`)
    const queue = mq.queue<number>('q')
    const seen: number[] = []
    const worker = queue.work((job) => void seen.push(job.data), { concurrency: 5 })
    for (let number = 0; number < 50; number += 1) {
      if (number % 10 === 5) await server.command('FUNCTION', 'FLUSH')
      await queue.send(number)
    }
    await until('all came', () => seen.length === 50)
    await worker.close()
  })

  test('where functions are not to be had scripts do the same, and are loaded again after a flush', async () => {
    await using old = await RedisServer.start()
    const denied = (await hasFunctions()) ? ['-function', '-fcall'] : []
    await old.command(
      'ACL',
      'SETUSER',
      'old',
      'on',
      '>secret',
      '~mq:*',
      'resetchannels',
      '&mq:*',
      '+@all',
      ...denied,
    )
    await using clients = new Clients()
    const mq = await clients.connect(`redis://old:secret@127.0.0.1:${old.port}`)
    await useEverything(mq)
    assert.notEqual(await old.info('number_of_cached_scripts'), '0')
    const queue = mq.queue<number>('q')
    const seen: number[] = []
    const worker = queue.work((job) => void seen.push(job.data), { concurrency: 5 })
    for (let number = 0; number < 50; number += 1) {
      if (number % 10 === 5) await old.command('SCRIPT', 'FLUSH')
      await queue.send(number)
    }
    await until('all came', () => seen.length === 50)
    await worker.close()
  })
})

async function hasFunctions(): Promise<boolean> {
  return Number.parseInt(await server.info('redis_version'), 10) >= 7
}

async function listening(serve: (socket: Socket) => void): Promise<{ url: string; close: () => void }> {
  const sockets = new Set<Socket>()
  const listener = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const close = (): void => {
    for (const socket of sockets) socket.destroy()
    listener.close()
  }
  return { url: `redis://127.0.0.1:${(listener.address() as AddressInfo).port}`, close }
}
